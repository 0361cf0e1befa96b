//! The client's errors that the scheduler itself gives.

use std::time::Duration;

use protocol::{ErrorCode, Outcome, TaskFailure};

use super::{BACK_OFF_FIRST, BACK_OFF_MAX, CRASHES_WITHOUT_BACK_OFF, Entry, Stop};
use crate::link::Return;
use crate::plugin::outcome;

pub(super) fn outcome_of(entry: &Entry, returned: &Return) -> Outcome {
    match entry.stop {
        Some(Stop::CutShort) if returned.status == plugin_api::abi::status::CANCELLED => {
            Err(cut_short())
        }
        stop => outcome::of_return(returned, stop == Some(Stop::Cancelled)),
    }
}

pub(super) fn back_off(crashes_in_row: u32) -> Duration {
    let doublings = match crashes_in_row.checked_sub(CRASHES_WITHOUT_BACK_OFF + 1) {
        Some(doublings) => doublings.min(16),
        None => return Duration::ZERO,
    };
    BACK_OFF_FIRST
        .saturating_mul(1 << doublings)
        .min(BACK_OFF_MAX)
}

pub(super) fn cut_short() -> TaskFailure {
    TaskFailure::new(
        ErrorCode::WorkerCrashed,
        "the grace of a drain was over before this task had finished",
    )
}

pub(super) fn cut_before_start() -> TaskFailure {
    TaskFailure::new(
        ErrorCode::ShuttingDown,
        "the grace of a drain was over before this task began",
    )
}

pub(super) fn timeout_in_queue() -> TaskFailure {
    let mut failure = TaskFailure::new(ErrorCode::Timeout, "its time was up before it began");
    failure.started = false;
    failure
}

pub(super) fn timeout_while_running(ran: Duration) -> TaskFailure {
    let message = format!(
        "its time was up after the handler had run for {} ms",
        ran.as_millis()
    );
    let mut failure = TaskFailure::new(ErrorCode::Timeout, message);
    failure.started = true;
    failure
}

/// The handler had finished, and its worker kept the result to itself.
pub(super) fn lost_return() -> TaskFailure {
    TaskFailure::new(
        ErrorCode::WorkerCrashed,
        "the handler had finished, but its worker did not hand over the result",
    )
}

pub(super) fn cancelled(started: bool) -> TaskFailure {
    let message = if started {
        "cancelled while it ran"
    } else {
        "cancelled before it began"
    };
    let mut failure = TaskFailure::new(ErrorCode::Cancelled, message);
    failure.started = started;
    failure
}
