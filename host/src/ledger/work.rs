//! What the store's threads are asked to do, and the answers that they owe.

use std::sync::Arc;

use super::answer::Done;
use super::condition::Alarms;
use super::error::{StoreError, StoreErrorKind};
use super::id::TaskId;
use super::queue::{Weighed, Weight};
use super::record::{
    Claimed, Enqueued, Finish, Finished, NewTask, Page, PageAsk, Selection, TaskView,
};
use super::states::Event;
use super::store::{ClaimAsk, Held, KnownFunction, Node, Pruned, Stats, Swept};

/// Where a look goes on.
#[derive(Clone, Debug, Default)]
pub(in crate::ledger) struct Cursor {
    /// Tasks before this one.
    pub(in crate::ledger) before: Option<TaskId>,
    /// There are no more.
    pub(in crate::ledger) is_at_end: bool,
}

/// How far a change of many tasks is.
#[derive(Clone, Debug, Default)]
pub(in crate::ledger) struct Progress {
    pub(in crate::ledger) cursor: Cursor,
    pub(in crate::ledger) changed: u64,
    pub(in crate::ledger) is_done: bool,
}

/// Enqueued tasks may wait for the writer up to so much; more is refused.
pub(super) const WORK_BOUND: Weight = Weight {
    tasks: 100_000,
    bytes: 256 << 20,
};
/// Those who read may wait up to so many.
pub(super) const LOOKS_BOUND: Weight = Weight {
    tasks: 10_000,
    bytes: usize::MAX,
};
pub(super) const LOOKS_BATCH: Weight = Weight {
    tasks: 1,
    bytes: usize::MAX,
};

/// The duty to answer exactly once. Dropped unanswered, it says that the store is closed.
pub(in crate::ledger) struct Owed<T>(Option<Done<T>>);

impl<T> Owed<T> {
    pub(in crate::ledger) fn new(done: Done<T>) -> Self {
        Self(Some(done))
    }

    pub(in crate::ledger) fn pay(mut self, answer: Result<T, StoreError>) {
        if let Some(done) = self.0.take() {
            done(answer);
        }
    }
}

impl<T> Drop for Owed<T> {
    fn drop(&mut self) {
        if let Some(done) = self.0.take() {
            done(Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "the ledger was closed before it answered",
            )));
        }
    }
}

/// What the writer is asked to do, and whom it answers.
pub(in crate::ledger) struct Work {
    pub(in crate::ledger) ask: Ask,
    pub(in crate::ledger) now: i64,
}

pub(in crate::ledger) enum Ask {
    Enqueue(Vec<NewTask>, Owed<Vec<Enqueued>>),
    Claim(ClaimAsk, Owed<Vec<Claimed>>),
    Finish(Vec<Finish>, Owed<Vec<Finished>>),
    Beat(Vec<(TaskId, i64)>, Owed<Vec<Held>>),
    Sweep(usize, Owed<Swept>),
    Prune(usize, Owed<Pruned>),
    Change(Selection, Event, Progress, Owed<u64>),
    Pause(Arc<str>, bool, Owed<()>),
    Know(Vec<Arc<str>>, Owed<()>),
    Known(Owed<Vec<KnownFunction>>),
    /// Counts, which a reader completes.
    Stats(Owed<Stats>),
}

impl Ask {
    /// Part of it was done in a transaction before.
    pub(in crate::ledger) fn goes_on(&self) -> bool {
        matches!(self, Self::Change(_, _, progress, _) if progress.cursor.before.is_some())
    }
}

/// The answer to an [`Ask`], until it is committed.
pub(in crate::ledger) enum Told {
    Enqueued(Vec<Enqueued>),
    Claimed(Vec<Claimed>),
    Finished(Vec<Finished>),
    Held(Vec<Held>),
    Swept(Swept),
    Pruned(Pruned),
    Changed(Progress),
    Nothing,
    /// Nothing was done, for a reason of its own.
    Refused(StoreError),
}

impl Weighed for Work {
    fn weight(&self) -> Weight {
        match &self.ask {
            Ask::Enqueue(tasks, _) => Weight {
                tasks: tasks.len(),
                bytes: tasks.iter().map(|task| task.args.len()).sum(),
            },
            _ => Weight::default(),
        }
    }
}

impl Work {
    /// The asker is told that nothing was done.
    pub(in crate::ledger) fn refuse(self, error: StoreError) {
        match self.ask {
            Ask::Enqueue(_, owed) => owed.pay(Err(error)),
            Ask::Claim(_, owed) => owed.pay(Err(error)),
            Ask::Finish(_, owed) => owed.pay(Err(error)),
            Ask::Beat(_, owed) => owed.pay(Err(error)),
            Ask::Sweep(_, owed) => owed.pay(Err(error)),
            Ask::Prune(_, owed) => owed.pay(Err(error)),
            Ask::Change(.., owed) => owed.pay(Err(error)),
            Ask::Pause(.., owed) | Ask::Know(_, owed) => owed.pay(Err(error)),
            Ask::Known(owed) => owed.pay(Err(error)),
            Ask::Stats(owed) => owed.pay(Err(error)),
        }
    }
}

impl Work {
    /// Answers, after the commit. What isn't done yet comes back: it is to be asked again.
    pub(in crate::ledger) fn answer(self, told: Told) -> Option<Self> {
        match (self.ask, told) {
            (Ask::Enqueue(_, owed), Told::Enqueued(answer)) => owed.pay(Ok(answer)),
            (Ask::Claim(_, owed), Told::Claimed(answer)) => owed.pay(Ok(answer)),
            (Ask::Finish(_, owed), Told::Finished(answer)) => owed.pay(Ok(answer)),
            (Ask::Beat(_, owed), Told::Held(answer)) => owed.pay(Ok(answer)),
            (Ask::Sweep(_, owed), Told::Swept(answer)) => owed.pay(Ok(answer)),
            (Ask::Prune(_, owed), Told::Pruned(answer)) => owed.pay(Ok(answer)),
            (Ask::Change(.., owed), Told::Changed(progress)) if progress.is_done => {
                owed.pay(Ok(progress.changed));
            }
            (Ask::Change(selection, event, _, owed), Told::Changed(progress)) => {
                return Some(Self {
                    ask: Ask::Change(selection, event, progress, owed),
                    now: self.now,
                });
            }
            (Ask::Pause(.., owed) | Ask::Know(_, owed), Told::Nothing) => owed.pay(Ok(())),
            (ask, Told::Refused(error)) => Self { ask, now: self.now }.refuse(error),
            // Dropped, which answers too.
            _ => {}
        }
        None
    }
}

/// What a reader is asked to do, and whom it answers.
pub(in crate::ledger) enum Look {
    Get(TaskId, Owed<Option<Box<TaskView>>>),
    List(PageAsk, Owed<Page>),
    Count(Selection, Event, Owed<u64>),
    Stats(Stats, Owed<Stats>),
    Nodes(Owed<Vec<Node>>),
    /// In what condition the database is; [`Store::condition`](super::store::Store::condition) says so afterwards.
    Condition(Alarms, Owed<()>),
}

impl Weighed for Look {
    /// Each counts as a task, so that not too many wait.
    fn weight(&self) -> Weight {
        Weight { tasks: 1, bytes: 0 }
    }
}

impl Look {
    pub(in crate::ledger) fn refuse(self, error: StoreError) {
        match self {
            Self::Get(_, owed) => owed.pay(Err(error)),
            Self::List(_, owed) => owed.pay(Err(error)),
            Self::Count(.., owed) => owed.pay(Err(error)),
            Self::Stats(_, owed) => owed.pay(Err(error)),
            Self::Nodes(owed) => owed.pay(Err(error)),
            Self::Condition(_, owed) => owed.pay(Err(error)),
        }
    }
}
