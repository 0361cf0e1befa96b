use plugin_api::{TaskError, plugin};

struct Letter;

struct Sent;

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn send(&self, args: Letter) -> Result<(), TaskError> {
        let _ = args;
        Ok(())
    }

    #[handler]
    fn sent(&self) -> Result<Sent, TaskError> {
        Ok(Sent)
    }
}

fn main() {}
