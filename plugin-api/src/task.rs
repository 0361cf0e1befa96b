//! What a handler knows of the task it works on.

use std::{
    cell::RefCell,
    fmt,
    time::{Duration, Instant},
};

use crate::{error::TaskError, host::Host};

/// The task a handler works on: how much time it has, whether it is still wanted, how far it is.
///
/// Cheap to clone, and usable from any thread. Once the task is answered, it counts as cancelled, and reports nothing.
#[derive(Clone)]
pub struct Task {
    id: u64,
    host: Host,
}

impl Task {
    pub(crate) fn new(id: u64, host: Host) -> Self {
        Self { id, host }
    }

    /// The number of this task, unique within its worker process. Log events carry it.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// When the task's time is up; `None` if there is no limit.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.remaining()?)
    }

    /// The time left, zero when it is up; `None` if there is no limit.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.host.remaining(self.id)
    }

    /// Whether the task should stop: its client cancelled it, or its time is up. A handler that goes on regardless is
    /// killed with its worker after a grace.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.host.is_cancelled(self.id)
    }

    /// Stops a cancelled task: `task.check()?` between two steps of the work is all that cancelling needs.
    ///
    /// # Errors
    /// When [`is_cancelled`](Self::is_cancelled); the task is then answered as cancelled, not as failed.
    pub fn check(&self) -> Result<(), TaskError> {
        if self.is_cancelled() {
            Err(TaskError::cancelled())
        } else {
            Ok(())
        }
    }

    /// Tells the client how far the task is: `done` of `total` (0 if that isn't known), and a few words, or none.
    ///
    /// Clients that didn't ask for progress don't get any. Reports may be merged: the last one counts.
    pub fn progress(&self, done: u64, total: u64, message: &str) {
        self.host.progress(self.id, done, total, message);
    }

    /// Waits until [`is_cancelled`](Self::is_cancelled), for use in `select!`. It asks every 10 ms, and may be that late.
    #[cfg(feature = "async")]
    pub async fn cancelled(&self) {
        const ASK_EVERY: Duration = Duration::from_millis(10);
        while !self.is_cancelled() {
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    pub(crate) fn complete(&self, status: u32, bytes: Vec<u8>) {
        self.host.complete(self.id, status, bytes);
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// The task whose handler runs on this thread: its log events belong to it, and its panics are caught.
    static CURRENT: RefCell<Option<Task>> = const { RefCell::new(None) };
}

/// The task whose handler runs on this thread.
pub(crate) fn current() -> Option<Task> {
    // A thread that is ending has lost its `CURRENT`.
    CURRENT
        .try_with(|current| current.borrow().clone())
        .ok()
        .flatten()
}

/// Makes `task` the current one until the guard is dropped.
pub(crate) fn enter(task: &Task) -> Entered {
    Entered(CURRENT.replace(Some(task.clone())))
}

/// Makes no task the current one until the guard is dropped: for what is done once for all tasks.
pub(crate) fn leave() -> Entered {
    Entered(CURRENT.replace(None))
}

pub(crate) struct Entered(Option<Task>);

impl Drop for Entered {
    fn drop(&mut self) {
        let previous = self.0.take();
        CURRENT.set(previous);
    }
}
