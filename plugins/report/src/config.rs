//! The plugin's configuration: as it is written, and as it is used. Everything wrong with it shows when it is opened.

use std::{collections::BTreeMap, env, path::PathBuf, time::Duration};

use kit::{
    files::{AllowedFolders, FoldersConfig},
    units,
};
use plugin_api::PluginError;
use serde::Deserialize;

use crate::database::{Connection, ConnectionConfig};

/// The table `[plugins.report.config]`, or the file `report.toml`. Every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReportConfig {
    /// Where requests may read and write files; without any, paths are refused.
    pub folders: FoldersConfig,
    /// The databases that requests may name.
    pub connections: BTreeMap<String, ConnectionConfig>,
    /// Folders with fonts for PDF, looked at before the system's.
    pub fonts: Vec<PathBuf>,
    /// How much memory the rows of one task's queries may take, in bytes, or like `"256MiB"`. What doesn't fit goes to
    /// `spill_folder`.
    #[serde(deserialize_with = "units::size")]
    pub memory_max: u64,
    /// Where rows go that don't fit into memory; by default the system's folder for temporary files.
    pub spill_folder: Option<PathBuf>,
    /// How much of it one task may take.
    #[serde(deserialize_with = "units::size")]
    pub spill_max: u64,
    /// How long the queries of a task may take together. Requests may ask for less.
    #[serde(deserialize_with = "units::duration")]
    pub query_timeout: Duration,
    /// How many rows the tables of a report may have together.
    pub rows_max: u64,
    /// How long outputs may be, together, that the result has in it.
    #[serde(deserialize_with = "units::size")]
    pub result_len_max: u64,
    /// How long an output may be that is written to a file.
    #[serde(deserialize_with = "units::size")]
    pub file_len_max: u64,
}

impl Default for ReportConfig {
    fn default() -> Self {
        Self {
            folders: FoldersConfig::default(),
            connections: BTreeMap::new(),
            fonts: Vec::new(),
            memory_max: 256 << 20,
            spill_folder: None,
            spill_max: 10 << 30,
            query_timeout: Duration::from_secs(300),
            rows_max: 10_000_000,
            result_len_max: 5 << 20,
            file_len_max: 4 << 30,
        }
    }
}

/// A configuration that was checked.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) folders: AllowedFolders,
    pub(crate) connections: BTreeMap<String, Connection>,
    pub(crate) fonts: Vec<PathBuf>,
    pub(crate) memory_max: usize,
    pub(crate) spill_folder: PathBuf,
    pub(crate) spill_max: u64,
    pub(crate) query_timeout: Duration,
    pub(crate) rows_max: u64,
    pub(crate) result_len_max: u64,
    pub(crate) file_len_max: u64,
}

impl ReportConfig {
    /// Checks everything that can be checked without a connection.
    pub(crate) fn check(self) -> Result<Checked, PluginError> {
        const MEMORY_MIN: u64 = 32 << 20;
        if self.memory_max < MEMORY_MIN {
            return Err(PluginError::new("`memory_max` must be at least 32MiB"));
        }
        units::at_least_one(&[
            ("rows_max", self.rows_max),
            ("result_len_max", self.result_len_max),
            ("file_len_max", self.file_len_max),
            ("spill_max", self.spill_max),
        ])?;
        let spill_folder = self.spill_folder.unwrap_or_else(env::temp_dir);
        tempfile::tempfile_in(&spill_folder).map_err(|error| {
            let folder = spill_folder.display();
            PluginError::new(format!("`spill_folder` {folder} can't be written: {error}"))
        })?;
        for folder in &self.fonts {
            if !folder.is_dir() {
                let folder = folder.display();
                return Err(PluginError::new(format!(
                    "`fonts` names {folder}, which is not a folder"
                )));
            }
        }
        let mut connections = BTreeMap::new();
        for (name, config) in self.connections {
            let connection = Connection::new(&config)
                .map_err(|reason| PluginError::new(format!("`connections.{name}`: {reason}")))?;
            connections.insert(name, connection);
        }
        Ok(Checked {
            folders: self.folders.open()?,
            connections,
            fonts: self.fonts,
            memory_max: usize::try_from(self.memory_max).unwrap_or(usize::MAX),
            spill_folder,
            spill_max: self.spill_max,
            query_timeout: self.query_timeout,
            rows_max: self.rows_max,
            result_len_max: self.result_len_max,
            file_len_max: self.file_len_max,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refusal(config: Value) -> String {
        match serde_json::from_value::<ReportConfig>(config) {
            Err(error) => error.to_string(),
            Ok(config) => config.check().unwrap_err().message().to_owned(),
        }
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config: ReportConfig = serde_json::from_value(json!({})).unwrap();
        let checked = config.check().unwrap();
        assert!(checked.folders.read.is_empty() && checked.folders.write.is_empty());
    }

    #[test]
    fn mistakes_are_told_when_the_plugin_is_opened() {
        let url = "postgres://user@host/db";
        for (config, told) in [
            (json!({"memory": 1}), "unknown field `memory`"),
            (json!({"memory_max": "1MiB"}), "at least 32MiB"),
            (json!({"memory_max": "much"}), "\"much\" is not a size"),
            (
                json!({"query_timeout": "soon"}),
                "\"soon\" is not a duration",
            ),
            (json!({"query_timeout": "0s"}), "\"0s\" is not a duration"),
            (json!({"rows_max": 0}), "`rows_max`"),
            (
                json!({"spill_folder": "/nowhere"}),
                "`spill_folder` /nowhere",
            ),
            (json!({"fonts": ["/nowhere"]}), "/nowhere"),
            (json!({"folders": {"read": ["/nowhere"]}}), "folders.read"),
            (
                json!({"connections": {"a": {"url": "oracle://host/db"}}}),
                "`connections.a`",
            ),
            (
                json!({"connections": {"a": {"url": "no url, secret"}}}),
                "`connections.a`",
            ),
            (
                json!({"connections": {"a": {"url": url, "password": "x", "password_env": "PATH"}}}),
                "more than one",
            ),
            (
                json!({"connections": {"a": {"url": url, "password_file": "/nowhere"}}}),
                "`password_file`: the file /nowhere",
            ),
            (
                json!({"connections": {"a": {"url": url, "password_env": "NO_SUCH_VARIABLE"}}}),
                "NO_SUCH_VARIABLE",
            ),
            (
                json!({"connections": {"a": {"url": url, "password": {"env": "NO_SUCH_VARIABLE"}}}}),
                "`password`: the environment variable NO_SUCH_VARIABLE",
            ),
            (
                json!({"connections": {"a": {"url": url, "password": {"file": "/nowhere"}}}}),
                "`password`: the file /nowhere",
            ),
            (
                json!({"connections": {"a": {"url": url, "ca_file": "/nowhere"}}}),
                "`ca_file` /nowhere",
            ),
        ] {
            let refusal = refusal(config.clone());
            assert!(refusal.contains(told), "{config}: {refusal}");
            assert!(!refusal.contains("secret"), "{refusal}");
        }
    }
}
