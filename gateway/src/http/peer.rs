//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use hyper::header::HeaderMap;
use protocol::{ErrorCode, TaskFailure};
use service::sync::lock;

use super::forwarded;
use crate::access::Proxies;
use crate::limits::ConnectionPermit;

/// What is known of a connection.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) is_tls: bool,
    /// Whether it is a trusted proxy.
    pub(super) is_proxy: bool,
    /// Taken by the WebSocket that the connection becomes.
    pub(super) permit: Mutex<Option<ConnectionPermit>>,
}

impl Peer {
    /// If it is a trusted proxy: the address of its client, or its own where that can't be read, so that whatever comes
    /// through it counts for somebody. None otherwise: then the connection itself counts for its address.
    pub(super) fn asks_for(&self, proxies: &Proxies, headers: &HeaderMap) -> Option<IpAddr> {
        self.is_proxy.then(|| {
            forwarded::client(proxies, headers).unwrap_or_else(|| self.address.ip().to_canonical())
        })
    }

    /// Whether the client has connected by TLS, to the gateway or to a trusted proxy.
    pub(super) fn is_https(&self, headers: &HeaderMap) -> bool {
        let proxy_says = self
            .is_proxy
            .then(|| forwarded::is_https(headers))
            .flatten();
        proxy_says.unwrap_or(self.is_tls)
    }

    /// The port that the client has connected to, if a trusted proxy says so.
    pub(super) fn forwarded_port(&self, headers: &HeaderMap) -> Option<u16> {
        self.is_proxy.then(|| forwarded::port(headers)).flatten()
    }

    /// Asks the permit, if no WebSocket has taken it.
    pub(super) fn with_permit<T>(
        &self,
        ask: impl FnOnce(&ConnectionPermit) -> Result<T, TaskFailure>,
    ) -> Result<T, TaskFailure> {
        match &*lock(&self.permit) {
            Some(permit) => ask(permit),
            None => Err(TaskFailure::new(
                ErrorCode::BadRequest,
                "the connection has become a WebSocket",
            )),
        }
    }
}
