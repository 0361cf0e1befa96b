//! What hosts that share a ledger want to know of one another.

use super::id::TaskId;

/// What is waited for here that other hosts may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wants {
    /// Tasks whose end is waited for, each once.
    pub(crate) ends: Vec<TaskId>,
    /// Of these, those whose progress is wanted and that don't run here, in order.
    pub(crate) progress: Vec<TaskId>,
}

/// How far a run is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunReport {
    pub(crate) task: TaskId,
    /// The run's, so that nobody takes what an earlier one says for it.
    pub(crate) lease: i64,
    /// Counts the run's reports.
    pub(crate) number: u64,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) message: String,
}
