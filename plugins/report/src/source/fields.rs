//! The rows of a CSV file, taken apart.

use std::{borrow::Cow, sync::Arc};

use memchr::memchr;
use serde_json::json;

use crate::{
    error::{Result, Trouble},
    source::chunks::Chunk,
};

/// A field as it stands in the file, quotes taken off.
pub(super) struct Field<'a> {
    pub(super) bytes: Cow<'a, [u8]>,
    /// Where it begins in the chunk.
    pub(super) at: usize,
    pub(super) is_quoted: bool,
}

/// Takes rows apart.
#[derive(Debug)]
pub(super) struct Fields {
    name: Arc<str>,
    delimiter: u8,
    quote: Option<u8>,
}

impl Fields {
    pub(super) fn new(name: Arc<str>, delimiter: u8, quote: Option<u8>) -> Self {
        Self {
            name,
            delimiter,
            quote,
        }
    }

    /// Skips empty lines; false at the chunk's end.
    #[expect(clippy::unused_self, reason = "belongs to the reading of rows")]
    pub(super) fn begin_row(&self, chunk: &Chunk, at: &mut usize) -> bool {
        loop {
            match chunk.bytes.get(*at..) {
                Some([b'\n', ..]) => *at += 1,
                Some([b'\r', b'\n', ..]) => *at += 2,
                None | Some([] | [b'\r']) => return false,
                Some(_) => return true,
            }
        }
    }

    /// Hands over the fields of the row that begins at `at`, and goes behind it.
    #[inline]
    pub(super) fn row<'c>(
        &mut self,
        chunk: &'c Chunk,
        at: &mut usize,
        mut take: impl FnMut(Field<'c>) -> Result<()>,
    ) -> Result<()> {
        let bytes = chunk.bytes.as_slice();
        loop {
            let begin = *at;
            if self.quote.is_some() && bytes.get(begin).copied() == self.quote {
                let field = self.quoted(chunk, at)?;
                take(field)?;
            } else {
                let rest = &bytes[begin..];
                let len = rest
                    .iter()
                    .position(|byte| *byte == self.delimiter || *byte == b'\n');
                let len = len.unwrap_or(rest.len());
                let end = begin + len;
                *at = end;
                let mut field = &rest[..len];
                if bytes.get(end) != Some(&self.delimiter)
                    && let Some(before) = field.strip_suffix(b"\r")
                {
                    field = before;
                }
                take(Field {
                    bytes: Cow::Borrowed(field),
                    at: begin,
                    is_quoted: false,
                })?;
            }
            match bytes.get(*at) {
                Some(byte) if *byte == self.delimiter => *at += 1,
                Some(_) => {
                    *at += 1;
                    return Ok(());
                }
                None => return Ok(()),
            }
        }
    }

    /// The field in quotes at `at`. Behind it are a delimiter, a line's end, or nothing.
    #[cold]
    fn quoted<'c>(&self, chunk: &'c Chunk, at: &mut usize) -> Result<Field<'c>> {
        let bytes = chunk.bytes.as_slice();
        let quote = self.quote.unwrap_or(b'"');
        let begin = *at;
        let mut unescaped: Vec<u8> = Vec::new();
        let mut from = begin + 1;
        let close = loop {
            let Some(found) = memchr(quote, &bytes[from..]) else {
                return Err(self.wrong(chunk, begin, "the quote is never closed"));
            };
            let found = from + found;
            if bytes.get(found + 1) != Some(&quote) {
                break found;
            }
            unescaped.extend_from_slice(&bytes[from..=found]);
            from = found + 2;
        };
        *at = close + 1;
        if bytes[*at..].starts_with(b"\r\n") || bytes[*at..] == *b"\r" {
            *at += 1;
        }
        match bytes.get(*at) {
            None | Some(b'\n') => {}
            Some(byte) if *byte == self.delimiter => {}
            Some(_) => {
                return Err(self.wrong(chunk, *at, "there is something behind the closing quote"));
            }
        }
        let last = &bytes[from..close];
        let field = if unescaped.is_empty() {
            Cow::Borrowed(last)
        } else {
            unescaped.extend_from_slice(last);
            Cow::Owned(unescaped)
        };
        Ok(Field {
            bytes: field,
            at: begin,
            is_quoted: true,
        })
    }

    pub(super) fn wrong(&self, chunk: &Chunk, at: usize, what: &str) -> Trouble {
        let line = chunk.line_at(at);
        let message = format!("source `{}`, line {line}: {what}", self.name);
        Trouble::new("invalid_csv", message).data(json!({"source": &*self.name, "line": line}))
    }
}
