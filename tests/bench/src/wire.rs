//! How a server is reached: by TCP, by TLS or over a Unix socket, and what it is shown first.

use std::fs::File;
use std::io::{self, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::address::Address;
use crate::error::BenchError;

/// A server, and how its clients reach it.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    pub(crate) address: Address,
    /// Whom clients believe where TLS is spoken.
    pub(crate) trust: Option<Trust>,
    /// What they show first, by a `host.hello`.
    pub(crate) token: Option<Arc<str>>,
}

impl Way {
    /// Without TLS, and without showing anything.
    pub(crate) fn plain(address: Address) -> Self {
        Self {
            address,
            trust: None,
            token: None,
        }
    }

    /// The address of a server that listens on TCP alone.
    pub(crate) fn tcp(&self) -> SocketAddr {
        match &self.address {
            Address::Tcp(addr) => *addr,
            other => unreachable!("{other} is no address of TCP without TLS"),
        }
    }

    pub(crate) async fn connect(&self) -> Result<Wire, BenchError> {
        let failed = BenchError::io(format!("can't connect to {}", self.address));
        match (&self.address, &self.trust) {
            (Address::Tcp(addr), _) => dial(*addr).await.map(Wire::Tcp),
            (Address::Unix(path), _) => UnixStream::connect(path).await.map(Wire::Unix),
            (Address::Tls(addr), Some(trust)) => {
                trust.connect(*addr).await.map(Box::new).map(Wire::Tls)
            }
            (Address::Tls(_), None) => Err(io::Error::other("whom does it have to be? (`--ca`)")),
        }
        .map_err(failed)
    }
}

/// A connection to a server.
pub(crate) enum Wire {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
}

/// Connects by TCP, so that what is written goes at once.
pub(crate) async fn dial(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The authorities that vouch for a server, by its address.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Those of a PEM file. Every handshake is a whole one: none goes on from one before.
    pub(crate) fn of(ca: &Path) -> Result<Self, BenchError> {
        let config = || {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_reader_iter(BufReader::new(File::open(ca)?)) {
                let certificate = certificate.map_err(io::Error::other)?;
                roots.add(certificate).map_err(io::Error::other)?;
            }
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(io::Error::other)?;
            let mut config = builder.with_root_certificates(roots).with_no_client_auth();
            config.resumption = Resumption::disabled();
            Ok(config)
        };
        let failed = BenchError::io(format!("can't use {}", ca.display()));
        config().map(Arc::new).map(Self).map_err(failed)
    }

    pub(crate) fn config(&self) -> &Arc<ClientConfig> {
        &self.0
    }

    /// Connects, and shakes hands.
    pub(crate) async fn connect(&self, addr: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::clone(&self.0));
        connector.connect(name_of(addr), dial(addr).await?).await
    }
}

/// What a server's certificate has to have among its names.
pub(crate) fn name_of(addr: SocketAddr) -> ServerName<'static> {
    ServerName::IpAddress(addr.ip().into())
}
