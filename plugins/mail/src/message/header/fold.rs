//! How a header is written: in pieces between which a line may end, each of them of whole words.

use base64::{Engine, engine::general_purpose::STANDARD};

/// The longest line, if it can be helped; RFC 5322 wants at most 78 bytes.
const LINE_LEN: usize = 76;
/// What an encoded word may hold before base64, so that with all its signs it has at most 75 bytes (RFC 2047, 2).
pub(super) const WORD_LEN_MAX: usize = 45;

/// A header's text, which goes to the next line between two pieces, where there is a space.
pub(super) struct Folded {
    text: String,
    line_len: usize,
}

impl Folded {
    /// `name_len`: the length of what stands before it on its first line, without the colon.
    pub(super) fn new(name_len: usize) -> Self {
        Self {
            text: String::new(),
            line_len: name_len + ":".len(),
        }
    }

    /// Appends a piece, after a space or on a line of its own.
    pub(super) fn push(&mut self, piece: &str) {
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

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// The pieces, folded, for a header whose name has this length.
pub(in crate::message) fn fold(
    name_len: usize,
    pieces: impl IntoIterator<Item = impl AsRef<str>>,
) -> String {
    let mut folded = Folded::new(name_len);
    for piece in pieces {
        folded.push(piece.as_ref());
    }
    folded.into_text()
}

/// A phrase, such as a display name, cut wherever a line may end: as it is, between quotes, or in encoded words.
pub(super) fn phrase(name: &str) -> Vec<String> {
    if is_atom(name) {
        vec![name.to_owned()]
    } else if is_quotable(name) {
        quoted(name)
    } else {
        encoded(name)
    }
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
    quote(name).split(' ').map(str::to_owned).collect()
}

/// A quoted string (RFC 5322, 3.2.4).
pub(super) fn quote(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// Encoded words, each of whole characters. Readers drop the space between them.
pub(super) fn encoded(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.floor_char_boundary(WORD_LEN_MAX));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = after;
    }
    words
}
