//! What is written down of a task, and what is read of it. Times are milliseconds of Unix time.

use std::sync::Arc;

use bytes::Bytes;

use super::id::TaskId;
use super::retry::{Failure, RetryPolicy};
use super::states::State;

/// A task to be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewTask {
    pub(crate) id: TaskId,
    pub(crate) function: Arc<str>,
    /// JSON text, kept byte for byte.
    pub(crate) args: Bytes,
    /// Unique by (subject, function) among unfinished tasks.
    pub(crate) key: Option<String>,
    /// The key stays taken until then, though the task has ended.
    pub(crate) unique_until: Option<i64>,
    /// Not before.
    pub(crate) available_at: i64,
    /// 1 to 9; 1 goes first.
    pub(crate) priority: u8,
    pub(crate) retry: RetryPolicy,
    /// What hasn't finished by then is discarded.
    pub(crate) deadline_at: Option<i64>,
    /// How long it can be asked for after it completed or was cancelled.
    pub(crate) result_ttl_ms: i64,
    /// Caps each attempt.
    pub(crate) timeout_ms: Option<i64>,
    /// May not begin twice by itself.
    pub(crate) at_most_once: bool,
    /// On whose behalf.
    pub(crate) subject: Option<String>,
    /// Counts against limits together with others of this key.
    pub(crate) limit_key: Option<String>,
    /// Only by this version of the plugin.
    pub(crate) version: Option<String>,
    pub(crate) parent: Option<TaskId>,
    pub(crate) batch: Option<String>,
    pub(crate) traceparent: Option<String>,
    /// The name by which the client showed who it is.
    pub(crate) client: Option<String>,
}

/// What became of a task that was to be taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Enqueued {
    /// It is written down, as durably as the store says.
    Stored(State),
    /// Its key is taken by this task, whose arguments are equal byte for byte.
    Duplicate { id: TaskId, state: State },
    /// Its key is taken by this task, whose arguments differ.
    KeyConflict { id: TaskId },
    /// A bound of the ledger is reached; the sentence says which.
    Overloaded(Arc<str>),
}

/// A task that this host may run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    pub(crate) id: TaskId,
    /// The fence: each claim of a task has a higher one, and only the highest may report its end.
    pub(crate) lease: i64,
    /// The number that this attempt has if its handler begins; from 1, counted on when people have it tried again.
    pub(crate) attempt: u32,
    pub(crate) function: Arc<str>,
    /// The plugin's version that it is to be run by, and no other.
    pub(crate) version: Option<Arc<str>>,
    pub(crate) args: Bytes,
    /// When it was taken in.
    pub(crate) created_at: i64,
    pub(crate) deadline_at: Option<i64>,
    pub(crate) timeout_ms: Option<i64>,
    pub(crate) at_most_once: bool,
    pub(crate) priority: u8,
    pub(crate) key: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) limit_key: Option<String>,
    pub(crate) traceparent: Option<String>,
    pub(crate) client: Option<String>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With this JSON text as its result, kept byte for byte.
    Completed { result: Bytes },
    /// With this error object, as JSON text.
    Failed { error: Bytes, failure: Failure },
    /// It was called off, and stopped.
    Cancelled { error: Bytes },
    /// Its worker or host died while it ran.
    Lost { error: Bytes },
    /// Its handler never began, or was stopped for a shutdown in good order. No attempt.
    Released,
}

/// The end of a run, to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finish {
    pub(crate) id: TaskId,
    pub(crate) lease: i64,
    /// When its handler began; the time of the claim where that isn't known.
    pub(crate) started_at: Option<i64>,
    /// The version of the plugin that ran it.
    pub(crate) version: Arc<str>,
    pub(crate) ending: Ending,
}

/// What became of a [`Finish`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// It is written down, and the task is in this state; with a wait, when it goes on.
    Now {
        state: State,
        available_at: Option<i64>,
    },
    /// No such task runs with this lease: nothing was changed.
    Stale,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    /// The host that ran it.
    pub(crate) node: String,
    pub(crate) version: String,
    pub(crate) started_at: i64,
    pub(crate) ended_at: i64,
    /// None where it completed.
    pub(crate) error: Option<Bytes>,
}

/// What a list shows of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskSummary {
    pub(crate) id: TaskId,
    pub(crate) state: State,
    pub(crate) function: Arc<str>,
    pub(crate) key: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) priority: u8,
    /// Attempts that were made; where it runs, without the one that does.
    pub(crate) attempts: u32,
    pub(crate) created_at: i64,
    /// Not before; when it became available, where it has.
    pub(crate) available_at: i64,
    /// When it was last claimed.
    pub(crate) claimed_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) deadline_at: Option<i64>,
    pub(crate) limit_key: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) parent: Option<TaskId>,
    pub(crate) batch: Option<String>,
    /// It runs, and was called off.
    pub(crate) cancel_asked: bool,
}

/// All that is known of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskView {
    pub(crate) summary: TaskSummary,
    pub(crate) args: Bytes,
    /// Of a completed one.
    pub(crate) result: Option<Bytes>,
    /// By number; of more than 100 the last 100.
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) retry: RetryPolicy,
    pub(crate) timeout_ms: Option<i64>,
    pub(crate) result_ttl_ms: i64,
    pub(crate) unique_until: Option<i64>,
    pub(crate) at_most_once: bool,
    pub(crate) traceparent: Option<String>,
    pub(crate) client: Option<String>,
    /// The host that runs it.
    pub(crate) node: Option<String>,
    pub(crate) lease: i64,
    /// When it is forgotten, where it has ended.
    pub(crate) forget_at: Option<i64>,
}

/// Which tasks; what is none holds of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) state: Option<State>,
    pub(crate) function: Option<Arc<str>>,
    pub(crate) key: Option<String>,
    pub(crate) subject: Option<String>,
}

/// One task, or all that a filter finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    Task(TaskId),
    Filter(Filter),
}

/// Which part of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageAsk {
    pub(crate) filter: Filter,
    /// Those that were taken in before this one; none for the newest.
    pub(crate) after: Option<TaskId>,
    pub(crate) limit: usize,
}

/// A part of a list, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) tasks: Vec<TaskSummary>,
    /// Where the list goes on: the next [`PageAsk::after`]. A page may have fewer than asked for, even none, and a next
    /// one: a store looks at so many tasks only before it answers.
    pub(crate) next: Option<TaskId>,
}
