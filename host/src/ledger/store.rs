//! What a backend of the ledger promises: a few operations, each of many tasks at once.
//!
//! No call blocks and none waits: each hands its work to the store and is answered through its [`Done`], after what it says
//! is as durable as [`Store::durability`] says. Operations of one caller are done in the order in which they were handed in.
//! `now` is what [`Store::now`] says; a clock that jumps back makes nothing happen twice, and what waits goes by the times
//! that are written down.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::answer::Done;
use super::clock::unix_ms;
use super::condition::Condition;
use super::id::TaskId;
use super::listening::{RunReport, Wants};
use super::record::{
    Claimed, Enqueued, Finish, Finished, NewTask, Page, PageAsk, Selection, TaskView,
};
use super::states::State;

/// Where background tasks are kept.
pub(crate) trait Store: Send + Sync {
    /// What is done before an [`Enqueued::Stored`] is told.
    fn durability(&self) -> Durability;

    /// The time by the clock that all go by who use the ledger, in milliseconds of Unix time. Asks nobody.
    fn now(&self) -> i64 {
        unix_ms()
    }

    /// Takes tasks in; answered for each, in order. All are of ids that were never used.
    ///
    /// An error holds for all of them, and then none is written down. Functions needn't be known.
    fn enqueue(&self, tasks: Vec<NewTask>, now: i64, done: Done<Vec<Enqueued>>);

    /// Makes available tasks running, and hands them out: by priority and then age, and one claim in eight by age alone.
    /// Those whose deadline has passed are discarded instead.
    fn claim(&self, ask: ClaimAsk, now: i64, done: Done<Vec<Claimed>>);

    /// Writes ends of runs down; answered for each, in order.
    fn finish(&self, ends: Vec<Finish>, now: i64, done: Done<Vec<Finished>>);

    /// Says that these runs go on; answered for each. In a shared ledger, a node that doesn't is taken for dead.
    fn beat(&self, runs: Vec<(TaskId, i64)>, now: i64, done: Done<Vec<Held>>);

    /// Makes available what has waited for its time, and discards what is past its deadline: `limit` tasks at most. Ends what
    /// ran on hosts that have died.
    fn sweep(&self, now: i64, limit: usize, done: Done<Swept>);

    /// Forgets finished tasks whose time is over, `limit` at most.
    fn prune(&self, now: i64, limit: usize, done: Done<Pruned>);

    /// All that is known of a task; none where there is no such task.
    fn get(&self, id: TaskId, done: Done<Option<Box<TaskView>>>);

    /// A part of the list of tasks. A page has 1,000 at most.
    fn list(&self, ask: PageAsk, done: Done<Page>);

    /// Calls tasks off: those that wait are cancelled, those that run are told to be ([`Change::cancel_asked`]). Answers
    /// how many; with `dry_run`, how many it would be. `unknown_task` for a task that isn't there.
    fn cancel(&self, selection: Selection, dry_run: bool, now: i64, done: Done<u64>);

    /// Makes tasks available at once: those that wait for their time, and those that ended otherwise than well, which get
    /// their attempts anew and lose their deadline. Of those with a key that another task has meanwhile, none. As
    /// [`Self::cancel`].
    fn retry(&self, selection: Selection, dry_run: bool, now: i64, done: Done<u64>);

    /// Gives tasks up that wait, or that nobody knows the end of. As [`Self::cancel`].
    fn discard(&self, selection: Selection, dry_run: bool, now: i64, done: Done<u64>);

    /// Claims of this function find nothing (`paused`), or find it again.
    fn pause(&self, function: Arc<str>, paused: bool, now: i64, done: Done<()>);

    /// Remembers that plugins export these functions.
    fn know(&self, functions: Vec<Arc<str>>, now: i64, done: Done<()>);

    /// Every function that was ever made known, or that a task was taken in for.
    fn known(&self, done: Done<Vec<KnownFunction>>);

    /// How many tasks there are, by function and state. Costs the same however many there are.
    fn stats(&self, done: Done<Stats>);

    /// What this host says of itself to others that share the ledger. A host that says nothing is there too: the ledger
    /// itself says that it lives.
    fn introduce(&self, node: NodeAbout, done: Done<()>);

    /// Whether others that share the ledger know that this host lives. Where it isn't so, they take over what it runs.
    fn is_alive(&self) -> bool {
        true
    }

    /// The hosts that share the ledger, and those that did within the last day.
    fn nodes(&self, done: Done<Vec<Node>>);

    /// In what condition the ledger's database is, as was last seen; none where there is nothing to see, or it couldn't be seen.
    fn condition(&self) -> Option<Condition> {
        None
    }

    /// Has every change told from now on.
    fn watch(&self, listener: Arc<dyn Listener>);

    /// Somebody waits or watches who didn't before ([`Listener::wants`], [`Listener::watches`]).
    fn heed(&self) {}
}

/// Is told what changes, after it was written down, by a thread of the store's: no call may block.
///
/// What has a body is asked and told only by a ledger that several hosts share.
pub(crate) trait Listener: Send + Sync {
    /// Tasks of these functions have become available.
    fn available(&self, functions: &[Arc<str>]);

    /// Whether [`Self::changed`] is to be called. Looked at often: it must cost next to nothing.
    fn wants_changes(&self) -> bool;

    /// What this host changed, in order.
    fn changed(&self, changes: &[Change]);

    /// What is waited for. Asked twice a second while there is something, or somebody watches.
    fn wants(&self) -> Wants {
        Wants::default()
    }

    /// These tasks, whose ends are waited for, have ended, or aren't there any more. Said again until they are no longer
    /// waited for.
    fn ended(&self, _tasks: &[TaskId]) {}

    /// A run of another host is so far.
    fn progressed(&self, _report: RunReport) {}

    /// Whether somebody wants to hear of each change that any host makes. Looked at often: it must cost next to nothing.
    fn watches(&self) -> bool {
        false
    }

    /// What hosts changed, this one among them: all of it since they know that [`Self::watches`], and of each task in order.
    fn heard(&self, _changes: &[Change]) {}

    /// Hosts changed something that [`Self::heard`] was not told.
    fn missed(&self) {}

    /// Whether anything runs here.
    fn has_runs(&self) -> bool {
        false
    }

    /// How far those of these tasks are that run here, and have said so.
    fn reports(&self, _tasks: &[TaskId]) -> Vec<RunReport> {
        Vec::new()
    }
}

/// A task that is in another state than before, or was told to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) id: TaskId,
    pub(crate) state: State,
    pub(crate) function: Arc<str>,
    pub(crate) subject: Option<Arc<str>>,
    /// It runs, and is to be stopped.
    pub(crate) cancel_asked: bool,
}

/// What was done before a task is said to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The disk has said that it has it.
    Fsync,
    /// A database that syncs its log has said that it has committed it.
    Commit,
    /// The operating system has it: it outlives the host, not the machine.
    Write,
}

impl Durability {
    /// The word of the protocol.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Fsync => "fsync",
            Self::Commit => "commit",
            Self::Write => "write",
        }
    }
}

/// What a ledger takes in at most, and keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Tasks that haven't finished.
    pub(crate) waiting_max: u64,
    /// Bytes of arguments and results that are kept.
    pub(crate) stored_len_max: u64,
    /// For how long discarded tasks are kept at least, in milliseconds.
    pub(crate) discarded_ttl_ms: i64,
}

/// What is claimed.
#[derive(Clone, Debug)]
pub(crate) struct ClaimAsk {
    /// Who claims: the name of this run of this host.
    pub(crate) node: Arc<str>,
    pub(crate) wants: Vec<Want>,
}

/// Tasks of one function.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub(crate) function: Arc<str>,
    /// The version that is live here: tasks that ask for another are left alone.
    pub(crate) version: Arc<str>,
    pub(crate) count: u32,
}

/// Whether a run is still its host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Yes,
    /// It was called off: it is to be stopped, and its end reported.
    CancelAsked,
    /// It isn't any more: whatever comes of it counts for nothing.
    Stale,
}

/// What a sweep has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Became available.
    pub(crate) due: u64,
    /// Were discarded, past their deadline.
    pub(crate) expired: u64,
    /// Ran on hosts that have died, and were ended.
    pub(crate) lost: u64,
    /// There is more to do at once.
    pub(crate) more: bool,
    /// When the next waiting task's time or deadline comes; none where none waits for one.
    pub(crate) next_at: Option<i64>,
}

/// What a pruning has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pruned {
    pub(crate) forgotten: u64,
    /// There is more to do at once.
    pub(crate) more: bool,
}

/// A function that a plugin has exported here at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownFunction {
    pub(crate) name: Arc<str>,
    pub(crate) paused: bool,
}

/// What a host says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeAbout {
    /// Its [`ClaimAsk::node`].
    pub(crate) id: Arc<str>,
    /// What people call it.
    pub(crate) name: Arc<str>,
    /// JSON text: its functions, their versions, its load.
    pub(crate) about: Bytes,
}

/// A host that shares the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) id: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) about: Option<Bytes>,
    /// For how long it has said nothing, in milliseconds.
    pub(crate) silent_ms: i64,
    /// The others take it for dead: what it ran goes on elsewhere.
    pub(crate) is_dead: bool,
}

/// The one host of a ledger that no other can have.
#[derive(Debug, Default)]
pub(super) struct OnlyNode(Mutex<Option<Node>>);

impl OnlyNode {
    pub(super) fn set(&self, node: NodeAbout) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Node {
            id: node.id,
            name: node.name,
            about: Some(node.about),
            silent_ms: 0,
            is_dead: false,
        });
    }

    pub(super) fn get(&self) -> Vec<Node> {
        let node = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        node.iter().cloned().collect()
    }
}

/// How many tasks there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) functions: Vec<FunctionStats>,
    /// Bytes of arguments and results that are kept.
    pub(crate) stored_len: u64,
    /// Bytes of the store's files; none where it has none.
    pub(crate) file_len: Option<u64>,
}

/// How many tasks of a function there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionStats {
    pub(crate) function: Arc<str>,
    pub(crate) paused: bool,
    /// By [`State::index`].
    pub(crate) counts: [u64; State::ALL.len()],
    /// Since when the one that may be claimed and has waited longest may be.
    pub(crate) oldest_available_at: Option<i64>,
    /// The version of its plugin that this one asks for.
    pub(crate) oldest_version: Option<Arc<str>>,
}
