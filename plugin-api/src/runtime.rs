//! Where the futures of async handlers run: a tokio runtime of the plugin's own, since a library has its own copy of
//! tokio's statics and finds no other runtime.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::{PoisonError, RwLock},
    task::Poll,
    time::Duration,
};

use tokio::runtime::Builder;

use crate::{
    answer::{Answer, Outcome},
    completion::Once,
    error::TaskError,
    panics, task,
    task::Task,
};

/// Few threads are enough: a worker runs few tasks at once, and futures mostly wait.
const THREADS: usize = 2;
/// Stack of each thread, in bytes: as much as a worker gives to other handlers.
const STACK_LEN: usize = 8 * 1024 * 1024;
/// How long closing waits for the runtime's blocking threads.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);
/// Error kind for a task whose runtime could not be started.
const KIND_NO_RUNTIME: &str = "no_runtime";

/// A runtime that starts with the first future.
pub(crate) struct Runtime(RwLock<Option<tokio::runtime::Runtime>>);

impl Runtime {
    pub(crate) const fn new() -> Self {
        Self(RwLock::new(None))
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
        let driven = drive(task, future);
        if let Some(runtime) = &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            runtime.spawn(driven);
            return Ok(());
        }
        let mut slot = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let runtime = match &mut *slot {
            Some(runtime) => runtime,
            None => slot.insert(start().map_err(|error| {
                let text = format!("the plugin's async runtime could not be started: {error}");
                TaskError::new(KIND_NO_RUNTIME, text).retryable()
            })?),
        };
        runtime.spawn(driven);
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
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("plugin-async")
        .thread_stack_size(STACK_LEN)
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
