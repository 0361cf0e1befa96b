use plugin_api::{TaskError, plugin};

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[cfg(unix)]
    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }

    #[handler(name = "send")]
    fn send_elsewhere(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
