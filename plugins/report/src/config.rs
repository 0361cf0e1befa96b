//! The plugin's configuration: as it is written, and as it is used. Everything wrong with it shows when it is opened.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use kit::files::Folders;
use plugin_api::PluginError;
use serde::{
    Deserialize, Deserializer,
    de::{self, Visitor},
};

use crate::database::Connection;

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
    /// How much memory the rows of one task's queries may take, in bytes or like `"256MB"`. What doesn't fit goes to
    /// `spill_folder`.
    #[serde(deserialize_with = "size")]
    pub memory_max: u64,
    /// Where rows go that don't fit into memory; by default the system's folder for temporary files.
    pub spill_folder: Option<PathBuf>,
    /// How much of it one task may take.
    #[serde(deserialize_with = "size")]
    pub spill_max: u64,
    /// How long the queries of a task may take together. Requests may ask for less.
    #[serde(deserialize_with = "duration")]
    pub query_timeout: Duration,
    /// How many rows the tables of a report may have together.
    pub rows_max: u64,
    /// How long outputs may be, together, that the result has in it.
    #[serde(deserialize_with = "size")]
    pub result_len_max: u64,
    /// How long an output may be that is written to a file.
    #[serde(deserialize_with = "size")]
    pub file_len_max: u64,
}

/// Folders by what they are for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FoldersConfig {
    /// Where requests may read files; relative paths are taken in the first one.
    pub read: Vec<PathBuf>,
    /// Where requests may write files; relative paths are taken in the first one.
    pub write: Vec<PathBuf>,
}

/// A database.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionConfig {
    /// `postgres://USER@HOST:5432/DATABASE` or `mysql://USER@HOST:3306/DATABASE`.
    pub url: String,
    /// The password, if it isn't in the URL.
    #[serde(default)]
    pub password: Option<String>,
    /// A file with nothing but the password in it, and perhaps a line end.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The environment variable that has the password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// When the connection is encrypted.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// A PEM file with the certificates to trust, in place of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long to try to connect.
    #[serde(default = "connect_timeout", deserialize_with = "duration")]
    pub connect_timeout: Duration,
}

fn connect_timeout() -> Duration {
    Duration::from_secs(10)
}

impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // There may be a password in it.
        f.debug_struct("ConnectionConfig").finish_non_exhaustive()
    }
}

/// When a connection is encrypted.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Never.
    None,
    /// If the server can; its certificate is not looked at.
    Prefer,
    /// Always; the server's certificate is not looked at.
    Required,
    /// Always, and the server's certificate has to be valid for the host.
    Verify,
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
    pub(crate) read: Folders,
    pub(crate) write: Folders,
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
            return Err(PluginError::new("`memory_max` must be at least 32MB"));
        }
        if self.query_timeout.is_zero() {
            return Err(PluginError::new(
                "`query_timeout` must be more than nothing",
            ));
        }
        for (key, value) in [
            ("rows_max", self.rows_max),
            ("result_len_max", self.result_len_max),
            ("file_len_max", self.file_len_max),
            ("spill_max", self.spill_max),
        ] {
            if value == 0 {
                return Err(PluginError::new(format!("`{key}` must be at least 1")));
            }
        }
        let spill_folder = self.spill_folder.unwrap_or_else(env::temp_dir);
        tempfile::tempfile_in(&spill_folder).map_err(|error| {
            let folder = spill_folder.display();
            PluginError::new(format!("`spill_folder` {folder} can't be written: {error}"))
        })?;
        for folder in &self.fonts {
            if !folder.is_dir() {
                let folder = folder.display();
                return Err(PluginError::new(format!(
                    "`fonts` names {folder}, which is no folder"
                )));
            }
        }
        let mut connections = BTreeMap::new();
        for (name, config) in self.connections {
            let connection = check_connection(&config).map_err(|error| {
                PluginError::new(format!("`connections.{name}`: {}", error.message()))
            })?;
            connections.insert(name, connection);
        }
        Ok(Checked {
            read: Folders::open("folders.read", &self.folders.read)?,
            write: Folders::open_or_create("folders.write", &self.folders.write)?,
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

fn check_connection(config: &ConnectionConfig) -> Result<Connection, PluginError> {
    let from_file = config
        .password_file
        .as_deref()
        .map(read_password)
        .transpose()?;
    let from_env = config.password_env.as_deref().map(|name| {
        env::var(name).map_err(|error| PluginError::new(format!("`password_env` {name}: {error}")))
    });
    let passwords = [config.password.clone(), from_file, from_env.transpose()?];
    let mut passwords = passwords.into_iter().flatten();
    let password = passwords.next();
    if passwords.next().is_some() {
        return Err(PluginError::new(
            "there is more than one of `password`, `password_file` and `password_env`",
        ));
    }
    if let Some(path) = &config.ca_file {
        fs::File::open(path)
            .map_err(|error| PluginError::new(format!("`ca_file` {}: {error}", path.display())))?;
    }
    Connection::new(config, password).map_err(PluginError::new)
}

fn read_password(path: &Path) -> Result<String, PluginError> {
    let text = fs::read_to_string(path).map_err(|error| {
        PluginError::new(format!("`password_file` {}: {error}", path.display()))
    })?;
    let password = text.strip_suffix('\n').unwrap_or(&text);
    Ok(password.strip_suffix('\r').unwrap_or(password).to_owned())
}

/// `"1m 30s"`
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        de::Error::custom(format!("{text:?} is no duration like \"30s\": {error}"))
    })
}

/// A number of bytes, or `"256MB"`.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Size;
    impl Visitor<'_> for Size {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number of bytes, or a size like \"256MB\"")
        }

        fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
            Ok(bytes)
        }

        fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
            u64::try_from(bytes).map_err(|_| E::custom("a size can't be negative"))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
            parse_size(text).ok_or_else(|| E::custom(format!("{text:?} is no size like \"256MB\"")))
        }
    }
    deserializer.deserialize_any(Size)
}

fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "KB" | "KIB" => 10,
        "MB" | "MIB" => 20,
        "GB" | "GIB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
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
        assert!(checked.read.is_empty() && checked.write.is_empty());
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("256MB"), Some(256 << 20));
        assert_eq!(parse_size("1 gb"), Some(1 << 30));
        assert_eq!(parse_size("7"), Some(7));
        for wrong in ["", "MB", "1TBX", "-1", "1.5GB", "99999999999999GB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn mistakes_are_told_when_the_plugin_is_opened() {
        let url = "postgres://user@host/db";
        for (config, told) in [
            (json!({"memory": 1}), "unknown field `memory`"),
            (json!({"memory_max": "1MB"}), "at least 32MB"),
            (json!({"memory_max": "much"}), "\"much\" is no size"),
            (json!({"query_timeout": "soon"}), "\"soon\" is no duration"),
            (json!({"query_timeout": "0s"}), "`query_timeout`"),
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
                "`password_file` /nowhere",
            ),
            (
                json!({"connections": {"a": {"url": url, "password_env": "NO_SUCH_VARIABLE"}}}),
                "NO_SUCH_VARIABLE",
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
