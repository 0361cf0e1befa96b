//! The plugin's configuration. Everything wrong with it shows when it is opened.

use std::path::PathBuf;

use kit::files::Folders;
use plugin_api::PluginError;
use serde::Deserialize;

/// The table `[plugins.resize.config]`. Every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResizeConfig {
    /// Which files requests may name.
    pub folders: FoldersConfig,
    /// How many pixels a source may have, all of its frames together.
    pub pixels_max: u64,
    /// How many pixels a target may have, all of its frames together.
    pub target_pixels_max: u64,
    /// How long a source may be, in bytes.
    pub bytes_max: u64,
    /// How many frames an animation may have.
    pub frames_max: u64,
    /// How much memory a task may take, in bytes, as reckoned before anything is decoded.
    pub memory_max: u64,
    /// How long an image may be that is returned in the result, in bytes.
    pub result_bytes_max: u64,
}

/// Folders for the paths that requests name. Without any, they name none.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FoldersConfig {
    /// Where sources may lie. Relative paths are taken in the first one.
    pub read: Vec<PathBuf>,
    /// Where targets may be written. Relative paths are taken in the first one.
    pub write: Vec<PathBuf>,
}

impl Default for ResizeConfig {
    fn default() -> Self {
        Self {
            folders: FoldersConfig::default(),
            pixels_max: 100_000_000,
            target_pixels_max: 50_000_000,
            bytes_max: 100 << 20,
            frames_max: 1000,
            memory_max: 1 << 30,
            result_bytes_max: 7 << 20,
        }
    }
}

/// A configuration that was checked.
pub(crate) struct Checked {
    pub(crate) read: Folders,
    pub(crate) write: Folders,
    pub(crate) limits: Limits,
}

/// How much a task may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) pixels_max: u64,
    pub(crate) target_pixels_max: u64,
    pub(crate) bytes_max: u64,
    pub(crate) frames_max: u64,
    pub(crate) memory_max: u64,
    pub(crate) result_bytes_max: u64,
}

impl ResizeConfig {
    pub(crate) fn check(self) -> Result<Checked, PluginError> {
        let limits = [
            ("pixels_max", self.pixels_max),
            ("target_pixels_max", self.target_pixels_max),
            ("bytes_max", self.bytes_max),
            ("frames_max", self.frames_max),
            ("memory_max", self.memory_max),
            ("result_bytes_max", self.result_bytes_max),
        ];
        if let Some((key, _)) = limits.iter().find(|(_, limit)| *limit == 0) {
            return Err(PluginError::new(format!("`{key}` must be at least 1")));
        }
        Ok(Checked {
            read: Folders::open("folders.read", &self.folders.read)?,
            write: Folders::open_or_create("folders.write", &self.folders.write)?,
            limits: Limits {
                pixels_max: self.pixels_max,
                target_pixels_max: self.target_pixels_max,
                bytes_max: self.bytes_max,
                frames_max: self.frames_max,
                memory_max: self.memory_max,
                result_bytes_max: self.result_bytes_max,
            },
        })
    }
}
