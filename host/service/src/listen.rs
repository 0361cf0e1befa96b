//! Where a program listens, and how it takes connections.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::config::ConfigError;

/// For so long an address is tried that another program has, and so long is waited in between.
const IN_USE_MAX: Duration = Duration::from_millis(500);
const IN_USE_PAUSE: Duration = Duration::from_millis(10);

/// Connections that wait to be taken: as many as the system allows. After a restart all clients come back at once, and one
/// that finds no room waits for seconds.
const BACKLOG: u32 = 65_535;
/// How long accepting rests after an error that may pass, like too many open files. The connection stays in the backlog;
/// asking again at once would only spin.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Where a program listens: every address that a text like `"localhost:8080"` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The key of the configuration; the command line's flag has the same name.
    key: &'static str,
    /// As it is written.
    text: String,
    addresses: Vec<SocketAddr>,
    /// `[::]` leaves what comes by IPv4 to another.
    is_only_v6: bool,
}

impl Listen {
    /// Reads the value of the key, for which `example` would be right. Names are looked up now.
    ///
    /// # Errors
    /// It stands for no address.
    pub fn parse(key: &'static str, text: &str, example: &str) -> Result<Self, ConfigError> {
        let wrong = |error: &dyn fmt::Display| {
            ConfigError::value(
                key,
                format!(
                    "can't listen on {text:?}: {error}; write an address and a port, like {example:?}"
                ),
            )
        };
        let addresses: Vec<_> = text
            .to_socket_addrs()
            .map_err(|error| wrong(&error))?
            .collect();
        if addresses.is_empty() {
            return Err(wrong(&"it stands for no address"));
        }
        Ok(Self {
            key,
            text: text.to_owned(),
            addresses,
            is_only_v6: false,
        })
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.addresses
            .iter()
            .all(|address| address.ip().is_loopback())
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether `[::]` takes only what comes by IPv6; by itself it takes all.
    pub fn keep_to_ipv6(&mut self, is_only_v6: bool) {
        self.is_only_v6 = is_only_v6;
    }

    /// The addresses, at least one.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Listens on all addresses. Those of a kind that this machine doesn't have are left out, as long as there is another:
    /// `localhost` stands for `::1` also where IPv6 is switched off. With port 0 all get the same free port.
    ///
    /// # Errors
    /// One of them can't be had, most often because another program has it.
    pub fn bind(&self) -> Result<Listener, ListenError> {
        let mut sockets = Vec::new();
        let mut missing = None;
        let mut port = None;
        for address in &self.addresses {
            let mut wanted = *address;
            if let (0, Some(port)) = (wanted.port(), port) {
                wanted.set_port(port);
            }
            match bind_patiently(wanted, self.is_only_v6) {
                Ok(socket) => {
                    port = port.or(socket.local_addr().ok().map(|address| address.port()));
                    sockets.push(socket);
                }
                Err(error) => {
                    let error = ListenError {
                        key: self.key,
                        address: wanted,
                        error,
                    };
                    if !error.is_absent() {
                        return Err(error);
                    }
                    missing = Some(error);
                }
            }
        }
        match missing {
            Some(error) if sockets.is_empty() => Err(error),
            _ => Ok(Listener { sockets }),
        }
    }
}

/// Of a program that was killed while it started a child, the child has the port for the moment until it runs a program of its
/// own.
fn bind_patiently(address: SocketAddr, is_only_v6: bool) -> io::Result<TcpListener> {
    let until = Instant::now() + IN_USE_MAX;
    loop {
        match bind(address, is_only_v6) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                thread::sleep(IN_USE_PAUSE);
            }
            bound => return bound,
        }
    }
}

fn bind(address: SocketAddr, is_only_v6: bool) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A program that was restarted gets its port although connections of the one before are still on their way out.
    socket.set_reuseaddr(true)?;
    if is_only_v6 && address.is_ipv6() {
        rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// An address can't be listened on.
#[derive(Debug)]
pub struct ListenError {
    key: &'static str,
    address: SocketAddr,
    error: io::Error,
}

impl ListenError {
    /// Whether the machine has no such address.
    fn is_absent(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrNotAvailable
            || self.error.raw_os_error() == Some(libc::EAFNOSUPPORT)
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            address,
            error,
        } = self;
        write!(
            f,
            "can't listen on {address}: {error}; name another address in `{key}` of the configuration, or with --{key} ADDR"
        )
    }
}

impl std::error::Error for ListenError {}

/// Takes connections.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<TcpListener>,
}

impl Listener {
    /// The address of the first socket, with the port that it got.
    ///
    /// # Errors
    /// The system doesn't say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match self.sockets.first() {
            Some(socket) => socket.local_addr(),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        }
    }

    /// The next connection and its peer's address. Waits out whatever keeps it from being taken, and says so in the log.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.accept_any().await {
                Ok((stream, peer)) => {
                    answer_at_once(&stream);
                    return (stream, peer);
                }
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    /// Refuses connections from now on, and gives those that have come already.
    pub fn close(&self) -> Vec<(TcpStream, SocketAddr)> {
        let come = self.sockets.iter().flat_map(close);
        come.filter_map(|stream| {
            let stream = TcpStream::from_std(stream.into()).ok()?;
            answer_at_once(&stream);
            let peer = stream.peer_addr().ok()?;
            Some((stream, peer))
        })
        .collect()
    }

    async fn accept_any(&self) -> io::Result<(TcpStream, SocketAddr)> {
        if let [socket] = &self.sockets[..] {
            return socket.accept().await;
        }
        std::future::poll_fn(|context| {
            for socket in &self.sockets {
                if let std::task::Poll::Ready(accepted) = socket.poll_accept(context) {
                    return std::task::Poll::Ready(accepted);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }
}

/// Answers are small and have to leave at once, not after the acknowledgement of the one before.
fn answer_at_once(stream: &TcpStream) {
    drop(stream.set_nodelay(true));
}

/// Has a listening socket refuse connections from now on, and gives those that have come already and were not accepted:
/// dropped with the socket, they would be cut off, though their clients may have sent something.
pub fn close(socket: impl AsFd) -> Vec<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let mut come = Vec::new();
    loop {
        match rustix::net::accept_with(&socket, flags) {
            Ok(stream) => come.push(stream),
            // That one has gone meanwhile; there may be others.
            Err(Errno::CONNABORTED | Errno::INTR) => {}
            Err(_) => break,
        }
    }
    // It may be shut already.
    let _ = rustix::net::shutdown(&socket, Shutdown::Both);
    come
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Listen {
        Listen::parse("listen", text, "127.0.0.1:8080").unwrap()
    }

    #[tokio::test]
    async fn an_address_that_is_free_in_a_moment_is_had() {
        let before = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = before.local_addr().unwrap().to_string();
        let (begun, begins) = std::sync::mpsc::channel();
        let gone = thread::spawn(move || {
            begins.recv().unwrap();
            thread::park_timeout(Duration::from_millis(50));
            drop(before);
        });
        begun.send(()).unwrap();
        assert!(listen(&address).bind().is_ok());
        gone.join().unwrap();
    }

    #[test]
    fn texts_are_addresses_or_refused_with_an_example() {
        assert!(listen("127.0.0.1:0").is_loopback());
        assert!(!listen("0.0.0.0:0").is_loopback());
        for text in ["nowhere", "127.0.0.1", "localhost:99999"] {
            let error = Listen::parse("listen", text, "127.0.0.1:8080").unwrap_err();
            let error = error.to_string();
            assert!(
                error.starts_with("`listen`: ") && error.contains("127.0.0.1:8080"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_connection_to_any_of_its_addresses_is_taken() {
        let both = Listen {
            addresses: vec![([127, 0, 0, 1], 0).into(), ([127, 0, 0, 2], 0).into()],
            ..listen("127.0.0.1:0")
        };
        let listener = both.bind().unwrap();
        let port = listener.address().unwrap().port();
        for host in ["127.0.0.1", "127.0.0.2"] {
            let client = TcpStream::connect((host, port)).await.unwrap();
            let (_, peer) = listener.accept().await;
            assert_eq!(peer, client.local_addr().unwrap());
        }
    }

    #[tokio::test]
    async fn who_came_before_it_closed_is_heard_and_who_comes_later_is_refused() {
        let listener = listen("127.0.0.1:0").bind().unwrap();
        let address = listener.address().unwrap();
        // Nobody has looked at the socket yet.
        let clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        let come = listener.close();
        let peers: Vec<SocketAddr> = come.iter().map(|(_, peer)| *peer).collect();
        let expected = clients
            .each_ref()
            .map(|client| client.local_addr().unwrap());
        assert_eq!(peers, expected);
        for (stream, _) in &come {
            stream.writable().await.unwrap();
            assert_eq!(stream.try_write(b"x").unwrap(), 1);
        }
        let refused = std::net::TcpStream::connect(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(listener.close().is_empty());
    }

    #[tokio::test]
    async fn an_address_that_the_machine_does_not_have_is_left_out_beside_another() {
        // Set apart for documentation (RFC 5737): no machine has it.
        let absent: SocketAddr = ([192, 0, 2, 1], 0).into();
        let both = Listen {
            addresses: vec![absent, ([127, 0, 0, 1], 0).into()],
            ..listen("127.0.0.1:0")
        };
        assert!(both.bind().is_ok());
        let only = Listen {
            key: "http",
            addresses: vec![absent],
            ..listen("127.0.0.1:0")
        };
        let error = only.bind().unwrap_err().to_string();
        assert!(
            error.contains("192.0.2.1") && error.contains("--http"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn an_address_that_another_program_has_is_an_error() {
        let taken = listen("127.0.0.1:0").bind().unwrap().address().unwrap();
        let first = listen(&taken.to_string()).bind().unwrap();
        let error = listen(&first.address().unwrap().to_string())
            .bind()
            .unwrap_err();
        assert!(error.to_string().contains("--listen"), "{error}");
    }
}
