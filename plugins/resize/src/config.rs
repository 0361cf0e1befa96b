//! The plugin's configuration. Everything wrong with it shows when it is opened.

use kit::{
    files::{AllowedFolders, FoldersConfig},
    units,
};
use plugin_api::PluginError;
use serde::Deserialize;

/// The table `[plugins.resize.config]`. Every key has a default. Sizes are bytes, or texts like `"100MiB"`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResizeConfig {
    /// Which files requests may name.
    pub folders: FoldersConfig,
    /// The most pixels of a source, all of its frames together.
    pub pixels_max: u64,
    /// The most pixels of a target, all of its frames together.
    pub target_pixels_max: u64,
    /// The longest source, in bytes. It was `bytes_max` once.
    #[serde(alias = "bytes_max", deserialize_with = "units::size")]
    pub source_len_max: u64,
    /// The most frames of an animation.
    pub frames_max: u64,
    /// The most memory for a task, in bytes, as reckoned before anything is decoded.
    #[serde(deserialize_with = "units::size")]
    pub memory_max: u64,
    /// The most bytes of the images that one result has in it, before they become base64. It was `result_bytes_max` once.
    #[serde(alias = "result_bytes_max", deserialize_with = "units::size")]
    pub result_len_max: u64,
}

impl Default for ResizeConfig {
    fn default() -> Self {
        Self {
            folders: FoldersConfig::default(),
            pixels_max: 100_000_000,
            target_pixels_max: 50_000_000,
            source_len_max: 100 << 20,
            frames_max: 1000,
            memory_max: 1 << 30,
            result_len_max: 7 << 20,
        }
    }
}

/// A configuration that was checked.
pub(crate) struct Checked {
    pub(crate) folders: AllowedFolders,
    pub(crate) limits: Limits,
}

/// How much a task may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) pixels_max: u64,
    pub(crate) target_pixels_max: u64,
    pub(crate) source_len_max: u64,
    pub(crate) frames_max: u64,
    pub(crate) memory_max: u64,
    pub(crate) result_len_max: u64,
}

impl ResizeConfig {
    pub(crate) fn check(self) -> Result<Checked, PluginError> {
        units::at_least_one(&[
            ("pixels_max", self.pixels_max),
            ("target_pixels_max", self.target_pixels_max),
            ("source_len_max", self.source_len_max),
            ("frames_max", self.frames_max),
            ("memory_max", self.memory_max),
            ("result_len_max", self.result_len_max),
        ])?;
        Ok(Checked {
            folders: self.folders.open()?,
            limits: Limits {
                pixels_max: self.pixels_max,
                target_pixels_max: self.target_pixels_max,
                source_len_max: self.source_len_max,
                frames_max: self.frames_max,
                memory_max: self.memory_max,
                result_len_max: self.result_len_max,
            },
        })
    }
}
