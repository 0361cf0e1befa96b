//! The client's errors that the scheduler itself gives.

use std::time::Duration;

use plugin_api::verdict;
use protocol::{ErrorCode, Outcome, TaskFailure};

use super::{
    BACK_OFF_FIRST, BACK_OFF_MAX, CRASHES_WITHOUT_BACK_OFF, Entry, SHORTAGE_WAIT_MAX, Stop,
};
use crate::link::{Return, link_status};
use crate::plugin::outcome;

pub(super) fn outcome_of(entry: &Entry, returned: &Return) -> Outcome {
    match entry.stop {
        _ if returned.status == link_status::NO_THREAD => {
            Err(no_thread(&String::from_utf8_lossy(&returned.payload)))
        }
        // Nobody took it back, so it must have run: a broken worker must not make a task run twice.
        _ if returned.status == link_status::SKIPPED => Err(TaskFailure::new(
            ErrorCode::Internal,
            "the worker skipped this task",
        )),
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

/// How long to wait before the next try, after so many for which there was no room.
pub(crate) fn shortage_back_off(tries: u32) -> Duration {
    BACK_OFF_FIRST
        .saturating_mul(1 << tries.min(16))
        .min(SHORTAGE_WAIT_MAX)
}

/// A worker with several slots could not get a thread for the task.
fn no_thread(why: &str) -> TaskFailure {
    let message = format!("its worker has no thread for it: {why}");
    TaskFailure::new(ErrorCode::Overloaded, message).with_retry_after(SHORTAGE_WAIT_MAX)
}

/// `shortage`: why there is no worker for it.
pub(super) fn timeout_in_queue(shortage: Option<&str>) -> TaskFailure {
    let mut failure = outcome::of_error(verdict::timed_out(None));
    if let Some(why) = shortage {
        failure.message += &format!(": no worker can be started, {why}");
    }
    failure
}

pub(super) fn timeout_while_running(ran: Duration) -> TaskFailure {
    outcome::of_error(verdict::timed_out(Some(ran)))
}

/// The handler had finished, and its worker kept the result to itself.
pub(super) fn lost_return() -> TaskFailure {
    TaskFailure::new(
        ErrorCode::WorkerCrashed,
        "the handler had finished, but its worker did not hand over the result",
    )
}

/// What a task is answered that was told to stop, when its handler has not stopped within the grace; `None`: it has been
/// answered.
pub(super) fn after_grace(stop: Stop) -> Option<TaskFailure> {
    match stop {
        Stop::Cancelled => Some(cancelled(true)),
        Stop::CutShort => Some(cut_short()),
        Stop::Finished => Some(lost_return()),
        Stop::TimedOut => None,
    }
}

pub(super) fn cancelled(started: bool) -> TaskFailure {
    outcome::of_error(verdict::cancelled(started))
}
