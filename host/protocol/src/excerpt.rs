//! Input quoted in messages.

use std::borrow::Cow;

/// The most of the input that a message repeats, in bytes.
const EXCERPT_LEN_MAX: usize = 60;

/// `text`, or its beginning and its length where it is too long to be repeated in a message.
#[must_use]
pub fn excerpt(text: &str) -> Cow<'_, str> {
    if text.len() <= EXCERPT_LEN_MAX {
        return Cow::Borrowed(text);
    }
    let start = &text[..text.floor_char_boundary(EXCERPT_LEN_MAX)];
    Cow::Owned(format!("{start}… ({} bytes)", text.len()))
}
