//! What went wrong with an image, in the one form that clients get to see.

use std::fmt;

use kit::files::FileError;
use plugin_api::TaskError;

pub(crate) type Result<T, E = Trouble> = std::result::Result<T, E>;

/// Why a task failed.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Something to tell the client, with a kind of the documented list.
    Told(Box<kit::Trouble>),
    /// What the host says itself: cancelled, or out of time.
    Stopped(TaskError),
}

impl Trouble {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        kit::Trouble::new(kind, message).into()
    }

    /// A limit of the configuration that was passed: which one (`key`), what it allows, and what it was.
    pub(crate) fn limit(
        kind: &'static str,
        what: &str,
        key: &str,
        allowed: u64,
        actual: u64,
    ) -> Self {
        kit::Trouble::limit(kind, what, key, allowed, actual).into()
    }

    /// The file is not what its format wants, or not all of it is there.
    pub(crate) fn broken(format: &str, reason: impl fmt::Display) -> Self {
        Self::new(
            "broken_image",
            format!("the {format} file is broken: {reason}"),
        )
    }

    /// The file may be fine, but needs what isn't there.
    pub(crate) fn unsupported(format: &str, what: impl fmt::Display) -> Self {
        Self::new(
            "unsupported_feature",
            format!("{format} files with {what} can't be read"),
        )
    }

    pub(crate) fn encoding(format: &str, reason: impl fmt::Display) -> Self {
        Self::new(
            "encoding_failed",
            format!("the {format} file can't be made: {reason}"),
        )
    }

    pub(crate) fn no_memory(what: &str) -> Self {
        kit::Trouble::new("out_of_memory", format!("there is no memory to {what}"))
            .retryable()
            .into()
    }
}

impl From<kit::Trouble> for Trouble {
    fn from(trouble: kit::Trouble) -> Self {
        Self::Told(Box::new(trouble))
    }
}

impl From<TaskError> for Trouble {
    fn from(error: TaskError) -> Self {
        Self::Stopped(error)
    }
}

impl From<FileError> for Trouble {
    fn from(error: FileError) -> Self {
        kit::Trouble::from(error).into()
    }
}

impl From<Trouble> for TaskError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Told(trouble) => (*trouble).into(),
            Trouble::Stopped(error) => error,
        }
    }
}
