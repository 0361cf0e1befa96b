//! What all parts of a task share: whether to stop, and how far it is.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use plugin_api::Task;

use crate::error::{Result, Trouble};

/// The task, seen from any thread.
#[derive(Debug)]
pub(crate) struct Watch {
    task: Task,
    /// When the queries have to be through.
    query_deadline: Option<Instant>,
    bytes_read: AtomicU64,
    bytes_total: AtomicU64,
    rows_read: AtomicU64,
    rows_written: AtomicU64,
    /// Databases with a query under way that has neither ended nor been cancelled.
    asked: AtomicUsize,
}

/// A database that has been asked.
#[derive(Debug)]
pub(crate) struct Asked(Arc<Watch>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.asked.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Watch {
    pub(crate) fn new(task: &Task, query_deadline: Option<Instant>) -> Self {
        Self {
            task: task.clone(),
            query_deadline,
            bytes_read: AtomicU64::new(0),
            bytes_total: AtomicU64::new(0),
            rows_read: AtomicU64::new(0),
            rows_written: AtomicU64::new(0),
            asked: AtomicUsize::new(0),
        }
    }

    /// A database is asked, for as long as what this gives is kept.
    pub(crate) fn asked(self: &Arc<Self>) -> Asked {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Asked(Arc::clone(self))
    }

    /// After a report has failed: gives databases that are still at work the time to be told to stop. If that takes
    /// longer than a client should wait, their own time limits will do.
    pub(crate) fn take_leave(&self) {
        const GRACE: Duration = Duration::from_millis(700);
        const LOOK_AGAIN: Duration = Duration::from_millis(2);
        let deadline = Instant::now() + GRACE;
        while self.asked.load(Ordering::Relaxed) > 0 && Instant::now() < deadline {
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Fails when the task is to stop, or the queries take too long.
    pub(crate) fn check(&self) -> Result<()> {
        if self.task.is_cancelled() {
            return Err(Trouble::new(CANCELLED, "the task was stopped"));
        }
        match self.query_deadline {
            Some(deadline) if Instant::now() >= deadline => Err(Trouble::new(
                "query_timeout",
                "the queries took longer than `query_timeout` allows",
            )
            .retryable()),
            _ => Ok(()),
        }
    }

    /// When the queries have to be through, or the task.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match (self.query_deadline, self.task.deadline()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    pub(crate) fn task(&self) -> &Task {
        &self.task
    }

    pub(crate) fn will_read(&self, bytes: u64) {
        self.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn has_read(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn rows_read(&self, rows: usize) {
        self.rows_read.fetch_add(rows as u64, Ordering::Relaxed);
    }

    pub(crate) fn rows_written(&self, rows: usize) {
        self.rows_written.fetch_add(rows as u64, Ordering::Relaxed);
    }

    /// Says how far the report is. While there are files to read, `done` of `total` are their bytes.
    pub(crate) fn report(&self) {
        let total = self.bytes_total.load(Ordering::Relaxed);
        let done = self.bytes_read.load(Ordering::Relaxed).min(total);
        let read = self.rows_read.load(Ordering::Relaxed);
        let written = self.rows_written.load(Ordering::Relaxed);
        let message = match (done < total, written) {
            (true, 0) => format!("reading: {read} rows"),
            (false, 0) => format!("querying: {read} rows read"),
            (_, written) => format!("writing: {read} rows read, {written} written"),
        };
        if total == 0 {
            self.task.progress(written, 0, &message);
        } else {
            self.task.progress(done, total, &message);
        }
    }
}

/// The error kind for a task that was stopped. In the end it becomes what `Task::check` says.
pub(crate) const CANCELLED: &str = "cancelled";
