use plugin_api::{TaskError, plugin};

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    async fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
