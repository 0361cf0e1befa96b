//! TLS, with certificates that are read again when their files change.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use service::config::ConfigError;
use service::sync;
use tokio_rustls::TlsAcceptor;

/// How often the files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// PEM files.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    certificates: PathBuf,
    key: PathBuf,
}

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
            (Some(certificates), Some(key)) => Ok(Some(TlsFiles { certificates, key })),
            (None, None) => Ok(None),
            _ => Err(ConfigError::value(
                "tls",
                "`certificates` and `key` belong together",
            )),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Tls(TlsAcceptor);

impl Tls {
    /// # Errors
    /// The files can't be read, or don't belong together.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, String> {
        let certificates = Certificates::load(files.clone())?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(certificates));
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.0
    }
}

#[derive(Debug)]
struct Certificates {
    files: TlsFiles,
    current: RwLock<Arc<CertifiedKey>>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    modified: [Option<SystemTime>; 2],
}

impl Certificates {
    fn load(files: TlsFiles) -> Result<Self, String> {
        let modified = modified(&files);
        let key = read(&files)?;
        Ok(Self {
            files,
            current: RwLock::new(Arc::new(key)),
            seen: Mutex::new(Seen {
                at: Instant::now(),
                modified,
            }),
        })
    }

    /// Reads the files again, if they have changed. Those from before stay in use while the new ones can't be used, or
    /// only one of the two has been replaced.
    fn refresh(&self) {
        let mut seen = sync::lock(&self.seen);
        if seen.at.elapsed() < CHECK_INTERVAL {
            return;
        }
        seen.at = Instant::now();
        let modified = modified(&self.files);
        if modified == seen.modified {
            return;
        }
        match read(&self.files) {
            Ok(key) => {
                seen.modified = modified;
                *sync::write(&self.current) = Arc::new(key);
                tracing::info!("the certificates were read again");
            }
            Err(error) => tracing::warn!(error, "the certificates from before stay in use"),
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.refresh();
        Some(Arc::clone(&sync::read(&self.current)))
    }
}

fn modified(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    [&files.certificates, &files.key].map(|file| {
        std::fs::metadata(file)
            .and_then(|meta| meta.modified())
            .ok()
    })
}

fn read(files: &TlsFiles) -> Result<CertifiedKey, String> {
    let problem =
        |file: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let open = |file: &Path| {
        File::open(file)
            .map(BufReader::new)
            .map_err(|error| problem(file, &error))
    };
    let certificates = CertificateDer::pem_reader_iter(open(&files.certificates)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| problem(&files.certificates, &error))?;
    if certificates.is_empty() {
        return Err(problem(&files.certificates, &"no certificate in PEM"));
    }
    let key = PrivateKeyDer::from_pem_reader(open(&files.key)?)
        .map_err(|error| problem(&files.key, &error))?;
    let key = ring::sign::any_supported_type(&key).map_err(|error| problem(&files.key, &error))?;
    let certified = CertifiedKey::new(certificates, key);
    certified
        .keys_match()
        .map_err(|_| problem(&files.key, &"not the key of the certificate"))?;
    Ok(certified)
}
