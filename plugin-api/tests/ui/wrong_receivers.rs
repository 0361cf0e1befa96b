use plugin_api::{TaskError, plugin};

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn none() -> Result<(), TaskError> {
        Ok(())
    }

    #[handler]
    fn mutable(&mut self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler]
    fn owned(self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler]
    fn shared(self: std::sync::Arc<Self>) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
