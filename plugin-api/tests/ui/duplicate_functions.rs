use plugin_api::{TaskError, plugin};

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler(name = "send")]
    fn send_again(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
