//! The writing side of [`note`](crate::note): the note as a constant, built while the plugin is compiled.

use crate::{
    RUSTC, TARGET, VERSION,
    dispatch::{Function, PANIC, Plugin},
    note::{NOTE_NAME, NOTE_TYPE},
};

/// A note as it stands in the file.
#[repr(C, align(4))]
pub struct NoteBytes<const LEN: usize>([u8; LEN]);

impl<const LEN: usize> NoteBytes<LEN> {
    /// The section's content.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The length of the note of `P`, in bytes.
#[must_use]
pub const fn note_len<P: Plugin>() -> usize {
    write_note::<P, 0>().len
}

/// The note of `P`; `LEN` is its [`note_len`].
#[must_use]
pub const fn note_bytes<P: Plugin, const LEN: usize>() -> NoteBytes<LEN> {
    NoteBytes(write_note::<P, LEN>().bytes)
}

const fn write_note<P: Plugin, const LEN: usize>() -> Writer<LEN> {
    let mut desc = Writer::<0>::new();
    desc.desc::<P>();
    let mut writer = Writer::<LEN>::new();
    writer.word(NOTE_NAME.len());
    writer.word(desc.len);
    writer.word(NOTE_TYPE as usize);
    writer.raw(NOTE_NAME);
    writer.pad();
    writer.desc::<P>();
    writer.pad();
    writer
}

/// Counts the bytes that it is given, and keeps them, unless `LEN` is 0.
///
/// A plugin may have thousands of functions, and each step takes the compiler its time: texts are copied as a whole.
struct Writer<const LEN: usize> {
    bytes: [u8; LEN],
    len: usize,
}

impl<const LEN: usize> Writer<LEN> {
    const fn new() -> Self {
        Self {
            bytes: [0; LEN],
            len: 0,
        }
    }

    const fn desc<P: Plugin>(&mut self) {
        self.raw(b"{\"name\":");
        self.string(P::NAME);
        self.raw(b",\"version\":");
        self.string(P::VERSION);
        self.raw(b",\"plugin_api\":");
        self.string(VERSION);
        self.raw(b",\"rustc\":");
        self.string(RUSTC);
        self.raw(b",\"target\":");
        self.string(TARGET);
        self.raw(b",\"panic\":");
        self.string(PANIC);
        self.raw(b",\"functions\":[");
        self.names(P::FUNCTIONS);
        self.raw(b"]}");
    }

    const fn raw(&mut self, bytes: &[u8]) {
        if LEN > 0 {
            let (_, free) = self.bytes.split_at_mut(self.len);
            let (place, _) = free.split_at_mut(bytes.len());
            place.copy_from_slice(bytes);
        }
        self.len += bytes.len();
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a note of 4 GB can't be compiled"
    )]
    const fn word(&mut self, word: usize) {
        self.raw(&(word as u32).to_ne_bytes());
    }

    const fn pad(&mut self) {
        while !self.len.is_multiple_of(4) {
            self.raw(b"\0");
        }
    }

    const fn string(&mut self, text: &str) {
        self.raw(b"\"");
        let mut rest = text.as_bytes();
        let mut index = 0;
        while index < rest.len() {
            if rest[index] == b'"' || rest[index] == b'\\' {
                let (before, from) = rest.split_at(index);
                self.raw(before);
                self.raw(b"\\");
                // The character itself is copied with what follows it.
                rest = from;
                index = 0;
            }
            index += 1;
        }
        self.raw(rest);
        self.raw(b"\"");
    }

    /// `#[handler]` takes no name with a character that would have to be escaped.
    const fn names<P>(&mut self, functions: &[Function<P>]) {
        let mut index = 0;
        while index < functions.len() {
            self.raw(if index > 0 { b",\"" } else { b"\"" });
            self.raw(functions[index].name.as_bytes());
            self.raw(b"\"");
            index += 1;
        }
    }
}
