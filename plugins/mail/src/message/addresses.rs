//! Headers that carry addresses: lists that are folded between addresses and within names, so that they may be of any
//! length.

use base64::{Engine, engine::general_purpose::STANDARD};
use lettre::message::header::{HeaderName, HeaderValue};

use crate::address::Mailbox;

/// The longest line, if it can be helped; RFC 5322 wants at most 78 bytes.
const LINE_LEN: usize = 76;
/// What an encoded word may hold before base64, so that with all its signs it has at most 75 bytes (RFC 2047, 2).
const WORD_LEN_MAX: usize = 45;

/// The header `name` with all of these mailboxes.
pub(super) fn header(name: &'static str, mailboxes: &[Mailbox]) -> HeaderValue {
    let mut lines = Lines {
        text: String::new(),
        line_len: name.len() + ":".len(),
    };
    for (index, mailbox) in mailboxes.iter().enumerate() {
        let mut pieces = pieces(mailbox);
        if index + 1 < mailboxes.len()
            && let Some(last) = pieces.last_mut()
        {
            last.push(',');
        }
        pieces.iter().for_each(|piece| lines.push(piece));
    }
    // Nobody reads the raw value of these headers.
    HeaderValue::dangerous_new_pre_encoded(
        HeaderName::new_from_ascii_str(name),
        String::new(),
        lines.text,
    )
}

/// Text that goes to the next line between two pieces, where there is a space.
struct Lines {
    text: String,
    line_len: usize,
}

impl Lines {
    fn push(&mut self, piece: &str) {
        if !self.text.is_empty() {
            if self.line_len + 1 + piece.len() > LINE_LEN {
                self.text.push_str("\r\n");
                self.line_len = 0;
            }
            self.text.push(' ');
        }
        self.text.push_str(piece);
        self.line_len += 1 + piece.len();
    }
}

/// A mailbox, cut wherever a line may end.
fn pieces(Mailbox { name, address }: &Mailbox) -> Vec<String> {
    let Some(name) = name else {
        return vec![address.to_string()];
    };
    let mut pieces = if is_atom(name) {
        vec![name.clone()]
    } else if is_quotable(name) {
        quoted(name)
    } else {
        encoded(name)
    };
    pieces.push(format!("<{address}>"));
    pieces
}

fn is_atom(name: &str) -> bool {
    name.len() <= WORD_LEN_MAX
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Whether the name is read back as it is from between quotes: no space that folding or a reader might eat, nothing that
/// looks like an encoded word, no word that makes a line too long.
fn is_quotable(name: &str) -> bool {
    name.bytes().all(|b| matches!(b, b' '..=b'~'))
        && !name.contains("=?")
        && name
            .split(' ')
            .all(|word| (1..=WORD_LEN_MAX).contains(&word.len()))
}

fn quoted(name: &str) -> Vec<String> {
    let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
        .split(' ')
        .map(str::to_owned)
        .collect()
}

/// Encoded words, each of whole characters. Readers drop the space between them.
fn encoded(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD_LEN_MAX));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words
}
