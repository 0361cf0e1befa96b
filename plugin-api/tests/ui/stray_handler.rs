use plugin_api::{TaskError, handler};

struct Mail;

impl Mail {
    #[handler]
    fn send(&self) -> Result<(), TaskError> {
        Ok(())
    }
}

fn main() {
    let _ = Mail.send();
}
