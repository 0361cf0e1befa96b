//! An accepted request on its way through the host, and the one answer that it owes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use protocol::{ErrorCode, Outcome, TaskFailure};
#[cfg(any(test, fuzzing))]
use service::bytes::ByteBudget;
use service::bytes::HeldBytes;

use crate::access::Caller;
use crate::clock::Moment;

/// When a client that found no room may come again.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Numbers of tasks: no two of one run of the host are the same, and none is 0. Clones go on together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers(Arc<AtomicU64>);

impl Numbers {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Unique among the tasks of one run of the host; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TaskId(pub(crate) u64);

impl std::fmt::Display for TaskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Whoever waits for tasks: a connection. Neither call may block.
pub(crate) trait Client: Send + Sync {
    /// The one answer of the task that the client knows by `key`.
    fn finished(&self, key: u64, outcome: Outcome);
    /// News of another kind than progress. False: the client is slow, and is not told.
    #[must_use]
    fn happened(&self, key: u64, name: &str, data: Bytes) -> bool;
    /// How far it is; may be coalesced with the next one.
    fn progressed(&self, key: u64, done: u64, total: u64, message: String);
    /// Whether it wants the task to end, wherever that is by now.
    fn has_cancelled(&self, _key: u64) -> bool {
        false
    }
}

/// Who asks, as long as a task of it is here: it tells one asker from another, and nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Asker(usize);

#[cfg(test)]
impl Asker {
    pub(crate) fn made_up(number: usize) -> Self {
        Self(number)
    }
}

/// Arguments of so many bytes have memory of their own where they are kept for long.
const ARGS_COPIED_MAX: usize = 4096;

/// The arguments of a task that isn't over in no time: they are a part of what was read together with them, and would keep all
/// of that.
pub(crate) fn keep(args: &mut Bytes) {
    if args.len() <= ARGS_COPIED_MAX {
        *args = Bytes::copy_from_slice(args);
    }
}

/// The duty to answer one request, exactly once. Dropped unanswered, it answers `internal`: a mistake of the host's must
/// not leave a client waiting.
pub(crate) struct Answer {
    client: Option<Arc<dyn Client>>,
    key: u64,
}

impl Answer {
    pub(crate) fn new(client: Arc<dyn Client>, key: u64) -> Self {
        Self {
            client: Some(client),
            key,
        }
    }

    pub(crate) fn finish(mut self, outcome: Outcome) {
        if let Some(client) = self.client.take() {
            client.finished(self.key, outcome);
        }
    }

    pub(crate) fn asker(&self) -> Asker {
        let client = self.client.as_ref();
        Asker(client.map_or(0, |client| Arc::as_ptr(client).cast::<()>().addr()))
    }

    /// Whether the client wants the task to end.
    pub(crate) fn is_cancelled(&self) -> bool {
        let client = self.client.as_ref();
        client.is_some_and(|client| client.has_cancelled(self.key))
    }

    pub(crate) fn progress(&self, done: u64, total: u64, message: String) {
        if let Some(client) = &self.client {
            client.progressed(self.key, done, total, message);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // Without the request's number: many of them at once are one mistake.
            tracing::error!("a request was dropped unanswered");
            let failure = TaskFailure::new(
                ErrorCode::Internal,
                "the host lost track of this request; its log says more under \"dropped unanswered\"",
            );
            client.finished(self.key, Err(failure));
        }
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// An accepted request.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) args: Bytes,
    pub(crate) received: Moment,
    /// When the whole task must have ended, by the client's wish.
    pub(crate) deadline: Moment,
    /// Whether the client wants progress events.
    pub(crate) progress: bool,
    pub(crate) answer: Answer,
    /// Its share of the memory that requests may hold; given back with the task.
    pub(crate) held: HeldBytes,
    /// Who asked for it.
    pub(crate) caller: Caller,
}

#[cfg(any(test, fuzzing))]
impl Task {
    /// A task without a connection, that was received now and has no deadline.
    pub(crate) fn made_up(id: u64, client: Arc<dyn Client>, budget: &ByteBudget) -> Self {
        Self {
            id: TaskId(id),
            args: Bytes::from_static(b"{}"),
            received: Moment::now(),
            deadline: Moment::NEVER,
            progress: false,
            answer: Answer::new(client, id),
            held: budget.hold(2).expect("a test has so much room"),
            caller: Caller::default(),
        }
    }
}
