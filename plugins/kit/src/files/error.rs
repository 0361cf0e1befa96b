//! What can be wrong with a file or a folder, in words that say what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::excerpt;

/// What is shown of a path.
const PATH_CHARS_MAX: usize = 200;

/// A folder of the configuration that can't be used.
#[derive(Debug)]
pub struct FolderError {
    setting: &'static str,
    folder: PathBuf,
    error: io::Error,
}

impl FolderError {
    pub(super) fn new(setting: &'static str, folder: &Path, error: io::Error) -> Self {
        Self {
            setting,
            folder: folder.to_owned(),
            error,
        }
    }
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            folder,
            error,
        } = self;
        write!(
            f,
            "{setting}: {} can't be used: {error}; name a folder that exists and may be entered",
            folder.display()
        )
    }
}

impl Error for FolderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

/// Why a file can't be read or written.
#[derive(Debug)]
pub struct FileError {
    /// As the request named it.
    path: String,
    fault: Fault,
}

#[derive(Debug)]
enum Fault {
    NotAllowed { setting: &'static str, none: bool },
    Invalid,
    NotFound,
    NotAFile,
    PermissionDenied,
    TooLarge { len: u64, len_max: u64 },
    StorageFull,
    Io(String),
}

impl FileError {
    pub(super) fn not_allowed(path: &str, setting: &'static str, none: bool) -> Self {
        Self::new(path, Fault::NotAllowed { setting, none })
    }

    pub(super) fn invalid(path: &str) -> Self {
        Self::new(path, Fault::Invalid)
    }

    pub(super) fn not_a_file(path: &str) -> Self {
        Self::new(path, Fault::NotAFile)
    }

    pub(super) fn too_large(path: &str, len: u64, len_max: u64) -> Self {
        Self::new(path, Fault::TooLarge { len, len_max })
    }

    pub(super) fn from_io(path: &str, setting: &'static str, error: &io::Error) -> Self {
        let fault = match error.kind() {
            // Not the kernel's: cap-std's own word for a path that leads outside.
            io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
                Fault::NotAllowed {
                    setting,
                    none: false,
                }
            }
            io::ErrorKind::NotFound => Fault::NotFound,
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Fault::PermissionDenied
            }
            // A socket can't be opened at all.
            io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => Fault::NotAFile,
            _ if error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error()) => {
                Fault::NotAFile
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::StorageFull,
            io::ErrorKind::InvalidFilename | io::ErrorKind::InvalidInput => Fault::Invalid,
            _ => Fault::Io(error.to_string()),
        };
        Self::new(path, fault)
    }

    fn new(path: &str, fault: Fault) -> Self {
        Self {
            path: excerpt(path, PATH_CHARS_MAX),
            fault,
        }
    }

    /// What is wrong, as one of `path_not_allowed`, `invalid_path`, `not_found`, `not_a_file`, `permission_denied`,
    /// `file_too_large`, `storage_full`, `io_error`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.fault {
            Fault::NotAllowed { .. } => "path_not_allowed",
            Fault::Invalid => "invalid_path",
            Fault::NotFound => "not_found",
            Fault::NotAFile => "not_a_file",
            Fault::PermissionDenied => "permission_denied",
            Fault::TooLarge { .. } => "file_too_large",
            Fault::StorageFull => "storage_full",
            Fault::Io(_) => "io_error",
        }
    }

    /// Whether the same request may succeed later without anybody changing it.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.fault, Fault::StorageFull | Fault::Io(_))
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match &self.fault {
            Fault::NotAllowed {
                setting,
                none: true,
            } => write!(
                f,
                "{path:?}: no folder is allowed; list folders under `{setting}` in the plugin's configuration"
            ),
            Fault::NotAllowed {
                setting,
                none: false,
            } => write!(
                f,
                "{path:?} is in none of the folders that `{setting}` of the plugin's configuration allows"
            ),
            Fault::Invalid => write!(f, "{path:?} can't be the path of a file"),
            Fault::NotFound => write!(f, "{path:?} doesn't exist"),
            Fault::NotAFile => write!(f, "{path:?} is not a regular file"),
            Fault::PermissionDenied => write!(
                f,
                "{path:?}: permission denied; give the host's user the right to it"
            ),
            Fault::TooLarge { len, len_max } => {
                write!(f, "{path:?} has {len} bytes; at most {len_max} are allowed")
            }
            Fault::StorageFull => write!(f, "{path:?}: no space is left where it is written"),
            Fault::Io(error) => write!(f, "{path:?}: {error}"),
        }
    }
}

impl Error for FileError {}
