//! What a worker's return, or its death, means to the client.

use std::fmt;

use bytes::Bytes;
use plugin_api::abi::status;
use plugin_api::verdict::{self, ClientError, Code};
use protocol::{ErrorCode, Outcome, TaskFailure};
use serde::Serialize;

use crate::link::{Culprit, Return};

/// The client's answer for what a worker returned. `cancelled`: the client had asked for the task's end.
pub(super) fn of_return(returned: &Return, cancelled: bool) -> Outcome {
    let Return {
        status, payload, ..
    } = returned;
    // A line break would end the client's line in the middle. Workers see to it; this catches a broken one.
    if *status == status::OK && memchr::memchr2(b'\n', b'\r', payload).is_none() {
        return Ok(payload.clone());
    }
    Err(of_error(verdict::of_answer(*status, payload, cancelled)))
}

/// What the plugin API says went wrong, as the protocol says it.
pub(super) fn of_error(error: ClientError) -> TaskFailure {
    let code = match error.code {
        Code::Cancelled => ErrorCode::Cancelled,
        Code::HandlerFailed => ErrorCode::HandlerFailed,
        Code::HandlerPanicked => ErrorCode::HandlerPanicked,
        Code::InvalidArgs => ErrorCode::InvalidArgs,
        Code::ResultTooLarge => ErrorCode::ResultTooLarge,
        Code::Timeout => ErrorCode::Timeout,
        _ => ErrorCode::Internal,
    };
    let mut failure = TaskFailure::new(code, error.message);
    failure.retryable = error.retryable;
    failure.started = error.started;
    failure.data = error
        .data
        .and_then(|json| protocol::json::one_line(&Bytes::from(json)).ok());
    failure
}

/// JSON for a reply's `data`, on one line.
pub(crate) fn data(value: &impl Serialize) -> Option<Bytes> {
    let json = Bytes::from(serde_json::to_vec(value).ok()?);
    protocol::json::one_line(&json).ok()
}

/// How a worker's process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Exit {
    /// Exit code, where it exited.
    pub(crate) code: Option<i32>,
    /// Signal, where one killed it.
    pub(crate) signal: Option<i32>,
    /// What its signal handler noted.
    pub(crate) culprit: Option<Culprit>,
}

impl Exit {
    /// Rust's own stack overflow check turns the fault into an abort; nothing else leaves this trace.
    fn is_stack_overflow(self) -> bool {
        self.signal == Some(libc::SIGABRT)
            && self.culprit.is_some_and(|culprit| {
                [libc::SIGSEGV, libc::SIGBUS]
                    .map(i32::unsigned_abs)
                    .contains(&culprit.signal)
            })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_stack_overflow() {
            return f.write_str("overflowed its stack");
        }
        match (self.signal, self.code) {
            (Some(signal), _) => match signal_name(signal) {
                Some(name) => write!(f, "was killed by {name}"),
                None => write!(f, "was killed by signal {signal}"),
            },
            (None, Some(code)) => write!(f, "exited with code {code}"),
            (None, None) => f.write_str("ended"),
        }
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGSYS => "SIGSYS",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGXCPU => "SIGXCPU",
        _ => return None,
    })
}

/// The client's answer for a task that was running in `cell` when its worker ended.
pub(super) fn of_crash(exit: Exit, cell: u8, finished: bool) -> TaskFailure {
    let culprit = exit.culprit.and_then(|culprit| culprit.cell);
    let role = match culprit {
        _ if finished => "after this task had finished but before its result could be read",
        Some(culprit) if culprit != cell => "in another task that ran beside this one",
        Some(_) => "in this task",
        None => "while this task ran",
    };
    TaskFailure::new(
        ErrorCode::WorkerCrashed,
        format!("the worker {exit} {role}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::link_status;

    fn returned(status: u32, payload: &'static str) -> Return {
        let payload = Bytes::from_static(payload.as_bytes());
        Return {
            task: 1,
            cell: 0,
            status,
            ran_ns: 1,
            payload,
        }
    }

    #[test]
    fn a_cancelled_handler_may_say_how_far_it_came() {
        let payload = r#"{"kind":"cancelled","message":"3 of 5 sent","data":{"sent":3}}"#;
        let failure = of_return(&returned(status::FAILED, payload), true).unwrap_err();
        assert_eq!(failure.code, ErrorCode::Cancelled);
        assert_eq!(failure.message, "cancelled while it ran: 3 of 5 sent");
        assert_eq!(
            failure.data.unwrap(),
            r#"{"kind":"cancelled","data":{"sent":3}}"#
        );
        assert!(failure.started);
    }

    #[test]
    fn every_status_has_its_code() {
        for (status, payload, code, kind) in [
            (
                status::FAILED,
                r#"{"kind":"k","message":"m"}"#,
                ErrorCode::HandlerFailed,
                "k",
            ),
            (
                status::FAILED,
                "garbage",
                ErrorCode::HandlerFailed,
                "unreadable_failure",
            ),
            (status::INVALID_ARGS, "at `to`", ErrorCode::InvalidArgs, ""),
            (
                status::PANICKED,
                "panicked at",
                ErrorCode::HandlerPanicked,
                "",
            ),
            (status::ABANDONED, "", ErrorCode::HandlerFailed, "abandoned"),
            (status::CANCELLED, "", ErrorCode::HandlerFailed, "cancelled"),
            (
                status::OK,
                "[\n]",
                ErrorCode::HandlerFailed,
                "invalid_result",
            ),
            (
                link_status::INVALID_RESULT,
                "why",
                ErrorCode::HandlerFailed,
                "invalid_result",
            ),
            (
                verdict::RESULT_TOO_LARGE,
                "99",
                ErrorCode::ResultTooLarge,
                "",
            ),
            (77, "", ErrorCode::HandlerFailed, "unknown_status"),
        ] {
            let failure = of_return(&returned(status, payload), false).unwrap_err();
            assert_eq!(failure.code, code, "{status}");
            let data = failure.data.unwrap_or_default();
            let data = std::str::from_utf8(&data).unwrap();
            assert!(
                kind.is_empty() || data.contains(&format!("\"kind\":\"{kind}\"")),
                "{status}: {data}"
            );
        }
    }

    #[test]
    fn an_exit_is_told_in_words() {
        let culprit = |signal: i32, cell| {
            Some(Culprit {
                signal: signal.unsigned_abs(),
                cell,
            })
        };
        for (code, signal, culprit, cell, message) in [
            (
                None,
                Some(libc::SIGSEGV),
                culprit(libc::SIGSEGV, Some(3)),
                3,
                "the worker was killed by SIGSEGV in this task",
            ),
            (
                None,
                Some(libc::SIGSEGV),
                culprit(libc::SIGSEGV, Some(3)),
                4,
                "the worker was killed by SIGSEGV in another task that ran beside this one",
            ),
            (
                None,
                Some(libc::SIGABRT),
                culprit(libc::SIGSEGV, None),
                0,
                "the worker overflowed its stack while this task ran",
            ),
            (
                None,
                Some(libc::SIGKILL),
                None,
                0,
                "the worker was killed by SIGKILL while this task ran",
            ),
            (
                None,
                Some(64),
                None,
                0,
                "the worker was killed by signal 64 while this task ran",
            ),
            (
                Some(0),
                None,
                None,
                0,
                "the worker exited with code 0 while this task ran",
            ),
        ] {
            let exit = Exit {
                code,
                signal,
                culprit,
            };
            assert_eq!(of_crash(exit, cell, false).message, message);
        }
    }
}
