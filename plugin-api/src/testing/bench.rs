//! What stands in for worker and host while a plugin is tested: it records all that one task reports, and decides when
//! and how the task has ended.

use std::{
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::outcome::{CallError, Finished, Log, Progress, result_of};
use crate::{
    abi::log_level,
    host::Services,
    limits,
    verdict::{self, ClientError},
};

/// How long a test waits for something that no time limit bounds, before it fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Bench {
    cancelled: AtomicBool,
    heard: Mutex<Heard>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Heard {
    progress: Vec<Progress>,
    logs: Vec<Log>,
    /// When the handler began, and when its time is up.
    started: Option<Instant>,
    deadline: Option<Instant>,
    /// When it was told to stop.
    stopped: Option<Instant>,
    /// How the task ended. Time may have ended it before its handler did.
    result: Option<Result<serde_json::Value, CallError>>,
    error: Option<ClientError>,
    /// The plugin has answered.
    answered: bool,
    killed: bool,
    /// Nothing more will be heard of it.
    ended: bool,
}

impl Heard {
    fn fail(&mut self, result: CallError, error: ClientError) {
        if self.result.is_none() {
            self.result = Some(Err(result));
            self.error = Some(error);
        }
    }

    fn time_out(&mut self, now: Instant) {
        let ran = self.started.map(|started| now.duration_since(started));
        let error = verdict::timed_out(ran);
        self.fail(CallError::Timeout(error.message.clone()), error);
    }

    fn cancel(&mut self, started: bool) {
        let error = verdict::cancelled(started);
        self.fail(CallError::Cancelled(error.message.clone()), error);
    }

    fn time_is_up(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}

impl Bench {
    /// Of a task without a time limit, or one that has not begun.
    pub(crate) fn new() -> Self {
        Self {
            cancelled: AtomicBool::new(false),
            heard: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Its handler begins now, and has until `deadline`.
    pub(crate) fn start(&self, deadline: Option<Instant>) {
        let mut heard = self.heard();
        heard.started = Some(Instant::now());
        heard.deadline = deadline;
    }

    /// It never begins.
    pub(crate) fn refuse(&self, error: CallError) {
        let mut heard = self.heard();
        heard.result = Some(Err(error));
        heard.ended = true;
        self.changed.notify_all();
    }

    /// Whether it ends before it has begun: because it was cancelled, or because it is past `deadline`.
    pub(crate) fn ends_unstarted(&self, deadline: Option<Instant>) -> bool {
        let mut heard = self.heard();
        if self.cancelled.load(Ordering::Acquire) {
            heard.cancel(false);
        } else if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            heard.time_out(Instant::now());
        } else {
            return false;
        }
        heard.ended = true;
        self.changed.notify_all();
        true
    }

    /// Watches over a task that has begun, until its handler has answered, or has gone on for longer than the grace after
    /// it was told to stop: a host would kill its worker then.
    pub(crate) fn supervise(&self) {
        let mut heard = self.heard();
        while !heard.answered {
            let now = Instant::now();
            if heard.time_is_up(now) {
                heard.stopped.get_or_insert(now);
                heard.time_out(now);
            }
            let until = match heard.stopped {
                Some(stopped) => Some(stopped + limits::CANCEL_GRACE),
                None => heard.deadline,
            };
            if heard.stopped.is_some() && until.is_some_and(|until| until <= now) {
                heard.cancel(true);
                heard.killed = true;
                break;
            }
            let wait = until.map_or(WAIT_MAX, |until| until.duration_since(now));
            heard = self
                .changed
                .wait_timeout(heard, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        heard.ended = true;
        self.changed.notify_all();
    }

    pub(crate) fn cancel(&self) {
        let mut heard = self.heard();
        self.cancelled.store(true, Ordering::Release);
        heard.stopped.get_or_insert_with(Instant::now);
        self.changed.notify_all();
    }

    pub(crate) fn logs(&self) -> Vec<Log> {
        self.heard().logs.clone()
    }

    pub(crate) fn progress_so_far(&self) -> Vec<Progress> {
        self.heard().progress.clone()
    }

    /// Waits for the end of a supervised task, which its time limit bounds.
    pub(crate) fn wait_for_end(&self) -> Finished {
        let heard = self
            .changed
            .wait_while(self.heard(), |heard| !heard.ended)
            .unwrap_or_else(PoisonError::into_inner);
        finished(&heard)
    }

    /// Waits for the answer to a task that nobody supervises.
    pub(crate) fn wait_for_answer(&self, what: &str) -> Finished {
        finished(&self.wait_until(what, |heard| heard.result.is_some()))
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
}

fn finished(heard: &Heard) -> Finished {
    Finished {
        result: heard.result.clone().expect("the wait was for a result"),
        error: heard.error.clone(),
        killed: heard.killed,
        progress: heard.progress.clone(),
        logs: heard.logs.clone(),
    }
}

/// The number of the task is of no interest: each has a bench of its own.
impl Services for Bench {
    /// The first answer counts, as in a worker, and what comes too late is not heard by a client.
    fn complete(&self, _task: u64, status: u32, bytes: Vec<u8>) {
        let mut heard = self.heard();
        if heard.answered {
            return;
        }
        let now = Instant::now();
        if heard.time_is_up(now) {
            heard.time_out(now);
        }
        if heard.result.is_none() {
            let len_max = limits::result_len_max(limits::LINE_LEN_MAX_DEFAULT);
            let (status, bytes) = limits::fit(status, bytes, len_max);
            let cancelled = self.cancelled.load(Ordering::Acquire);
            let result = result_of(status, &bytes);
            heard.error = result
                .is_err()
                .then(|| verdict::of_answer(status, &bytes, cancelled));
            heard.result = Some(result);
        }
        heard.answered = true;
        self.changed.notify_all();
    }

    /// A task that has been answered counts as cancelled, as in a worker.
    fn is_cancelled(&self, _task: u64) -> bool {
        if self.cancelled.load(Ordering::Acquire) {
            return true;
        }
        let heard = self.heard();
        heard.time_is_up(Instant::now()) || heard.result.is_some()
    }

    fn remaining(&self, _task: u64) -> Option<Duration> {
        let deadline = self.heard().deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    fn progress(&self, _task: u64, done: u64, total: u64, message: &str) {
        let mut heard = self.heard();
        // Progress never comes after the answer.
        if heard.result.is_none() {
            let message = limits::cut(message).to_owned();
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
        let fields = if fields.len() > limits::TEXT_LEN_MAX {
            &[]
        } else {
            fields
        };
        let log = Log::new(level, limits::cut(target), limits::cut(message), fields);
        self.heard().logs.push(log);
    }
}
