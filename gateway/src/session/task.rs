//! A task of a session.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, Weak};

use protocol::{Outcome, Progress};
use service::sync::lock;

use super::{Session, TaskKey};
use crate::limits::TaskPermit;
use crate::upstream::{Sink, TaskAtHost};

/// A task that a client has handed over.
#[derive(Debug)]
pub(crate) struct SessionTask {
    session: Weak<Session>,
    key: TaskKey,
    /// Where it is, if a host has it.
    at_host: Mutex<Option<TaskAtHost>>,
    is_cancelled: AtomicBool,
    /// The number of the progress that was told last, if it may be taken back; 0 for none.
    progress_seq: AtomicU64,
    /// Given back when the task has ended.
    permit: Mutex<Option<TaskPermit>>,
}

impl SessionTask {
    pub(super) fn new(session: Weak<Session>, key: TaskKey, permit: TaskPermit) -> Self {
        Self {
            session,
            key,
            at_host: Mutex::new(None),
            is_cancelled: AtomicBool::new(false),
            progress_seq: AtomicU64::new(0),
            permit: Mutex::new(Some(permit)),
        }
    }

    pub(super) fn key(&self) -> &TaskKey {
        &self.key
    }

    /// Cancels it, wherever it is.
    pub(super) fn cancel(&self) {
        if self.is_cancelled.swap(true, Ordering::SeqCst) {
            // Once is enough: each is a request to the host.
            return;
        }
        if let Some(at_host) = &*lock(&self.at_host) {
            at_host.cancel();
        }
    }

    pub(super) fn take_progress_seq(&self) -> Option<u64> {
        Some(self.progress_seq.swap(0, Ordering::Relaxed)).filter(|seq| *seq > 0)
    }

    pub(super) fn set_progress_seq(&self, seq: u64) {
        self.progress_seq.store(seq, Ordering::Relaxed);
    }
}

impl Sink for SessionTask {
    fn placed(&self, new: TaskAtHost) {
        let mut at_host = lock(&self.at_host);
        // It was cancelled on its way there.
        if self.is_cancelled.load(Ordering::SeqCst) {
            new.cancel();
        }
        *at_host = Some(new);
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::SeqCst)
    }

    fn progress(&self, progress: Progress) {
        if let Some(session) = self.session.upgrade() {
            session.progress(self, progress);
        }
    }

    fn done(&self, outcome: Outcome) {
        let permit = lock(&self.permit).take();
        let in_flight = permit.map(TaskPermit::release);
        if let Some(session) = self.session.upgrade() {
            session.done(self, outcome);
        }
        drop(in_flight);
    }
}
