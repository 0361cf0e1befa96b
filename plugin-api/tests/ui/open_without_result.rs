use plugin_api::{TaskError, plugin};

struct Mail;

#[plugin]
impl Mail {
    fn open(config: u8) -> Self {
        let _ = config;
        Self
    }

    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
