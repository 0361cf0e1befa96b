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
        atomic::{AtomicU64, Ordering},
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
    len_max: u64,
    used: Arc<AtomicU64>,
}

impl Spill {
    pub(crate) fn new(folder: PathBuf, len_max: u64) -> Self {
        Self {
            folder,
            len_max,
            used: Arc::default(),
        }
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
            len_max: self.len_max,
            used: Arc::clone(&self.used),
        }))))
    }
}

struct Inner {
    file: File,
    len: AtomicU64,
    len_max: u64,
    used: Arc<AtomicU64>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.used.fetch_sub(*self.len.get_mut(), Ordering::Relaxed);
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
        if inner.used.fetch_add(len, Ordering::Relaxed) + len > inner.len_max {
            inner.used.fetch_sub(len, Ordering::Relaxed);
            let message = format!(
                "the query needs more than the {} MB of disk that `spill_max` allows",
                inner.len_max >> 20
            );
            return Err(io::Error::other(Passing(Trouble::new(
                "spill_limit",
                message,
            ))));
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
