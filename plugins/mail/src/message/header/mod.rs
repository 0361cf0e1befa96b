//! Headers: each by its structure, folded, and encoded where it is free text. Nothing with a line break in it becomes a
//! header: it is refused, not repaired.

mod addresses;
mod fold;
mod structure;

use std::collections::HashSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

use self::fold::WORD_LEN_MAX;
pub(super) use self::fold::fold;
use super::Error;
use crate::address::Mailbox;

/// What stands for itself in a parameter by RFC 2231.
const PARAMETER_SIGNS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
/// How many bytes of a parameter go into one line.
const PARAMETER_LEN_MAX: usize = 18;
/// Longest word of a subject that is not encoded: it can't be folded.
const SUBJECT_WORD_LEN_MAX: usize = 200;
/// Longest name for old readers that is not encoded: it can't be folded.
const OLD_PARAMETER_LEN_MAX: usize = 200;

/// Headers that the plugin writes itself, or that only the servers on a message's way may write.
const RESERVED: [&str; 11] = [
    "from",
    "to",
    "cc",
    "bcc",
    "reply-to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "return-path",
    "received",
];
const RESERVED_PREFIXES: [&str; 3] = ["content-", "resent-", "x-envelope-"];

/// Checks the name of a header that a client wants to add.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty()
        || name.len() > 76
        || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':')
    {
        return Err(Error::header(
            name,
            "a name has 1 to 76 letters, digits and signs, without spaces and colons",
        ));
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED.contains(&lower.as_str())
        || RESERVED_PREFIXES
            .iter()
            .any(|prefix| lower.starts_with(prefix))
    {
        return Err(Error::header(
            name,
            "this one is set by the mail plugin, from a field of its own or by itself",
        ));
    }
    Ok(())
}

/// Checks free text that goes into a header; `field` names it in the error.
pub(crate) fn check_value(field: &str, value: &str) -> Result<(), Error> {
    if value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(Error::header(
            field,
            "it contains a line break or another control character",
        ));
    }
    Ok(())
}

/// Headers, one after another, with their names and line ends.
pub(super) struct Headers {
    text: String,
    /// In lower case.
    names: HashSet<String>,
}

impl Headers {
    pub(super) fn new() -> Self {
        Self {
            text: String::with_capacity(512),
            names: HashSet::new(),
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// A header whose text is as it goes out.
    pub(super) fn push(&mut self, name: &str, text: &str) {
        self.names.insert(name.to_ascii_lowercase());
        for part in [name, ": ", text, "\r\n"] {
            self.text.push_str(part);
        }
    }

    pub(super) fn push_addresses(&mut self, name: &str, mailboxes: &[Mailbox]) {
        self.push(name, &addresses::folded(name, mailboxes));
    }

    /// The subject, which arrives to the last space.
    pub(super) fn push_subject(&mut self, subject: &str) -> Result<(), Error> {
        check_value("subject", subject)?;
        let text = if survives_folding(subject) {
            fold("Subject".len(), subject.split(' '))
        } else {
            fold("Subject".len(), fold::encoded(subject))
        };
        self.push("Subject", &text);
        Ok(())
    }

    /// A client's header; its name was checked by [`check_name`]. One with nothing in it is left out.
    pub(super) fn push_further(&mut self, name: &str, value: &str) -> Result<(), Error> {
        check_value(name, value)?;
        if self.names.contains(&name.to_ascii_lowercase()) {
            return Err(Error::header(name, "it is there twice"));
        }
        if let Some(text) = structure::written(name, value)? {
            self.push(name, &text);
        }
        Ok(())
    }
}

/// Whether a reader who unfolds the plain text gets exactly it back: no white space that folding would eat or leave on
/// a line of its own, nothing that a reader would take for an encoded word, no word that is too long for a line.
fn survives_folding(value: &str) -> bool {
    value.is_ascii()
        && !value.contains("  ")
        && !value.contains('\t')
        && !value.contains("=?")
        && value.trim_ascii().len() == value.len()
        && value
            .split(' ')
            .all(|word| word.len() <= SUBJECT_WORD_LEN_MAX)
}

/// The parameter of a header, such as a file's name, cut wherever a line may end; the first piece follows a `;`.
/// What isn't short ASCII is written by RFC 2231.
pub(super) fn parameter(name: &str, value: &str) -> Vec<String> {
    let is_plain = value.len() <= WORD_LEN_MAX
        && value.bytes().all(|b| matches!(b, b' '..=b'~'))
        && !value.contains("=?");
    if is_plain {
        return vec![format!("{name}={}", fold::quote(value))];
    }
    // Each of them of whole characters, three signs a byte at most.
    let mut parts = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.floor_char_boundary(PARAMETER_LEN_MAX));
        parts.push(percent_encoding::utf8_percent_encode(part, PARAMETER_SIGNS).to_string());
        rest = after;
    }
    if let [part] = parts.as_slice() {
        return vec![format!("{name}*=utf-8''{part}")];
    }
    let last = parts.len() - 1;
    let piece = |(index, part): (usize, &String)| {
        let charset = if index == 0 { "utf-8''" } else { "" };
        let end = if index == last { "" } else { ";" };
        format!("{name}*{index}*={charset}{part}{end}")
    };
    parts.iter().enumerate().map(piece).collect()
}

/// The same for readers that don't know RFC 2231: in encoded words, which aren't meant for this place and are understood
/// there.
pub(super) fn old_parameter(name: &str, value: &str) -> Vec<String> {
    if value.bytes().all(|b| matches!(b, b' '..=b'~')) && value.len() <= OLD_PARAMETER_LEN_MAX {
        return vec![format!("{name}={}", fold::quote(value))];
    }
    let words = fold::encoded(value).join(" ");
    let pieces = format!("{name}=\"{words}\"");
    pieces.split(' ').map(str::to_owned).collect()
}

/// What the fuzzers look at.
#[cfg(fuzzing)]
pub(crate) mod fuzzing {
    pub(crate) use super::{addresses::folded, structure::written};
}
