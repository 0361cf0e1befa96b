//! What stands in for the worker while a plugin is tested: it records all that one task reports.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::outcome::{CallError, Finished, Log, Progress, result_of};
use crate::{abi::log_level, host::Services};

/// How long a test waits before it fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Bench {
    deadline: Option<Instant>,
    cancelled: AtomicBool,
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    progress: Vec<Progress>,
    logs: Vec<Log>,
    result: Option<Result<serde_json::Value, CallError>>,
}

impl Bench {
    pub(crate) fn new(deadline: Option<Instant>) -> Self {
        Self {
            deadline,
            cancelled: AtomicBool::new(false),
            heard: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    pub(crate) fn refuse(&self, error: CallError) {
        self.heard().result = Some(Err(error));
        self.changed.notify_all();
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    pub(crate) fn logs(&self) -> Vec<Log> {
        self.heard().logs.clone()
    }

    pub(crate) fn progress_so_far(&self) -> Vec<Progress> {
        self.heard().progress.clone()
    }

    pub(crate) fn wait(&self, what: &str) -> Finished {
        let heard = self.wait_until(what, |heard| heard.result.is_some());
        Finished {
            result: heard.result.clone().expect("the wait was for a result"),
            progress: heard.progress.clone(),
            logs: heard.logs.clone(),
        }
    }

    pub(crate) fn wait_for_progress(&self, what: &str, done: u64) {
        let reached = |heard: &Heard| heard.progress.iter().any(|progress| progress.done >= done);
        let heard = self.wait_until(what, |heard| reached(heard) || heard.result.is_some());
        assert!(
            reached(&heard),
            "{what} was answered before its progress reached {done}: {:?}",
            heard.result
        );
    }

    fn wait_until(
        &self,
        what: &str,
        mut condition: impl FnMut(&Heard) -> bool,
    ) -> MutexGuard<'_, Heard> {
        let (heard, wait) = self
            .changed
            .wait_timeout_while(self.heard(), WAIT_MAX, |heard| !condition(heard))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(
            !wait.timed_out(),
            "{what} said nothing within {WAIT_MAX:?}: {heard:?}"
        );
        heard
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn time_left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }
}

/// The number of the task is of no interest: each has a bench of its own.
impl Services for Bench {
    /// The first answer counts, as in a worker.
    fn complete(&self, _task: u64, status: u32, bytes: Vec<u8>) {
        let mut heard = self.heard();
        heard
            .result
            .get_or_insert_with(|| result_of(status, &bytes));
        self.changed.notify_all();
    }

    /// A task that has been answered counts as cancelled, as in a worker.
    fn is_cancelled(&self, _task: u64) -> bool {
        self.cancelled.load(Ordering::Acquire)
            || self.time_left() == Some(Duration::ZERO)
            || self.heard().result.is_some()
    }

    fn remaining(&self, _task: u64) -> Option<Duration> {
        self.time_left()
    }

    fn progress(&self, _task: u64, done: u64, total: u64, message: &str) {
        let mut heard = self.heard();
        // Progress never comes after the answer.
        if heard.result.is_none() {
            let message = message.to_owned();
            heard.progress.push(Progress {
                done,
                total,
                message,
            });
        }
        self.changed.notify_all();
    }

    fn log_level_max(&self) -> u32 {
        log_level::TRACE
    }

    fn log(&self, _task: u64, level: u32, target: &str, message: &str, fields: &[u8]) {
        let log = Log::new(level, target, message, fields);
        self.heard().logs.push(log);
    }
}
