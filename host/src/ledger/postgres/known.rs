//! What of a task's rows decides how the task goes on.

use tokio_postgres::Row;

use super::fault::{self, Fault};
use super::values::wide;
use crate::ledger::endings::Run;
use crate::ledger::id::TaskId;
use crate::ledger::retry::{RetryOn, RetryPolicy};
use crate::ledger::states::State;
use crate::ledger::store::Limits;
use crate::ledger::times::Keep;

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) id: TaskId,
    pub(super) function: i32,
    pub(super) state: State,
    pub(super) priority: i16,
    pub(super) version: Option<String>,
    pub(super) lease: i64,
    pub(super) tries: u32,
    pub(super) attempts: u32,
    pub(super) cancel_asked: bool,
    /// Of the run, as the version of the plugin.
    pub(super) node: Option<String>,
    pub(super) run_version: Option<String>,
    pub(super) available_at: i64,
    pub(super) claimed_at: Option<i64>,
    pub(super) deadline_at: Option<i64>,
    pub(super) keep: Keep,
    pub(super) policy: RetryPolicy,
    pub(super) at_most_once: bool,
    pub(super) key: Option<String>,
    pub(super) subject: Option<String>,
}

pub(super) fn state_of(number: i16) -> Result<State, Fault> {
    let state = usize::try_from(number).ok().and_then(State::from_index);
    state.ok_or_else(|| fault::damaged("a task is in a state that there is none of"))
}

pub(super) fn policy_of(row: &Row, first: usize) -> Result<RetryPolicy, Fault> {
    let max: i64 = row.try_get(first)?;
    let on: i16 = row.try_get(first + 3)?;
    Ok(RetryPolicy {
        max: u32::try_from(max).unwrap_or(u32::MAX),
        base_ms: row.try_get(first + 1)?,
        cap_ms: row.try_get(first + 2)?,
        on: if on == 0 {
            RetryOn::Any
        } else {
            RetryOn::Retryable
        },
    })
}

pub(super) fn retry_on_number(on: RetryOn) -> i16 {
    match on {
        RetryOn::Any => 0,
        RetryOn::Retryable => 1,
    }
}

impl Known {
    pub(super) fn read(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            id: row.try_get(0)?,
            function: row.try_get(1)?,
            state: state_of(row.try_get(2)?)?,
            priority: row.try_get(3)?,
            version: row.try_get(4)?,
            lease: row.try_get(5)?,
            tries: wide(row.try_get(6)?),
            attempts: wide(row.try_get(7)?),
            cancel_asked: row.try_get(8)?,
            node: row.try_get(9)?,
            run_version: row.try_get(10)?,
            available_at: row.try_get(11)?,
            claimed_at: row.try_get(12)?,
            deadline_at: row.try_get(13)?,
            keep: Keep {
                result_ttl_ms: row.try_get(14)?,
                unique_until: row.try_get(15)?,
            },
            policy: policy_of(row, 16)?,
            at_most_once: row.try_get(20)?,
            key: row.try_get(21)?,
            subject: row.try_get(22)?,
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
        self.keep.forget_at(state, limits, now)
    }

    /// Whether the key is free for others when the task ends at `now`.
    pub(super) fn gives_key_up(&self, now: i64) -> bool {
        self.key.is_some() && self.keep.unique_until.is_none_or(|until| until <= now)
    }
}
