use plugin_api::{Completion, TaskError, plugin};

#[derive(Default)]
struct Clock;

#[plugin]
impl Clock {
    #[handler]
    fn tick(&self, completion: Completion<Result<u8, TaskError>>) {
        drop(completion);
    }
}

fn main() {}
