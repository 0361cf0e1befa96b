//! What a generation is made of.

use std::path::Path;

use plugin_api::manifest::Manifest;

use crate::config::PluginSettings;
use crate::reload::Staged;

/// One content of a library with one configuration.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) staged: Staged,
    pub(super) settings: PluginSettings,
}

/// Tells one version of a file from another, without holding on to the library.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Content {
    pub(super) plugin: String,
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
            plugin: self.plugin().to_owned(),
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

    /// What was known without running the plugin must be what it says itself.
    pub(super) fn check_manifest(&self, manifest: &Manifest) -> Result<(), String> {
        let note = &self.staged.note;
        let names = manifest.functions.iter().map(|function| &function.name);
        if note.name == manifest.name && note.functions.iter().eq(names) {
            return Ok(());
        }
        Err("its manifest and its note disagree about its names; build it again".to_owned())
    }
}
