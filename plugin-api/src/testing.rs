//! A kit to test a plugin in its own crate, without host, worker or library file.
//!
//! [`open`] gives a plugin that is called by name and JSON, on the very same path as in a worker: the arguments are read,
//! the handler runs, its result is written, its panic is caught. The bounds are those of one worker under a host that is
//! configured in no way: the handler's time limit, or a minute, the grace after it, the plugin's slots, the size of a
//! result. [`Finished::error`] is what a client would read. [`task`] gives a [`Task`] for calling a method directly. Tests
//! may run side by side: none sees the tasks of another.
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
    limits,
    manifest::Manifest,
    task::Task,
};

mod bench;
mod outcome;
mod slots;

use bench::Bench;
pub use outcome::{CallError, Finished, Log, Progress};
use slots::Slots;

/// Opens the plugin `P` as a worker would. `config` is written as JSON; `()` stands for none, `{}`.
///
/// # Errors
/// What the plugin's `open` says, or why it refuses the configuration.
///
/// # Panics
/// When `config` can't be written as JSON.
pub fn open<P: Plugin>(config: impl Serialize) -> Result<Opened<P>, PluginError> {
    let instance = Arc::new(Instance::new());
    let bench = Arc::new(Bench::new());
    let nobody = Task::new(0, Host::StandIn(bench.clone()));
    instance
        .open(&nobody, &to_json(config))
        .map_err(PluginError::new)?;
    let slots = Arc::new(Slots::new(limits::slots(None, P::SLOTS)));
    Ok(Opened {
        instance,
        bench,
        slots,
    })
}

/// A task to call a method with, directly. It has no time limit.
#[must_use]
pub fn task() -> TestTask {
    TestTask::new()
}

/// Like [`task`], with the time limit `timeout` from now on.
#[must_use]
pub fn task_with_timeout(timeout: Duration) -> TestTask {
    let task = TestTask::new();
    task.bench.start(from_now(timeout));
    task
}

/// An opened plugin. It stays open until it is [closed](Self::close), or dropped together with all that runs.
pub struct Opened<P: Plugin> {
    instance: Arc<Instance<P>>,
    bench: Arc<Bench>,
    slots: Arc<Slots>,
}

impl<P: Plugin> Opened<P> {
    /// What the plugin says about itself: its functions, with descriptions and schemas.
    #[must_use]
    pub fn manifest(&self) -> Manifest {
        dispatch::manifest::<P>()
    }

    /// Sets how many tasks run at once, in place of what the plugin says, as operators may: 1 to
    /// [`SLOTS_MAX`](limits::SLOTS_MAX).
    #[must_use]
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = Arc::new(Slots::new(limits::slots(Some(slots), P::SLOTS)));
        self
    }

    /// The plugin's state, as its handlers see it.
    #[must_use]
    pub fn state(&self) -> Arc<P> {
        self.instance.plugin().expect("an opened plugin is open")
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
            slots: Arc::clone(&self.slots),
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
    slots: Arc<Slots>,
    function: String,
    args: Vec<u8>,
    timeout: Option<Duration>,
}

impl<P: Plugin> Prepared<P> {
    /// Sets how much time the client gives the task, counted from the moment it is run or started, with the time in which it
    /// waits for a slot. The handler's own limit, or a minute, holds as well.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Runs the handler and waits until the task has ended: until the handler has answered, or has gone on for longer than
    /// the grace after its time was up.
    #[must_use]
    pub fn run(self) -> Finished {
        self.start().wait()
    }

    /// Starts the task, and goes on. The handler runs on a thread of its own, as soon as there is a slot.
    ///
    /// # Panics
    /// When the machine has no thread left.
    pub fn start(self) -> Running {
        let task = TestTask::new();
        let running = Running {
            function: self.function.clone(),
            bench: Arc::clone(&task.bench),
            plugin: Arc::clone(&self.instance) as Arc<dyn Any + Send + Sync>,
        };
        let deadline = self.timeout.and_then(from_now);
        thread::spawn(move || self.go(&task, deadline));
        running
    }

    fn go(self, task: &TestTask, deadline: Option<Instant>) {
        let mut functions = P::FUNCTIONS.iter().zip(0..);
        let Some((entry, number)) = functions.find(|(entry, _)| entry.name == self.function) else {
            return task.bench.refuse(CallError::UnknownFunction(self.function));
        };
        let Some(_slot) = self.slots.take(|| task.bench.ends_unstarted(deadline)) else {
            return;
        };
        let limit = limits::timeout(None, entry.timeout_ms, limits::TIMEOUT_DEFAULT);
        task.bench
            .start(from_now(limit).into_iter().chain(deadline).min());
        let (instance, args, handed) = (self.instance, self.args, task.task.clone());
        thread::Builder::new()
            .name(String::from("slot"))
            .stack_size(limits::STACK_LEN)
            .spawn(move || instance.call(number, &handed, &args))
            .expect("a test may have as many threads as it has tasks");
        task.bench.supervise();
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

    /// Waits until the task has ended, as [`Prepared::run`] does.
    #[must_use]
    pub fn wait(self) -> Finished {
        let finished = self.bench.wait_for_end();
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
    fn new() -> Self {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        let id = LAST_ID.fetch_add(1, Ordering::Relaxed) + 1;
        let bench = Arc::new(Bench::new());
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
        self.bench.wait_for_answer("the task")
    }
}

impl Deref for TestTask {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.task
    }
}

fn from_now(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

fn to_json(value: impl Serialize) -> Vec<u8> {
    let json = serde_json::to_vec(&value).expect("what a test passes can be written as JSON");
    if json == b"null" {
        b"{}".to_vec()
    } else {
        json
    }
}
