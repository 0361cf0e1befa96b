use std::fmt;

use crate::address::Reason;

/// Why no message can be made of what was given.
#[derive(Debug)]
pub(crate) enum Error {
    Address {
        field: String,
        value: String,
        reason: Reason,
    },
    Header {
        field: String,
        reason: &'static str,
    },
    Attachment {
        field: String,
        reason: String,
    },
    LineTooLong {
        len_max: usize,
    },
    BareLineEnd,
    NoContents,
    NoRecipient,
    NoSender,
    TooLong {
        len: usize,
        len_max: usize,
    },
}

impl Error {
    pub(crate) fn address(field: &str, value: &str, reason: Reason) -> Self {
        Self::Address {
            field: field.to_owned(),
            value: value.to_owned(),
            reason,
        }
    }

    pub(crate) fn header(field: &str, reason: &'static str) -> Self {
        Self::Header {
            field: field.to_owned(),
            reason,
        }
    }

    /// The word for it that programs get.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            // Somebody tries to smuggle a header, and an address is only the vehicle.
            Self::Address {
                reason: Reason::Control,
                ..
            } => "invalid_header",
            Self::Address { .. } => "invalid_address",
            Self::Header { .. } | Self::LineTooLong { .. } | Self::BareLineEnd => "invalid_header",
            Self::Attachment { .. } => "invalid_attachment",
            Self::NoContents => "no_contents",
            Self::NoRecipient => "no_recipient",
            Self::NoSender => "no_sender",
            Self::TooLong { .. } => "message_too_long",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address {
                field,
                value,
                reason,
            } => {
                write!(f, "`{field}`: {} is not an address: {reason}", shown(value))
            }
            Self::Header { field, reason } => {
                write!(f, "header `{}`: {reason}", field.escape_debug())
            }
            Self::Attachment { field, reason } => write!(f, "`{field}`: {reason}"),
            Self::LineTooLong { len_max } => {
                write!(
                    f,
                    "a header would have a line of more than {len_max} bytes; it has no space to break it at"
                )
            }
            Self::BareLineEnd => f.write_str("a header contains a line break"),
            Self::NoContents => f.write_str("there is neither `contents` nor `html`"),
            Self::NoRecipient => f.write_str("there is no recipient in `to`, `cc` or `bcc`"),
            Self::NoSender => {
                f.write_str("there is no `from`, and the plugin's config names no default")
            }
            Self::TooLong { len, len_max } => {
                write!(
                    f,
                    "the message would be {len} bytes long, the limit is {len_max}"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

/// A value as an error message shows it: escaped, and not at any length.
pub(crate) fn shown(value: &str) -> String {
    const CHARS_MAX: usize = 100;
    let mut out = String::from("`");
    out.extend(value.chars().take(CHARS_MAX).flat_map(char::escape_debug));
    out.push_str(if value.chars().nth(CHARS_MAX).is_some() {
        "…`"
    } else {
        "`"
    });
    out
}
