use plugin_api::{TaskError, plugin};

struct Mail;

#[plugin]
impl Mail {
    fn open() -> Result<Self, String> {
        Ok(Self)
    }

    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {}
