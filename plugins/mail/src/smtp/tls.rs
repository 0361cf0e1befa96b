//! TLS by rustls, with the system's roots or those of a CA file.

use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The certificates to trust. The configuration is made at the first use: reading a system's roots takes milliseconds.
#[derive(Debug, Default)]
pub(crate) struct TlsSettings {
    /// The authorities to trust in place of the system's.
    roots: Option<RootCertStore>,
    config: OnceLock<Result<Arc<ClientConfig>, String>>,
}

impl TlsSettings {
    /// Trusts the certificates of a PEM file alone. The error is a sentence.
    pub(crate) fn from_ca_file(path: &Path) -> Result<Self, String> {
        let refuse = |reason: String| format!("`ca_file` {}: {reason}", path.display());
        let mut roots = RootCertStore::empty();
        for certificate in
            CertificateDer::pem_file_iter(path).map_err(|error| refuse(error.to_string()))?
        {
            let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| refuse(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(refuse("there is no certificate in it".to_owned()));
        }
        Ok(Self {
            roots: Some(roots),
            config: OnceLock::new(),
        })
    }

    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, String> {
        self.config.get_or_init(|| self.build()).clone()
    }

    fn build(&self) -> Result<Arc<ClientConfig>, String> {
        let roots = self.roots.clone().map_or_else(system_roots, Ok)?;
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
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
