//! Messages: from checked fields to the bytes that travel, and the envelope they travel in.

mod attachment;
mod error;
mod header;

use std::{
    collections::HashSet,
    slice,
    time::{SystemTime, UNIX_EPOCH},
};

use lettre::message::{
    Body, SinglePart,
    header::{ContentTransferEncoding, ContentType, Date, Headers as ForeignHeaders},
};
use memchr::memchr2;

use crate::address::{Address, Mailbox};

use self::header::Headers;
#[cfg(fuzzing)]
pub(crate) use self::header::fuzzing;
pub(crate) use self::{
    attachment::{Attachment, Source as AttachmentSource},
    error::{Error, shown},
    header::{check_name, check_value},
};

/// The longest line that SMTP carries (RFC 5321, 4.5.3.1.6), without its CRLF.
const LINE_LEN_MAX: usize = 998;

/// Who a message comes from and goes to, as SMTP is told. The headers may say something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Where reports of what can't be delivered go; `None`: there are to be none.
    pub(crate) from: Option<Address>,
    pub(crate) to: Vec<Address>,
}

/// A message, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// With its angle brackets, as in the header.
    pub(crate) id: String,
    pub(crate) envelope: Envelope,
    /// Headers and body. Every line ends with CRLF, none is longer than 998 bytes.
    pub(crate) bytes: Vec<u8>,
    /// An address in it, or in its envelope, is not ASCII: a server without SMTPUTF8 can't take it.
    pub(crate) needs_utf8: bool,
    /// Its contents are not ASCII: a server without 8BITMIME can't take it.
    pub(crate) needs_8bit: bool,
}

/// Everything a message is made of, parsed; what remains unchecked are the texts.
#[derive(Clone, Copy)]
pub(crate) struct Draft<'a> {
    pub(crate) from: &'a Mailbox,
    /// The envelope's sender where it is another than `from`: an address, or none.
    pub(crate) envelope_from: Option<Option<&'a Address>>,
    pub(crate) to: &'a [Mailbox],
    pub(crate) cc: &'a [Mailbox],
    pub(crate) bcc: &'a [Mailbox],
    pub(crate) reply_to: &'a [Mailbox],
    pub(crate) subject: Option<&'a str>,
    pub(crate) text: Option<&'a str>,
    pub(crate) html: Option<&'a str>,
    /// Further headers, names already checked by [`check_name`].
    pub(crate) headers: &'a [(String, String)],
    pub(crate) attachments: &'a [&'a Attachment],
}

impl Draft<'_> {
    /// Builds the message. `len_max` bounds its length in bytes.
    pub(crate) fn build(&self, len_max: usize) -> Result<Message, Error> {
        let envelope = self.envelope()?;
        let id = self.new_id();
        let head = self.headers(&id)?;
        let attached: usize = self.attachments.iter().map(|one| one.len()).sum();
        let mut bytes = Vec::with_capacity(1024 + head.len() + attached);
        bytes.extend_from_slice(head.as_bytes());
        self.write_body(&mut bytes)?;
        if bytes.len() > len_max {
            return Err(Error::TooLong {
                len: bytes.len(),
                len_max,
            });
        }
        check_lines(&bytes)?;
        let addresses = envelope.to.iter().chain(&envelope.from);
        Ok(Message {
            id,
            needs_utf8: !head.is_ascii() || !addresses.into_iter().all(Address::is_ascii),
            needs_8bit: self.attachments.iter().any(|one| one.needs_8bit()),
            envelope,
            bytes,
        })
    }

    fn envelope(&self) -> Result<Envelope, Error> {
        let mut known = HashSet::new();
        let mut to: Vec<Address> = Vec::with_capacity(self.to.len());
        for Mailbox { address, .. } in self.to.iter().chain(self.cc).chain(self.bcc) {
            if known.insert(address.key()) {
                to.push(address.clone());
            }
        }
        if to.is_empty() {
            return Err(Error::NoRecipient);
        }
        Ok(Envelope {
            from: match self.envelope_from {
                None => Some(self.from.address.clone()),
                Some(from) => from.cloned(),
            },
            to,
        })
    }

    /// Unique without asking anybody: the time, and 64 random bits.
    fn new_id(&self) -> String {
        let since_1970 = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let domain = self.from.address.domain();
        format!(
            "<{:x}.{:016x}@{domain}>",
            since_1970.as_micros(),
            fastrand::u64(..)
        )
    }

    fn headers(&self, id: &str) -> Result<String, Error> {
        let mut headers = Headers::new();
        for (name, mailboxes) in [
            ("From", slice::from_ref(self.from)),
            ("To", self.to),
            ("Cc", self.cc),
            ("Reply-To", self.reply_to),
        ] {
            if !mailboxes.is_empty() {
                headers.push_addresses(name, mailboxes);
            }
        }
        if self.to.is_empty() && self.cc.is_empty() {
            // A message that has only hidden recipients (RFC 5322, A.1.3).
            headers.push("To", "undisclosed-recipients:;");
        }
        if let Some(subject) = self.subject {
            headers.push_subject(subject)?;
        }
        headers.push("Date", &now());
        headers.push("Message-ID", id);
        headers.push("MIME-Version", "1.0");
        for (name, value) in self.headers {
            headers.push_further(name, value)?;
        }
        Ok(headers.into_text())
    }

    fn write_body(&self, out: &mut Vec<u8>) -> Result<(), Error> {
        let Parts { inline, attached } = self.parts()?;
        // A part inside a multipart keeps its text to the byte. On its own it needs a line end, and gets no second one.
        let is_alone = self.attachments.is_empty() && (self.text.is_none() || self.html.is_none());
        let text = self
            .text
            .map(|text| text_part(ContentType::TEXT_PLAIN, text, is_alone));
        let mut html = self
            .html
            .map(|html| text_part(ContentType::TEXT_HTML, html, is_alone));
        if let Some(root) = html.take_if(|_| !inline.is_empty()) {
            let mut related = Vec::new();
            let parts = [root.as_slice()].into_iter().chain(inline);
            write_multipart(&mut related, "related; type=\"text/html\"", parts);
            html = Some(related);
        }
        let content = match (text, html) {
            (Some(text), Some(html)) => {
                let mut both = Vec::with_capacity(text.len() + html.len() + 512);
                write_multipart(&mut both, "alternative", [text.as_slice(), &html]);
                both
            }
            (Some(part), None) | (None, Some(part)) => part,
            (None, None) => return Err(Error::NoContents),
        };
        if attached.is_empty() {
            out.extend_from_slice(&content);
        } else {
            let parts = [content.as_slice()].into_iter().chain(attached);
            write_multipart(out, "mixed", parts);
        }
        Ok(())
    }

    /// The attachments by their place in the message.
    fn parts(&self) -> Result<Parts<'_>, Error> {
        let mut known = HashSet::new();
        let mut parts = Parts::default();
        for attachment in self.attachments {
            let Some(id) = attachment.content_id() else {
                parts.attached.push(attachment.as_bytes());
                continue;
            };
            let refuse = |reason: &str| Error::Attachment {
                field: "attachments".to_owned(),
                reason: format!("the `cid` {id} {reason}"),
            };
            if self.html.is_none() {
                return Err(refuse(
                    "is of no use: there is no `html` that could show it",
                ));
            }
            if !known.insert(id) {
                return Err(refuse("is there twice"));
            }
            parts.inline.push(attachment.as_bytes());
        }
        Ok(parts)
    }
}

/// The encoded files of a message.
#[derive(Default)]
struct Parts<'a> {
    /// What the HTML shows.
    inline: Vec<&'a [u8]>,
    attached: Vec<&'a [u8]>,
}

/// What the header `Date` says.
fn now() -> String {
    let mut headers = ForeignHeaders::with_capacity(1);
    headers.set(Date::now());
    headers.get_raw("Date").unwrap_or_default().to_owned()
}

/// A part of text with its headers, in the transfer encoding that suits it, ended by CRLF.
fn text_part(media_type: ContentType, text: &str, is_alone: bool) -> Vec<u8> {
    let text = with_crlf(text);
    // lettre would send these as 7bit, but SMTP forbids NUL, and some servers drop the others.
    let has_control = text
        .bytes()
        .any(|b| b.is_ascii_control() && !matches!(b, b'\t' | b'\r' | b'\n'));
    let body = if has_control {
        Body::new_with_encoding(text, ContentTransferEncoding::QuotedPrintable)
            .unwrap_or_else(Body::new)
    } else {
        Body::new(text)
    };
    let encoding = body.encoding();
    let mut encoded = body.into_vec();
    // In base64 the line ends of the text are inside, and these are others.
    if is_alone && encoding != ContentTransferEncoding::Base64 && encoded.ends_with(b"\r\n") {
        encoded.truncate(encoded.len() - 2);
    }
    let body = Body::dangerous_pre_encoded(encoded, encoding);
    SinglePart::builder()
        .header(media_type)
        .body(body)
        .formatted()
}

/// Writes the parts, each of which ends with CRLF, as one multipart.
fn write_multipart<'a>(
    out: &mut Vec<u8>,
    subtype: &str,
    parts: impl IntoIterator<Item = &'a [u8]>,
) {
    let boundary: String = std::iter::repeat_with(fastrand::alphanumeric)
        .take(36)
        .collect();
    let head = format!("Content-Type: multipart/{subtype};\r\n boundary=\"{boundary}\"\r\n\r\n");
    out.extend_from_slice(head.as_bytes());
    for part in parts {
        out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        out.extend_from_slice(part);
    }
    out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
}

/// The text with every line end, whatever it was, as CRLF. (lettre does this too, in quadratic time.)
fn with_crlf(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16);
    let mut rest = text;
    while let Some(at) = memchr2(b'\r', b'\n', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        out.push_str("\r\n");
        rest = &rest[at + if rest[at..].starts_with("\r\n") { 2 } else { 1 }..];
    }
    out.push_str(rest);
    out
}

/// The last check before the wire: only line ends look like line ends, and no line is so long that a server cuts it.
fn check_lines(bytes: &[u8]) -> Result<(), Error> {
    let mut rest = bytes;
    while let Some(at) = memchr2(b'\r', b'\n', rest) {
        if at > LINE_LEN_MAX {
            return Err(Error::LineTooLong {
                len_max: LINE_LEN_MAX,
            });
        }
        rest = rest[at..].strip_prefix(b"\r\n").ok_or(Error::BareLineEnd)?;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(Error::BareLineEnd)
    }
}

#[cfg(test)]
mod tests;
