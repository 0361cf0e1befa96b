//! How to reach a database, as the configuration says it.

use std::{fmt, path::PathBuf, time::Duration};

use kit::{
    secret::{self, Secret, SecretSource},
    units,
};
use plugin_api::PluginError;
use serde::Deserialize;

/// A table of `connections`: a database.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionConfig {
    /// `postgres://USER@HOST:5432/DATABASE` or `mysql://USER@HOST:3306/DATABASE`.
    pub url: Secret,
    /// The password, if it isn't in the URL; or `{ file = "…" }`, or `{ env = "…" }`.
    #[serde(default)]
    pub password: Option<SecretSource>,
    /// What `password = { file = "…" }` says, too: a file with nothing but the password in it, and perhaps a line end.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// What `password = { env = "…" }` says, too: the environment variable that has the password.
    #[serde(default)]
    pub password_env: Option<String>,
    /// When the connection is encrypted.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// A PEM file with the certificates to trust, in place of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long to try to connect.
    #[serde(default = "connect_timeout", deserialize_with = "units::duration")]
    pub connect_timeout: Duration,
}

fn connect_timeout() -> Duration {
    Duration::from_secs(10)
}

impl ConnectionConfig {
    /// The password that isn't in the URL.
    pub(super) fn password(&self) -> Result<Option<Secret>, PluginError> {
        secret::read_one_of([
            ("password", self.password.clone()),
            (
                "password_file",
                self.password_file.clone().map(SecretSource::File),
            ),
            (
                "password_env",
                self.password_env.clone().map(SecretSource::Env),
            ),
        ])
    }
}

impl fmt::Debug for ConnectionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
