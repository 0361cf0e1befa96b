//! `[tls]`: the gateway's certificate.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use service::config::ConfigError;
use service::tls;
pub(crate) use service::tls::TlsFiles;
use tokio_rustls::TlsAcceptor;

/// `[tls]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Table {
    certificates: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Table {
    /// The files, if there are any.
    ///
    /// # Errors
    /// One of them is missing.
    pub(crate) fn check(self) -> Result<Option<TlsFiles>, ConfigError> {
        match (self.certificates, self.key) {
            (Some(certificates), Some(key)) => Ok(Some(TlsFiles {
                certificates,
                key,
                client_ca: None,
            })),
            (None, None) => Ok(None),
            _ => Err(ConfigError::value(
                "tls",
                "`certificates` and `key` belong together",
            )),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Tls(Arc<tls::Tls>);

impl Tls {
    /// # Errors
    /// The files can't be read, or don't belong together.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, String> {
        tls::Tls::load(files.clone()).map(Arc::new).map(Self)
    }

    /// What takes the next connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.config())
    }
}
