//! Why a store did nothing.

use std::fmt;
use std::sync::Arc;

/// Why a store did nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoreError {
    pub(crate) kind: StoreErrorKind,
    message: Arc<str>,
}

/// What is the matter, and so who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreErrorKind {
    /// Nothing can be written down or read now: the disk is full or broken, the folder read-only, the database away or
    /// locked. The same call may succeed later.
    Unavailable,
    /// Too much waits to be written.
    Overloaded,
    /// What is to be written isn't what can be kept there: too large, nested too deeply, or of characters that it doesn't
    /// take. The same call fails again.
    Unfit,
    /// There is no such task.
    UnknownTask,
    /// What is stored isn't what was written.
    Damaged,
    /// A newer version of this program wrote it.
    NewerSchema,
    /// Another host has it.
    InUse,
}

impl StoreError {
    pub(crate) fn new(kind: StoreErrorKind, message: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// A whole sentence without its full stop, for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StoreError {}
