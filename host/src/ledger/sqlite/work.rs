//! What the store's threads are asked to do, and the answers that they owe.

use std::sync::Arc;

use super::queue::{Weighed, Weight};
use super::select::Progress;
use crate::ledger::answer::Done;
use crate::ledger::error::{StoreError, StoreErrorKind};
use crate::ledger::id::TaskId;
use crate::ledger::record::{
    Claimed, Enqueued, Finish, Finished, NewTask, Page, PageAsk, Selection, TaskView,
};
use crate::ledger::states::Event;
use crate::ledger::store::{ClaimAsk, Held, KnownFunction, Pruned, Stats, Swept};

/// The duty to answer exactly once. Dropped unanswered, it says that the store is closed.
pub(super) struct Owed<T>(Option<Done<T>>);

impl<T> Owed<T> {
    pub(super) fn new(done: Done<T>) -> Self {
        Self(Some(done))
    }

    pub(super) fn pay(mut self, answer: Result<T, StoreError>) {
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
pub(super) struct Work {
    pub(super) ask: Ask,
    pub(super) now: i64,
}

pub(super) enum Ask {
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

/// The answer to an [`Ask`], until it is committed.
pub(super) enum Told {
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
    pub(super) fn refuse(self, error: StoreError) {
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

/// What a reader is asked to do, and whom it answers.
pub(super) enum Look {
    Get(TaskId, Owed<Option<Box<TaskView>>>),
    List(PageAsk, Owed<Page>),
    Count(Selection, Event, Owed<u64>),
    Stats(Stats, Owed<Stats>),
}

impl Weighed for Look {
    /// Each counts as a task, so that not too many wait.
    fn weight(&self) -> Weight {
        Weight { tasks: 1, bytes: 0 }
    }
}

impl Look {
    pub(super) fn refuse(self, error: StoreError) {
        match self {
            Self::Get(_, owed) => owed.pay(Err(error)),
            Self::List(_, owed) => owed.pay(Err(error)),
            Self::Count(.., owed) => owed.pay(Err(error)),
            Self::Stats(_, owed) => owed.pay(Err(error)),
        }
    }
}
