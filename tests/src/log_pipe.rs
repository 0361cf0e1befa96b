//! A log that is read when the test wants it to be.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};

/// A pipe with a path, and its only reader.
#[derive(Debug)]
pub struct LogPipe {
    path: PathBuf,
    /// Both ends in one, so that nobody waits for the other one; in non-blocking mode.
    end: File,
}

impl LogPipe {
    /// An empty one in this folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        let path = folder.join("log");
        let mode = Mode::RUSR | Mode::WUSR;
        mknodat(CWD, &path, FileType::Fifo, mode, 0).expect("the folder has no log yet");
        let end = open(&path, OFlags::RDWR | OFlags::NONBLOCK, Mode::empty())
            .expect("both ends of it are ours");
        Self {
            path,
            end: File::from(end),
        }
    }

    /// One without room for a single byte.
    #[must_use]
    pub fn full(folder: &Path) -> Self {
        let mut pipe = Self::new(folder);
        for chunk in [&[b'\n'; 4096][..], b"\n"] {
            while pipe.end.write(chunk).is_ok() {}
        }
        pipe
    }

    /// What programs write to.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what is there.
    #[track_caller]
    pub fn read(&mut self) -> String {
        let mut bytes = Vec::new();
        match self.end.read_to_end(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("a pipe that this side keeps open ended: {other:?}"),
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
