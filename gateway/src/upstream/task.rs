//! A task on its way to a host, and who hears of it.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{Outcome, Progress, Request};
use tokio::sync::{Notify, oneshot};

use super::connection::Connection;

/// A connection to a host, with what is kept for each request on it.
pub(super) type HostConnection = Connection<Kept>;

/// A task to run.
#[derive(Debug)]
pub(super) struct Task {
    /// Its `id` is the client's, or that of the connection it was on last; each connection gives it one of its own.
    pub(super) request: Request,
    pub(super) terms: Terms,
    pub(super) sink: Arc<dyn Sink>,
}

/// What the gateway knows of a task beyond its request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// When the client handed it over: its time runs from then.
    pub(super) since: Instant,
    /// How long it may take at most, as the client has asked, waiting included. The function's own limit is the host's
    /// concern: it begins with the handler.
    pub(super) limit: Option<Duration>,
    /// Hosts that have given it back.
    pub(super) attempts: u32,
}

/// Who hears of a task. Called by the reader of a host's connection: nothing in it may wait.
pub(crate) trait Sink: Debug + Send + Sync {
    /// Where it is now. Again when it moves; perhaps only after it has ended.
    fn placed(&self, _: TaskAtHost) {}
    /// Whether it is no longer wanted. Asked while it is nowhere.
    fn is_cancelled(&self) -> bool {
        false
    }
    /// How far it is.
    fn progress(&self, _: Progress) {}
    /// Its end. Exactly once.
    fn done(&self, outcome: Outcome);
}

/// A task that a host has, for whoever wants to cancel it.
#[derive(Clone, Debug)]
pub(crate) struct TaskAtHost {
    pub(super) connection: Arc<HostConnection>,
    pub(super) id: u64,
}

/// What is kept for a request while a host has it.
#[derive(Debug)]
pub(super) enum Kept {
    Task(Terms, Arc<dyn Sink>),
    /// The gateway itself has asked, and waits for the answer. If it breaks off, the sender is dropped.
    Asked(oneshot::Sender<Outcome>),
    /// To see whether the host is well.
    Ping,
    /// Told at each event, of whatever kind.
    Watch(Arc<Notify>),
}

impl Task {
    pub(super) fn new(request: Request, now: Instant, sink: Arc<dyn Sink>) -> Self {
        let terms = Terms {
            since: now,
            limit: request.timeout,
            attempts: 0,
        };
        Self {
            request,
            terms,
            sink,
        }
    }

    /// Whether its time is over.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        let Terms { since, limit, .. } = self.terms;
        limit.is_some_and(|limit| now.duration_since(since) >= limit)
    }

    /// Leaves the host as much time as there is still.
    pub(super) fn shorten(&mut self, now: Instant) {
        if let Some(limit) = self.terms.limit {
            let spent = now.duration_since(self.terms.since);
            // The protocol has no shorter one.
            let left = limit.saturating_sub(spent).max(Duration::from_millis(1));
            self.request.timeout = Some(left);
        }
    }
}

impl Terms {
    /// When the host should have answered, whatever happened. None where the host was told of no limit.
    pub(super) fn expires_at(&self, answer_grace: Duration) -> Option<Instant> {
        self.since
            .checked_add(self.limit?)?
            .checked_add(answer_grace)
    }
}

impl TaskAtHost {
    /// Asks the host to end the task, which is answered all the same.
    pub(crate) fn cancel(&self) {
        self.connection.cancel(self.id);
    }
}

/// Whom no answer reaches, for tests.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Nobody;

#[cfg(test)]
impl Sink for Nobody {
    fn done(&self, _: Outcome) {}
}
