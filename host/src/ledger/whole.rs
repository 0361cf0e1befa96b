//! A ledger's contents, as they go from one store into another.

use std::sync::Arc;

use bytes::Bytes;

use super::id::TaskId;
use super::record::NewTask;
use super::states::State;

/// How many rows or bytes are handed over at once, so that no ledger is too large to be copied.
pub(super) const BATCH_LEN_MAX: usize = 2_000;
pub(super) const BATCH_BYTES_MAX: usize = 4 << 20;

/// A function that was ever heard of.
#[derive(Clone, Debug)]
pub(super) struct WholeFunction {
    pub(super) name: Arc<str>,
    pub(super) paused: bool,
    pub(super) known_at: i64,
}

/// A task that doesn't run; its attempts come separately.
#[derive(Clone, Debug)]
pub(super) struct WholeTask {
    /// As it was taken in, but for when it is available, which is as it is now.
    pub(super) task: NewTask,
    pub(super) created_at: i64,
    pub(super) state: State,
    pub(super) lease: i64,
    pub(super) tries: u32,
    pub(super) attempts: u32,
    pub(super) claimed_at: Option<i64>,
    pub(super) ended_at: Option<i64>,
    pub(super) forget_at: Option<i64>,
    pub(super) result: Option<Bytes>,
}

/// A key that another task can't have now.
#[derive(Clone, Debug)]
pub(super) struct WholeKey {
    pub(super) function: Arc<str>,
    /// Empty for none.
    pub(super) subject: String,
    pub(super) key: String,
    pub(super) task: TaskId,
}

/// How many rows of each kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowCounts {
    pub(crate) functions: u64,
    /// Tasks, by [`State::index`].
    pub(crate) states: [u64; State::ALL.len()],
    pub(crate) attempts: u64,
    pub(crate) keys: u64,
}

impl RowCounts {
    pub(crate) fn tasks(&self) -> u64 {
        self.states.iter().sum()
    }

    pub(super) fn add_task(&mut self, state: State) {
        if let Some(count) = self.states.get_mut(state.index()) {
            *count += 1;
        }
    }
}
