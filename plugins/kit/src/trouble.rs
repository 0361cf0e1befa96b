//! Why a task failed, in the one form that clients get to see.

use std::{fmt, io};

use plugin_api::{
    TaskError,
    serde_json::{Value, json},
};

use crate::files::FileError;

/// The result of what may end in a [`Trouble`].
pub type Result<T, E = Trouble> = std::result::Result<T, E>;

/// What a client is told of a task that failed. In the end it becomes a [`TaskError`]; before, it can be looked at,
/// copied, and told of a part of the request.
// Not an `Error` itself: as one, `?` would make a `TaskError` of the kind `error` of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// A word for programs, one of those that the plugin's page lists.
    pub kind: &'static str,
    /// A sentence for people, which says what to do where something can be done.
    pub message: String,
    /// Whether the same request may succeed later without anybody changing it.
    pub retryable: bool,
    /// What else a client's program should know.
    pub data: Option<Value>,
}

impl Trouble {
    /// A trouble that no retry ends, without data.
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            retryable: false,
            data: None,
        }
    }

    /// A limit that was passed: `what` is too much, which setting (`key`) limits it, what that allows, and what it was.
    #[must_use]
    pub fn limit(kind: &'static str, what: &str, key: &str, allowed: u64, actual: u64) -> Self {
        Self::new(
            kind,
            format!("{what}: {actual}, and `{key}` allows {allowed}"),
        )
        .data(json!({ "limit": key, "allowed": allowed, "actual": actual }))
    }

    /// Reading or writing failed: `storage_full` or `io_error`, both worth a retry. `what` begins the sentence: "the
    /// file x can't be read".
    pub fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "storage_full",
            _ => "io_error",
        };
        Self::new(kind, format!("{what}: {error}")).retryable()
    }

    /// A defect of the plugin, or of what it is built on.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new("internal", format!("{message}; this is a defect"))
    }

    /// The same request may succeed later.
    #[must_use]
    pub fn retryable(self) -> Self {
        self.retryable_if(true)
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retryable_if(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Adds what else a client's program should know.
    #[must_use]
    pub fn data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// The same, told of a part of the request: "section 2: …".
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<FileError> for Trouble {
    fn from(error: FileError) -> Self {
        Self::new(error.kind(), error.to_string()).retryable_if(error.is_retryable())
    }
}

impl From<Trouble> for TaskError {
    fn from(trouble: Trouble) -> Self {
        let mut error = Self::new(trouble.kind, trouble.message);
        if trouble.retryable {
            error = error.retryable();
        }
        match trouble.data {
            Some(data) => error.data(data),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_answers_all_that_is_known() {
        fn handler() -> Result<(), TaskError> {
            let trouble = Trouble::new("busy", "come back later").retryable();
            Err(trouble.data(json!([1])).within("section 2"))?
        }
        let error = handler().unwrap_err();
        assert_eq!(error.kind(), "busy");
        assert_eq!(error.message(), "section 2: come back later");
        assert!(error.is_retryable());
        assert_eq!(error.get_data(), Some(&json!([1])));
    }

    #[test]
    fn a_limit_says_what_it_allows() {
        let trouble = Trouble::limit("too_large", "the file has too many bytes", "len_max", 5, 7);
        assert_eq!(
            trouble.message,
            "the file has too many bytes: 7, and `len_max` allows 5"
        );
        let data = json!({"limit": "len_max", "allowed": 5, "actual": 7});
        assert_eq!(trouble.data, Some(data));
        assert!(!trouble.retryable);
    }

    #[test]
    fn a_full_disk_is_told_apart() {
        let kind = |kind| Trouble::io("x can't be written", &io::Error::from(kind)).kind;
        assert_eq!(kind(io::ErrorKind::StorageFull), "storage_full");
        assert_eq!(kind(io::ErrorKind::QuotaExceeded), "storage_full");
        assert_eq!(kind(io::ErrorKind::BrokenPipe), "io_error");
    }
}
