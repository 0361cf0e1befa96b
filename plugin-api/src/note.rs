//! The ELF note of a library: what a host learns of a file without running any of it.
//!
//! The section survives `strip --strip-all`, and reading it needs no `dlopen`.

use std::fmt;

use serde::Deserialize;

/// The section that holds the note.
pub const SECTION: &str = ".note.plugin-api";
/// The note's name, with the zero byte that ends it.
pub const NOTE_NAME: &[u8] = b"PluginApi\0";
/// The note's type: a JSON object, see [`Note`].
pub const NOTE_TYPE: u32 = 1;

/// Three words stand before the name: its length, that of the description, the type.
const HEADER_LEN: usize = 12;

/// What the note says. Readers ignore fields they don't know.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Note {
    /// The plugin's name.
    pub name: String,
    /// The version of the plugin's crate.
    pub version: String,
    /// The version of plugin-api that the plugin was built with (semver).
    pub plugin_api: String,
    /// The output of `rustc -V` of the compiler that built it.
    #[serde(default)]
    pub rustc: String,
    /// The target triple it was built for.
    pub target: String,
    /// Its panic strategy: `unwind` or `abort`.
    #[serde(default)]
    pub panic: String,
    /// The names of its functions, in the order of the manifest.
    pub functions: Vec<String>,
}

/// Why a section holds no readable note.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoteError {
    /// The section ends in the middle of a note.
    Truncated,
    /// There are notes, but none of plugin-api.
    Missing,
    /// The note is not the JSON it should be, for this reason.
    Invalid(String),
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "the section {SECTION} ends in the middle of a note"),
            Self::Missing => write!(f, "the section {SECTION} holds no note of plugin-api"),
            Self::Invalid(reason) => write!(f, "the note in {SECTION} is unreadable: {reason}"),
        }
    }
}

impl std::error::Error for NoteError {}

/// Reads the note out of the bytes of its [section](SECTION), which are in this machine's byte order.
///
/// # Errors
/// When the section is cut short, holds other notes only, or the note is not the expected JSON.
pub fn parse(section_bytes: &[u8]) -> Result<Note, NoteError> {
    let mut rest = section_bytes;
    while !rest.is_empty() {
        let (header, body) = rest
            .split_at_checked(HEADER_LEN)
            .ok_or(NoteError::Truncated)?;
        let (name_len, desc_len, note_type) = (word(header, 0), word(header, 4), word(header, 8));
        let (name, body) = take_padded(body, name_len)?;
        let (desc, body) = take_padded(body, desc_len)?;
        if name == NOTE_NAME && note_type == NOTE_TYPE {
            return serde_json::from_slice(desc)
                .map_err(|error| NoteError::Invalid(error.to_string()));
        }
        rest = body;
    }
    Err(NoteError::Missing)
}

fn word(header: &[u8], offset: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&header[offset..offset + 4]);
    u32::from_ne_bytes(bytes)
}

/// Splits off `len` bytes and the padding to a multiple of four behind them; the last padding may be missing.
fn take_padded(bytes: &[u8], len: u32) -> Result<(&[u8], &[u8]), NoteError> {
    let len = usize::try_from(len).map_err(|_| NoteError::Truncated)?;
    let taken = bytes.get(..len).ok_or(NoteError::Truncated)?;
    let padded = len
        .checked_next_multiple_of(4)
        .ok_or(NoteError::Truncated)?;
    Ok((taken, bytes.get(padded..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESC: &[u8] = br#"{"name":"a","version":"1.0.0","plugin_api":"1.0.0","target":"t","functions":["f"],"new":1}"#;

    fn note(name: &[u8], note_type: u32, desc: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [name.len(), desc.len(), usize::try_from(note_type).unwrap()] {
            bytes.extend(u32::try_from(word).unwrap().to_ne_bytes());
        }
        for part in [name, desc] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn a_note_is_found_among_others() {
        let section = [
            note(b"GNU\0", 1, b"12345"),
            note(NOTE_NAME, 2, b"of another type"),
            note(NOTE_NAME, NOTE_TYPE, DESC),
        ]
        .concat();
        let note = parse(&section).unwrap();
        assert_eq!(
            (note.name.as_str(), note.functions.as_slice()),
            ("a", &[String::from("f")][..])
        );
        assert_eq!((note.rustc.as_str(), note.panic.as_str()), ("", ""));
    }

    #[test]
    fn a_section_without_the_note_is_told_from_an_unreadable_one() {
        assert_eq!(parse(b""), Err(NoteError::Missing));
        assert_eq!(parse(&note(b"GNU\0", 1, b"1")), Err(NoteError::Missing));
        let invalid = parse(&note(NOTE_NAME, NOTE_TYPE, b"{}"));
        assert!(matches!(invalid, Err(NoteError::Invalid(_))), "{invalid:?}");
    }

    #[test]
    fn no_truncation_and_no_wrong_length_is_read_as_a_note() {
        let whole = note(NOTE_NAME, NOTE_TYPE, DESC);
        // The padding at the very end is nobody's.
        let end = HEADER_LEN + NOTE_NAME.len().next_multiple_of(4) + DESC.len();
        for len in 1..end {
            assert_eq!(parse(&whole[..len]), Err(NoteError::Truncated), "{len}");
        }
        for field in [0, 4] {
            let mut bytes = whole.clone();
            bytes[field..field + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
            assert_eq!(parse(&bytes), Err(NoteError::Truncated));
        }
    }
}
