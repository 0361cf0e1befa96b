//! What a generation is made of, and how it is to be run.

use std::io;
use std::path::Path;
use std::sync::Arc;

use plugin_api::manifest::Manifest;
use plugin_api::note::Note;
use tracing::level_filters::LevelFilter;

use super::folder;
use super::stage::Staged;
use crate::config::{Config, PluginSettings};
use crate::link::Open;
use crate::plugin::Spec;

/// What a reply line is longer than the result in it, at most: the id and the field names.
const REPLY_LEN_EXTRA: usize = 512;
/// Longest configuration file beside a library, in bytes.
const CONFIG_LEN_MAX: u64 = 1024 * 1024;

/// One content of a library with one configuration: what a generation is made of.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) staged: Staged,
    pub(super) settings: PluginSettings,
}

/// Tells one version of a file from another, without holding on to the library.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    pub(super) hash: [u8; 32],
    pub(super) settings: PluginSettings,
}

impl Version {
    pub(super) fn plugin(&self) -> &str {
        &self.staged.note.name
    }

    pub(super) fn file(&self) -> &Path {
        &self.staged.file
    }

    pub(super) fn content(&self) -> Content {
        Content {
            hash: self.staged.hash,
            settings: self.settings.clone(),
        }
    }

    /// Whether the other one is of the same file, with the same content and configuration.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.file() == other.file()
            && self.staged.hash == other.staged.hash
            && self.settings == other.settings
    }
}

/// What the workers of this version begin with.
pub(super) fn spec(config: &Config, Version { staged, settings }: &Version) -> Spec {
    Spec {
        plugin: staged.note.name.clone(),
        library: Arc::clone(&staged.library),
        open: Open {
            file: staged.file.display().to_string(),
            config: settings.config.clone(),
            slots: settings.slots,
            result_len_max: config.limits.line_len_max.saturating_sub(REPLY_LEN_EXTRA),
            memory_max: settings.memory_max,
            log_level: log_level(),
        },
    }
}

/// What was known without running the plugin must be what it says itself.
pub(super) fn check_manifest(note: &Note, manifest: &Manifest) -> Result<(), String> {
    let names = manifest.functions.iter().map(|function| &function.name);
    if note.name == manifest.name && note.functions.iter().eq(names) {
        return Ok(());
    }
    Err("its manifest and its note disagree about its names; build it again".to_owned())
}

/// How the plugin is to be run: by the configuration beside its library, else by the host's table for it.
pub(super) fn settings(
    config: &Config,
    library: &Path,
    plugin: &str,
) -> Result<PluginSettings, String> {
    let Some(path) = folder::config_file(library) else {
        return Ok(config.plugin(plugin));
    };
    let shown = path.display();
    let text = match std::fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(config.plugin(plugin));
        }
        Ok(meta) if meta.len() > CONFIG_LEN_MAX => {
            return Err(format!(
                "its configuration {shown} has over {CONFIG_LEN_MAX} bytes"
            ));
        }
        Ok(_) => std::fs::read_to_string(&path),
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| format!("its configuration {shown} can't be read: {error}"))?;
    config
        .plugin_from(plugin, &text)
        .map_err(|error| format!("its configuration {shown} is wrong: {error}"))
}

/// The most verbose level that the host's own log takes, as the ABI counts levels.
fn log_level() -> u32 {
    match LevelFilter::current().into_level() {
        None => 0,
        Some(tracing::Level::ERROR) => 1,
        Some(tracing::Level::WARN) => 2,
        Some(tracing::Level::INFO) => 3,
        Some(tracing::Level::DEBUG) => 4,
        Some(tracing::Level::TRACE) => 5,
    }
}
