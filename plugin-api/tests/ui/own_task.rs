use plugin_api::{TaskError, plugin};

struct Task {
    title: String,
}

#[derive(Default)]
struct List;

#[plugin]
impl List {
    #[handler]
    fn add(&self, args: Task) -> Result<(), TaskError> {
        drop(args.title);
        Ok(())
    }

    #[handler]
    fn remove(&self, task: &Task) -> Result<(), TaskError> {
        drop(&task.title);
        Ok(())
    }
}

fn main() {}
