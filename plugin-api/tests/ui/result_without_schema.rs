use plugin_api::{Completion, TaskError, plugin};
use serde::Serialize;

#[derive(Serialize)]
struct Sent {
    accepted: u32,
}

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn send(&self) -> Result<Sent, TaskError> {
        Ok(Sent { accepted: 1 })
    }

    #[handler]
    async fn send_soon(&self) -> Result<Vec<Sent>, TaskError> {
        Ok(Vec::new())
    }

    #[handler]
    fn send_later(&self, completion: Completion<Sent>) {
        drop(completion);
    }
}

fn main() {}
