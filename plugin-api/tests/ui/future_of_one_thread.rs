use std::rc::Rc;

use plugin_api::{TaskError, plugin};

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    async fn send(&self) -> Result<u8, TaskError> {
        let held = Rc::new(1);
        std::future::ready(()).await;
        Ok(*held)
    }
}

fn main() {}
