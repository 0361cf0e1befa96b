//! What of a task's row decides how the task goes on.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, ToSql};

use super::book::Book;
use super::fault::{self, Fault};
use crate::ledger::endings::Run;
use crate::ledger::id::TaskId;
use crate::ledger::retry::{RetryOn, RetryPolicy};
use crate::ledger::states::State;
use crate::ledger::store::Limits;
use crate::ledger::times::Keep;

pub(super) fn state_of(row: &Row<'_>, column: usize) -> Result<State, Fault> {
    let index: i64 = row.get(column)?;
    let state = usize::try_from(index).ok().and_then(State::from_index);
    state.ok_or_else(|| fault::damaged("a task is in a state that there is none of"))
}

pub(super) fn retry_on_index(on: RetryOn) -> i64 {
    match on {
        RetryOn::Any => 0,
        RetryOn::Retryable => 1,
    }
}

pub(super) fn policy_of(row: &Row<'_>, first: usize) -> rusqlite::Result<RetryPolicy> {
    Ok(RetryPolicy {
        max: row.get(first)?,
        base_ms: row.get(first + 1)?,
        cap_ms: row.get(first + 2)?,
        on: if row.get::<_, i64>(first + 3)? == 0 {
            RetryOn::Any
        } else {
            RetryOn::Retryable
        },
    })
}

/// What of a task decides how it goes on.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) id: TaskId,
    /// A place in [`Book::lanes`].
    pub(super) lane: usize,
    pub(super) state: State,
    pub(super) priority: u8,
    pub(super) lease: i64,
    pub(super) tries: u32,
    pub(super) attempts: u32,
    pub(super) cancel_asked: bool,
    /// Of the run: a word's number, as the version of the plugin.
    pub(super) node: Option<i64>,
    pub(super) run_version: Option<i64>,
    pub(super) available_at: i64,
    pub(super) claimed_at: Option<i64>,
    pub(super) deadline_at: Option<i64>,
    pub(super) result_ttl_ms: i64,
    pub(super) unique_until: Option<i64>,
    pub(super) policy: RetryPolicy,
    pub(super) at_most_once: bool,
    pub(super) key: Option<String>,
    pub(super) subject: Option<String>,
}

/// The columns of [`Known`], in order.
pub(super) const KNOWN: &str = "id, lane, state, lease, tries, attempts, cancel_asked, node, available_at, \
claimed_at, deadline_at, result_ttl_ms, unique_until, retry_max, retry_base_ms, retry_cap_ms, retry_on, at_most_once, key, \
subject, run_version, priority";

impl Known {
    pub(super) fn read(row: &Row<'_>, book: &Book) -> Result<Self, Fault> {
        Ok(Self {
            id: task_id(row, 0)?,
            lane: book.lane_of(row.get(1)?)?,
            state: state_of(row, 2)?,
            lease: row.get(3)?,
            tries: row.get(4)?,
            attempts: row.get(5)?,
            cancel_asked: row.get(6)?,
            node: row.get(7)?,
            available_at: row.get(8)?,
            claimed_at: row.get(9)?,
            deadline_at: row.get(10)?,
            result_ttl_ms: row.get(11)?,
            unique_until: row.get(12)?,
            policy: policy_of(row, 13)?,
            at_most_once: row.get(17)?,
            key: row.get(18)?,
            subject: row.get(19)?,
            run_version: row.get(20)?,
            priority: row.get(21)?,
        })
    }

    pub(super) fn run(&self) -> Run<'_> {
        Run {
            id: self.id.as_bytes(),
            policy: &self.policy,
            tries: self.tries,
            deadline_at: self.deadline_at,
            at_most_once: self.at_most_once,
            cancel_asked: self.cancel_asked,
        }
    }

    pub(super) fn forget_at(&self, state: State, limits: Limits, now: i64) -> Option<i64> {
        let keep = Keep {
            result_ttl_ms: self.result_ttl_ms,
            unique_until: self.unique_until,
        };
        keep.forget_at(state, limits, now)
    }
}

/// The state's index.
impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let index = i64::try_from(self.index()).unwrap_or(i64::MAX);
        Ok(ToSqlOutput::from(index))
    }
}

impl ToSql for TaskId {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_bytes())))
    }
}

pub(super) fn task_id(row: &Row<'_>, column: usize) -> rusqlite::Result<TaskId> {
    row.get(column).map(TaskId::from_bytes)
}
