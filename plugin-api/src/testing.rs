//! A kit to test a plugin in its own crate, without host, worker or library file.
//!
//! [`open`] gives a plugin that is called by name and JSON, on the very same path as in a worker: the arguments are read,
//! the handler runs, its result is written, its panic is caught. [`task`] gives a [`Task`] for calling a method directly.
//! Tests may run side by side: none sees the tasks of another.
//!
//! Log events are collected through tracing's global default subscriber. If the test program sets its own, that one gets
//! them, and none are collected here. Events of threads that the plugin starts by itself are not collected either.
//!
//! ```standalone_crate
//! use plugin_api::{TaskError, plugin, testing};
//! use schemars::JsonSchema;
//! use serde::Deserialize;
//! use serde_json::json;
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Divide {
//!     a: f64,
//!     b: f64,
//! }
//!
//! #[derive(Default)]
//! struct Arithmetic;
//!
//! #[plugin]
//! impl Arithmetic {
//!     /// Divides `a` by `b`.
//!     #[handler]
//!     fn divide(&self, args: Divide) -> Result<f64, TaskError> {
//!         if args.b == 0.0 {
//!             return Err(TaskError::new("by_zero", "nothing can be divided by zero"));
//!         }
//!         Ok(args.a / args.b)
//!     }
//! }
//!
//! let plugin = testing::open::<Arithmetic>(()).unwrap();
//! assert_eq!(plugin.call("divide", json!({"a": 1, "b": 4})).unwrap(), 0.25);
//! assert_eq!(plugin.call("divide", json!({"a": 1, "b": 0})).unwrap_err().kind(), Some("by_zero"));
//! assert_eq!(
//!     plugin.call("divide", json!({"a": 1})).unwrap_err().to_string(),
//!     "invalid arguments: missing field `b`"
//! );
//! ```

use std::{
    any::Any,
    fmt,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde::Serialize;
use serde_json::Value;

use crate::{
    completion::{Completion, Once},
    dispatch::{self, Plugin},
    error::PluginError,
    host::Host,
    instance::Instance,
    manifest::Manifest,
    task::Task,
};

mod bench;
mod outcome;

use bench::Bench;
pub use outcome::{CallError, Finished, Log, Progress};

/// Opens the plugin `P` as a worker would. `config` is written as JSON; `()` stands for none, `{}`.
///
/// # Errors
/// What the plugin's `open` says, or why it refuses the configuration.
///
/// # Panics
/// When `config` can't be written as JSON.
pub fn open<P: Plugin>(config: impl Serialize) -> Result<Opened<P>, PluginError> {
    let instance = Arc::new(Instance::new());
    let bench = Arc::new(Bench::new(None));
    let nobody = Task::new(0, Host::StandIn(bench.clone()));
    instance
        .open(&nobody, &to_json(config))
        .map_err(PluginError::new)?;
    Ok(Opened { instance, bench })
}

/// A task to call a method with, directly. It has no time limit.
#[must_use]
pub fn task() -> TestTask {
    TestTask::new(None)
}

/// Like [`task`], with the time limit `timeout` from now on.
#[must_use]
pub fn task_with_timeout(timeout: Duration) -> TestTask {
    TestTask::new(Some(timeout))
}

/// An opened plugin. It stays open until it is [closed](Self::close), or dropped together with all that runs.
pub struct Opened<P: Plugin> {
    instance: Arc<Instance<P>>,
    bench: Arc<Bench>,
}

impl<P: Plugin> Opened<P> {
    /// What the plugin says about itself: its functions, with descriptions and schemas.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        dispatch::manifest::<P>()
    }

    /// What the plugin logged while it was opened.
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        self.bench.logs()
    }

    /// Closes the plugin as a worker does: async handlers that still run are dropped, and so is the state.
    pub fn close(self) {
        self.instance.close();
    }

    /// Calls `function` and waits for its answer. `args` are written as JSON; `()` stands for none, `{}`.
    ///
    /// # Errors
    /// When the task ends without a result; the error says how.
    ///
    /// # Panics
    /// When `args` can't be written as JSON, or there is no answer within a minute.
    pub fn call(&self, function: &str, args: impl Serialize) -> Result<Value, CallError> {
        self.prepare(function, args).run().result
    }

    /// Prepares a call, to limit its time, cancel it, or look at its progress and log.
    ///
    /// # Panics
    /// When `args` can't be written as JSON.
    pub fn prepare(&self, function: &str, args: impl Serialize) -> Prepared<P> {
        Prepared {
            instance: Arc::clone(&self.instance),
            function: function.to_owned(),
            args: to_json(args),
            timeout: None,
        }
    }
}

impl<P: Plugin> fmt::Debug for Opened<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("name", &P::NAME)
            .finish_non_exhaustive()
    }
}

/// A call that is about to be made.
#[must_use = "a prepared call does nothing until it is run or started"]
pub struct Prepared<P: Plugin> {
    instance: Arc<Instance<P>>,
    function: String,
    args: Vec<u8>,
    timeout: Option<Duration>,
}

impl<P: Plugin> Prepared<P> {
    /// Sets the task's time limit, counted from the moment it is run or started. When it is up, the task is cancelled.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Runs the handler on this thread and waits for the answer.
    ///
    /// # Panics
    /// When there is no answer within a minute after the handler has returned.
    #[must_use]
    pub fn run(self) -> Finished {
        let task = TestTask::new(self.timeout);
        let function = self.function.clone();
        self.call(&task);
        task.bench.wait(&function)
    }

    /// Runs the handler on a thread of its own.
    pub fn start(self) -> Running {
        let task = TestTask::new(self.timeout);
        let running = Running {
            function: self.function.clone(),
            bench: Arc::clone(&task.bench),
            plugin: Arc::clone(&self.instance) as Arc<dyn Any + Send + Sync>,
        };
        thread::spawn(move || self.call(&task));
        running
    }

    fn call(self, task: &TestTask) {
        let functions = P::FUNCTIONS.iter();
        match functions
            .zip(0..)
            .find(|(entry, _)| entry.name == self.function)
        {
            Some((_, number)) => self.instance.call(number, task, &self.args),
            None => task.bench.refuse(CallError::UnknownFunction(self.function)),
        }
    }
}

impl<P: Plugin> fmt::Debug for Prepared<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("function", &self.function)
            .finish_non_exhaustive()
    }
}

/// A call whose handler runs on a thread of its own.
#[derive(Debug)]
#[must_use = "wait for a running call, or nothing is checked"]
pub struct Running {
    function: String,
    bench: Arc<Bench>,
    /// Keeps the plugin open.
    plugin: Arc<dyn Any + Send + Sync>,
}

impl Running {
    /// Tells the handler that its task is cancelled.
    pub fn cancel(&self) {
        self.bench.cancel();
    }

    /// Waits until the handler has reported progress of at least `done`.
    ///
    /// # Panics
    /// When the task is answered before, or a minute has passed.
    pub fn wait_for_progress(&self, done: u64) {
        self.bench.wait_for_progress(&self.function, done);
    }

    /// Waits for the answer.
    ///
    /// # Panics
    /// When there is none within a minute.
    #[must_use]
    pub fn wait(self) -> Finished {
        let finished = self.bench.wait(&self.function);
        drop(self.plugin);
        finished
    }
}

/// A [`Task`] for calling a method directly.
///
/// ```
/// use plugin_api::{Task, TaskError, testing};
///
/// fn count(task: &Task) -> Result<u64, TaskError> {
///     for step in 0..3 {
///         task.check()?;
///         task.progress(step, 3, "");
///     }
///     Ok(3)
/// }
///
/// let task = testing::task();
/// assert_eq!(count(&task).unwrap(), 3);
/// assert_eq!(task.progress_so_far().len(), 3);
///
/// task.cancel();
/// assert!(count(&task).unwrap_err().is_cancelled());
/// ```
#[derive(Debug)]
pub struct TestTask {
    task: Task,
    bench: Arc<Bench>,
}

impl TestTask {
    fn new(timeout: Option<Duration>) -> Self {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let bench = Arc::new(Bench::new(deadline));
        let task = Task::new(id, Host::StandIn(bench.clone()));
        Self { task, bench }
    }

    /// Cancels the task.
    pub fn cancel(&self) {
        self.bench.cancel();
    }

    /// The progress reported so far.
    #[must_use]
    pub fn progress_so_far(&self) -> Vec<Progress> {
        self.bench.progress_so_far()
    }

    /// A completion of this task, for a handler that takes one.
    pub fn completion<R: Serialize>(&self) -> Completion<R> {
        Completion::new(Once::new(self.task.clone()))
    }

    /// Waits until a [`completion`](Self::completion) has answered the task.
    ///
    /// # Panics
    /// When that takes more than a minute.
    #[must_use]
    pub fn wait(&self) -> Finished {
        self.bench.wait("the task")
    }
}

impl Deref for TestTask {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

fn to_json(value: impl Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(&value).expect("what a test passes can be written as JSON");
    if json == b"null" {
        b"{}".to_vec()
    } else {
        json
    }
}
