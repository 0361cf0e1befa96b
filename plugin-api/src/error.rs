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
///
/// It is not an [`Error`] itself: `?` could then not turn every other error into one. [`into_error`](Self::into_error)
/// makes one that is.
pub struct TaskError(Box<Inner>);

/// Boxed, so that an error doesn't make a handler's `Result` larger.
#[derive(Clone, Debug)]
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

    /// What `?` makes of `error`: an error of the kind `error`, with the whole chain of its sources in the message; or the
    /// task error that [went](Self::into_error) into `error`, with its kind and data, and the message of the chain.
    ///
    /// For errors that `?` can't take since they are no [`Error`] themselves: `TaskError::of(&*error)` of a
    /// `Box<dyn Error>`, `TaskError::of(error.as_ref())` of an `anyhow::Error`.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        Self::of_chain(error, carried(Some(error)))
    }

    fn of_chain(error: &dyn Error, carried: Option<&Carried>) -> Self {
        let message = chain(error);
        match carried {
            Some(Carried(inner)) => Self(Box::new(Inner {
                message,
                ..inner.clone()
            })),
            None => Self::new(KIND_OTHER, message),
        }
    }

    /// Changes the kind.
    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.0.kind = kind.into();
        self
    }

    /// As a [`std::error::Error`], to go through code that wants one: `anyhow`, `io::Error::other`, the source of an
    /// error of your own. Where `?` makes a task error of what it has become, kind, retryable and data are as they were.
    ///
    /// ```
    /// use std::io;
    /// use plugin_api::TaskError;
    ///
    /// fn full() -> io::Result<()> {
    ///     Err(io::Error::other(TaskError::new("full", "no room").retryable().into_error()))
    /// }
    /// fn store() -> Result<(), TaskError> {
    ///     Ok(full()?)
    /// }
    /// let error = store().unwrap_err();
    /// assert_eq!((error.kind(), error.message(), error.is_retryable()), ("full", "no room", true));
    /// ```
    #[must_use]
    pub fn into_error(self) -> Box<dyn Error + Send + Sync> {
        Box::new(Carrier(Carried(*self.0)))
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

/// What `?` takes: any [`Error`]. It has a name of its own for the sake of what the compiler says of the others.
#[diagnostic::on_unimplemented(
    message = "`?` takes a `std::error::Error`, which `{Self}` is not",
    label = "`?` takes a `std::error::Error`: write `.map_err(|error| TaskError::new(\"KIND\", error.to_string()))?`, and in `open` `.map_err(|error| PluginError::new(error.to_string()))?`"
)]
pub trait StandardError: Error {}

// Else the compiler would speak of `Error` and `Sized`.
#[diagnostic::do_not_recommend]
impl<E: Error> StandardError for E {}

impl<E: StandardError> From<E> for TaskError {
    fn from(error: E) -> Self {
        let carried = carried(error.source());
        Self::of_chain(&error, carried)
    }
}

/// An error type of your own that a handler returns in place of a [`TaskError`].
///
/// A handler may return `Result<R, MyError>` where `MyError` implements this; within it `?` works as your type's own
/// `From` implementations say.
///
/// ```standalone_crate
/// use std::{fmt, io};
/// use plugin_api::{HandlerError, Task, TaskError, plugin, testing};
///
/// #[derive(Debug)]
/// enum StoreError {
///     Full,
///     Io(io::Error),
///     Stopped(TaskError),
/// }
///
/// impl fmt::Display for StoreError {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         match self {
///             Self::Full => f.write_str("no room is left"),
///             Self::Io(error) => write!(f, "the store failed: {error}"),
///             Self::Stopped(error) => write!(f, "{error}"),
///         }
///     }
/// }
///
/// impl std::error::Error for StoreError {}
///
/// impl From<io::Error> for StoreError {
///     fn from(error: io::Error) -> Self {
///         Self::Io(error)
///     }
/// }
///
/// // For `task.check()?`.
/// impl From<TaskError> for StoreError {
///     fn from(error: TaskError) -> Self {
///         Self::Stopped(error)
///     }
/// }
///
/// impl HandlerError for StoreError {
///     fn into_task_error(self) -> TaskError {
///         match self {
///             Self::Full => TaskError::of(&self).with_kind("full").retryable(),
///             Self::Io(_) => TaskError::of(&self).with_kind("io"),
///             Self::Stopped(error) => error,
///         }
///     }
/// }
///
/// #[derive(Default)]
/// struct Store;
///
/// fn room() -> Result<u64, StoreError> {
///     Err(StoreError::Full)
/// }
///
/// #[plugin]
/// impl Store {
///     #[handler]
///     fn put(&self, task: &Task) -> Result<u64, StoreError> {
///         task.check()?;
///         Ok(room()? - 1)
///     }
/// }
///
/// let store = testing::open::<Store>(()).unwrap();
/// assert_eq!(store.call("put", ()).unwrap_err().kind(), Some("full"));
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler's error is `TaskError`, not `{Self}`",
    label = "write `Result<R, TaskError>` here, or implement `plugin_api::HandlerError` for `{Self}` if it is a type of yours"
)]
pub trait HandlerError {
    /// What the client is told.
    fn into_task_error(self) -> TaskError;
}

impl HandlerError for TaskError {
    fn into_task_error(self) -> Self {
        self
    }
}

/// A task error as a standard one. What carries it shows it as a source, also where it is unwrapped by
/// [`io::Error`](std::io::Error), which shows the source of what it carries.
#[derive(Debug)]
struct Carrier(Carried);

#[derive(Debug)]
struct Carried(Inner);

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl Error for Carrier {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

impl Error for Carried {}

/// The task error among `error` and its sources.
fn carried<'a>(mut error: Option<&'a (dyn Error + 'static)>) -> Option<&'a Carried> {
    while let Some(here) = error {
        if let Some(carried) = here.downcast_ref() {
            return Some(carried);
        }
        error = here.source();
    }
    None
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

impl<E: StandardError> From<E> for PluginError {
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
    fn a_task_error_goes_through_other_errors_and_comes_back_whole() {
        fn through_io() -> std::io::Result<()> {
            let full = TaskError::new("full", "no room").retryable().data(json!(7));
            Err(std::io::Error::other(full.into_error()))
        }
        fn fails() -> Result<(), TaskError> {
            Ok(through_io()?)
        }
        let error = fails().unwrap_err();
        assert_eq!((error.kind(), error.message()), ("full", "no room"));
        assert_eq!(
            (error.is_retryable(), error.get_data()),
            (true, Some(&json!(7)))
        );

        let boxed: Box<dyn Error> = TaskError::cancelled().into_error();
        assert!(TaskError::of(&*boxed).is_cancelled());
        let boxed: Box<dyn Error> = "just a text".into();
        let error = TaskError::of(&*boxed);
        assert_eq!((error.kind(), error.message()), ("error", "just a text"));
        assert_eq!(error.with_kind("own").kind(), "own");
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
