//! Files in pieces that end where a row ends, so that several threads can read one file, in order and exactly.

use std::{
    fmt,
    fs::File,
    io::{self, Cursor, Read},
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
    pub(crate) bytes: Vec<u8>,
    /// The number of the first of its lines, counted from 1.
    pub(crate) line: u64,
}

impl Chunk {
    /// The number of the line that byte `at` is in.
    pub(crate) fn line_at(&self, at: usize) -> u64 {
        let before = self.bytes.get(..at).unwrap_or(&self.bytes);
        self.line + memchr_iter(b'\n', before).count() as u64
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
        }
    }

    /// The next rows; false at the end. A byte order mark is left out.
    pub(crate) fn next(&mut self, chunk: &mut Chunk) -> Result<bool> {
        chunk.bytes.clear();
        chunk.bytes.append(&mut self.rest);
        chunk.line = self.line;
        let mut wanted = CHUNK_LEN;
        while !self.is_at_end {
            self.fill(&mut chunk.bytes, wanted)?;
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
            wanted = chunk.bytes.len() + CHUNK_LEN;
        }
        self.line += memchr_iter(b'\n', &chunk.bytes).count() as u64;
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

/// Where the last whole row ends, if there is one. `bytes` begin where a row begins.
fn row_end(bytes: &[u8], quoting: Option<Quoting>) -> Option<usize> {
    let Some(Quoting { quote, delimiter }) = quoting.filter(|it| memchr(it.quote, bytes).is_some())
    else {
        return memrchr(b'\n', bytes).map(|at| at + 1);
    };
    let mut end = None;
    let mut at = 0;
    loop {
        // Outside of quotes, up to the next quote that opens a field.
        let opening = memchr(quote, &bytes[at..]).map(|found| at + found);
        let outside = &bytes[at..opening.unwrap_or(bytes.len())];
        if let Some(newline) = memrchr(b'\n', outside) {
            end = Some(at + newline + 1);
        }
        let Some(opening) = opening else {
            return end;
        };
        let opens = opening == 0 || [delimiter, b'\n'].contains(&bytes[opening - 1]);
        at = opening + 1;
        if !opens {
            continue;
        }
        // Inside, up to a quote that isn't doubled.
        loop {
            let Some(found) = memchr(quote, &bytes[at..]) else {
                return end;
            };
            at += found + 1;
            if bytes.get(at) == Some(&quote) {
                at += 1;
            } else {
                break;
            }
        }
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
