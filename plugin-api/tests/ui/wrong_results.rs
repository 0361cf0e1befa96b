use plugin_api::{TaskError, plugin};

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn nothing(&self) {}

    #[handler]
    fn some_type(&self) -> Result<impl Send, TaskError> {
        Ok(1)
    }
}

fn main() {}
