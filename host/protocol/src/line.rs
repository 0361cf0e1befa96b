//! From a byte stream to lines.

use std::fmt;

use bytes::{Bytes, BytesMut};

/// How long a line may be unless configured otherwise, in bytes: 10 MiB.
pub const LINE_LEN_MAX_DEFAULT: usize = 10 * 1024 * 1024;

/// A line of more bytes than that has its memory to itself, but for what was read together with its beginning: what comes
/// after it, however small, doesn't keep it.
const SHARED_LEN_MAX: usize = 16 * 1024;

/// Cuts a byte stream into lines, wherever the stream's pieces begin and end.
///
/// Append what was read to [`buffer_mut`](Self::buffer_mut), then call [`next_line`](Self::next_line) until it
/// returns `None`. A line shares the buffer's memory with those that were read together with it, unless it is long.
#[derive(Debug)]
pub struct LineDecoder {
    buffer: BytesMut,
    /// So many bytes at the buffer's start are known to hold no newline.
    scanned: usize,
    line_len_max: usize,
}

impl LineDecoder {
    /// A decoder that refuses lines of more than `line_len_max` bytes. The newline doesn't count, nor does one
    /// carriage return before it.
    #[must_use]
    pub fn new(line_len_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            line_len_max,
        }
    }

    /// Lines may be as long as that from now on, in bytes.
    pub fn set_line_len_max(&mut self, line_len_max: usize) {
        self.line_len_max = line_len_max;
    }

    /// Where bytes read are appended, and only appended. The caller reserves room.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole line, without its newline and the carriage returns before it; `None` when more bytes are
    /// needed.
    ///
    /// # Errors
    /// The line is over the limit, known as soon as more than that is buffered. It stays so: every further call
    /// fails too.
    pub fn next_line(&mut self) -> Result<Option<Bytes>, LineTooLong> {
        let newline =
            memchr::memchr(b'\n', &self.buffer[self.scanned..]).map(|at| self.scanned + at);
        let line_end = newline.unwrap_or(self.buffer.len());
        self.scanned = line_end;
        if self.is_too_long(&self.buffer[..line_end]) {
            return Err(LineTooLong {
                line_len_max: self.line_len_max,
            });
        }
        if newline.is_none() {
            return Ok(None);
        }
        let mut line = self.buffer.split_to(line_end + 1).freeze();
        self.scanned = 0;
        if line.len() > SHARED_LEN_MAX {
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        let trimmed_len = line[..line_end]
            .iter()
            .rposition(|&byte| byte != b'\r')
            .map_or(0, |at| at + 1);
        line.truncate(trimmed_len);
        Ok(Some(line))
    }

    /// One carriage return is free, not any number of them: otherwise a stream of nothing else would grow without
    /// bound, or a line's fate would depend on how it was cut.
    fn is_too_long(&self, line: &[u8]) -> bool {
        line.strip_suffix(b"\r").unwrap_or(line).len() > self.line_len_max
    }

    /// At the end of the stream, when [`next_line`](Self::next_line) has no more: the rest that no newline ended,
    /// if there is one.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.scanned = 0;
        Some(self.buffer.split().freeze()).filter(|rest| !rest.is_empty())
    }

    /// How many bytes are held that no line has taken yet.
    #[must_use]
    pub fn buffered_len(&self) -> usize {
        self.buffer.len()
    }

    /// Gives the buffer's memory back if nothing is buffered, for a connection that falls idle.
    pub fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }
}

/// A line is longer than the decoder allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineTooLong {
    /// The limit, in bytes.
    pub line_len_max: usize,
}

impl fmt::Display for LineTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the line is longer than {} bytes, the most that this server takes",
            self.line_len_max
        )
    }
}

impl std::error::Error for LineTooLong {}
