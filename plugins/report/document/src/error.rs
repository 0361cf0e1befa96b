//! What can go wrong while a report is written.

use std::{fmt, io};

/// Why a report couldn't be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

/// What kind of a thing went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An option has a value that it can't have.
    InvalidOption,
    /// An option names a column that the data doesn't have.
    UnknownColumn,
    /// A chart can't be drawn from this data.
    InvalidChart,
    /// A chart has more categories or series than anyone could tell apart.
    ChartTooLarge,
    /// More rows than this format can usefully hold.
    TooManyRows,
    /// More columns than this format can hold.
    TooManyColumns,
    /// A total is beyond 38 digits.
    TotalOverflow,
    /// The output is larger than it may be.
    OutputTooLarge,
    /// CSV holds one table, the report has none or several.
    NotOneTable,
    /// The disk is full.
    StorageFull,
    /// The output couldn't be written.
    Io,
    /// The caller's check said to stop.
    Stopped,
    /// A library failed where it shouldn't have.
    Internal,
}

impl ErrorKind {
    /// The kind as the word that callers see.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidOption => "invalid_option",
            Self::UnknownColumn => "unknown_column",
            Self::InvalidChart => "invalid_chart",
            Self::ChartTooLarge => "chart_too_large",
            Self::TooManyRows => "too_many_rows",
            Self::TooManyColumns => "too_many_columns",
            Self::TotalOverflow => "total_overflow",
            Self::OutputTooLarge => "output_too_large",
            Self::NotOneTable => "not_one_table",
            Self::StorageFull => "storage_full",
            Self::Io => "io_error",
            Self::Stopped => "stopped",
            Self::Internal => "internal",
        }
    }
}

impl Error {
    /// An error of this kind; the message says what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    /// The error that a check returns to stop the writing.
    #[must_use]
    pub fn stopped() -> Self {
        Self::new(ErrorKind::Stopped, "stopped")
    }

    pub(crate) fn invalid_option(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidOption, message)
    }

    /// What kind of a thing went wrong.
    #[must_use]
    pub fn error_kind(&self) -> ErrorKind {
        self.kind
    }

    /// The kind as a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.kind, ErrorKind::StorageFull | ErrorKind::Io)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if let Some(inner) = error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Self>())
        {
            return inner.clone();
        }
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::new(
                ErrorKind::StorageFull,
                format!("the output couldn't be written, make room for it: {error}"),
            ),
            _ => Self::new(
                ErrorKind::Io,
                format!("the output couldn't be written: {error}"),
            ),
        }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}
