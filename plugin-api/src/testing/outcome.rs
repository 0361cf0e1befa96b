//! How a call ended, as a test sees it.

use std::fmt;

use serde_json::{Map, Value};
use tracing::Level;

use crate::{
    abi::{Failure, log_level, status},
    verdict::{self, ClientError},
};

/// A task that was answered, and what it reported on the way.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Finished {
    /// The handler's result, or how the task ended without one.
    pub result: Result<Value, CallError>,
    /// The error that a client would read, word for word, if there is no result.
    pub error: Option<ClientError>,
    /// The handler went on for longer than the grace after it was told to stop, because its time was up or its client
    /// cancelled: a host would have killed its worker. In a test its thread runs on.
    pub killed: bool,
    /// All progress reports, in order.
    pub progress: Vec<Progress>,
    /// All log events of this task, in order.
    pub logs: Vec<Log>,
}

/// A report of [`Task::progress`](crate::Task::progress).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// Of how much; 0 if that isn't known.
    pub total: u64,
    /// A few words, or none.
    pub message: String,
}

/// An event that the plugin logged by means of `tracing`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Log {
    /// Its level.
    pub level: Level,
    /// Its target, by default the module it comes from.
    pub target: String,
    /// What it says.
    pub message: String,
    /// Its fields, and those of the spans around it.
    pub fields: Map<String, Value>,
}

impl Log {
    pub(crate) fn new(level: u32, target: &str, message: &str, fields: &[u8]) -> Self {
        let level = match level {
            log_level::ERROR => Level::ERROR,
            log_level::WARN => Level::WARN,
            log_level::INFO => Level::INFO,
            log_level::DEBUG => Level::DEBUG,
            _ => Level::TRACE,
        };
        Self {
            level,
            target: target.to_owned(),
            message: message.to_owned(),
            fields: serde_json::from_slice(fields).unwrap_or_default(),
        }
    }
}

/// How a task ended without a result.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CallError {
    /// The handler returned a [`TaskError`](crate::TaskError). The client of a cancelled task reads it as `cancelled`.
    Failed {
        /// Its word for programs.
        kind: String,
        /// Its sentence for people.
        message: String,
        /// Whether the same request may succeed later.
        retryable: bool,
        /// Its data.
        data: Option<Value>,
    },
    /// The arguments were refused, for this reason.
    InvalidArgs(String),
    /// The handler panicked; place and message.
    Panicked(String),
    /// The completion was dropped unanswered.
    Abandoned,
    /// The handler noticed that its task was cancelled, and stopped; or it did not, and would have been killed; or the task
    /// was cancelled before it began.
    Cancelled(String),
    /// Its time was up, in a slot or while it waited for one.
    Timeout(String),
    /// The result has more bytes than a reply may have.
    ResultTooLarge(String),
    /// The handler answered something that is not JSON, for this reason.
    InvalidResult(String),
    /// The plugin has no such function.
    UnknownFunction(String),
    /// The handler answered with a status that this kit doesn't know.
    UnknownStatus(u32),
}

impl CallError {
    /// The kind of the [`TaskError`](crate::TaskError), if it is one.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        match self {
            Self::Failed { kind, .. } => Some(kind),
            _ => None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { kind, message, .. } => {
                write!(f, "the handler failed: {kind}: {message}")
            }
            Self::InvalidArgs(reason) => write!(f, "invalid arguments: {reason}"),
            Self::Panicked(text) => write!(f, "the handler {text}"),
            Self::Abandoned => f.write_str("the completion was dropped unanswered"),
            Self::Cancelled(text) | Self::Timeout(text) | Self::ResultTooLarge(text) => {
                f.write_str(text)
            }
            Self::InvalidResult(reason) => write!(f, "the result is not JSON: {reason}"),
            Self::UnknownFunction(name) => write!(f, "the plugin has no function `{name}`"),
            Self::UnknownStatus(status) => write!(f, "the answer has the unknown status {status}"),
        }
    }
}

impl std::error::Error for CallError {}

/// What a worker makes of an answer.
pub(super) fn result_of(status: u32, bytes: &[u8]) -> Result<Value, CallError> {
    let invalid = |error: serde_json::Error| CallError::InvalidResult(error.to_string());
    if status == status::OK {
        return serde_json::from_slice(bytes).map_err(invalid);
    }
    let message = || verdict::of_answer(status, bytes, false).message;
    Err(match status {
        status::FAILED => failed(bytes).map_err(invalid)?,
        status::INVALID_ARGS => CallError::InvalidArgs(message()),
        status::PANICKED => CallError::Panicked(message()),
        status::ABANDONED => CallError::Abandoned,
        status::CANCELLED => CallError::Cancelled(message()),
        verdict::RESULT_TOO_LARGE => CallError::ResultTooLarge(message()),
        other => CallError::UnknownStatus(other),
    })
}

fn failed(bytes: &[u8]) -> serde_json::Result<CallError> {
    let failure: Failure = serde_json::from_slice(bytes)?;
    let data = failure.data.map(|data| serde_json::from_str(data.get()));
    Ok(CallError::Failed {
        kind: failure.kind,
        message: failure.message,
        retryable: failure.retryable,
        data: data.transpose()?,
    })
}
