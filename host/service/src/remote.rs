//! Where a host is, as its clients write it: `10.0.0.7:12345`, `tls://tasks.example:12346` or `unix:/run/tasks.sock`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use rustls::client::ResolvesClientCert;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use crate::tls::{authorities, certified, provider};

/// How a Unix socket's path is told from an address.
pub const UNIX: &str = "unix:";
/// How an address is marked where TLS is spoken.
pub const TLS: &str = "tls://";

/// Where a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// An address and a port, without encryption.
    Tcp(String),
    /// An address and a port, by TLS, and the name that the certificate has to have.
    Tls(String, ServerName<'static>),
    /// A Unix socket of this machine.
    Unix(PathBuf),
}

impl Remote {
    /// Whether TLS is spoken there.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(..))
    }
}

impl FromStr for Remote {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix(UNIX) {
            if path.is_empty() {
                return Err(format!("{text:?} has no path; write unix:/run/tasks.sock"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let (authority, is_tls) = match text.strip_prefix(TLS) {
            Some(authority) => (authority, true),
            None => (text, false),
        };
        let name = authority
            .rsplit_once(':')
            .filter(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok())
            .map(|(name, _)| name);
        let Some(name) = name else {
            return Err(format!(
                "{text:?} is not the address of a host; write one like \"127.0.0.1:12345\", \"tls://tasks.example:12346\" or \"unix:/run/tasks.sock\""
            ));
        };
        if !is_tls {
            return Ok(Self::Tcp(authority.to_owned()));
        }
        let bare = name
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let name = ServerName::try_from(bare)
            .map_err(|_| format!("{text:?}: {name:?} is not a name that a certificate can have"))?;
        Ok(Self::Tls(authority.to_owned(), name))
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(authority) => f.write_str(authority),
            Self::Tls(authority, _) => write!(f, "{TLS}{authority}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

/// How a client of a host knows the host, and shows itself, by TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// PEM file of the authorities for the host's certificate; none: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// PEM files of the client's own certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

impl Trust {
    /// What handshakes go by.
    ///
    /// # Errors
    /// A file can't be read or used, or the system trusts nobody.
    pub fn config(&self) -> Result<Arc<ClientConfig>, String> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots(self.ca.as_deref())?);
        let config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let own: Arc<dyn ResolvesClientCert> =
                    Arc::new(SingleCertAndKey::from(certified(certificates, key)?));
                builder.with_client_cert_resolver(own)
            }
        };
        Ok(Arc::new(config))
    }
}

fn roots(ca: Option<&Path>) -> Result<RootCertStore, String> {
    if let Some(file) = ca {
        return authorities(file);
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(
            "the system has no list of authorities to trust; name a file with the host's"
                .to_owned(),
        );
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_how_to_connect() {
        let remote = |text: &str| text.parse::<Remote>();
        let tls = |authority: &str, name: &'static str| {
            Ok(Remote::Tls(authority.to_owned(), name.try_into().unwrap()))
        };
        assert_eq!(
            remote("localhost:1"),
            Ok(Remote::Tcp("localhost:1".to_owned()))
        );
        assert_eq!(remote("unix:a/b"), Ok(Remote::Unix("a/b".into())));
        assert_eq!(remote("tls://a.example:2"), tls("a.example:2", "a.example"));
        assert_eq!(remote("tls://10.0.0.1:2"), tls("10.0.0.1:2", "10.0.0.1"));
        assert_eq!(remote("tls://[::1]:2"), tls("[::1]:2", "::1"));
        for text in [
            "unix:",
            "localhost",
            ":1",
            "a:b",
            "tls://",
            "tls://a",
            "tls://a b:1",
        ] {
            assert!(remote(text).is_err(), "{text}");
        }
        for text in ["localhost:1", "tls://[::1]:2", "unix:/a/b"] {
            assert_eq!(remote(text).unwrap().to_string(), text);
        }
    }
}
