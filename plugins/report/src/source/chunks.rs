//! Files in pieces that end where a row ends, so that several threads can read one file, in order and exactly.

use std::{
    fmt,
    io::{self, Read},
    sync::Arc,
};

use memchr::{memchr, memchr_iter};
use serde_json::json;

use crate::{
    encoding::WrongEncoding,
    error::{Result, Trouble},
    source::{
        bytes::Bytes,
        lines::{Lines, feed_lines, first_line, line_ends, row_end},
    },
    watch::Watch,
};

const CHUNK_LEN: usize = 1 << 20;
/// A row that is longer is a quote that nobody closes, more likely than not.
pub(crate) const ROW_LEN_MAX: usize = 16 << 20;

/// Whole rows of a file.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// A row ends with a line feed, whatever it ends with in the file; before that may be a carriage return.
    pub(crate) bytes: Vec<u8>,
    /// The number of the first of its lines, counted from 1.
    pub(crate) line: u64,
    /// It begins with the first row of the file.
    pub(crate) is_first: bool,
}

impl Chunk {
    /// The number of the line that byte `at` is in.
    pub(crate) fn line_at(&self, at: usize) -> u64 {
        let before = self.bytes.get(..at).unwrap_or(&self.bytes);
        self.line + line_ends(before)
    }
}

/// A file on its way, read in order.
pub(crate) struct Chunks {
    name: Arc<str>,
    reader: Box<dyn Read + Send>,
    lines: Lines,
    /// The beginning of the row that the last chunk was cut off before.
    rest: Vec<u8>,
    line: u64,
    is_at_end: bool,
    is_at_start: bool,
    /// No row was found so far.
    is_before_rows: bool,
    chunk_len: usize,
}

impl fmt::Debug for Chunks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunks")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

impl Chunks {
    pub(crate) fn new(
        name: Arc<str>,
        bytes: &Bytes,
        lines: Lines,
        watch: Option<&Arc<Watch>>,
    ) -> Self {
        Self {
            name,
            reader: bytes.reader(watch),
            lines,
            rest: Vec::new(),
            line: 1,
            is_at_end: false,
            is_at_start: true,
            is_before_rows: true,
            chunk_len: CHUNK_LEN,
        }
    }

    /// The next rows; false at the end. A byte order mark is left out, and so are lines before the first row.
    pub(crate) fn next(&mut self, chunk: &mut Chunk) -> Result<bool> {
        chunk.bytes.clear();
        chunk.bytes.append(&mut self.rest);
        chunk.is_first = self.is_before_rows;
        let mut wanted = self.chunk_len;
        let mut has_returns = false;
        while !self.is_at_end {
            self.fill(&mut chunk.bytes, wanted)?;
            self.skip_lines(&mut chunk.bytes);
            if self.lines.skipped == 0 {
                self.lines.blank_comments(&mut chunk.bytes, self.is_at_end);
                self.skip_empty_lines(&mut chunk.bytes);
            }
            has_returns = memchr(b'\r', &chunk.bytes).is_some();
            if has_returns {
                feed_lines(&mut chunk.bytes, self.lines.quoting, self.is_at_end);
            }
            if self.is_at_end {
                let end = self.lines.footer(&chunk.bytes);
                chunk.bytes.truncate(end);
                break;
            }
            let end = row_end(&chunk.bytes, self.lines.quoting);
            let end = end.map_or(0, |end| self.lines.footer(&chunk.bytes[..end]));
            if end > 0 && self.lines.skipped == 0 {
                self.rest.extend_from_slice(&chunk.bytes[end..]);
                chunk.bytes.truncate(end);
                break;
            }
            if chunk.bytes.len() > ROW_LEN_MAX {
                return Err(self.too_long());
            }
            wanted = chunk.bytes.len() + self.chunk_len;
        }
        chunk.line = self.line;
        // Most files have no carriage returns, which is known by now.
        self.line += if has_returns {
            line_ends(&chunk.bytes)
        } else {
            memchr_iter(b'\n', &chunk.bytes).count() as u64
        };
        self.is_before_rows &= chunk.bytes.is_empty();
        Ok(!chunk.bytes.is_empty())
    }

    /// Takes the lines away that are none of the rows because there are so many others before them.
    fn skip_lines(&mut self, bytes: &mut Vec<u8>) {
        let mut end = 0;
        while self.lines.skipped > 0 {
            let Some(len) = first_line(&bytes[end..], self.is_at_end) else {
                break;
            };
            end += len;
            self.lines.skipped -= 1;
            self.line += 1;
        }
        bytes.drain(..end);
        if self.is_at_end && self.lines.skipped > 0 {
            bytes.clear();
        }
    }

    /// Takes empty lines before the first row away.
    fn skip_empty_lines(&mut self, bytes: &mut Vec<u8>) {
        if !self.is_before_rows {
            return;
        }
        let mut end = 0;
        while matches!(bytes.get(end), Some(b'\n' | b'\r')) {
            let Some(len) = first_line(&bytes[end..], self.is_at_end) else {
                break;
            };
            end += len;
            self.line += 1;
        }
        bytes.drain(..end);
    }

    fn fill(&mut self, bytes: &mut Vec<u8>, wanted: usize) -> Result<()> {
        let mut len = bytes.len();
        bytes.resize(wanted.max(len), 0);
        while len < bytes.len() {
            match self.reader.read(&mut bytes[len..]) {
                Ok(0) => {
                    self.is_at_end = true;
                    break;
                }
                Ok(read) => len += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.unreadable(&error, &bytes[..len])),
            }
        }
        bytes.truncate(len);
        if self.is_at_start {
            self.is_at_start = false;
            self.check_encoding(bytes)?;
        }
        Ok(())
    }

    fn check_encoding(&self, bytes: &mut Vec<u8>) -> Result<()> {
        if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
            bytes.drain(..3);
        } else if let Some(what) = other_format(bytes) {
            let message = format!("source `{}` is {what}, and no text", self.name);
            return Err(Trouble::new("unreadable_file", message));
        }
        Ok(())
    }

    fn unreadable(&self, error: &io::Error, read: &[u8]) -> Trouble {
        if let Some(wrong) = WrongEncoding::of(error) {
            let line = self.line + line_ends(read);
            let message = format!("source `{}`, line {line}: {wrong}", self.name);
            return Trouble::new("wrong_encoding", message)
                .data(json!({"source": &*self.name, "line": line}));
        }
        let what = format!("source `{}` can't be read", self.name);
        match error.kind() {
            // What the decoder says of a broken or cut off gzip file.
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof => {
                Trouble::new("unreadable_file", format!("{what}: {error}"))
            }
            _ => Trouble::io(what, error),
        }
    }

    fn too_long(&self) -> Trouble {
        let hint = match self.lines.quoting {
            Some(_) => "; a quote may be missing its other one, or `quote` may have to be \"\"",
            None => "",
        };
        let message = format!(
            "source `{}`: the row that begins in line {} is longer than {} MB{hint}",
            self.name,
            self.line,
            ROW_LEN_MAX >> 20
        );
        Trouble::new("row_too_long", message)
    }
}

/// What a file is that begins so, if it is one of those that are taken for texts.
fn other_format(bytes: &[u8]) -> Option<&'static str> {
    let begin = bytes.trim_ascii_start();
    let is = |what: &[u8]| {
        let begin = begin.get(..what.len());
        begin.is_some_and(|begin| begin.eq_ignore_ascii_case(what))
    };
    if is(b"<!doctype html") || is(b"<html") {
        return Some("an HTML page");
    }
    [
        (
            &b"PK\x03\x04"[..],
            "an XLSX workbook or another ZIP archive",
        ),
        (
            b"\xd0\xcf\x11\xe0",
            "an XLS workbook or another document of old",
        ),
        (b"%PDF-", "a PDF"),
        (b"PAR1", "a Parquet file"),
        (b"SQLite format 3\0", "a SQLite file (name it in `sqlite`)"),
        (b"\x28\xb5\x2f\xfd", "packed with Zstandard"),
        (b"BZh", "packed with bzip2"),
        (b"\xfd7zXZ\0", "packed with xz"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"ARROW1\0\0", "an Arrow file"),
        (b"Obj\x01", "an Avro file"),
        (b"\x89PNG\r\n", "a PNG image"),
        (b"\xff\xd8\xff", "a JPEG image"),
        (b"GIF89a", "a GIF image"),
    ]
    .into_iter()
    .find_map(|(begin, what)| bytes.starts_with(begin).then_some(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::lines::Quoting;

    const QUOTING: Quoting = Quoting {
        quote: b'"',
        delimiter: b',',
    };

    fn lines(quoting: Option<Quoting>) -> Lines {
        Lines {
            quoting,
            ..Lines::default()
        }
    }

    #[test]
    fn cut_anywhere_the_rows_are_the_same() {
        let row = "1,\"two\nlines, and \"\"quotes\"\"\",3\" x\n";
        let text: String = row.repeat(200_000);
        let bytes = Bytes::Memory(text.as_bytes().into());
        let mut chunks = Chunks::new("t".into(), &bytes, lines(Some(QUOTING)), None);
        let mut chunk = Chunk::default();
        let (mut all, mut count) = (Vec::new(), 0);
        while chunks.next(&mut chunk).unwrap() {
            assert_eq!(chunk.bytes.len() % row.len(), 0);
            assert_eq!(chunk.line, 1 + 2 * (all.len() / row.len()) as u64);
            all.extend_from_slice(&chunk.bytes);
            count += 1;
        }
        assert!(count > 2);
        assert_eq!(all, text.as_bytes());
    }

    /// The chunks of a text, of so many bytes each, as one, and the line that comes after them.
    fn read(text: &str, chunk_len: usize, lines: Lines) -> (String, u64) {
        let bytes = Bytes::Memory(text.as_bytes().into());
        let mut chunks = Chunks::new("t".into(), &bytes, lines, None);
        chunks.chunk_len = chunk_len;
        let mut chunk = Chunk::default();
        let mut all = Vec::new();
        let mut first = 1;
        while chunks.next(&mut chunk).unwrap() {
            assert_eq!(chunk.is_first, all.is_empty(), "{text:?} {chunk_len}");
            if chunk.is_first {
                first = chunk.line;
            }
            let line = first + line_ends(&all);
            assert_eq!(chunk.line, line, "{text:?} {chunk_len}");
            let is_whole = chunk.bytes.ends_with(b"\n") || chunks.is_at_end;
            assert!(is_whole, "{text:?} {chunk_len}: {chunk:?}");
            all.extend_from_slice(&chunk.bytes);
        }
        (String::from_utf8(all).unwrap(), chunks.line)
    }

    #[test]
    fn rows_end_with_line_feeds_returns_or_both_wherever_chunks_end() {
        for (text, expected, line) in [
            ("a,b\r1,2\r3,4\r", "a,b\n1,2\n3,4\n", 4),
            ("a,b\r1,2\r3,4", "a,b\n1,2\n3,4", 3),
            ("a,b\r\n1,2\r\n", "a,b\r\n1,2\r\n", 3),
            (
                "a\r\n1\r2\n3\n\r4\r\r\n5\r",
                "a\r\n1\n2\n3\n\n4\n\r\n5\n",
                9,
            ),
            ("\r\r\r", "", 4),
            ("\n\r\n\ra\n", "a\n", 5),
            (
                "a\r\"x\ry\"\r\"1\"\"\r\"\r",
                "a\n\"x\ry\"\n\"1\"\"\r\"\n",
                6,
            ),
            (
                "a,\"x\r\ny\"\r\n\"\r\",2\r\n",
                "a,\"x\r\ny\"\r\n\"\r\",2\r\n",
                5,
            ),
            // A quote within a field is a character as any other.
            ("5\" pipe\rnext \"x\"\r", "5\" pipe\nnext \"x\"\n", 3),
        ] {
            for chunk_len in 1..=text.len() + 1 {
                let found = read(text, chunk_len, lines(Some(QUOTING)));
                assert_eq!(found, (expected.to_owned(), line), "{text:?} {chunk_len}");
            }
        }
        let found = read("\"a\rb\"\r\n", 3, lines(None));
        assert_eq!(found, ("\"a\nb\"\r\n".to_owned(), 3), "without quotes");
    }

    #[test]
    fn skipped_lines_and_comments_are_no_rows_wherever_chunks_end() {
        let of = |skipped, comment: Option<&str>| Lines {
            quoting: Some(QUOTING),
            skipped,
            comment: comment.map(Arc::from),
            footer_rows: 0,
        };
        for (text, lines, expected, line) in [
            ("it's \"so\r\n\r\na,b\r\n", of(2, None), "a,b\r\n", 4),
            ("x\r\"\ra\r", of(2, None), "a\n", 4),
            ("x\ny", of(2, None), "", 2),
            ("x\n", of(9, None), "", 2),
            ("# \"x\na\n# 1,\"\n1\n#", of(0, Some("#")), "a\n\n1\n", 5),
            ("//\ra\r//,\"\r1\r/", of(0, Some("//")), "a\n\n1\n/", 5),
            // In quotes, or within a row, it is text.
            (
                "a\n\"1\n#2\"\n3#\n",
                of(0, Some("#")),
                "a\n\"1\n#2\"\n3#\n",
                5,
            ),
            (
                "a,\"#\n#\"\n#x\r\n1,2\n",
                of(0, Some("#")),
                "a,\"#\n#\"\n\r\n1,2\n",
                5,
            ),
            ("#\n#\n\n#a\n#b", of(1, Some("#")), "", 5),
        ] {
            for chunk_len in 1..=text.len() + 1 {
                let found = read(text, chunk_len, lines.clone());
                assert_eq!(found, (expected.to_owned(), line), "{text:?} {chunk_len}");
            }
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_ends_the_reading() {
        let text = format!("a,b\n\"{}", "x\n".repeat(ROW_LEN_MAX));
        let bytes = Bytes::Memory(text.as_bytes().into());
        let mut chunks = Chunks::new("t".into(), &bytes, lines(Some(QUOTING)), None);
        let mut chunk = Chunk::default();
        assert!(chunks.next(&mut chunk).unwrap());
        let error = chunks.next(&mut chunk).unwrap_err();
        assert_eq!(error.kind, "row_too_long");
        assert!(error.message.contains("line 2"), "{error}");
    }
}
