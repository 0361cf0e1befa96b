//! What a handler, or `open`, answers when it can't do its work.

use std::{error::Error, fmt};

use serde_json::Value;

use crate::abi::Failure;

/// The kind of a [`TaskError`] that `?` made of another error.
const KIND_OTHER: &str = "error";
/// The kind of the error of [`Task::check`](crate::Task::check).
const KIND_CANCELLED: &str = "cancelled";

/// Why a handler could not do its task.
///
/// The client gets the error `handler_failed` with its kind, message and data. `?` turns any [`std::error::Error`] into one
/// of the kind `error`, with the whole chain of its sources in the message.
///
/// ```
/// use plugin_api::{TaskError, serde_json::json};
///
/// let error = TaskError::new("mailbox_full", "the mailbox of x@example.org is full")
///     .retryable()
///     .data(json!({ "smtp": 452 }));
/// assert_eq!(error.kind(), "mailbox_full");
/// assert!(error.is_retryable());
///
/// fn read() -> Result<String, TaskError> {
///     Ok(std::fs::read_to_string("/no/such/file")?)
/// }
/// assert_eq!(read().unwrap_err().kind(), "error");
/// ```
// Not an `Error` itself: `From` for every error would then conflict with `From` for itself.
pub struct TaskError(Box<Inner>);

/// Boxed, so that an error doesn't make a handler's `Result` larger.
#[derive(Debug)]
struct Inner {
    kind: String,
    message: String,
    retryable: bool,
    data: Option<Value>,
    cancelled: bool,
}

impl TaskError {
    /// An error of `kind`, a word for programs, with a `message` for people. Not retryable, without data.
    pub fn new(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind: kind.into(),
            message: message.into(),
            retryable: false,
            data: None,
            cancelled: false,
        }))
    }

    /// Says that the same request may succeed later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    /// Adds data for the client's program.
    #[must_use]
    pub fn data(mut self, data: Value) -> Self {
        self.0.data = Some(data);
        self
    }

    /// The word for programs.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// The data for the client's program, if there is any.
    #[must_use]
    pub fn get_data(&self) -> Option<&Value> {
        self.0.data.as_ref()
    }

    /// Whether this is the error of [`Task::check`](crate::Task::check): the task was cancelled, and the handler stopped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled
    }

    pub(crate) fn cancelled() -> Self {
        let mut error = Self::new(KIND_CANCELLED, "the task was cancelled");
        error.0.cancelled = true;
        error
    }

    pub(crate) fn into_failure(self) -> Failure {
        let inner = *self.0;
        Failure {
            kind: inner.kind,
            message: inner.message,
            retryable: inner.retryable,
            data: inner
                .data
                .and_then(|data| serde_json::value::to_raw_value(&data).ok()),
        }
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskError")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("retryable", &self.0.retryable)
            .field("data", &self.0.data)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.kind, self.0.message)
    }
}

impl<E: Error> From<E> for TaskError {
    fn from(error: E) -> Self {
        Self::new(KIND_OTHER, chain(&error))
    }
}

/// Why a plugin could not be opened. The operator sees it as the reason of a rejected candidate.
///
/// `?` turns any [`std::error::Error`] into one, with the whole chain of its sources.
///
/// ```
/// use plugin_api::PluginError;
///
/// fn port(text: &str) -> Result<u16, PluginError> {
///     match text.parse()? {
///         0 => Err(PluginError::new("the port must not be 0")),
///         port => Ok(port),
///     }
/// }
/// assert_eq!(port("0").unwrap_err().message(), "the port must not be 0");
/// assert_eq!(port("x").unwrap_err().message(), "invalid digit found in string");
/// ```
pub struct PluginError(String);

impl PluginError {
    /// An error with a `message` that tells the operator what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// The sentence for the operator.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0
    }

    pub(crate) fn into_message(self) -> String {
        self.0
    }
}

impl fmt::Debug for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PluginError").field(&self.0).finish()
    }
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: Error> From<E> for PluginError {
    fn from(error: E) -> Self {
        Self(chain(&error))
    }
}

/// The error and its sources, joined by colons. A source that the text already ends with is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|source| source as &dyn Error)
        }
    }

    #[test]
    fn any_error_becomes_a_task_error_with_its_sources() {
        fn fails() -> Result<(), TaskError> {
            let root = Layer("connection refused", None);
            let middle = Layer("no greeting: connection refused", Some(Box::new(root)));
            Err(Layer("sending failed", Some(Box::new(middle))))?;
            Ok(())
        }
        let error = fails().unwrap_err();
        assert_eq!(error.kind(), "error");
        assert_eq!(
            error.message(),
            "sending failed: no greeting: connection refused"
        );
        assert!(!error.is_retryable());
        assert!(!error.is_cancelled());
    }

    #[test]
    fn a_failure_carries_all_that_was_said() {
        let failure = TaskError::new("busy", "come back later")
            .retryable()
            .data(json!([1]))
            .into_failure();
        assert_eq!(
            serde_json::to_value(failure).unwrap(),
            json!({"kind": "busy", "message": "come back later", "retryable": true, "data": [1]})
        );
    }

    #[test]
    fn a_failure_without_data_has_no_such_field() {
        let failure = TaskError::new("k", "m").into_failure();
        assert_eq!(
            serde_json::to_string(&failure).unwrap(),
            r#"{"kind":"k","message":"m","retryable":false}"#
        );
    }
}
