//! TLS as a server: certificates, and whom to believe in theirs, read again when their files change.

use std::fmt;
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant, SystemTime};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CertificateError, Error, RootCertStore, ServerConfig};

use crate::sync;

/// How often the files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// So long before a certificate ends, the log begins to say so. Those that are renewed by programs are renewed earlier:
/// with 30 days left of 90, or 2 of 6.
const ENDS_SOON: Duration = Duration::from_secs(24 * 3600);

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
    /// When the certificate ends; none: nobody knows.
    ends_at: Option<SystemTime>,
    /// What the log has said of that.
    said: Ending,
}

/// How near a certificate's end is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    #[default]
    Far,
    Soon,
    Over,
}

impl Ending {
    fn at(now: SystemTime, ends_at: SystemTime) -> Self {
        match ends_at.duration_since(now) {
            Err(_) => Self::Over,
            Ok(left) if left <= ENDS_SOON => Self::Soon,
            Ok(_) => Self::Far,
        }
    }
}

impl Seen {
    fn new(versions: Vec<Option<Version>>, ends_at: Option<SystemTime>) -> Self {
        Self {
            at: Instant::now(),
            versions,
            ends_at,
            said: Ending::Far,
        }
    }

    /// Says in the log that the certificate ends soon, or has ended: otherwise only its clients would know.
    fn say_ending(&mut self, file: &Path) {
        let now = SystemTime::now();
        let ending = self
            .ends_at
            .map(|at| Ending::at(now, at))
            .unwrap_or_default();
        if ending <= self.said {
            return;
        }
        self.said = ending;
        let file = file.display();
        if ending == Ending::Over {
            tracing::error!(
                "the certificate {file} has ended: clients refuse it; put a new one in its place, which is read at once"
            );
        } else {
            tracing::warn!(
                "the certificate {file} ends within a day; put a new one in its place, which is read at once"
            );
        }
    }
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
        let (config, ends_at) = configure(&files)?;
        let mut seen = Seen::new(versions, ends_at);
        seen.say_ending(&files.certificates);
        Ok(Self {
            files,
            current: RwLock::new(Arc::new(config)),
            seen: Mutex::new(seen),
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
            seen.say_ending(&self.files.certificates);
            return;
        }
        match configure(&self.files) {
            Ok((config, ends_at)) => {
                *seen = Seen::new(versions, ends_at);
                seen.say_ending(&self.files.certificates);
                *sync::write(&self.current) = Arc::new(config);
                tracing::info!("the certificates were read again");
            }
            Err(error) => tracing::warn!(error, "the certificates from before stay in use"),
        }
    }
}

/// What handshakes go by, and when the certificate ends.
fn configure(files: &TlsFiles) -> Result<(ServerConfig, Option<SystemTime>), String> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let key = certified(&files.certificates, &files.key)?;
    let ends_at = key.cert.first().and_then(end_of);
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
    let config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    Ok((config, ends_at))
}

/// When a certificate ends. Whoever checks it at the end of all time is told when it was no longer good.
fn end_of(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let checked = rustls::client::verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &RootCertStore::empty(),
        &[],
        UnixTime::since_unix_epoch(Duration::from_secs(u64::MAX)),
        provider().signature_verification_algorithms.all,
    );
    match checked {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(not_after.as_secs()))
        }
        _ => None,
    }
}

/// The cryptography that all of ours uses.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Keys with a passphrase look alike to who doesn't know it.
const NO_KEY: &str = "no key in PEM that can be read without a passphrase; where it has one, write it without: `openssl pkey -in KEY -out KEY_WITHOUT`";

/// A certificate with its key.
///
/// # Errors
/// One of the files can't be read, or they don't belong together.
pub fn certified(certificates: &Path, key: &Path) -> Result<CertifiedKey, String> {
    let chain = chain(certificates)?;
    let private = PrivateKeyDer::from_pem_reader(open(key)?).map_err(|error| match error {
        pem::Error::NoItemsFound => about(key, &NO_KEY),
        error => about(key, &error),
    })?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// By `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=a -days 3650`, and its end by
    /// `date -d "$(openssl x509 -enddate -noout | cut -d= -f2)" +%s`.
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
        MIIBbjCCAROgAwIBAgIUL/f5Vd+ZYRBecYDVWtqMzXWuJ/YwCgYIKoZIzj0EAwIw\n\
        DDEKMAgGA1UEAwwBYTAeFw0yNjExMjcyMzExNDBaFw0zNjExMjQyMzExNDBaMAwx\n\
        CjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASclIlJEoUeGqHK\n\
        5glrjAuBN9MEl8k/XPHYpOW3EChToIDA0eMzHoiM3PkzWrRC/+V3zHo+yLRiQyzj\n\
        kRsCNeiso1MwUTAdBgNVHQ4EFgQUry57sXS7BQzq3LpS2grE80TM+08wHwYDVR0j\n\
        BBgwFoAUry57sXS7BQzq3LpS2grE80TM+08wDwYDVR0TAQH/BAUwAwEB/zAKBggq\n\
        hkjOPQQDAgNJADBGAiEAqJjVlfhTCCEcHkFMS5u4jJGuPv6wTdDgJlDwHFhohhoC\n\
        IQDzG+AJ7/oSwm5BoJFRYSrcw39ZUK3Dq5BGmzIWCUao0Q==\n\
        -----END CERTIFICATE-----\n";
    const ENDS_AT: u64 = 2_111_181_100;

    #[test]
    fn a_certificate_ends_when_openssl_says_so() {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
        let ends_at = end_of(&certificate).unwrap();
        let since = ends_at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), ENDS_AT);
        let [before, soon, after] = [
            ends_at - ENDS_SOON - Duration::from_secs(1),
            ends_at - ENDS_SOON,
            ends_at + Duration::from_secs(1),
        ];
        assert_eq!(Ending::at(before, ends_at), Ending::Far);
        assert_eq!(Ending::at(soon, ends_at), Ending::Soon);
        assert_eq!(Ending::at(after, ends_at), Ending::Over);
    }
}
