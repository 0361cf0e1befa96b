use plugin_api::{Completion, Task, TaskError, plugin};

#[derive(Default)]
struct Mail;

#[plugin]
impl Mail {
    #[handler]
    fn too_many(&self, from: String, to: String) -> Result<(), TaskError> {
        let _ = (from, to);
        Ok(())
    }

    #[handler]
    fn wrong_order(&self, task: &Task, args: String) -> Result<(), TaskError> {
        let _ = (task, args);
        Ok(())
    }

    #[handler]
    fn borrowed_args(&self, args: &str) -> Result<(), TaskError> {
        let _ = args;
        Ok(())
    }

    #[handler]
    fn owned_task(&self, task: Task) -> Result<(), TaskError> {
        let _ = task;
        Ok(())
    }

    #[handler]
    fn some_type(&self, args: impl Send) -> Result<(), TaskError> {
        let _ = args;
        Ok(())
    }

    #[handler]
    fn generic<T>(&self, args: T) -> Result<(), TaskError> {
        let _ = args;
        Ok(())
    }

    #[handler]
    fn both(&self, completion: Completion<u8>) -> Result<u8, TaskError> {
        let _ = completion;
        Ok(1)
    }

    #[handler]
    unsafe fn dangerous(&self) -> Result<u8, TaskError> {
        Ok(1)
    }
}

fn main() {}
