//! Keys at an address.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CACHE_CONTROL, HOST, HeaderMap, USER_AGENT};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long it may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Longest set of keys, in bytes.
const LEN_MAX: usize = 1 << 20;

/// Where keys are fetched.
pub(super) struct JwksUrl {
    uri: Uri,
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

/// A set of keys.
pub(super) struct Fetched {
    pub(super) text: String,
    /// How long its server takes it to be fresh.
    pub(super) max_age: Option<Duration>,
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl JwksUrl {
    /// # Errors
    /// It is no address of keys, or not one that can be trusted.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let not = |problem: &str| format!("{text:?}: {problem}");
        let uri: Uri = text.parse().map_err(|_| not("not a URL"))?;
        let host = uri.host().ok_or_else(|| not("a URL has a host"))?;
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(not("write https://")),
        };
        let is_local = bare == "localhost"
            || bare
                .parse()
                .is_ok_and(|address: IpAddr| address.is_loopback());
        if !is_tls && !is_local {
            return Err(not(
                "whoever is on the way could give other keys: write https://",
            ));
        }
        let name =
            || ServerName::try_from(bare.clone()).map_err(|_| not("not the name of a server"));
        Ok(Self {
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            tls: is_tls
                .then(|| Ok::<_, String>((connector()?, name()?)))
                .transpose()?,
            host: bare,
            uri,
        })
    }

    pub(super) async fn fetch(&self) -> Result<Fetched, String> {
        timeout(TIMEOUT, self.connect_and_get())
            .await
            .unwrap_or_else(|_| Err(format!("no answer in {TIMEOUT:?}")))
    }

    async fn connect_and_get(&self) -> Result<Fetched, String> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| error.to_string())?;
        match &self.tls {
            None => self.get(stream).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                self.get(stream.map_err(|error| error.to_string())?).await
            }
        }
    }

    async fn get<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> Result<Fetched, String> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = self
            .uri
            .authority()
            .map_or("", |authority| authority.as_str());
        let request = Request::get(path)
            .header(HOST, authority)
            .header(ACCEPT, "application/json")
            .header(
                USER_AGENT,
                concat!("task-gateway/", env!("CARGO_PKG_VERSION")),
            )
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        let asked = async move {
            let response = sender
                .send_request(request)
                .await
                .map_err(|error| error.to_string())?;
            if response.status() != StatusCode::OK {
                return Err(format!("answered {}", response.status()));
            }
            let max_age = max_age(response.headers());
            let body = Limited::new(response.into_body(), LEN_MAX)
                .collect()
                .await
                .map_err(|error| error.to_string())?
                .to_bytes();
            let text = String::from_utf8(body.into()).map_err(|_| "not UTF-8".to_owned())?;
            Ok(Fetched { text, max_age })
        };
        // It ends with the one who asks on it.
        let (fetched, _) = tokio::join!(asked, connection);
        fetched
    }
}

/// Trusts whom this machine trusts.
fn connector() -> Result<TlsConnector, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(
            "this machine trusts no certificate, by which the server of the keys could be known; install ca-certificates, or name a file by SSL_CERT_FILE"
                .to_owned(),
        );
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// How long an answer may be kept (RFC 9111, section 5.2.2.1).
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|directive| directive.trim().split_once('='))
        .find(|(name, _)| name.eq_ignore_ascii_case("max-age"))
        .and_then(|(_, seconds)| seconds.trim_matches('"').parse().ok())
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_fetched_from_whom_can_be_known() {
        for (text, told) in [
            ("http://login.example/keys", "https://"),
            ("ftp://login.example/keys", "https://"),
            ("/keys", "a host"),
            ("login.example", "https://"),
        ] {
            let problem = JwksUrl::parse(text).err().unwrap();
            assert!(problem.contains(told), "{text}: {problem}");
        }
        for text in [
            "http://127.0.0.1:8080/keys",
            "http://[::1]/keys",
            "http://localhost/keys",
        ] {
            assert!(JwksUrl::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_server_says_how_long_its_keys_are_fresh() {
        let of = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(
                CACHE_CONTROL,
                hyper::header::HeaderValue::from_static(value),
            );
            max_age(&headers).map(|age| age.as_secs())
        };
        assert_eq!(of("public, Max-Age=21600, must-revalidate"), Some(21_600));
        assert_eq!(of("max-age=\"60\""), Some(60));
        assert_eq!(of("no-store"), None);
        assert_eq!(of("s-maxage=5"), None);
    }
}
