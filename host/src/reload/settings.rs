//! How a plugin is to be run: by the configuration beside its library, else by the host's table for it.

use std::io;
use std::path::Path;

use super::folder;
use crate::config::{Config, PluginSettings};

/// Longest configuration file beside a library, in bytes.
const CONFIG_LEN_MAX: u64 = 1024 * 1024;

/// How `plugin` is to be run, whose library lies at that path. The error is a sentence for whoever wrote the file.
pub(crate) fn settings(
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
