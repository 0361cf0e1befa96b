use plugin_api::{TaskError, plugin};

struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
