//! A client's socket: TCP or Unix, with TLS or without. It has the calls of tokio's own sockets that connections use, so
//! that these don't know which it is.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;

use super::plain::Plain;
use super::tls::TlsSocket;

/// A socket that carries lines.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(Plain),
    Tls(Box<TlsSocket>),
}

impl Socket {
    /// Waits until there may be something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.readable().await,
            Self::Tls(socket) => socket.readable().await,
        }
    }

    /// Waits until something may be written.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.writable().await,
            Self::Tls(socket) => socket.plain().writable().await,
        }
    }

    /// Reads what is there into the room that the buffer has; 0: the client has ended its sending.
    pub(super) fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_read_buf(buffer),
            Self::Tls(socket) => socket.try_read_buf(buffer),
        }
    }

    /// Writes what finds room. With TLS some of it may still be here afterwards, see [`Socket::try_flush`].
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
            Self::Tls(socket) => socket.try_write(bytes),
        }
    }

    /// Hands to the system what has been written; an error of the kind `WouldBlock` where it doesn't find room.
    pub(super) fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(socket) => socket.try_flush(),
        }
    }

    /// Ends the sending.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.shutdown(),
            Self::Tls(socket) => socket.shutdown(),
        }
    }

    /// What has gone wrong without being noticed.
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self {
            Self::Plain(socket) => socket.take_error(),
            Self::Tls(socket) => socket.plain().take_error(),
        }
    }
}

/// Who is at the other end, as far as the system or a trusted proxy tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// None: a Unix socket.
    pub(super) address: Option<SocketAddr>,
    /// The user of a process at a Unix socket.
    pub(super) user: Option<u32>,
    /// The proxy that told the address.
    pub(super) proxy: Option<SocketAddr>,
}

impl Peer {
    /// Where it comes from, without the port: what connections are counted by.
    pub(super) fn origin(&self) -> String {
        match (self.address, self.user) {
            (Some(address), _) => address.ip().to_canonical().to_string(),
            (None, Some(user)) => format!("unix, user {user}"),
            (None, None) => "unix".to_owned(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.proxy) {
            (Some(address), None) => address.fmt(f),
            (Some(address), Some(proxy)) => write!(f, "{address} (by {proxy})"),
            (None, _) => f.write_str(&self.origin()),
        }
    }
}
