//! A file that appears whole or not at all.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cap_std::fs::{Dir, OpenOptions};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::FileError;

/// A file that has no name until it is committed.
///
/// It is made with `O_TMPFILE`: not even a process that is killed leaves anything behind. Where the file system has no
/// such files (NFS), it has a hidden name beside its future one, which is removed when this is dropped.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    folder: Dir,
    /// The folder's own path, without symbolic links.
    folder_path: PathBuf,
    name: OsString,
    /// The name that it has meanwhile, if it needs one.
    hidden_name: Option<OsString>,
    /// The name that what it replaces has meanwhile, if it may have to be put back.
    old_name: Option<OsString>,
    /// The path that the request named.
    requested: String,
    setting: &'static str,
}

impl NewFile {
    pub(super) fn create(
        folder: Dir,
        folder_path: &Path,
        name: OsString,
        path: &str,
        setting: &'static str,
    ) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let (file, hidden_name) =
            match rustix::fs::openat(&folder, ".", flags, Mode::from_raw_mode(0o666)) {
                Ok(file) => (File::from(file), None),
                Err(Errno::OPNOTSUPP | Errno::ISDIR) => {
                    let mut options = OpenOptions::new();
                    options.read(true).write(true).create_new(true);
                    let (hidden, file) =
                        with_hidden_name(&name, |hidden| folder.open_with(hidden, &options))?;
                    (file.into_std(), Some(hidden))
                }
                Err(error) => return Err(error.into()),
            };
        Ok(Self {
            file,
            folder,
            folder_path: folder_path.to_owned(),
            name,
            hidden_name,
            old_name: None,
            requested: path.to_owned(),
            setting,
        })
    }

    /// The file, for what takes nothing else.
    #[must_use]
    pub fn as_file(&self) -> &File {
        &self.file
    }

    /// Gives the file its name, in place of whatever has it, and says where it is.
    ///
    /// # Errors
    ///
    /// The folder no longer takes it: then nothing has changed.
    pub fn commit(mut self) -> Result<PathBuf, FileError> {
        self.link().map_err(|error| self.error(&error))?;
        Ok(self.path())
    }

    /// Where the file is once it is committed, without symbolic links.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder_path.join(&self.name)
    }

    /// An error for something that went wrong while this file was written.
    #[must_use]
    pub fn error(&self, error: &io::Error) -> FileError {
        FileError::from_io(&self.requested, self.setting, error)
    }

    fn link(&mut self) -> io::Result<()> {
        if self.hidden_name.is_none() {
            match self.link_as(&self.name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                done => return done,
            }
            let (hidden, ()) = with_hidden_name(&self.name, |hidden| self.link_as(hidden))?;
            self.hidden_name = Some(hidden);
        }
        if let Some(hidden) = &self.hidden_name {
            self.folder.rename(hidden, &self.folder, &self.name)?;
            self.hidden_name = None;
        }
        Ok(())
    }

    /// Gives what has the name a hidden one too, so that it isn't lost when the name is given to this file.
    fn keep_old(&mut self) -> io::Result<()> {
        let kept = with_hidden_name(&self.name, |hidden| {
            let (folder, name) = (&self.folder, &self.name);
            match rustix::fs::linkat(folder, name, folder, hidden, AtFlags::empty()) {
                Err(error @ (Errno::EXIST | Errno::NOENT)) => Err(error.into()),
                // The file system has no hard links, or none to the files of others.
                Err(error) => self.copy_old(hidden, error),
                Ok(()) => Ok(()),
            }
        });
        match kept {
            Ok((hidden, ())) => self.old_name = Some(hidden),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn copy_old(&self, hidden: &OsStr, no_link: Errno) -> io::Result<()> {
        // Nothing else has a content that could be copied.
        let kind = self.folder.symlink_metadata(&self.name)?;
        if !kind.is_file() {
            let error = if kind.is_dir() { Errno::ISDIR } else { no_link };
            return Err(error.into());
        }
        let copied = self.folder.copy(&self.name, &self.folder, hidden);
        if copied.is_err() {
            // Nobody is left to be told.
            drop(self.folder.remove_file(hidden));
        }
        copied.map(drop)
    }

    /// Gives the name back to what had it.
    fn put_back(&mut self) -> io::Result<()> {
        match self.old_name.take() {
            None => self.folder.remove_file(&self.name),
            Some(old) => {
                let put = self.folder.rename(&old, &self.folder, &self.name);
                put.map_err(|error| {
                    let old = self.folder_path.join(old);
                    let message = format!("{error}; what it was is in {}", old.display());
                    io::Error::new(error.kind(), message)
                })
            }
        }
    }

    /// Gives the nameless file a name that nothing has.
    fn link_as(&self, name: &OsStr) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let file = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(
            rustix::fs::CWD,
            file,
            &self.folder,
            name,
            AtFlags::SYMLINK_FOLLOW,
        )?;
        Ok(())
    }
}

/// Gives files their names, in place of whatever has these: all of them, or none. Says where they are, in their order.
///
/// Until all of them are there, what they replace has a hidden name as well, and gets its own back if one of them can't
/// have its name. So every name has its old content or its new one at any moment; when the process is killed in the
/// midst, some may have the one and some the other, and hidden names may be left.
///
/// # Errors
///
/// A folder no longer takes its file: then nothing has changed, or the message says what has.
pub fn commit_all(mut files: Vec<NewFile>) -> Result<Vec<PathBuf>, FileError> {
    // Once the last one has its name, nothing is left that could fail.
    if let Some((_, others)) = files.split_last_mut() {
        for file in others {
            file.keep_old().map_err(|error| file.error(&error))?;
        }
    }
    for index in 0..files.len() {
        if let Err(error) = files[index].link() {
            let mut error = files[index].error(&error);
            for file in files[..index].iter_mut().rev() {
                if let Err(left) = file.put_back() {
                    let message = format!("it can't be put back as it was: {left} (after {error})");
                    error = file.error(&io::Error::other(message));
                }
            }
            return Err(error);
        }
    }
    Ok(files.iter().map(NewFile::path).collect())
}

/// Tries names like `.name.0a1b2c3d.part` until one is free.
fn with_hidden_name<T>(
    name: &OsStr,
    mut attempt: impl FnMut(&OsStr) -> io::Result<T>,
) -> io::Result<(OsString, T)> {
    use std::hash::{BuildHasher, RandomState};
    use std::os::unix::ffi::OsStrExt;

    const ATTEMPTS_MAX: usize = 100;
    // The whole must not be longer than the 255 bytes that a name may have.
    const KEPT_MAX: usize = 200;
    let kept = name.as_bytes();
    let kept = &kept[..kept.len().min(KEPT_MAX)];
    let mut error = io::Error::from(io::ErrorKind::AlreadyExists);
    for number in 0..ATTEMPTS_MAX {
        let random = RandomState::new().hash_one(number);
        let mut hidden = OsString::from(".");
        hidden.push(OsStr::from_bytes(kept));
        hidden.push(format!(".{random:016x}.part"));
        match attempt(&hidden) {
            Ok(made) => return Ok((hidden, made)),
            Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => error = taken,
            Err(error) => return Err(error),
        }
    }
    Err(error)
}

impl Drop for NewFile {
    fn drop(&mut self) {
        for hidden in [self.hidden_name.take(), self.old_name.take()] {
            // Nobody is left to be told.
            drop(hidden.map(|hidden| self.folder.remove_file(hidden)));
        }
    }
}

impl Read for NewFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Seek for NewFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
