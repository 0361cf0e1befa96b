//! What a header consists of, by its name. Only free text and phrases are ever encoded: an encoded word in place of an
//! address, an id, a URL or a parameter would be read as what it says, and threading or unsubscribing would break.

use url::Url;

use super::{Error, addresses, fold};
use crate::address;

/// The structure of a header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Structure {
    /// Mailboxes, with commas between them.
    Addresses,
    /// One mailbox.
    Address,
    /// Message ids: `<left@right> <left@right>` (RFC 5322, 3.6.4).
    Ids,
    /// URLs: `<https://…>, <mailto:…>` (RFC 2369, 2).
    Urls,
    /// A phrase and an id: `News <news.example.com>` (RFC 2919).
    ListId,
    /// Words, numbers, parameters, all of them ASCII.
    Words,
    /// Whatever somebody may want to read.
    Text,
}

/// The headers whose structure a standard or a habit of the receivers gives, by their names in lower case.
const STRUCTURES: &[(&str, Structure)] = &[
    ("sender", Structure::Address),
    ("approved", Structure::Words),
    ("archived-at", Structure::Urls),
    ("arc-authentication-results", Structure::Words),
    ("arc-message-signature", Structure::Words),
    ("arc-seal", Structure::Words),
    ("authentication-results", Structure::Words),
    ("auto-submitted", Structure::Words),
    ("autocrypt", Structure::Words),
    ("bimi-selector", Structure::Words),
    ("deferred-delivery", Structure::Words),
    ("disposition-notification-options", Structure::Words),
    ("disposition-notification-to", Structure::Addresses),
    ("dkim-signature", Structure::Words),
    ("errors-to", Structure::Addresses),
    ("expires", Structure::Words),
    ("expiry-date", Structure::Words),
    ("feedback-id", Structure::Words),
    ("importance", Structure::Words),
    ("in-reply-to", Structure::Ids),
    ("list-archive", Structure::Urls),
    ("list-help", Structure::Urls),
    ("list-id", Structure::ListId),
    ("list-owner", Structure::Urls),
    ("list-post", Structure::Urls),
    ("list-subscribe", Structure::Urls),
    ("list-unsubscribe", Structure::Urls),
    ("list-unsubscribe-post", Structure::Words),
    ("mail-followup-to", Structure::Addresses),
    ("mail-reply-to", Structure::Addresses),
    ("original-recipient", Structure::Words),
    ("precedence", Structure::Words),
    ("priority", Structure::Words),
    ("references", Structure::Ids),
    ("reply-by", Structure::Words),
    ("require-recipient-valid-since", Structure::Words),
    ("return-receipt-to", Structure::Addresses),
    ("sensitivity", Structure::Words),
    ("supersedes", Structure::Ids),
    ("thread-index", Structure::Words),
    ("tls-required", Structure::Words),
    ("x-auto-response-suppress", Structure::Words),
    ("x-confirm-reading-to", Structure::Addresses),
    ("x-entity-ref-id", Structure::Words),
    ("x-msmail-priority", Structure::Words),
    ("x-priority", Structure::Words),
];

fn of(name: &str) -> Structure {
    STRUCTURES
        .iter()
        .find(|(known, _)| name.eq_ignore_ascii_case(known))
        .map_or(Structure::Text, |(_, structure)| *structure)
}

/// The value of a client's header, parsed by its structure and written as such; `None` where there is nothing in it.
/// Control characters were refused before.
pub(crate) fn written(name: &str, value: &str) -> Result<Option<String>, Error> {
    let refuse = |reason| Error::header(name, reason);
    let value = value.trim_matches([' ', '\t']);
    if value.is_empty() {
        return Ok(None);
    }
    let mailboxes =
        || address::parse_list(value).map_err(|reason| Error::address(name, value, reason));
    let text = match of(name) {
        Structure::Text => text(name, value),
        Structure::Words if value.is_ascii() => fold(name.len(), words(value)),
        Structure::Words => {
            return Err(refuse(
                "it may hold ASCII only: programs read it, and no people",
            ));
        }
        Structure::Addresses => addresses::folded(name, &mailboxes()?),
        Structure::Address => {
            let one = address::parse_one(value);
            addresses::folded(
                name,
                &[one.map_err(|reason| Error::address(name, value, reason))?],
            )
        }
        Structure::Ids => fold(name.len(), ids(value).map_err(refuse)?),
        Structure::Urls => fold(name.len(), urls(value).map_err(refuse)?),
        Structure::ListId => fold(name.len(), list_id(value).map_err(refuse)?),
    };
    // Commas and comments alone are nothing.
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// Free text of a header that clients may use as they like. ASCII stays as it is, for programs read such headers too;
/// folding leaves all white space in place.
fn text(name: &str, value: &str) -> String {
    if value.is_ascii() && !holds_encoded_word(value) {
        fold(name.len(), words(value))
    } else {
        fold(name.len(), fold::encoded(value))
    }
}

/// Whether a reader would decode a part of the text.
fn holds_encoded_word(text: &str) -> bool {
    text.split("=?").skip(1).any(|rest| {
        let mut parts = rest.splitn(3, '?');
        let (_, encoding, word) = (parts.next(), parts.next(), parts.next());
        matches!(encoding, Some("b" | "B" | "q" | "Q"))
            && word.is_some_and(|word| word.contains("?="))
    })
}

/// The text cut at single spaces, outside of quotes: between two others a line must not end.
fn words(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let is_blank = |at: usize| matches!(bytes.get(at), Some(b' ' | b'\t'));
    let mut words = Vec::new();
    let (mut start, mut is_quoted, mut is_escaped) = (0, false, false);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b' ' if !is_quoted && at > start && !is_blank(at - 1) && !is_blank(at + 1) => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words
}

/// Each with its angle brackets; one that has none gets them.
fn ids(value: &str) -> Result<Vec<String>, &'static str> {
    const REASON: &str = "it must be one or several ids of messages, like `<id@example.com>`";
    let mut ids = Vec::new();
    let mut rest = value.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let (id, after) = if let Some(inner) = rest.strip_prefix('<') {
            inner.split_once('>').ok_or(REASON)?
        } else {
            let end = rest.find([' ', '\t', ',', '<']).unwrap_or(rest.len());
            let (id, after) = rest.split_at(end);
            if !id.contains('@') {
                return Err(REASON);
            }
            (id, after)
        };
        if id.is_empty()
            || id
                .bytes()
                .any(|b| !b.is_ascii_graphic() || matches!(b, b'<' | b'>'))
        {
            return Err(REASON);
        }
        ids.push(format!("<{id}>"));
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    Ok(ids)
}

/// Each with its angle brackets, all but the last with a comma; one that has no brackets gets them. Comments are dropped.
fn urls(value: &str) -> Result<Vec<String>, &'static str> {
    const REASON: &str = "it must be one or several URLs in angle brackets, like `<https://example.com/u?id=1>, <mailto:u@example.com>`";
    let mut urls = Vec::new();
    let mut rest = value.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let after = if let Some(inner) = rest.strip_prefix('<') {
            let (url, after) = inner.split_once('>').ok_or(REASON)?;
            urls.push(format!("<{}>", checked_url(url.trim()).ok_or(REASON)?));
            after
        } else if rest.starts_with('(') {
            rest.split_once(')').ok_or(REASON)?.1
        } else {
            let end = rest.find([' ', '\t', ',', '<']).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            // `List-Post: NO` says that nobody may post (RFC 2369, 3.4).
            urls.push(if word.eq_ignore_ascii_case("no") {
                "NO".to_owned()
            } else {
                format!("<{}>", checked_url(word).ok_or(REASON)?)
            });
            after
        };
        rest = after.trim_start_matches([' ', '\t', ',']);
    }
    let last = urls.len().saturating_sub(1);
    urls[..last].iter_mut().for_each(|url| url.push(','));
    Ok(urls)
}

/// As it is where it is ASCII; else in the ASCII form that it has.
fn checked_url(url: &str) -> Option<String> {
    let (scheme, _) = url.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !is_scheme || url.contains([' ', '\t', '<', '>']) {
        return None;
    }
    if url.is_ascii() {
        return Some(url.to_owned());
    }
    Url::parse(url).ok().map(String::from)
}

fn list_id(value: &str) -> Result<Vec<String>, &'static str> {
    const REASON: &str = "it must be an id in angle brackets, like `Our news <news.example.com>`";
    let (name, id) = match value.strip_suffix('>') {
        Some(rest) => rest.rsplit_once('<').ok_or(REASON)?,
        None => ("", value),
    };
    if id.is_empty()
        || id
            .bytes()
            .any(|b| !b.is_ascii_graphic() || matches!(b, b'<' | b'>'))
    {
        return Err(REASON);
    }
    let name = name.trim();
    let name = name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
        .map_or_else(
            || name.to_owned(),
            |name| name.replace("\\\"", "\"").replace("\\\\", "\\"),
        );
    let mut pieces = if name.is_empty() {
        Vec::new()
    } else {
        fold::phrase(&name)
    };
    pieces.push(format!("<{id}>"));
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, text: &str) -> String {
        written(name, text)
            .unwrap_or_else(|error| panic!("{name}: {text}: {error}"))
            .unwrap_or_default()
            .replace("\r\n", "")
    }

    #[test]
    fn what_has_a_structure_is_written_by_it() {
        let cases = [
            ("References", " <a@b>  <c@d> ", "<a@b> <c@d>"),
            ("in-reply-to", "a@b", "<a@b>"),
            ("References", "<a@b>,<c@d>", "<a@b> <c@d>"),
            (
                "List-Unsubscribe",
                "<https://x.de/?q==?utf-8?q?a?=>",
                "<https://x.de/?q==?utf-8?q?a?=>",
            ),
            (
                "List-Unsubscribe",
                "https://x.de/a,<mailto:u@x.de?subject=a,b>",
                "<https://x.de/a>, <mailto:u@x.de?subject=a,b>",
            ),
            (
                "List-Unsubscribe",
                "<https://bücher.de/ü>",
                "<https://xn--bcher-kva.de/%C3%BC>",
            ),
            ("List-Post", "NO (closed)", "NO"),
            (
                "List-Unsubscribe-Post",
                "List-Unsubscribe=One-Click ",
                "List-Unsubscribe=One-Click",
            ),
            (
                "Sender",
                "Jürgen <j@x.de>",
                "=?utf-8?b?SsO8cmdlbg==?= <j@x.de>",
            ),
            (
                "List-Id",
                "Grüße <news.x.de>",
                "=?utf-8?b?R3LDvMOfZQ==?= <news.x.de>",
            ),
            ("List-Id", "\"A, b\" <news.x.de>", "\"A, b\" <news.x.de>"),
            ("List-Id", "news.x.de", "<news.x.de>"),
            (
                "Auto-Submitted",
                "auto-replied; owner-email=\"a  b@c\"",
                "auto-replied; owner-email=\"a  b@c\"",
            ),
            (
                "X-Json",
                "{\"a\":\"b  c\",  \"d\":\"=?\"} ",
                "{\"a\":\"b  c\",  \"d\":\"=?\"}",
            ),
            (
                "X-Text",
                "=?utf-8?q?x?=",
                "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?=",
            ),
            ("References", "  ", ""),
            ("References", ", ,", ""),
            ("List-Unsubscribe", "(none)", ""),
            ("Disposition-Notification-To", ",", ""),
        ];
        for (name, text, wanted) in cases {
            assert_eq!(value(name, text), wanted, "{name}: {text}");
        }
    }

    #[test]
    fn what_has_another_structure_is_refused() {
        for (name, text) in [
            ("References", "see above"),
            ("References", "<a@b"),
            ("References", "<a b@c>"),
            ("In-Reply-To", "<ü@c>"),
            ("List-Unsubscribe", "click here"),
            ("List-Unsubscribe", "<https://x.de/a b>"),
            ("List-Unsubscribe", "<no url>"),
            ("List-Unsubscribe", "<https://x.de"),
            ("Precedence", "büro"),
            ("List-Id", "Our news"),
        ] {
            let error = written(name, text).unwrap_err();
            assert_eq!(error.kind(), "invalid_header", "{name}: {text}: {error}");
        }
        for (name, text) in [("Sender", "nobody"), ("Sender", "a@b.de, c@d.de")] {
            let error = written(name, text).unwrap_err();
            assert_eq!(error.kind(), "invalid_address", "{name}: {text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_value_panics_or_breaks_a_line(at in 0..STRUCTURES.len() + 1, text in "[\\PC<>,:()\"@ ]{0,60}") {
            let name = STRUCTURES.get(at).map_or("X-Text", |(name, _)| *name);
            if let Ok(Some(written)) = written(name, &text) {
                for line in written.split("\r\n") {
                    proptest::prop_assert!(!line.contains(['\r', '\n']) && !line.trim().is_empty(), "{:?}", written);
                }
            }
        }
    }
}
