//! The configuration beside a library.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::folder;
use crate::config::{Config, PluginSettings};

/// Longest configuration file beside a library, in bytes.
const CONFIG_LEN_MAX: u64 = 1024 * 1024;

/// The configuration that lay beside a library when that was read.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    file: PathBuf,
    text: String,
}

impl Beside {
    /// Reads the configuration beside the library, if there is one. The error comes with the file's path.
    pub(super) fn read(library: &Path) -> Result<Option<Self>, (PathBuf, io::Error)> {
        let Some(file) = folder::config_file(library) else {
            return Ok(None);
        };
        match read(&file) {
            Ok(text) => Ok(Some(Self { file, text })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err((file, error)),
        }
    }

    /// How the plugin is to be run. The error is a sentence for whoever wrote the file.
    pub(super) fn settings(&self, config: &Config, plugin: &str) -> Result<PluginSettings, String> {
        let settings = config.plugin_from(plugin, &self.text);
        settings.map_err(|error| {
            let file = self.file.display();
            format!("its configuration {file} is wrong: {error}")
        })
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    folder::open_regular(path)?
        .take(CONFIG_LEN_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_LEN_MAX {
        let problem = format!("it has over {CONFIG_LEN_MAX} bytes");
        return Err(io::Error::other(problem));
    }
    Ok(text)
}
