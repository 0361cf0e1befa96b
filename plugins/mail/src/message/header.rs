//! Headers that carry free text. Nothing with a line break in it becomes a header: it is refused, not repaired.

use email_encoding::headers::{rfc2047, writer::EmailWriter};
use lettre::message::header::{HeaderName, HeaderValue};

use super::Error;

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

/// A header of free text. `name` is valid, by [`check_name`] or because it is ours.
pub(super) fn unstructured(name: &str, field: &str, value: &str) -> Result<HeaderValue, Error> {
    check_value(field, value)?;
    let header_name = HeaderName::new_from_ascii(name.to_owned())
        .map_err(|_| Error::header(name, "this is not the name of a header"))?;
    if survives_folding(value) {
        return Ok(HeaderValue::new(header_name, value.to_owned()));
    }
    let mut encoded = String::with_capacity(value.len() * 2);
    {
        let mut writer = EmailWriter::new(&mut encoded, name.len() + ": ".len(), 0, false);
        rfc2047::encode(value, &mut writer).expect("writing to a string never fails");
    }
    Ok(HeaderValue::dangerous_new_pre_encoded(
        header_name,
        value.to_owned(),
        encoded,
    ))
}

/// To whom a message goes that has only hidden recipients (RFC 5322, A.1.3).
pub(super) fn undisclosed_recipients() -> HeaderValue {
    let value = "undisclosed-recipients:;".to_owned();
    HeaderValue::dangerous_new_pre_encoded(
        HeaderName::new_from_ascii_str("To"),
        value.clone(),
        value,
    )
}

/// Whether a reader who unfolds the plain text gets exactly it back: no white space that folding would eat or leave on
/// a line of its own, nothing that a reader would take for an encoded word.
fn survives_folding(value: &str) -> bool {
    value.is_ascii()
        && !value.contains("  ")
        && !value.contains('\t')
        && !value.contains("=?")
        && value.trim_ascii().len() == value.len()
}
