//! What went wrong with an image, in the one form that clients get to see.

use kit::files::FileError;
use plugin_api::{
    TaskError,
    serde_json::{Value, json},
};

pub(crate) type Result<T, E = Trouble> = std::result::Result<T, E>;

/// Why a task failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Something to tell the client, with a kind of the documented list.
    Told(Box<Told>),
    /// What the host says itself: cancelled, or out of time.
    Stopped(TaskError),
}

#[derive(Debug)]
pub(crate) struct Told {
    kind: &'static str,
    message: String,
    retryable: bool,
    data: Option<Value>,
}

impl Trouble {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self::Told(Box::new(Told {
            kind,
            message: message.into(),
            retryable: false,
            data: None,
        }))
    }

    /// A limit that was passed: which one, its value, and the actual value.
    pub(crate) fn limit(
        kind: &'static str,
        what: &str,
        key: &str,
        limit: u64,
        actual: u64,
    ) -> Self {
        Self::Told(Box::new(Told {
            kind,
            message: format!("{what}: {actual}, and `{key}` allows {limit}"),
            retryable: false,
            data: Some(json!({ "limit": key, "allowed": limit, "actual": actual })),
        }))
    }

    /// The file is not what its format wants, or not all of it is there.
    pub(crate) fn broken(format: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(
            "broken_image",
            format!("the {format} file is broken: {reason}"),
        )
    }

    /// The file may be fine, but needs what isn't there.
    pub(crate) fn unsupported(format: &str, what: impl std::fmt::Display) -> Self {
        Self::new(
            "unsupported_feature",
            format!("{format} files with {what} can't be read"),
        )
    }

    pub(crate) fn encoding(format: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(
            "encoding_failed",
            format!("the {format} file can't be made: {reason}"),
        )
    }

    pub(crate) fn no_memory(what: &str) -> Self {
        Self::Told(Box::new(Told {
            kind: "out_of_memory",
            message: format!("there is no memory to {what}"),
            retryable: true,
            data: None,
        }))
    }
}

impl From<TaskError> for Trouble {
    fn from(error: TaskError) -> Self {
        Self::Stopped(error)
    }
}

impl From<FileError> for Trouble {
    fn from(error: FileError) -> Self {
        Self::Told(Box::new(Told {
            kind: error.kind(),
            message: error.to_string(),
            retryable: error.is_retryable(),
            data: None,
        }))
    }
}

impl From<Trouble> for TaskError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Stopped(error) => error,
            Trouble::Told(told) => {
                let Told {
                    kind,
                    message,
                    retryable,
                    data,
                } = *told;
                let error = Self::new(kind, message);
                let error = if retryable { error.retryable() } else { error };
                match data {
                    Some(data) => error.data(data),
                    None => error,
                }
            }
        }
    }
}
