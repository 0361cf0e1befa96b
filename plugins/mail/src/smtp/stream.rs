//! A TCP connection, plain or under TLS, whose reads and writes give up the thread every [`SLICE`].

use std::{
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rustls::{ClientConnection, ProtocolVersion, StreamOwned, pki_types::ServerName};

use super::{error::Error, settings::Settings, tls};

/// How long one read or write waits before the caller may look at the clock and at the task.
pub(crate) const SLICE: Duration = Duration::from_millis(100);

/// Says whether the task that waits was stopped.
pub(crate) type IsStopped<'a> = &'a dyn Fn() -> bool;

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    /// Connects to the server, within `connect_timeout`, name resolution included.
    pub(crate) fn connect(settings: &Settings, is_stopped: IsStopped<'_>) -> Result<Self, Error> {
        let until = Instant::now() + settings.connect_timeout;
        let (sender, receiver) = mpsc::sync_channel(1);
        let (host, port, server) = (
            settings.host.clone(),
            settings.port,
            settings.server.clone(),
        );
        // Neither name resolution nor connect can be interrupted. When it takes too long the thread is left behind, and
        // ends as soon as the system lets go of it.
        thread::Builder::new()
            .name("mail-connect".to_owned())
            .spawn(move || sender.send(connect(&host, port, &server, until)))
            .map_err(|source| Error::Connect {
                server: settings.server.clone(),
                source: Arc::new(source),
            })?;
        loop {
            match receiver.recv_timeout(SLICE) {
                Ok(connected) => return connected.map(Self::Plain),
                Err(_) if is_stopped() => return Err(Error::Stopped),
                Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < until => {}
                Err(_) => {
                    return Err(Error::TimedOut {
                        server: settings.server.clone(),
                        waiting_for: "connection",
                        after: settings.connect_timeout,
                    });
                }
            }
        }
    }

    /// Begins TLS, and finishes its handshake before anything else is sent.
    pub(crate) fn secure(
        self,
        settings: &Settings,
        is_stopped: IsStopped<'_>,
    ) -> Result<Self, Error> {
        let fail = |reason: String| Error::Tls {
            server: settings.server.clone(),
            reason,
        };
        let Self::Plain(mut socket) = self else {
            return Ok(self);
        };
        let config = settings.tls.config().map_err(fail)?;
        let name =
            ServerName::try_from(settings.host.clone()).map_err(|error| fail(error.to_string()))?;
        let mut tls =
            ClientConnection::new(config, name).map_err(|error| fail(error.to_string()))?;
        let until = Instant::now() + settings.command_timeout;
        while tls.is_handshaking() {
            match tls.complete_io(&mut socket) {
                Ok(_) => {}
                Err(error) if is_pause(&error) && is_stopped() => return Err(Error::Stopped),
                Err(error) if is_pause(&error) && Instant::now() < until => {}
                Err(error) if is_pause(&error) => {
                    return Err(Error::TimedOut {
                        server: settings.server.clone(),
                        waiting_for: "end of the TLS handshake",
                        after: settings.command_timeout,
                    });
                }
                Err(error) => {
                    let source = error.get_ref().and_then(|source| source.downcast_ref());
                    return Err(fail(source.map_or_else(|| error.to_string(), tls::explain)));
                }
            }
        }
        Ok(Self::Tls(Box::new(StreamOwned::new(tls, socket))))
    }

    /// The version of TLS, where there is any.
    pub(crate) fn tls_version(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(tls) => Some(match tls.conn.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                _ => "1.3",
            }),
        }
    }

    /// Whether the connection stands and the server has said nothing in the meantime: what it says unasked is goodbye.
    pub(crate) fn is_quiet(&mut self) -> bool {
        if self.socket().set_nonblocking(true).is_err() {
            return false;
        }
        let is_quiet =
            matches!(self.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        is_quiet && self.socket().set_nonblocking(false).is_ok()
    }

    /// Says goodbye, without waiting for an answer.
    pub(crate) fn quit(mut self) {
        if self.socket().set_nonblocking(true).is_ok() && self.write(b"QUIT\r\n").is_ok() {
            if let Self::Tls(tls) = &mut self {
                tls.conn.send_close_notify();
            }
            // It was a courtesy: what doesn't fit into the socket's buffer now is left unsaid.
            let _ = self.flush();
        }
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => &tls.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

/// Whether the error only means that a [`SLICE`] is over, or that a signal came.
pub(crate) fn is_pause(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}

/// Tries the host's addresses one after another, each with a fair share of the time that is left.
fn connect(host: &str, port: u16, server: &Arc<str>, until: Instant) -> Result<TcpStream, Error> {
    let unresolved = |source| Error::Resolve {
        server: server.clone(),
        source: Arc::new(source),
    };
    let addresses: Vec<_> = (host, port)
        .to_socket_addrs()
        .map_err(unresolved)?
        .collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (index, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match TcpStream::connect_timeout(address, share.max(Duration::from_millis(1)))
            .and_then(prepare)
        {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(Error::Connect {
        server: server.clone(),
        source: Arc::new(last),
    })
}

fn prepare(socket: TcpStream) -> io::Result<TcpStream> {
    // Every turn is one write. Without this, its last packet waits for the peer's delayed acknowledgement: 40 ms.
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SLICE))?;
    socket.set_write_timeout(Some(SLICE))?;
    Ok(socket)
}
