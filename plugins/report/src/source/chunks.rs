//! Files in pieces that end where a row ends, so that several threads can read one file, in order and exactly.

use std::{
    fmt,
    fs::File,
    io::{self, Cursor, Read},
    ops::Range,
    os::unix::fs::FileExt,
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use memchr::{memchr, memchr_iter, memrchr};

use crate::{
    error::{Result, Trouble},
    watch::Watch,
};

const CHUNK_LEN: usize = 1 << 20;
/// A row that is longer is a quote that nobody closes, more likely than not.
pub(crate) const ROW_LEN_MAX: usize = 16 << 20;

/// Where the bytes of a source are.
#[derive(Clone)]
pub(crate) enum Bytes {
    /// Opened once; whatever happens to its name, the file is this one.
    File {
        file: Arc<File>,
        is_gzip: bool,
    },
    Memory(Arc<[u8]>),
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File { .. } => "File",
            Self::Memory(_) => "Memory",
        })
    }
}

impl Bytes {
    pub(crate) fn file(file: File) -> io::Result<Self> {
        let mut magic = [0; 2];
        let len = file.read_at(&mut magic, 0)?;
        Ok(Self::File {
            file: Arc::new(file),
            is_gzip: len == 2 && magic == [0x1f, 0x8b],
        })
    }

    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::File { file, .. } => file.metadata().map_or(0, |metadata| metadata.len()),
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Whether it begins with the byte order mark of UTF-8.
    pub(crate) fn has_utf8_mark(&self) -> bool {
        let mut begin = [0; 3];
        self.reader(None).read_exact(&mut begin).is_ok() && begin == [0xef, 0xbb, 0xbf]
    }

    /// From the beginning. What is read counts as progress of the watch, if there is one.
    pub(crate) fn reader(&self, watch: Option<&Arc<Watch>>) -> Box<dyn Read + Send> {
        match self {
            Self::Memory(bytes) => Box::new(Cursor::new(Arc::clone(bytes))),
            Self::File { file, is_gzip } => {
                let reader = FileReader {
                    file: Arc::clone(file),
                    offset: 0,
                    watch: watch.cloned(),
                };
                if *is_gzip {
                    Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(
                        1 << 16,
                        reader,
                    )))
                } else {
                    Box::new(reader)
                }
            }
        }
    }
}

/// Reads with a position of its own.
struct FileReader {
    file: Arc<File>,
    offset: u64,
    watch: Option<Arc<Watch>>,
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buffer, self.offset)?;
        self.offset += len as u64;
        if let Some(watch) = &self.watch {
            watch.has_read(len as u64);
        }
        Ok(len)
    }
}

/// How rows may hold line breaks: in quotes. A quote counts only where a field begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoting {
    pub(crate) quote: u8,
    pub(crate) delimiter: u8,
}

/// Whole rows of a file.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// A row ends with a line feed, whatever it ends with in the file; before that may be a carriage return.
    pub(crate) bytes: Vec<u8>,
    /// The number of the first of its lines, counted from 1.
    pub(crate) line: u64,
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
    quoting: Option<Quoting>,
    /// The beginning of the row that the last chunk was cut off before.
    rest: Vec<u8>,
    line: u64,
    is_at_end: bool,
    is_at_start: bool,
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
        quoting: Option<Quoting>,
        watch: Option<&Arc<Watch>>,
    ) -> Self {
        Self {
            name,
            reader: bytes.reader(watch),
            quoting,
            rest: Vec::new(),
            line: 1,
            is_at_end: false,
            is_at_start: true,
            chunk_len: CHUNK_LEN,
        }
    }

    /// The next rows; false at the end. A byte order mark is left out.
    pub(crate) fn next(&mut self, chunk: &mut Chunk) -> Result<bool> {
        chunk.bytes.clear();
        chunk.bytes.append(&mut self.rest);
        chunk.line = self.line;
        let mut wanted = self.chunk_len;
        let mut has_returns = false;
        while !self.is_at_end {
            self.fill(&mut chunk.bytes, wanted)?;
            has_returns = memchr(b'\r', &chunk.bytes).is_some();
            if has_returns {
                feed_lines(&mut chunk.bytes, self.quoting, self.is_at_end);
            }
            let end = row_end(&chunk.bytes, self.quoting);
            if self.is_at_end {
                break;
            }
            if let Some(end) = end {
                self.rest.extend_from_slice(&chunk.bytes[end..]);
                chunk.bytes.truncate(end);
                break;
            }
            if chunk.bytes.len() > ROW_LEN_MAX {
                return Err(self.too_long());
            }
            wanted = chunk.bytes.len() + self.chunk_len;
        }
        // Most files have no carriage returns, which is known by now.
        self.line += if has_returns {
            line_ends(&chunk.bytes)
        } else {
            memchr_iter(b'\n', &chunk.bytes).count() as u64
        };
        Ok(!chunk.bytes.is_empty())
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
                Err(error) => return Err(self.unreadable(&error)),
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
        } else if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
            let message = format!("source `{}` is UTF-16; save it as UTF-8", self.name);
            return Err(Trouble::new("wrong_encoding", message));
        } else if let Some(what) = other_format(bytes) {
            let message = format!("source `{}` is {what}, and no text", self.name);
            return Err(Trouble::new("unreadable_file", message));
        }
        Ok(())
    }

    fn unreadable(&self, error: &io::Error) -> Trouble {
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
        let hint = match self.quoting {
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
    ]
    .into_iter()
    .find_map(|(begin, what)| bytes.starts_with(begin).then_some(what))
}

/// How many lines end here: with a line feed, a carriage return, or both.
fn line_ends(bytes: &[u8]) -> u64 {
    let returns = memchr_iter(b'\r', bytes).filter(|at| bytes.get(at + 1) != Some(&b'\n'));
    (memchr_iter(b'\n', bytes).count() + returns.count()) as u64
}

/// Puts a line feed for each carriage return that ends a row on its own, as on classic Mac systems, so that everybody
/// else has to know line feeds alone. `bytes` begin where a row begins; behind the last of them more may come.
fn feed_lines(bytes: &mut [u8], quoting: Option<Quoting>, is_at_end: bool) {
    let is_alone = |bytes: &[u8], at: usize| match bytes.get(at + 1) {
        Some(next) => *next != b'\n',
        None => is_at_end,
    };
    if !memchr_iter(b'\r', bytes).any(|at| is_alone(bytes, at)) {
        return;
    }
    let mut outside = Outside::new(quoting);
    while let Some(mut stretch) = outside.next(bytes) {
        while let Some(found) = memchr(b'\r', &bytes[stretch.clone()]) {
            let at = stretch.start + found;
            if is_alone(bytes, at) {
                bytes[at] = b'\n';
            }
            stretch.start = at + 1;
        }
    }
}

/// Where the last whole row ends, if there is one. `bytes` begin where a row begins.
fn row_end(bytes: &[u8], quoting: Option<Quoting>) -> Option<usize> {
    let mut end = None;
    let mut outside = Outside::new(quoting);
    while let Some(stretch) = outside.next(bytes) {
        if let Some(newline) = memrchr(b'\n', &bytes[stretch.clone()]) {
            end = Some(stretch.start + newline + 1);
        }
    }
    end
}

/// The stretches of a file outside of quotes, from the beginning of a row on.
struct Outside {
    quoting: Option<Quoting>,
    /// Where the next one begins, if there is one.
    at: Option<usize>,
}

impl Outside {
    fn new(quoting: Option<Quoting>) -> Self {
        Self {
            quoting,
            at: Some(0),
        }
    }

    fn next(&mut self, bytes: &[u8]) -> Option<Range<usize>> {
        let begin = self.at.take()?;
        let opening = self.quoting.and_then(|quoting| {
            let found = memchr(quoting.quote, &bytes[begin..])?;
            Some((begin + found, quoting))
        });
        let Some((opening, Quoting { quote, delimiter })) = opening else {
            return Some(begin..bytes.len());
        };
        let opens = opening == 0 || [delimiter, b'\n', b'\r'].contains(&bytes[opening - 1]);
        self.at = if opens {
            closed(&bytes[opening + 1..], quote).map(|len| opening + 1 + len)
        } else {
            Some(opening + 1)
        };
        Some(begin..opening)
    }
}

/// How long what is in quotes is, with the quote that closes it, which isn't doubled.
fn closed(inside: &[u8], quote: u8) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr(quote, &inside[at..])? + 1;
        if inside.get(at) != Some(&quote) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTING: Quoting = Quoting {
        quote: b'"',
        delimiter: b',',
    };

    fn end(text: &str) -> Option<usize> {
        row_end(text.as_bytes(), Some(QUOTING))
    }

    #[test]
    fn rows_end_outside_of_quotes() {
        assert_eq!(end("a,b\nc,d\ne"), Some(8));
        assert_eq!(end("a"), None);
        assert_eq!(end("\"a\nb\""), None);
        assert_eq!(end("\"a\nb\"\nc"), Some(6));
        assert_eq!(end("x,\"a \"\"\n\"\" b\"\ny,\"\n"), Some(14));
        // A quote within a field is a character as any other.
        assert_eq!(end("5\" pipe\nnext"), Some(8));
    }

    #[test]
    fn cut_anywhere_the_rows_are_the_same() {
        let row = "1,\"two\nlines, and \"\"quotes\"\"\",3\" x\n";
        let text: String = row.repeat(200_000);
        let bytes = Bytes::Memory(text.as_bytes().into());
        let mut chunks = Chunks::new("t".into(), &bytes, Some(QUOTING), None);
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
    fn read(text: &str, chunk_len: usize, quoting: Option<Quoting>) -> (String, u64) {
        let bytes = Bytes::Memory(text.as_bytes().into());
        let mut chunks = Chunks::new("t".into(), &bytes, quoting, None);
        chunks.chunk_len = chunk_len;
        let mut chunk = Chunk::default();
        let mut all = Vec::new();
        while chunks.next(&mut chunk).unwrap() {
            assert_eq!(chunk.line, 1 + line_ends(&all), "{text:?} {chunk_len}");
            let is_whole =
                chunk.bytes.ends_with(b"\n") || all.len() + chunk.bytes.len() == text.len();
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
            ("\r\r\r", "\n\n\n", 4),
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
                let found = read(text, chunk_len, Some(QUOTING));
                assert_eq!(found, (expected.to_owned(), line), "{text:?} {chunk_len}");
            }
        }
        let found = read("\"a\rb\"\r\n", 3, None);
        assert_eq!(found, ("\"a\nb\"\r\n".to_owned(), 3), "without quotes");
    }

    #[test]
    fn a_quote_that_is_never_closed_ends_the_reading() {
        let text = format!("a,b\n\"{}", "x\n".repeat(ROW_LEN_MAX));
        let bytes = Bytes::Memory(text.as_bytes().into());
        let mut chunks = Chunks::new("t".into(), &bytes, Some(QUOTING), None);
        let mut chunk = Chunk::default();
        assert!(chunks.next(&mut chunk).unwrap());
        let error = chunks.next(&mut chunk).unwrap_err();
        assert_eq!(error.kind, "row_too_long");
        assert!(error.message.contains("line 2"), "{error}");
    }
}
