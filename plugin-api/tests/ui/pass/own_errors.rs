//! Errors of the author's own: one that handlers return, and one that `?` turns into a `TaskError`.

use std::{fmt, io};

use plugin_api::{HandlerError, Task, TaskError, plugin, testing};

#[derive(Debug)]
enum StoreError {
    Full,
    Io(io::Error),
    Stopped(TaskError),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no room is left"),
            Self::Io(error) => write!(f, "the store failed: {error}"),
            Self::Stopped(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<TaskError> for StoreError {
    fn from(error: TaskError) -> Self {
        Self::Stopped(error)
    }
}

impl HandlerError for StoreError {
    fn into_task_error(self) -> TaskError {
        match self {
            Self::Full => TaskError::of(&self)
                .with_kind("full")
                .retryable()
                .data(7.into()),
            Self::Io(_) => TaskError::of(&self).with_kind("io"),
            Self::Stopped(error) => error,
        }
    }
}

/// No `std::error::Error`: its own `From` may say what it becomes.
struct Refused;

impl From<Refused> for TaskError {
    fn from(_: Refused) -> Self {
        TaskError::new("refused", "no")
    }
}

fn refuse() -> Result<u8, Refused> {
    Err(Refused)
}

fn fill() -> Result<u8, StoreError> {
    Err(StoreError::Full)
}

#[derive(Default)]
struct Store;

#[plugin]
impl Store {
    #[handler]
    fn full(&self) -> Result<u8, StoreError> {
        Ok(fill()?)
    }

    #[handler]
    async fn io(&self) -> Result<String, StoreError> {
        Ok(std::fs::read_to_string("/no/such/file")?)
    }

    #[handler]
    fn stopped(&self, task: &Task) -> Result<(), StoreError> {
        loop {
            task.check()?;
        }
    }

    #[handler]
    fn refused(&self) -> Result<u8, TaskError> {
        Ok(refuse()?)
    }

    #[handler]
    fn boxed(&self) -> Result<u8, TaskError> {
        let boxed: Box<dyn std::error::Error> = "a text".into();
        Err(boxed).map_err(|error| TaskError::of(&*error).with_kind("boxed"))?
    }
}

fn main() {
    let store = testing::open::<Store>(()).unwrap();
    for kind in ["full", "io", "refused", "boxed"] {
        assert_eq!(store.call(kind, ()).unwrap_err().kind(), Some(kind));
    }
    let testing::CallError::Failed { retryable, data, message, .. } =
        store.call("full", ()).unwrap_err()
    else {
        panic!("not a failure");
    };
    assert_eq!((retryable, data, message.as_str()), (true, Some(7.into()), "no room is left"));
    let stopped = store.prepare("stopped", ()).start();
    stopped.cancel();
    let error = stopped.wait().error.unwrap();
    assert_eq!(error.code, plugin_api::verdict::Code::Cancelled);
}
