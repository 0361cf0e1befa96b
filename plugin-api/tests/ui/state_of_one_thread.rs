use std::cell::Cell;

use plugin_api::{TaskError, plugin};

#[derive(Default)]
struct Mail {
    sent: Cell<u64>,
}

#[plugin]
impl Mail {
    #[handler]
    fn send(&self) -> Result<u64, TaskError> {
        Ok(self.sent.get())
    }
}

fn main() {}
