//! What becomes of a task, as its client reads it: the same for the host and for the testing kit.

use std::{fmt, time::Duration};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::abi::{Failure, status};

/// The status of a result that is not valid JSON; the payload says why. Given by workers, never by plugins.
pub const INVALID_RESULT: u32 = u32::MAX - 1;
/// The status of a result that is longer than a reply may be; the payload says how long. Given by workers, never by
/// plugins.
pub const RESULT_TOO_LARGE: u32 = u32::MAX - 2;

/// The code of a client's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// `cancelled`: by its client.
    Cancelled,
    /// `handler_failed`: the handler returned an error.
    HandlerFailed,
    /// `handler_panicked`.
    HandlerPanicked,
    /// `invalid_args`: the type of the arguments refused them.
    InvalidArgs,
    /// `result_too_large`.
    ResultTooLarge,
    /// `timeout`: its time was up.
    Timeout,
}

impl Code {
    /// The code as it stands in the reply.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::HandlerFailed => "handler_failed",
            Self::HandlerPanicked => "handler_panicked",
            Self::InvalidArgs => "invalid_args",
            Self::ResultTooLarge => "result_too_large",
            Self::Timeout => "timeout",
        }
    }
}

/// A client's error.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientError {
    /// Its code.
    pub code: Code,
    /// Its sentence for people.
    pub message: String,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Whether the handler may have begun.
    pub started: bool,
    /// Its data, a JSON text: the handler's kind, and the data that the handler gave.
    pub data: Option<String>,
}

impl ClientError {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code == Code::Timeout,
            started: code != Code::InvalidArgs,
            data: None,
        }
    }

    fn failed(kind: &str, message: impl Into<String>) -> Self {
        Self {
            data: data(kind, None),
            ..Self::new(Code::HandlerFailed, message)
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for ClientError {}

fn data(kind: &str, data: Option<&RawValue>) -> Option<String> {
    #[derive(Serialize)]
    struct Data<'a> {
        kind: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        data: Option<&'a RawValue>,
    }
    serde_json::to_string(&Data { kind, data }).ok()
}

/// The client's error for an answer that is not a result. `cancelled`: the client had asked for the task's end.
#[must_use]
pub fn of_answer(status: u32, payload: &[u8], cancelled: bool) -> ClientError {
    let text = || String::from_utf8_lossy(payload).into_owned();
    match status {
        RESULT_TOO_LARGE => ClientError::new(
            Code::ResultTooLarge,
            format!(
                "the handler's result has {}; let it write a file and return the path",
                text()
            ),
        ),
        _ if cancelled => of_cancelled(status, payload),
        status::FAILED => of_failure(payload),
        status::INVALID_ARGS => ClientError::new(Code::InvalidArgs, text()),
        status::PANICKED => ClientError::new(Code::HandlerPanicked, text()),
        status::ABANDONED => ClientError::failed(
            "abandoned",
            "the handler ended without an answer (it dropped its completion)",
        ),
        status::CANCELLED => ClientError::failed("cancelled", text()),
        INVALID_RESULT => ClientError::failed(
            "invalid_result",
            format!("the handler's result is {}", text()),
        ),
        status::OK => {
            ClientError::failed("invalid_result", "the handler's result has raw line breaks")
        }
        other => ClientError::failed(
            "unknown_status",
            format!("the handler ended with the unknown status {other}"),
        ),
    }
}

/// Cancelled while it ran; what the handler has to say of how far it came is passed on.
fn of_cancelled(status: u32, payload: &[u8]) -> ClientError {
    let mut error = cancelled(true);
    if status == status::FAILED {
        let theirs = of_failure(payload);
        error.message = format!("{}: {}", error.message, theirs.message);
        error.data = theirs.data;
    }
    error
}

fn of_failure(payload: &[u8]) -> ClientError {
    let Ok(theirs) = serde_json::from_slice::<Failure>(payload) else {
        return ClientError::failed(
            "unreadable_failure",
            "the handler failed and gave no readable reason",
        );
    };
    ClientError {
        retryable: theirs.retryable,
        data: data(&theirs.kind, theirs.data.as_deref()),
        ..ClientError::new(Code::HandlerFailed, theirs.message)
    }
}

/// The client asked for its end, before or after the handler had `started`.
#[must_use]
pub fn cancelled(started: bool) -> ClientError {
    let when = if started {
        "while it ran"
    } else {
        "before it began"
    };
    ClientError {
        started,
        ..ClientError::new(Code::Cancelled, format!("cancelled {when}"))
    }
}

/// Its time was up: before the handler began (`None`), or after it had run for so long.
#[must_use]
pub fn timed_out(ran: Option<Duration>) -> ClientError {
    let message = match ran {
        None => String::from("its time was up before it began"),
        Some(ran) => format!(
            "its time was up after the handler had run for {} ms",
            ran.as_millis()
        ),
    };
    ClientError {
        started: ran.is_some(),
        ..ClientError::new(Code::Timeout, message)
    }
}
