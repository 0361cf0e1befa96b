//! The ledger: background tasks, written down before anybody is told so, and kept until nobody may ask for them any more.
//!
//! Pure parts, without I/O and clock: `record` says what a task is, `states` which states follow which, `retry` when it is
//! tried again, `prefetch` how many are claimed. [`Store`] is what a backend promises; `sqlite` is the one that stands in
//! the host's data folder. Times are milliseconds of Unix time, and are handed in.

mod answer;
mod clock;
mod condition;
mod copy;
mod endings;
mod error;
mod id;
mod listening;
mod postgres;
mod prefetch;
mod queue;
mod record;
mod retry;
mod sqlite;
mod states;
mod store;
#[cfg(test)]
mod tests;
mod times;
mod whole;
mod work;

#[cfg(test)]
pub(crate) use answer::Done;
pub(crate) use answer::ask;
pub(crate) use clock::unix_ms;
pub(crate) use condition::Condition;
pub(crate) use copy::{CopyError, Target, copy};
pub(crate) use error::{StoreError, StoreErrorKind};
pub(crate) use id::{TaskId, TaskIds};
pub(crate) use listening::{RunReport, Wants};
pub(crate) use postgres::{Postgres, PostgresOptions};
pub(crate) use prefetch::{Pool, how_many};
pub(crate) use record::{
    Attempt, Claimed, Ending, Enqueued, Filter, Finish, Finished, NewTask, Page, PageAsk,
    Selection, TaskSummary, TaskView,
};
pub(crate) use retry::{Failure, RetryOn, RetryPolicy};
pub(crate) use sqlite::{Options, Sqlite, backup, check, restore};
pub(crate) use states::State;
pub(crate) use store::{
    Change, ClaimAsk, Durability, FunctionStats, Held, Limits, Listener, Node, NodeAbout, Store,
    Swept, Want,
};
#[cfg(test)]
pub(crate) use store::{KnownFunction, Pruned, Stats};
pub(crate) use whole::RowCounts;
