use plugin_api::{Completion, plugin};

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    async fn send(&self, completion: Completion<u8>) {
        completion.complete(Ok(1));
    }
}

fn main() {}
