use plugin_api::{TaskError, plugin};

struct Mail;

#[plugin]
impl Mail {
    fn new() -> Self {
        Self
    }

    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
