//! TLS as a server: certificates, and whom to believe in theirs, read again when their files change.

use std::fmt;
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

use crate::sync;

/// How often the files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, and those between it and its authority.
    pub certificates: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities for certificates of clients. None: clients are not asked for any. Those who show none may connect all
    /// the same; one of another authority is refused.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    fn all(&self) -> impl Iterator<Item = &Path> {
        let files = [
            Some(&self.certificates),
            Some(&self.key),
            self.client_ca.as_ref(),
        ];
        files.into_iter().flatten().map(PathBuf::as_path)
    }

    fn seen(&self) -> Vec<Option<Version>> {
        self.all().map(Version::of).collect()
    }
}

/// What a server needs for handshakes.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    at: Instant,
    versions: Vec<Option<Version>>,
}

/// What tells whether a file is another than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    len: u64,
    modified: SystemTime,
}

impl Version {
    fn of(file: &Path) -> Option<Self> {
        let meta = fs::metadata(file).ok()?;
        Some(Self {
            device: meta.dev(),
            inode: meta.ino(),
            len: meta.len(),
            modified: meta.modified().ok()?,
        })
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// They can't be read, or don't belong together.
    pub fn load(files: TlsFiles) -> Result<Self, String> {
        let versions = files.seen();
        let config = configure(&files)?;
        Ok(Self {
            files,
            current: RwLock::new(Arc::new(config)),
            seen: Mutex::new(Seen {
                at: Instant::now(),
                versions,
            }),
        })
    }

    /// What the next handshake goes by. Looks, once a second at most, whether the files have changed; those from before
    /// stay in use while the new ones can't be used, or only some of them have been replaced.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.refresh();
        Arc::clone(&sync::read(&self.current))
    }

    fn refresh(&self) {
        let mut seen = sync::lock(&self.seen);
        if seen.at.elapsed() < CHECK_INTERVAL {
            return;
        }
        seen.at = Instant::now();
        let versions = self.files.seen();
        if versions == seen.versions {
            return;
        }
        match configure(&self.files) {
            Ok(config) => {
                seen.versions = versions;
                *sync::write(&self.current) = Arc::new(config);
                tracing::info!("the certificates were read again");
            }
            Err(error) => tracing::warn!(error, "the certificates from before stay in use"),
        }
    }
}

fn configure(files: &TlsFiles) -> Result<ServerConfig, String> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let key = certified(&files.certificates, &files.key)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(authorities(file)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| about(file, &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    Ok(builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key))))
}

/// The cryptography that all of ours uses.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A certificate with its key.
///
/// # Errors
/// One of the files can't be read, or they don't belong together.
pub fn certified(certificates: &Path, key: &Path) -> Result<CertifiedKey, String> {
    let chain = chain(certificates)?;
    let private = PrivateKeyDer::from_pem_reader(open(key)?).map_err(|error| about(key, &error))?;
    let private = ring::sign::any_supported_type(&private).map_err(|error| about(key, &error))?;
    let certified = CertifiedKey::new(chain, private);
    certified
        .keys_match()
        .map_err(|_| about(key, &"not the key of the certificate"))?;
    Ok(certified)
}

/// Authorities that a file has.
///
/// # Errors
/// It can't be read, or has none.
pub fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(file)? {
        roots
            .add(certificate)
            .map_err(|error| about(file, &error))?;
    }
    Ok(roots)
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_reader_iter(open(file)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| about(file, &error))?;
    if chain.is_empty() {
        return Err(about(file, &"no certificate in PEM"));
    }
    Ok(chain)
}

fn open(file: &Path) -> Result<BufReader<File>, String> {
    File::open(file)
        .map(BufReader::new)
        .map_err(|error| about(file, &error))
}

fn about(file: &Path, problem: &dyn fmt::Display) -> String {
    format!("{}: {problem}", file.display())
}
