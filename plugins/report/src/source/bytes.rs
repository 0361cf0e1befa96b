//! The bytes of a source, as they are or gzipped, as UTF-8 whatever they are in the file.

use std::{
    fmt,
    fs::File,
    io::{self, Cursor, Read},
    os::unix::fs::FileExt,
    sync::Arc,
};

use flate2::read::MultiGzDecoder;

use crate::{
    encoding::{Decoded, Encoding},
    watch::Watch,
};

/// Where the bytes of a source are.
#[derive(Clone)]
pub(crate) enum Bytes {
    /// Opened once; whatever happens to its name, the file is this one.
    File {
        file: Arc<File>,
        is_gzip: bool,
        encoding: Encoding,
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
    pub(crate) fn file(file: File, encoding: Encoding) -> io::Result<Self> {
        let mut magic = [0; 2];
        let len = file.read_at(&mut magic, 0)?;
        Ok(Self::File {
            file: Arc::new(file),
            is_gzip: len == 2 && magic == [0x1f, 0x8b],
            encoding,
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
            Self::File {
                file,
                is_gzip,
                encoding,
            } => {
                let reader = FileReader {
                    file: Arc::clone(file),
                    offset: 0,
                    watch: watch.cloned(),
                };
                if *is_gzip {
                    let packed = io::BufReader::with_capacity(1 << 16, reader);
                    Box::new(Decoded::new(MultiGzDecoder::new(packed), *encoding))
                } else {
                    Box::new(Decoded::new(reader, *encoding))
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
