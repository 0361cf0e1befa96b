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
    let desc_len = write_desc::<P, 0>(Writer::new()).len;
    let writer = Writer::<LEN>::new()
        .word(NOTE_NAME.len())
        .word(desc_len)
        .word(NOTE_TYPE as usize)
        .raw(NOTE_NAME)
        .pad();
    write_desc::<P, LEN>(writer).pad()
}

const fn write_desc<P: Plugin, const LEN: usize>(writer: Writer<LEN>) -> Writer<LEN> {
    writer
        .raw(b"{\"name\":")
        .string(P::NAME)
        .raw(b",\"version\":")
        .string(P::VERSION)
        .raw(b",\"plugin_api\":")
        .string(VERSION)
        .raw(b",\"rustc\":")
        .string(RUSTC)
        .raw(b",\"target\":")
        .string(TARGET)
        .raw(b",\"panic\":")
        .string(PANIC)
        .raw(b",\"functions\":[")
        .names(P::FUNCTIONS)
        .raw(b"]}")
}

/// Counts the bytes that it is given, and keeps the first `LEN` of them.
#[derive(Clone, Copy)]
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

    const fn byte(mut self, byte: u8) -> Self {
        if self.len < LEN {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
        self
    }

    const fn raw(mut self, bytes: &[u8]) -> Self {
        let mut index = 0;
        while index < bytes.len() {
            self = self.byte(bytes[index]);
            index += 1;
        }
        self
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a note of 4 GB can't be compiled"
    )]
    const fn word(self, word: usize) -> Self {
        self.raw(&(word as u32).to_ne_bytes())
    }

    const fn pad(mut self) -> Self {
        while !self.len.is_multiple_of(4) {
            self = self.byte(0);
        }
        self
    }

    const fn string(mut self, text: &str) -> Self {
        let bytes = text.as_bytes();
        self = self.byte(b'"');
        let mut index = 0;
        while index < bytes.len() {
            if bytes[index] == b'"' || bytes[index] == b'\\' {
                self = self.byte(b'\\');
            }
            self = self.byte(bytes[index]);
            index += 1;
        }
        self.byte(b'"')
    }

    const fn names<P>(mut self, functions: &[Function<P>]) -> Self {
        let mut index = 0;
        while index < functions.len() {
            if index > 0 {
                self = self.byte(b',');
            }
            self = self.string(functions[index].name);
            index += 1;
        }
        self
    }
}
