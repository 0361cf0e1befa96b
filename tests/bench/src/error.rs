//! What can go wrong.

use std::fmt;
use std::io;

use protocol::LineTooLong;

/// Why there is no figure.
#[derive(Debug)]
pub(crate) enum BenchError {
    /// The system refused something.
    Io { what: String, source: io::Error },
    /// A server answered something else than it was asked for.
    WrongReply { expected: String, got: String },
    /// A server closed a connection with requests in flight.
    Closed { in_flight: usize },
    /// A server didn't answer in time.
    Silent { seconds: u64 },
    /// A server didn't start.
    NotServing { server: String, got: String },
}

impl BenchError {
    /// For `map_err`.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Io {
            what: what.into(),
            source,
        }
    }
}

impl From<LineTooLong> for BenchError {
    fn from(error: LineTooLong) -> Self {
        Self::WrongReply {
            expected: "a line".to_owned(),
            got: format!("one of more than {} bytes", error.line_len_max),
        }
    }
}

impl fmt::Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::WrongReply { expected, got } => {
                write!(f, "wrong reply: expected {expected}, got {got}")
            }
            Self::Closed { in_flight } => {
                write!(
                    f,
                    "the server closed a connection with {in_flight} in flight"
                )
            }
            Self::Silent { seconds } => write!(f, "the server was silent for {seconds} s"),
            Self::NotServing { server, got } => {
                write!(f, "{server} does not serve, its first line is {got:?}")
            }
        }
    }
}

impl std::error::Error for BenchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
