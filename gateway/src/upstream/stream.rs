//! A connection to a host as bytes: by TCP, by TLS or over a Unix socket, in two halves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use service::remote::{Remote, Trust};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf, split};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The reading half.
#[derive(Debug)]
pub(super) enum Incoming {
    Tcp(tcp::OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
    Unix(unix::OwnedReadHalf),
}

/// The writing half.
#[derive(Debug)]
pub(super) enum Outgoing {
    Tcp(tcp::OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
    Unix(unix::OwnedWriteHalf),
}

/// Connects to a host.
///
/// # Errors
/// It can't be reached, or not be believed.
pub(super) async fn connect(remote: &Remote, trust: &Trust) -> io::Result<(Incoming, Outgoing)> {
    match remote {
        Remote::Tcp(authority) => {
            let (read, write) = dial(authority).await?.into_split();
            Ok((Incoming::Tcp(read), Outgoing::Tcp(write)))
        }
        Remote::Tls(authority, name) => {
            let config = trust.config().map_err(io::Error::other)?;
            let connector = TlsConnector::from(Arc::clone(&config));
            let stream = connector
                .connect(name.clone(), dial(authority).await?)
                .await?;
            let (read, write) = split(stream);
            Ok((Incoming::Tls(read), Outgoing::Tls(write)))
        }
        Remote::Unix(path) => {
            let (read, write) = UnixStream::connect(path).await?.into_split();
            Ok((Incoming::Unix(read), Outgoing::Unix(write)))
        }
    }
}

async fn dial(authority: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(authority).await?;
    // Without it a request may wait for the acknowledgement of the one before.
    drop(stream.set_nodelay(true));
    Ok(stream)
}

impl AsyncRead for Incoming {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_read(context, buffer),
            Self::Tls(half) => Pin::new(half).poll_read(context, buffer),
            Self::Unix(half) => Pin::new(half).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_write(context, bytes),
            Self::Tls(half) => Pin::new(half).poll_write(context, bytes),
            Self::Unix(half) => Pin::new(half).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_flush(context),
            Self::Tls(half) => Pin::new(half).poll_flush(context),
            Self::Unix(half) => Pin::new(half).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(half) => Pin::new(half).poll_shutdown(context),
            Self::Tls(half) => Pin::new(half).poll_shutdown(context),
            Self::Unix(half) => Pin::new(half).poll_shutdown(context),
        }
    }
}
