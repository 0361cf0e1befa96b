//! What the answer of a task means for its run. Pure.

use bytes::Bytes;
use protocol::{ErrorCode, Outcome, TaskFailure};

use crate::ledger::{Ending, Failure};

/// What a run had been told before it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// It was called off.
    pub(super) cancelled: bool,
    /// The host ends, and waits no longer for what runs.
    pub(super) closing: bool,
}

/// How a run ended that was answered so. `at_most_once`: it may not begin twice by itself.
pub(super) fn of(outcome: Outcome, told: Told, at_most_once: bool) -> Ending {
    let failure = match outcome {
        Ok(result) => return Ending::Completed { result },
        Err(failure) => failure,
    };
    let error = object(&failure);
    match failure.code {
        // The handler said so, or never could begin, whoever asks again.
        ErrorCode::InvalidArgs | ErrorCode::ResultTooLarge => Ending::Failed {
            error,
            failure: Failure {
                never_again: true,
                ..Failure::default()
            },
        },
        ErrorCode::Cancelled if told.cancelled => Ending::Cancelled { error },
        _ if !failure.started => Ending::Released,
        ErrorCode::HandlerFailed | ErrorCode::HandlerPanicked | ErrorCode::Timeout => {
            let wait = failure.retry_after();
            Ending::Failed {
                error,
                failure: Failure {
                    retryable: failure.retryable,
                    never_again: false,
                    wait_ms: wait.and_then(|wait| i64::try_from(wait.as_millis()).ok()),
                },
            }
        }
        // Stopped in good order: the host cuts short what its grace was too short for.
        ErrorCode::ShuttingDown | ErrorCode::Cancelled if !at_most_once => Ending::Released,
        ErrorCode::WorkerCrashed if told.closing && !at_most_once => Ending::Released,
        // Its worker died, or nobody knows what became of it.
        _ => Ending::Lost { error },
    }
}

/// How a run ends whose own end can't be kept.
pub(super) fn unfit(why: String) -> Ending {
    let failure = TaskFailure {
        started: true,
        ..TaskFailure::new(ErrorCode::ResultTooLarge, why)
    };
    of(Err(failure), Told::default(), false)
}

/// The error as clients are told it, as JSON text.
fn object(failure: &TaskFailure) -> Bytes {
    let mut object = Vec::new();
    failure.encode(&mut object);
    object.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn failure(code: ErrorCode, started: bool) -> TaskFailure {
        TaskFailure {
            started,
            ..TaskFailure::new(code, "why")
        }
    }

    fn kind(ending: &Ending) -> &'static str {
        match ending {
            Ending::Completed { .. } => "completed",
            Ending::Failed { failure, .. } if failure.never_again => "never again",
            Ending::Failed { failure, .. } if failure.retryable => "retryable",
            Ending::Failed { .. } => "failed",
            Ending::Cancelled { .. } => "cancelled",
            Ending::Lost { .. } => "lost",
            Ending::Released => "released",
        }
    }

    #[test]
    fn every_code_means_something_for_its_run() {
        use ErrorCode::*;
        // Of a task that had not begun, that had, and that had and may not begin twice.
        let table = [
            (BadRequest, ["released", "lost", "lost"]),
            (TooLarge, ["released", "lost", "lost"]),
            (UnknownFunction, ["released", "lost", "lost"]),
            (Unavailable, ["released", "lost", "lost"]),
            (Overloaded, ["released", "lost", "lost"]),
            (ShuttingDown, ["released", "released", "lost"]),
            (InvalidArgs, ["never again"; 3]),
            (HandlerFailed, ["released", "failed", "failed"]),
            (HandlerPanicked, ["released", "failed", "failed"]),
            (WorkerCrashed, ["released", "lost", "lost"]),
            (Timeout, ["released", "retryable", "retryable"]),
            (Cancelled, ["released", "released", "lost"]),
            (ResultTooLarge, ["never again"; 3]),
            (Internal, ["released", "lost", "lost"]),
            (Unauthorized, ["released", "lost", "lost"]),
            (KeyConflict, ["released", "lost", "lost"]),
            (StorageUnavailable, ["released", "lost", "lost"]),
            (UnknownTask, ["released", "lost", "lost"]),
        ];
        assert!(table.iter().map(|(code, _)| *code).eq(ErrorCode::ALL));
        for (code, kinds) in table {
            for (index, (started, once)) in [(false, false), (true, false), (true, true)]
                .into_iter()
                .enumerate()
            {
                let ending = of(Err(failure(code, started)), Told::default(), once);
                assert_eq!(kind(&ending), kinds[index], "{code} {started} {once}");
            }
        }
    }

    #[test]
    fn what_was_called_off_is_cancelled_whether_it_had_begun_or_not() {
        for started in [false, true] {
            let told = Told {
                cancelled: true,
                closing: false,
            };
            let ending = of(Err(failure(ErrorCode::Cancelled, started)), told, true);
            assert_eq!(kind(&ending), "cancelled");
        }
    }

    #[test]
    fn what_the_end_of_the_host_cuts_short_is_no_attempt() {
        let told = Told {
            cancelled: false,
            closing: true,
        };
        for (at_most_once, expected) in [(false, "released"), (true, "lost")] {
            let cut = Err(failure(ErrorCode::WorkerCrashed, true));
            assert_eq!(kind(&of(cut, told, at_most_once)), expected);
        }
    }

    #[test]
    fn an_error_is_kept_as_clients_are_told_it_and_may_ask_for_a_wait() {
        let failed = TaskFailure::new(ErrorCode::HandlerFailed, "no \"room\"")
            .with_retry_after(Duration::from_secs(7));
        let Ending::Failed { error, failure } = of(Err(failed), Told::default(), false) else {
            panic!("it failed")
        };
        assert_eq!(failure.wait_ms, Some(7_000));
        let error: serde_json::Value = serde_json::from_slice(&error).unwrap();
        assert_eq!(error["code"], "handler_failed");
        assert_eq!(error["message"], "no \"room\"");
        assert_eq!(error["data"]["retry_after_ms"], 7_000);
    }
}
