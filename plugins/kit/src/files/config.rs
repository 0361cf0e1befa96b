//! The folders of a plugin's configuration: its table `folders`.

use std::path::PathBuf;

use serde::Deserialize;

use super::{FolderError, Folders};

/// Folders for the paths that requests name. Without any, requests can't name files.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FoldersConfig {
    /// Where requests may read files. Relative paths are taken in the first one.
    pub read: Vec<PathBuf>,
    /// Where requests may write files. Relative paths are taken in the first one. Those that are missing are made.
    pub write: Vec<PathBuf>,
}

impl FoldersConfig {
    /// Checks the folders, and makes those to write into that are missing.
    ///
    /// # Errors
    ///
    /// A folder can't be made, isn't a folder, or can't be opened. The message names the setting.
    pub fn open(&self) -> Result<AllowedFolders, FolderError> {
        Ok(AllowedFolders {
            read: Folders::open("folders.read", &self.read)?,
            write: Folders::open_or_create("folders.write", &self.write)?,
        })
    }
}

/// The folders of a [`FoldersConfig`], checked.
#[derive(Clone, Debug, Default)]
pub struct AllowedFolders {
    /// Where requests may read files.
    pub read: Folders,
    /// Where requests may write files.
    pub write: Folders,
}
