//! Why a connection, or a message on it, came to nothing.

use std::{fmt, io, sync::Arc, time::Duration};

use super::reply::Reply;

/// Why a connection, or a message on it, came to nothing. A recipient that a server refuses is not an error here.
///
/// `server` is its host and port.
#[derive(Clone, Debug)]
pub(crate) enum Error {
    Resolve {
        server: Arc<str>,
        source: Arc<io::Error>,
    },
    Connect {
        server: Arc<str>,
        source: Arc<io::Error>,
    },
    TimedOut {
        server: Arc<str>,
        waiting_for: &'static str,
        after: Duration,
    },
    Tls {
        server: Arc<str>,
        reason: String,
    },
    NoStartTls {
        server: Arc<str>,
    },
    /// Before any message: greeting, EHLO, STARTTLS.
    Refused {
        server: Arc<str>,
        step: &'static str,
        reply: Reply,
    },
    Credentials {
        server: Arc<str>,
        reply: Reply,
    },
    NoAuth {
        server: Arc<str>,
    },
    PlainPassword {
        server: Arc<str>,
    },
    /// `source` is `None` when the server closed the connection in good order; `reply` is its last word, a 421, if any.
    Lost {
        server: Arc<str>,
        source: Option<Arc<io::Error>>,
        reply: Option<Reply>,
    },
    Protocol {
        server: Arc<str>,
        reason: &'static str,
    },
    TooLong {
        server: Arc<str>,
        len: usize,
        len_max: u64,
    },
    NoUtf8 {
        server: Arc<str>,
    },
    No8Bit {
        server: Arc<str>,
    },
    /// The configuration's token can't be read; the reason doesn't show it.
    Token {
        reason: String,
    },
    /// The whole message was handed over, and the reply that says what became of it never came.
    Unanswered {
        cause: Box<Error>,
    },
    /// The task was cancelled, or its time is up.
    Stopped,
}

impl Error {
    /// The word for it that programs get.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } => "unreachable",
            Self::TimedOut { .. } => "server_timeout",
            Self::Tls { .. } | Self::NoStartTls { .. } | Self::PlainPassword { .. } => "tls",
            Self::Refused { .. } => "refused",
            Self::Credentials { .. } | Self::NoAuth { .. } | Self::Token { .. } => "authentication",
            Self::Lost { .. } => "connection_lost",
            Self::Protocol { .. } => "protocol",
            Self::TooLong { .. } => "message_too_long",
            Self::NoUtf8 { .. } => "no_smtputf8",
            Self::No8Bit { .. } => "no_8bitmime",
            Self::Unanswered { .. } => "maybe_delivered",
            Self::Stopped => "cancelled",
        }
    }

    /// Whether the same message may get through later. Never where it may have got through already.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::TimedOut { .. }
            | Self::Lost { .. }
            | Self::Token { .. }
            | Self::Stopped => true,
            Self::Refused { reply, .. } | Self::Credentials { reply, .. } => reply.is_transient(),
            Self::Tls { .. }
            | Self::NoStartTls { .. }
            | Self::NoAuth { .. }
            | Self::PlainPassword { .. }
            | Self::Protocol { .. }
            | Self::TooLong { .. }
            | Self::NoUtf8 { .. }
            | Self::No8Bit { .. }
            | Self::Unanswered { .. } => false,
        }
    }

    /// Whether it is the server's word that it may be tried again in a moment, and nothing of the message was taken.
    pub(crate) fn asks_for_later(&self) -> bool {
        match self {
            Self::Refused { reply, .. } | Self::Credentials { reply, .. } => reply.is_transient(),
            Self::Lost { reply, .. } => reply.as_ref().is_some_and(Reply::is_transient),
            _ => false,
        }
    }

    /// The server's own code, where the error is a reply of it.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { reply, .. }
            | Self::Credentials { reply, .. }
            | Self::Lost {
                reply: Some(reply), ..
            } => Some(reply.code),
            Self::Unanswered { cause } => cause.code(),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { server, source } => {
                write!(f, "the address of {server} was not found: {source}")
            }
            Self::Connect { server, source } => write!(f, "{server} can't be reached: {source}"),
            Self::TimedOut {
                server,
                waiting_for,
                after,
            } => {
                write!(
                    f,
                    "{server}: no {waiting_for} within {}{}",
                    humantime::format_duration(*after),
                    // Where TLS is expected from the first byte, a server waits for it in silence.
                    if *waiting_for == "greeting" {
                        "; a server that begins with TLS, as on port 465, is written `smtps://`"
                    } else {
                        ""
                    }
                )
            }
            Self::Tls { server, reason } => write!(f, "{server}: no TLS connection: {reason}"),
            Self::NoStartTls { server } => write!(
                f,
                "{server} doesn't offer STARTTLS, and `tls` is `required`; `smtps://` is for servers that speak TLS from the start"
            ),
            Self::Refused {
                server,
                step,
                reply,
            } => write!(f, "{server} refused the {step}: {reply}"),
            Self::Credentials { server, reply } => {
                write!(f, "{server} refused the credentials: {reply}")
            }
            Self::NoAuth { server } => {
                write!(
                    f,
                    "{server} offers no way to log in that fits the configuration: AUTH PLAIN and LOGIN go with a `password`, XOAUTH2 and OAUTHBEARER with an `access_token`"
                )
            }
            Self::PlainPassword { server } => write!(
                f,
                "{server} doesn't offer STARTTLS; its password would travel unprotected, which only `tls = \"none\"` allows"
            ),
            Self::Lost {
                server,
                source,
                reply,
            } => {
                write!(f, "the connection to {server} was lost")?;
                if let Some(reply) = reply {
                    write!(f, ": {reply}")
                } else if let Some(source) = source {
                    write!(f, ": {source}")
                } else {
                    f.write_str(": closed by the server")
                }
            }
            Self::Protocol { server, reason } => {
                write!(f, "{server} doesn't speak SMTP as it should: {reason}")
            }
            Self::TooLong {
                server,
                len,
                len_max,
            } => {
                write!(
                    f,
                    "the message is {len} bytes long, {server} takes {len_max}"
                )
            }
            Self::NoUtf8 { server } => {
                write!(
                    f,
                    "an address is not ASCII before its @, and {server} doesn't offer SMTPUTF8"
                )
            }
            Self::No8Bit { server } => write!(
                f,
                "an attached message is not ASCII, and {server} doesn't offer 8BITMIME; attach it as `application/octet-stream`"
            ),
            Self::Token { reason } => write!(f, "`access_token`: {reason}"),
            Self::Unanswered { cause } => {
                write!(
                    f,
                    "the message was handed over, but the server's answer to it never came, so it may have been delivered: {cause}"
                )
            }
            Self::Stopped => f.write_str("the task was stopped"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve { source, .. } | Self::Connect { source, .. } => Some(source.as_ref()),
            Self::Unanswered { cause } => Some(cause.as_ref()),
            _ => None,
        }
    }
}
