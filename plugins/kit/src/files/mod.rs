//! Files that requests name: only under folders that the configuration allows, and written whole or not at all.
//!
//! A path from a request is relative, and then taken in the first folder of the list, or absolute, and then has to lie
//! in one of the folders. `..` and symbolic links are followed as long as they stay in their folder: the kernel resolves
//! the path below the folder's own descriptor, so that nothing that is exchanged meanwhile leads outside.

mod config;
mod error;
mod new_file;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

pub use self::{
    config::{AllowedFolders, FoldersConfig},
    error::{FileError, FolderError},
    new_file::{NewFile, commit_all},
};

/// The folders in which requests may name files; without any, every path is refused.
///
/// They are opened anew for each file, so that a folder that was replaced meanwhile is the new one.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    folders: Vec<Folder>,
    /// The setting that lists them, for messages.
    setting: &'static str,
}

#[derive(Debug, Clone)]
struct Folder {
    /// As configured, made absolute.
    configured: PathBuf,
    /// Without symbolic links, as it was when the configuration was read.
    real: PathBuf,
}

impl Folders {
    /// Checks the folders of a configuration. `setting` is where they stand in it, for messages: `"folders.read"`.
    ///
    /// Relative ones are taken from the working directory, which is the host's.
    ///
    /// # Errors
    ///
    /// A folder that isn't there, isn't a folder, or can't be opened.
    pub fn open(setting: &'static str, folders: &[PathBuf]) -> Result<Self, FolderError> {
        let folders = folders
            .iter()
            .map(|folder| {
                Folder::open(folder).map_err(|error| FolderError::new(setting, folder, error))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { folders, setting })
    }

    /// The same, and makes the folders that are missing.
    ///
    /// # Errors
    ///
    /// A folder that can't be made, isn't a folder, or can't be opened.
    pub fn open_or_create(setting: &'static str, folders: &[PathBuf]) -> Result<Self, FolderError> {
        for folder in folders {
            std::fs::create_dir_all(folder)
                .map_err(|error| FolderError::new(setting, folder, error))?;
        }
        Self::open(setting, folders)
    }

    /// Whether no folder is allowed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// Opens a file for reading. It is a regular file: nothing that is read from it waits for anybody.
    ///
    /// # Errors
    ///
    /// A path outside, a file that isn't there or can't be read, and what isn't a regular file.
    pub fn open_file(&self, path: &str) -> Result<File, FileError> {
        let resolved = self.resolve(path)?;
        let mut options = OpenOptions::new();
        // Without O_NONBLOCK, opening a named pipe would wait for its writer.
        options
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let file = resolved
            .open_folder(path)?
            .open_with(&resolved.inside, &options)
            .map_err(|error| FileError::from_io(path, self.setting, &error))?
            .into_std();
        let kind = file
            .metadata()
            .map_err(|error| FileError::from_io(path, self.setting, &error))?;
        if kind.is_file() {
            Ok(file)
        } else {
            Err(FileError::not_a_file(path))
        }
    }

    /// Reads a whole file of at most `len_max` bytes.
    ///
    /// # Errors
    ///
    /// Those of [`Folders::open_file`], a file that is larger, and what goes wrong while it is read.
    pub fn read(&self, path: &str, len_max: u64) -> Result<Vec<u8>, FileError> {
        let file = self.open_file(path)?;
        let fault = |error: io::Error| FileError::from_io(path, self.setting, &error);
        let len = file.metadata().map_err(fault)?.len();
        if len > len_max {
            return Err(FileError::too_large(path, len, len_max));
        }
        let mut content = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        // It may grow while it is read.
        let read = file
            .take(len_max.saturating_add(1))
            .read_to_end(&mut content)
            .map_err(fault)?;
        if read as u64 > len_max {
            return Err(FileError::too_large(path, read as u64, len_max));
        }
        Ok(content)
    }

    /// The path of a regular file, without symbolic links, for libraries that take nothing but paths.
    ///
    /// Anybody who may write in the folder can exchange the file before the library opens it: take
    /// [`Folders::open_file`] wherever that will do.
    ///
    /// # Errors
    ///
    /// Those of [`Folders::open_file`].
    pub fn real_path(&self, path: &str) -> Result<PathBuf, FileError> {
        let fault = |error: io::Error| FileError::from_io(path, self.setting, &error);
        self.open_file(path)?;
        let resolved = self.resolve(path)?;
        let inside = resolved
            .open_folder(path)?
            .canonicalize(&resolved.inside)
            .map_err(fault)?;
        Ok(resolved.folder.real.join(inside))
    }

    /// Begins a file, which appears under its name when it is committed, and then replaces what has that name. Folders
    /// that are missing on the way to it are made.
    ///
    /// # Errors
    ///
    /// A path outside, one that names a folder, and a folder in which nothing can be written.
    pub fn create(&self, path: &str) -> Result<NewFile, FileError> {
        let resolved = self.resolve(path)?;
        let Some(name) = resolved.inside.file_name().map(ToOwned::to_owned) else {
            return Err(FileError::not_a_file(path));
        };
        if path.ends_with('/') {
            return Err(FileError::not_a_file(path));
        }
        let fault = |error: io::Error| FileError::from_io(path, self.setting, &error);
        let mut folder = resolved.open_folder(path)?;
        let mut real = resolved.folder.real.clone();
        if let Some(parent) = resolved
            .inside
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            let opened = match folder.open_dir(parent) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => folder
                    .create_dir_all(parent)
                    .and_then(|()| folder.open_dir(parent)),
                opened => opened,
            };
            let opened = opened.map_err(fault)?;
            real.push(folder.canonicalize(parent).map_err(fault)?);
            folder = opened;
        }
        // What stands there is replaced, but for a folder, which a rename at the end would only then find out.
        if folder
            .symlink_metadata(&name)
            .is_ok_and(|kind| kind.is_dir())
        {
            return Err(FileError::not_a_file(path));
        }
        NewFile::create(folder, &real, name, path, self.setting).map_err(fault)
    }

    /// Finds the folder that a path lies in, and its place there.
    fn resolve(&self, path: &str) -> Result<ResolvedPath<'_>, FileError> {
        let requested = Path::new(path);
        if path.is_empty() || path.contains('\0') {
            return Err(FileError::invalid(path));
        }
        let (folder, inside) = if requested.is_absolute() {
            self.folders
                .iter()
                .filter_map(|folder| Some((folder, folder.strip(requested)?)))
                // Of folders within each other, the innermost.
                .min_by_key(|(_, inside)| inside.components().count())
        } else {
            self.folders.first().map(|folder| (folder, requested))
        }
        .ok_or_else(|| FileError::not_allowed(path, self.setting, self.is_empty()))?;
        if !inside
            .components()
            .any(|part| matches!(part, Component::Normal(_)))
        {
            return Err(FileError::not_a_file(path));
        }
        Ok(ResolvedPath {
            folder,
            inside: inside.to_owned(),
            setting: self.setting,
        })
    }
}

impl Folder {
    fn open(configured: &Path) -> io::Result<Self> {
        let real = configured.canonicalize()?;
        Dir::open_ambient_dir(&real, ambient_authority())?;
        Ok(Self {
            configured: std::path::absolute(configured)?,
            real,
        })
    }

    fn strip<'p>(&self, path: &'p Path) -> Option<&'p Path> {
        path.strip_prefix(&self.configured)
            .or_else(|_| path.strip_prefix(&self.real))
            .ok()
    }
}

/// A path of a request, once it is known in which folder it lies.
struct ResolvedPath<'f> {
    folder: &'f Folder,
    inside: PathBuf,
    setting: &'static str,
}

impl ResolvedPath<'_> {
    fn open_folder(&self, path: &str) -> Result<Dir, FileError> {
        Dir::open_ambient_dir(&self.folder.configured, ambient_authority())
            .map_err(|error| FileError::from_io(path, self.setting, &error))
    }
}

#[cfg(test)]
mod tests;
