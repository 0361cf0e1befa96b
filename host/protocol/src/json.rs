//! JSON that passes through: checked, kept on one line, never built up.

use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

/// Checks that `bytes` are one JSON text in UTF-8 and makes it fit into a line: white space around it is dropped,
/// raw newlines and carriage returns in it become spaces. Copies only if there are any, and others hold the bytes.
///
/// Takes linear time and does not recurse, however deep the nesting.
///
/// # Errors
/// The bytes are not UTF-8, or not exactly one JSON text.
pub fn one_line(bytes: &Bytes) -> Result<Bytes, NotJson> {
    let text = utf8(bytes)?;
    let raw = serde_json::from_str::<&RawValue>(text).map_err(|error| NotJson::syntax(&error))?;
    let json = bytes.slice_ref(raw.get().as_bytes());
    if memchr::memchr2(b'\n', b'\r', &json).is_none() {
        return Ok(json);
    }
    let mut flat = json.to_vec();
    flatten_newlines(&mut flat);
    Ok(flat.into())
}

/// Makes raw newlines and carriage returns spaces: in valid JSON they can only be white space.
pub(crate) fn flatten_newlines(json: &mut [u8]) {
    // Without a branch that newlines decide, so that the compiler takes many bytes at once.
    for byte in json {
        *byte = if matches!(*byte, b'\n' | b'\r') {
            b' '
        } else {
            *byte
        };
    }
}

/// # Errors
/// Says where the bytes stop being UTF-8.
pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, NotJson> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| {
        let valid_len = valid_utf8(bytes).len();
        NotJson {
            message: format!("not valid UTF-8 from byte {} on", valid_len + 1),
        }
    })
}

/// The beginning of `bytes` that is UTF-8.
pub(crate) fn valid_utf8(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}

/// Why bytes are not a JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotJson {
    message: String,
}

impl NotJson {
    /// Our lines are cut at newlines, so a column says it all, and it counts bytes.
    pub(crate) fn syntax(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        let reason = text.strip_suffix(&position).unwrap_or(&text);
        let message = if error.line() == 1 {
            format!("not valid JSON: {reason} at byte {}", error.column())
        } else {
            format!("not valid JSON: {text}")
        };
        Self { message }
    }
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for NotJson {}
