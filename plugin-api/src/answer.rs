//! How a task ends.

use serde::Serialize;

use crate::{abi::status, error::TaskError, finite, task::Task};

/// Error kind for a result that can't be written as JSON.
const KIND_INVALID_RESULT: &str = "invalid_result";

pub(crate) enum Answer {
    /// The result as JSON.
    Done(Vec<u8>),
    Failed(TaskError),
    /// Where the arguments are wrong, and why.
    InvalidArgs(String),
    Panicked(String),
    /// The completion was dropped.
    Abandoned,
}

impl Answer {
    pub(crate) fn from_result<R: Serialize>(result: Result<R, TaskError>) -> Self {
        match result {
            Ok(result) => match write(&result) {
                Ok(json) => Self::Done(json.into_bytes()),
                Err(reason) => Self::Failed(TaskError::new(
                    KIND_INVALID_RESULT,
                    format!("the result can't be written as JSON: {reason}"),
                )),
            },
            Err(error) => Self::Failed(error),
        }
    }

    pub(crate) fn send(self, task: &Task) {
        let (status, bytes) = match self {
            Self::Done(json) => (status::OK, json),
            Self::Failed(error) if error.is_cancelled() => {
                (status::CANCELLED, error.message().as_bytes().to_vec())
            }
            Self::Failed(error) => (
                status::FAILED,
                serde_json::to_vec(&error.into_failure())
                    .expect("strings, a bool and JSON can always be written as JSON"),
            ),
            Self::InvalidArgs(reason) => (status::INVALID_ARGS, reason.into_bytes()),
            Self::Panicked(text) => (status::PANICKED, text.into_bytes()),
            Self::Abandoned => (status::ABANDONED, Vec::new()),
        };
        task.complete(status, bytes);
    }
}

fn write<R: Serialize>(result: &R) -> Result<String, String> {
    let json = serde_json::to_string(result).map_err(|error| error.to_string())?;
    finite::complaint(result, &json).map_or(Ok(json), Err)
}

/// What a handler leaves behind: its answer, or nothing if the task is answered later.
pub struct Outcome(pub(crate) Option<Answer>);

impl Outcome {
    pub(crate) const LATER: Self = Self(None);
}
