//! TLS by rustls, with the system's roots or those of a CA file.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::ring,
    pki_types::{
        CertificateDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
    server::ParsedCertificate,
};

/// The certificates to trust. The configuration is made at the first use: reading a system's roots takes milliseconds.
#[derive(Debug, Default)]
pub(crate) struct TlsSettings {
    /// The authorities to trust in place of the system's.
    roots: Option<RootCertStore>,
    /// All certificates of the CA file: a server that shows one of them is trusted, whoever made it.
    named: Vec<CertificateDer<'static>>,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl TlsSettings {
    /// Trusts the certificates of a PEM file alone. The error is a sentence.
    pub(crate) fn from_ca_file(path: &Path) -> Result<Self, String> {
        let refuse = |reason: String| format!("`ca_file` {}: {reason}", path.display());
        let mut roots = RootCertStore::empty();
        let mut named = Vec::new();
        let unread = |error: pem::Error| match error {
            pem::Error::Io(error) => refuse(error.to_string()),
            _ => refuse("it is not a PEM file".to_owned()),
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(unread)? {
            let certificate = certificate.map_err(unread)?;
            roots.add(certificate.clone()).map_err(|_| {
                refuse(format!("its certificate {} can't be read", named.len() + 1))
            })?;
            named.push(certificate);
        }
        if named.is_empty() {
            return Err(refuse("there is no certificate in it".to_owned()));
        }
        Ok(Self {
            roots: Some(roots),
            named,
            config: OnceLock::new(),
        })
    }

    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        self.config.get_or_init(|| self.build()).clone()
    }

    fn build(&self) -> Result<Arc<ClientConfig>, String> {
        let roots = self.roots.clone().map_or_else(system_roots, Ok)?;
        let provider = Arc::new(ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| error.to_string())?;
        let verifier = Verifier {
            inner,
            named: self.named.clone(),
        };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(Arc::new(config))
    }
}

/// The usual verifier, which in addition takes a certificate that is named in the CA file for what it is.
///
/// The usual one takes it for an authority alone: it refuses the certificate that `openssl req -x509` makes for a
/// server, and one whose authority isn't in the file.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
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
        let result = self.inner.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        match result {
            Err(Error::InvalidCertificate(reason))
                if is_about_the_issuer(&reason)
                    && self.named.iter().any(|one| one == end_entity) =>
            {
                verify_name(end_entity, server_name)
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Whether all is well but who has signed it: times are looked at before that.
fn is_about_the_issuer(reason: &CertificateError) -> bool {
    match reason {
        // The signature is bad where an authority of that name is known, with another key.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => true,
        // An authority's certificate, shown by a server.
        CertificateError::Other(error) => {
            matches!(
                error.0.downcast_ref(),
                Some(webpki::Error::CaUsedAsEndEntity)
            )
        }
        _ => false,
    }
}

/// A certificate without any names is for whatever server it was named for.
fn verify_name(
    certificate: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
) -> Result<ServerCertVerified, Error> {
    match verify_server_name(&ParsedCertificate::try_from(certificate)?, server_name) {
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        })) if presented.is_empty() => Ok(ServerCertVerified::assertion()),
        result => result.map(|()| ServerCertVerified::assertion()),
    }
}

/// What is wrong with a connection, and what can be done about it. rustls's own words are names of its types.
pub(super) fn explain(error: &Error) -> String {
    let text = match error {
        Error::InvalidCertificate(reason) => return explain_certificate(reason),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what it said is not TLS; `smtps://` is for ports that begin with TLS, such as 465, and `smtp://` for others"
        }
        Error::PeerIncompatible(_) => "the two have no version or method of TLS in common",
        Error::AlertReceived(_) => "the server broke it off by an alert",
        _ => "the server doesn't keep to the rules of TLS",
    };
    text.to_owned()
}

fn explain_certificate(reason: &CertificateError) -> String {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; is the clock of this machine right?".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                return format!("the server's certificate names no server at all, and so not {expected}");
            }
            // They come as `DnsName("mx.example.com")` and `IpAddress(127.0.0.1)`.
            let names = presented.iter().map(|name| {
                let name = name.split_once('(').map_or(&**name, |(_, name)| name);
                name.trim_end_matches(')').trim_matches('"')
            });
            let names: Vec<_> = names.take(5).collect();
            format!(
                "the server's certificate is for {}, and not for {expected}; use that name in `url`",
                names.join(", ")
            )
        }
        CertificateError::NotValidForName => {
            "the server's certificate is for another name than the one in `url`".to_owned()
        }
        reason if is_about_the_issuer(reason) => {
            "no authority that is trusted here has signed the server's certificate; put the authority's certificate, or the server's own, into a file and name it in `ca_file`".to_owned()
        }
        CertificateError::Revoked => "the server's certificate was revoked".to_owned(),
        _ => "the server's certificate is not valid".to_owned(),
    }
}

fn system_roots() -> Result<RootCertStore, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found
            .errors
            .first()
            .map_or_else(String::new, |error| format!(" ({error})"));
        return Err(format!(
            "this system has no root certificates{reason}; install them, or set `ca_file`"
        ));
    }
    Ok(roots)
}
