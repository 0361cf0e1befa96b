//! Where the futures of async handlers run: a tokio runtime of the plugin's own, since a library has its own copy of
//! tokio's statics and finds no other runtime.

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    task::Poll,
    time::Duration,
};

use tokio::runtime::{Builder, Handle};

use crate::{
    answer::{Answer, Outcome},
    completion::Once,
    error::TaskError,
    limits, panics, task,
    task::Task,
};

/// Few threads are enough: a worker runs few tasks at once, and futures mostly wait.
const THREADS: usize = 2;
/// How long closing waits for the runtime's blocking threads.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// Error kind for a task whose runtime could not be started.
const KIND_NO_RUNTIME: &str = "no_runtime";

thread_local! {
    /// The runtime of the plugin whose `open` or handler runs on this thread.
    static CURRENT: RefCell<Option<Arc<Runtime>>> = const { RefCell::new(None) };
}

/// The plugin's async runtime, on which its async handlers run: in `open`, in handlers, and in futures that it runs. It
/// starts with the first use.
///
/// Keep the handle for threads of your own, to run futures there by `block_on`, or to spawn some.
///
/// # Panics
/// Elsewhere, or when the runtime could not be started for want of threads.
#[must_use]
pub fn runtime() -> Handle {
    if let Ok(handle) = Handle::try_current() {
        return handle;
    }
    let runtime = CURRENT.with_borrow(Clone::clone).expect(
        "`plugin_api::runtime()` is for `open` and handlers; call it there, and keep the handle",
    );
    runtime
        .handle()
        .expect("the system has threads for the plugin's async runtime")
}

/// Makes `runtime` that of this thread until the guard is dropped.
pub(crate) fn enter(runtime: &Arc<Runtime>) -> Entered {
    Entered(CURRENT.replace(Some(Arc::clone(runtime))))
}

pub(crate) struct Entered(Option<Arc<Runtime>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

/// A runtime that starts with the first future.
pub(crate) struct Runtime(RwLock<Option<tokio::runtime::Runtime>>);

impl Runtime {
    pub(crate) const fn new() -> Self {
        Self(RwLock::new(None))
    }

    /// Starts the runtime, unless it runs.
    fn handle(&self) -> Result<Handle, TaskError> {
        if let Some(runtime) = &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(runtime.handle().clone());
        }
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let runtime = match &mut *slot {
            Some(runtime) => runtime,
            None => slot.insert(start().map_err(|error| {
                let text = format!("the plugin's async runtime could not be started: {error}");
                TaskError::new(KIND_NO_RUNTIME, text).retryable()
            })?),
        };
        Ok(runtime.handle().clone())
    }

    /// Runs `future`, and answers `task` with its outcome.
    ///
    /// # Errors
    /// When the runtime could not be started; the task is not answered then.
    pub(crate) fn spawn(
        &self,
        task: Task,
        future: impl Future<Output = Outcome> + Send + 'static,
    ) -> Result<(), TaskError> {
        self.handle()?.spawn(drive(task, future));
        Ok(())
    }

    /// Drops every future that still runs; their tasks are answered as abandoned.
    pub(crate) fn stop(&self) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_timeout(STOP_TIMEOUT);
        }
    }

    fn take(&self) -> Option<tokio::runtime::Runtime> {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Runtime {
    /// Doesn't wait: a test may drop its plugin inside a runtime of its own, where tokio forbids blocking.
    fn drop(&mut self) {
        if let Some(runtime) = self.take() {
            runtime.shutdown_background();
        }
    }
}

fn start() -> io::Result<tokio::runtime::Runtime> {
    let _nobody = task::leave();
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("plugin-async")
        .thread_stack_size(limits::STACK_LEN)
        .enable_all()
        .build()
}

/// Polls the handler's future with its task as the current one, and catches its panics.
async fn drive(task: Task, future: impl Future<Output = Outcome>) {
    let guard = Guard(Once::new(task.clone()));
    let mut future = pin!(future);
    let outcome = poll_fn(|context| {
        let _current = task::enter(&task);
        match panics::catch(|| future.as_mut().poll(context)) {
            Ok(poll) => poll,
            Err(text) => Poll::Ready(Outcome(Some(Answer::Panicked(text)))),
        }
    })
    .await;
    if let Outcome(Some(answer)) = outcome {
        guard.0.answer(answer);
    }
}

/// Answers for a future that is dropped before it is ready.
struct Guard(Once);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
