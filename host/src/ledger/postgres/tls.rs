//! Encryption of the way to the database, by `libpq`'s words.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect, TlsStream};
use tokio_rustls::TlsConnector;

/// What of an address is about encryption, and the address without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) address: String,
    mode: Mode,
    authorities: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Whether it begins with a scheme, which isn't `PostgreSQL`'s.
fn is_of_another_kind(address: &str) -> bool {
    let scheme = address.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

impl Asked {
    /// Takes `sslmode` and `sslrootcert` out of an address, in either of its forms; without a mode it is `prefer`, as
    /// `libpq` has it.
    ///
    /// # Errors
    /// A mode that there is none of.
    pub(super) fn of(address: &str) -> Result<Self, String> {
        let mut asked = Self {
            address: String::new(),
            mode: Mode::Prefer,
            authorities: None,
        };
        let is_url = ["postgres://", "postgresql://"]
            .iter()
            .any(|start| address.starts_with(start));
        if is_url {
            let (base, query) = address.split_once('?').unwrap_or((address, ""));
            let mut rest = Vec::new();
            for word in query.split('&').filter(|word| !word.is_empty()) {
                if !asked.takes(word)? {
                    rest.push(word);
                }
            }
            let query = rest.join("&");
            let mark = if query.is_empty() { "" } else { "?" };
            asked.address = format!("{base}{mark}{query}");
        } else if is_of_another_kind(address) {
            return Err("it begins with postgres://, or consists of words like host=…".to_owned());
        } else {
            let mut rest = Vec::new();
            for word in address.split(' ').filter(|word| !word.is_empty()) {
                if ["sslmode", "sslrootcert"].contains(&word) {
                    return Err(format!("write {word}=… without blanks"));
                }
                if !asked.takes(word)? {
                    rest.push(word);
                }
            }
            asked.address = rest.join(" ");
        }
        Ok(asked)
    }

    /// Whether the word is about encryption.
    fn takes(&mut self, word: &str) -> Result<bool, String> {
        let Some((name, value)) = word.split_once('=') else {
            return Ok(false);
        };
        match name {
            "sslmode" => {
                self.mode = match value {
                    "disable" => Mode::Disable,
                    "prefer" => Mode::Prefer,
                    "require" => Mode::Require,
                    "verify-ca" => Mode::VerifyCa,
                    "verify-full" => Mode::VerifyFull,
                    _ => {
                        return Err(format!(
                            "sslmode is disable, prefer, require, verify-ca or verify-full, not `{value}`"
                        ));
                    }
                };
            }
            "sslrootcert" => self.authorities = Some(PathBuf::from(value)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What the driver is to insist on.
    pub(super) fn ssl_mode(&self) -> SslMode {
        match self.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        }
    }

    /// How a certificate is looked at.
    ///
    /// # Errors
    /// Nothing says whom to trust, or its file can't be read.
    pub(super) fn encryption(&self) -> Result<Encryption, String> {
        let provider = service::tls::provider();
        // As libpq: who names whom to trust wants it to be checked.
        let mode = match (self.mode, &self.authorities) {
            (Mode::Require, Some(_)) => Mode::VerifyCa,
            (mode, _) => mode,
        };
        let trusted = match mode {
            Mode::Disable | Mode::Prefer | Mode::Require => None,
            Mode::VerifyCa | Mode::VerifyFull => {
                let file = self.authorities.as_deref();
                Some(verifier(file, &provider)?)
            }
        };
        let verifier = Verifier {
            trusted,
            is_name_checked: mode == Mode::VerifyFull,
            provider: Arc::clone(&provider),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Encryption(TlsConnector::from(Arc::new(config))))
    }
}

fn verifier(
    file: Option<&Path>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, String> {
    let Some(file) = file else {
        return Err(
            "name the certificates that the database's is to be signed by: `sslrootcert=FILE`"
                .into(),
        );
    };
    let roots = Arc::new(service::tls::authorities(file)?);
    WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())
}

/// Looks at a certificate as closely as was asked for.
#[derive(Debug)]
struct Verifier {
    /// None where anybody's will do.
    trusted: Option<Arc<WebPkiServerVerifier>>,
    is_name_checked: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(trusted) = &self.trusted else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified =
            trusted.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at last, when all else is right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.is_name_checked => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Encrypts connections, in the way that the driver asks for.
#[derive(Clone)]
pub(super) struct Encryption(TlsConnector);

impl MakeTlsConnect<Socket> for Encryption {
    type Stream = Encrypted;
    type TlsConnect = Handshake;
    type Error = rustls::pki_types::InvalidDnsNameError;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Handshake, Self::Error> {
        // A socket in a folder has no name, and is never encrypted.
        let name = if domain.is_empty() {
            "localhost"
        } else {
            domain
        };
        Ok(Handshake {
            connector: self.0.clone(),
            name: ServerName::try_from(name)?.to_owned(),
        })
    }
}

pub(super) struct Handshake {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsConnect<Socket> for Handshake {
    type Stream = Encrypted;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted>> + Send>>;

    fn connect(self, socket: Socket) -> Self::Future {
        Box::pin(async move {
            let stream = self.connector.connect(self.name, socket).await?;
            Ok(Encrypted(Box::new(stream)))
        })
    }
}

pub(super) struct Encrypted(Box<tokio_rustls::client::TlsStream<Socket>>);

impl TlsStream for Encrypted {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Encrypted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_encryption_is_taken_out_of_either_form_of_an_address() {
        let rows = [
            ("postgres://u:p@h/d", "postgres://u:p@h/d", Mode::Prefer),
            (
                "postgres://u:p@h/d?sslmode=verify-full&application_name=x&sslrootcert=/r",
                "postgres://u:p@h/d?application_name=x",
                Mode::VerifyFull,
            ),
            (
                "host=h sslmode=verify-ca user=u",
                "host=h user=u",
                Mode::VerifyCa,
            ),
            ("host=h sslmode=disable", "host=h", Mode::Disable),
            (
                "postgresql://h/d?sslmode=require",
                "postgresql://h/d",
                Mode::Require,
            ),
        ];
        for (address, rest, mode) in rows {
            let asked = Asked::of(address).unwrap();
            assert_eq!((&*asked.address, asked.mode), (rest, mode), "{address}");
        }
        assert!(Asked::of("host=h sslmode=allow").is_err());
    }
}
