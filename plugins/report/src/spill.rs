//! Where the engine puts what doesn't fit into memory: files without a name, of which nothing is left even when the
//! worker is killed.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use datafusion::{
    error::{DataFusionError, Result},
    execution::{SpillFile, SpillWriter, TempFileFactory},
};
use futures_util::{Stream, stream};

use crate::error::{Passing, Trouble};

const READ_LEN: usize = 128 << 10;

/// Makes the files of one task.
#[derive(Debug)]
pub(crate) struct Spill {
    folder: PathBuf,
    usage: Arc<Usage>,
}

/// What all files of a task hold together.
#[derive(Debug)]
struct Usage {
    len: AtomicU64,
    len_max: u64,
    /// Whether something found no room.
    was_full: AtomicBool,
}

impl Spill {
    pub(crate) fn new(folder: PathBuf, len_max: u64) -> Self {
        let usage = Usage {
            len: AtomicU64::new(0),
            len_max,
            was_full: AtomicBool::new(false),
        };
        Self {
            folder,
            usage: Arc::new(usage),
        }
    }

    /// The failure of a query whose rows found no room on the disk, if that has happened: whatever else fails then,
    /// like another thread's rows that found no room in memory, fails for that.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let usage = &self.usage;
        let was_full = usage.was_full.load(Ordering::Relaxed);
        was_full.then(|| usage.trouble())
    }
}

impl Usage {
    fn trouble(&self) -> Trouble {
        let message = format!(
            "the query needs more than the {} MB of disk that `spill_max` allows",
            self.len_max >> 20
        );
        Trouble::new("spill_limit", message)
    }
}

impl TempFileFactory for Spill {
    fn create_temp_file(&self, _: &str) -> Result<Arc<dyn SpillFile>> {
        let file = tempfile::tempfile_in(&self.folder).map_err(|error| {
            let what = format!(
                "no file can be made in the spill folder {}",
                self.folder.display()
            );
            Passing::engine_error(Trouble::io(what, &error))
        })?;
        Ok(Arc::new(Spilled(Arc::new(Inner {
            file,
            len: AtomicU64::new(0),
            usage: Arc::clone(&self.usage),
        }))))
    }
}

struct Inner {
    file: File,
    len: AtomicU64,
    usage: Arc<Usage>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let len = *self.len.get_mut();
        self.usage.len.fetch_sub(len, Ordering::Relaxed);
    }
}

struct Spilled(Arc<Inner>);

impl SpillFile for Spilled {
    fn size(&self) -> Option<u64> {
        Some(self.0.len.load(Ordering::Relaxed))
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let reads = stream::try_unfold((Arc::clone(&self.0), 0), |(inner, at)| async move {
            let mut buffer = vec![0; READ_LEN];
            let len = loop {
                match inner.file.read_at(&mut buffer, at) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    read => break read.map_err(DataFusionError::IoError)?,
                }
            };
            buffer.truncate(len);
            Ok((len > 0).then(|| (Bytes::from(buffer), (inner, at + len as u64))))
        });
        Ok(Box::pin(reads))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        Ok(Box::new(Writer(Arc::clone(&self.0))))
    }
}

struct Writer(Arc<Inner>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let inner = &*self.0;
        let len = bytes.len() as u64;
        let usage = &inner.usage;
        if usage.len.fetch_add(len, Ordering::Relaxed) + len > usage.len_max {
            usage.len.fetch_sub(len, Ordering::Relaxed);
            usage.was_full.store(true, Ordering::Relaxed);
            return Err(io::Error::other(Passing(usage.trouble())));
        }
        let at = inner.len.fetch_add(len, Ordering::Relaxed);
        inner.file.write_all_at(bytes, at)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_found_no_room_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::new(folder.path().to_owned(), 10);
        let file = spill.create_temp_file("test").unwrap();
        let mut writer = file.open_writer().unwrap();
        writer.write_all(b"12345678").unwrap();
        assert!(spill.trouble().is_none());
        assert!(writer.write_all(b"too much").is_err());
        let trouble = spill.trouble().unwrap();
        assert_eq!(trouble.kind, "spill_limit");
        // What is gone makes room, and doesn't undo what has happened.
        drop((writer, file));
        let file = spill.create_temp_file("test").unwrap();
        file.open_writer()
            .unwrap()
            .write_all(b"1234567890")
            .unwrap();
        assert!(spill.trouble().is_some());
    }
}
