//! Why a task came to no host, or did not come back from one.

use protocol::{ErrorCode, TaskFailure};

use crate::limits::{RETRY_AFTER, overloaded};

pub(super) fn cancelled() -> TaskFailure {
    not_started(ErrorCode::Cancelled, "cancelled before a host took it")
}

/// Its time was over.
pub(super) fn late() -> TaskFailure {
    let message = "its time limit passed before a host had room for it";
    not_started(ErrorCode::Timeout, message)
}

pub(super) fn queue_is_full() -> TaskFailure {
    overloaded(
        "the hosts have as many tasks as they take, and too many wait already",
        RETRY_AFTER,
    )
}

pub(super) fn host_is_away(function: &str) -> TaskFailure {
    no_host(&format!("the host that has {function} can't be reached"))
}

pub(super) fn no_host(message: &str) -> TaskFailure {
    TaskFailure::new(
        ErrorCode::Unavailable,
        format!("{message}; try again later"),
    )
    .with_retry_after(RETRY_AFTER)
}

/// Its connection ended when the host may have begun it.
pub(super) fn broken(address: &str) -> TaskFailure {
    let message =
        format!("the connection to the host {address} broke; the task may have run, or run still");
    TaskFailure::new(ErrorCode::WorkerCrashed, message)
}

fn not_started(code: ErrorCode, message: &str) -> TaskFailure {
    TaskFailure {
        started: false,
        ..TaskFailure::new(code, message)
    }
}
