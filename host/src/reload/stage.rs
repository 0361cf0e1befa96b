//! A private copy of a library's file that nobody can change any more.
//!
//! `dlopen` of a half-written file kills the process that does it, and writing over a file that is mapped kills whoever
//! has it mapped. So a library is read once, checked as bytes, and handed to workers as a sealed memory file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::note::Note;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use service::shortage;
use sha2::{Digest, Sha256};

use super::elf::{self, ElfError};
use super::folder;
use super::settings::Beside;
use crate::config::{Config, PluginSettings};

/// Longest library that is taken, in bytes.
const LIBRARY_LEN_MAX: u64 = 1 << 30;

/// A library that was read whole and found to be one of ours; nothing of it has run yet.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    pub(crate) file: PathBuf,
    pub(crate) note: Note,
    pub(crate) library: Arc<OwnedFd>,
    /// The configuration that lay beside it.
    beside: Option<Beside>,
    /// SHA-256 of the file's content.
    pub(crate) hash: [u8; 32],
}

impl Staged {
    /// How the plugin is to be run: by the configuration beside its library, else by the host's table for it. The error is
    /// a sentence for whoever wrote them.
    pub(crate) fn settings(&self, config: &Config) -> Result<PluginSettings, String> {
        let plugin = &self.note.name;
        match &self.beside {
            Some(beside) => beside.settings(config, plugin),
            None => Ok(config.plugin(plugin)),
        }
    }

    /// A library that was never in a file, whose content is told by one byte.
    #[cfg(test)]
    pub(crate) fn made_up(file: &str, plugin: &str, functions: &[&str], content: u8) -> Self {
        let note = serde_json::json!({
            "name": plugin, "version": "1.0.0", "plugin_api": "1.0.0", "target": "t", "functions": functions,
        });
        Self {
            file: file.into(),
            note: serde_json::from_value(note).unwrap(),
            library: Arc::new(File::open("/dev/null").unwrap().into()),
            beside: None,
            hash: [content; 32],
        }
    }
}

#[derive(Debug)]
pub(crate) enum StageError {
    Read(io::Error),
    NoThread(io::Error),
    TooLarge {
        len: u64,
    },
    /// It changed while it was read.
    Unstable,
    Elf(ElfError),
    /// The configuration beside it.
    Configuration(PathBuf, io::Error),
    Copy(io::Error),
}

impl std::fmt::Display for StageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "it can't be read: {error}"),
            Self::NoThread(error) => write!(f, "the host has no thread to read it: {error}"),
            Self::Configuration(path, error) => {
                let path = path.display();
                write!(f, "its configuration {path} can't be read: {error}")
            }
            Self::TooLarge { len } => {
                write!(
                    f,
                    "it has {len} bytes, at most {LIBRARY_LEN_MAX} are taken; strip it"
                )
            }
            Self::Unstable => f.write_str(
                "it changed while it was read; copy it again, best by a rename into the folder",
            ),
            Self::Elf(error) => error.fmt(f),
            Self::Copy(error) => write!(f, "the host could not make its private copy: {error}"),
        }
    }
}

impl std::error::Error for StageError {}

impl StageError {
    /// Why it can't be read now, where the same may work in a moment.
    pub(crate) fn passing(&self) -> Option<String> {
        let why = match self {
            Self::Read(error)
            | Self::NoThread(error)
            | Self::Configuration(_, error)
            | Self::Copy(error) => passing(error)?,
            Self::TooLarge { .. } | Self::Unstable | Self::Elf(_) => return None,
        };
        Some(format!("it can't be read now, and is tried again: {why}"))
    }

    /// Whether the file may only not be finished yet.
    pub(crate) fn may_be_unfinished(&self) -> bool {
        match self {
            Self::Unstable => true,
            Self::Elf(error) => matches!(error, ElfError::NotElf | ElfError::Incomplete(_)),
            Self::Read(_)
            | Self::NoThread(_)
            | Self::TooLarge { .. }
            | Self::Configuration(..)
            | Self::Copy(_) => false,
        }
    }
}

/// What a system lacks comes back, and so do disks and servers.
fn passing(error: &io::Error) -> Option<String> {
    shortage::describe(error).or_else(|| match Errno::from_io_error(error)? {
        Errno::IO | Errno::STALE | Errno::TIMEDOUT | Errno::INTR => Some(error.to_string()),
        _ => None,
    })
}

/// Reads and checks the library. Blocks for as long as reading takes.
pub(crate) fn stage(path: &Path) -> Result<Staged, StageError> {
    let data = read_stable(path)?;
    let note = elf::inspect(&data)
        .and_then(elf::Inspected::accept)
        .map_err(StageError::Elf)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside =
        Beside::read(path).map_err(|(path, error)| StageError::Configuration(path, error))?;
    let library = seal(&name, &data).map_err(StageError::Copy)?;
    Ok(Staged {
        file: path.to_owned(),
        note,
        library: Arc::new(library),
        beside,
        hash: Sha256::digest(&data).into(),
    })
}

/// What the library at `path` says of itself, also when it was built for another machine or another host.
pub(crate) fn note(path: &Path) -> Result<Note, StageError> {
    let inspected = elf::inspect(&read_stable(path)?);
    Ok(inspected.map_err(StageError::Elf)?.note)
}

/// Size, modification and change time: when these are the same before and after, so is what was read between.
fn fingerprint(file: &File) -> io::Result<(u64, i64, i64, i64, i64)> {
    let meta = file.metadata()?;
    Ok((
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    ))
}

fn read_stable(path: &Path) -> Result<Vec<u8>, StageError> {
    let mut file = folder::open_regular(path).map_err(StageError::Read)?;
    let before = fingerprint(&file).map_err(StageError::Read)?;
    let (len, ..) = before;
    if len > LIBRARY_LEN_MAX {
        return Err(StageError::TooLarge { len });
    }
    let mut data = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    (&mut file)
        .take(LIBRARY_LEN_MAX + 1)
        .read_to_end(&mut data)
        .map_err(StageError::Read)?;
    let after = fingerprint(&file).map_err(StageError::Read)?;
    if before != after || data.len() as u64 != len {
        return Err(StageError::Unstable);
    }
    Ok(data)
}

fn seal(name: &str, data: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // The name may be at most 249 bytes long; it is only seen in /proc.
    let name = &name[..name.floor_char_boundary(200)];
    let fd = match memfd_create(name, flags | MemfdFlags::EXEC) {
        // Kernels before 6.3 don't know the flag, and need none.
        Err(Errno::INVAL) => memfd_create(name, flags),
        other => other,
    };
    let mut copy = match fd {
        Ok(fd) => File::from(fd),
        // Memory files that may be executed are forbidden here (vm.memfd_noexec).
        Err(_) => return private_file(data),
    };
    copy.write_all(data)?;
    fcntl_add_seals(
        &copy,
        SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
    )?;
    Ok(copy.into())
}

/// The next best thing: a file without a name, which nobody else can open for writing.
fn private_file(data: &[u8]) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let path =
        std::env::temp_dir().join(format!(".host-{}-{}.so", std::process::id(), next_number()));
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(&path)?;
    let copied = file.write_all(data).and_then(|()| File::open(&path));
    std::fs::remove_file(&path)?;
    Ok(copied?.into())
}

fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_copy_cannot_be_changed() {
        let fd = seal("libx.so", b"abc").unwrap();
        let mut file = File::options()
            .write(true)
            .open(format!(
                "/proc/self/fd/{}",
                std::os::fd::AsRawFd::as_raw_fd(&fd)
            ))
            .unwrap();
        assert!(file.write_all(b"x").is_err());
        assert!(file.set_len(0).is_err());
    }

    #[test]
    fn a_private_file_has_no_name() {
        let fd = private_file(b"abc").unwrap();
        let mut text = String::new();
        let mut file = File::from(fd);
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        assert_eq!(file.metadata().unwrap().nlink(), 0);
    }

    #[test]
    fn what_the_system_is_short_of_is_no_fault_of_the_file() {
        let error = || io::Error::from(Errno::MFILE);
        for short in [StageError::Read(error()), StageError::Copy(error())] {
            assert!(short.passing().unwrap().contains("ulimit -n"));
        }
        let missing = StageError::Read(Errno::NOENT.into());
        assert_eq!(missing.passing(), None);
        assert_eq!(StageError::Unstable.passing(), None);
    }

    #[test]
    fn what_is_no_library_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libx.so");
        std::fs::write(&path, b"hello").unwrap();
        assert!(
            stage(&path)
                .unwrap_err()
                .to_string()
                .contains("not an ELF library")
        );
        assert!(
            stage(dir.path())
                .unwrap_err()
                .to_string()
                .contains("regular file")
        );
        assert!(
            stage(&dir.path().join("none.so"))
                .unwrap_err()
                .to_string()
                .contains("can't be read")
        );
    }
}
