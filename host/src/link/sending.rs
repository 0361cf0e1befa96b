//! Frames on their way into a ring: what finds no room there waits here.

use bytes::{Buf, BytesMut};

use super::ring::Writer;

/// Room for frames that is kept when all are in the ring.
const KEPT_MAX: usize = 1024 * 1024;
/// What ends a frame is put into the ring from where it lies if it is as long as this; else it is copied once more, with
/// those around it.
const DIRECT_LEN_MIN: usize = 512;

#[derive(Debug)]
pub(crate) struct Sending {
    writer: Writer,
    /// What is not in the ring yet.
    frames: BytesMut,
    /// There is something that the reader has not been woken for.
    is_new: bool,
}

/// How far [`Sending::write`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// The reader sleeps, and is to be woken.
    pub(crate) wakes: bool,
    /// Everything is in the ring. If not, whoever reads tells of room ([`super::Reader::writer_sleeps`]).
    pub(crate) is_all: bool,
}

impl Sending {
    pub(crate) fn new(writer: Writer) -> Self {
        Self {
            writer,
            frames: BytesMut::new(),
            is_new: false,
        }
    }

    /// Adds a frame, whose last part `head` gives back. The reader is not woken: see [`Sending::write`].
    pub(crate) fn push<'f>(&mut self, head: impl FnOnce(&mut BytesMut) -> &'f [u8]) {
        let is_first = self.frames.is_empty();
        let mut rest = head(&mut self.frames);
        if is_first && rest.len() >= DIRECT_LEN_MIN {
            self.fill();
            if self.frames.is_empty() {
                rest = &rest[self.writer.write(rest)..];
            }
        }
        self.frames.extend_from_slice(rest);
        self.is_new = true;
    }

    /// Moves to the ring what there is room for. Nothing, if nothing has been pushed and all was there.
    pub(crate) fn write(&mut self) -> Written {
        let mut written = Written {
            wakes: false,
            is_all: true,
        };
        if !self.is_new && self.frames.is_empty() {
            return written;
        }
        self.is_new = false;
        loop {
            self.fill();
            written.wakes |= self.writer.reader_sleeps();
            if self.frames.is_empty() {
                break;
            }
            if self.writer.sleep() {
                written.is_all = false;
                return written;
            }
        }
        self.frames.clear();
        // A long line must not be remembered in memory for the rest of the worker's life.
        if self.frames.capacity() > KEPT_MAX {
            self.frames = BytesMut::new();
        }
        written
    }

    fn fill(&mut self) {
        let len = self.writer.write(&self.frames);
        self.frames.advance(len);
    }

    /// How the other side is reached.
    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }
}
