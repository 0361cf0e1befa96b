//! Where connections come in: TCP and Unix sockets, and what is known of their clients at once.

use std::fmt;
use std::fs;
use std::io;
use std::net;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use service::listen::{self, ListenError, Listener};
use service::proxies::Proxies;
use service::remote::{TLS, UNIX};
use service::tls::Tls;
use tokio::net::{TcpStream, UnixListener, UnixStream};

use super::Arrival;
use super::plain::Plain;
use super::socket::Peer;
use crate::config::{Listening, Place, UnixPlace};

/// How long accepting rests after an error that may pass.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// One place where connections come in.
#[derive(Debug)]
pub(crate) struct Doorway {
    socket: Incoming,
    tls: Option<Arc<Tls>>,
    takes_guests: bool,
    proxies: Arc<Proxies>,
}

#[derive(Debug)]
enum Incoming {
    Tcp(Listener),
    Unix(UnixSocket),
}

/// A Unix socket that is listened on. Its file goes with it.
#[derive(Debug)]
struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Of the file, which somebody else may have replaced since.
    file: (u64, u64),
    users: Option<Vec<u32>>,
}

/// An address can't be listened on.
#[derive(Debug)]
pub(crate) enum DoorwayError {
    Tcp(ListenError),
    Unix(PathBuf, String),
    System(io::Error),
}

impl fmt::Display for DoorwayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(error) => error.fmt(f),
            Self::Unix(path, problem) => {
                write!(f, "can't listen on {UNIX}{}: {problem}", path.display())
            }
            Self::System(error) => error.fmt(f),
        }
    }
}

impl Doorway {
    /// Listens from now on.
    ///
    /// # Errors
    /// The address can't be had.
    pub(crate) fn open(
        listening: &Listening,
        tls: Option<&Arc<Tls>>,
        proxies: &Arc<Proxies>,
    ) -> Result<Self, DoorwayError> {
        let socket = match &listening.place {
            Place::Tcp(listen) => Incoming::Tcp(listen.bind().map_err(DoorwayError::Tcp)?),
            Place::Unix(place) => Incoming::Unix(UnixSocket::bind(place)?),
        };
        Ok(Self {
            socket,
            tls: tls.filter(|_| listening.is_tls).cloned(),
            takes_guests: listening.takes_guests,
            proxies: Arc::clone(proxies),
        })
    }

    /// The address, with the port that it got.
    ///
    /// # Errors
    /// The system doesn't say.
    pub(crate) fn address(&self) -> Result<String, DoorwayError> {
        let tls = if self.tls.is_some() { TLS } else { "" };
        match &self.socket {
            Incoming::Tcp(listener) => {
                let address = listener.address().map_err(DoorwayError::System)?;
                Ok(format!("{tls}{address}"))
            }
            Incoming::Unix(socket) => Ok(format!("{tls}{UNIX}{}", socket.path.display())),
        }
    }

    pub(super) fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Whether who connects here need not be a client.
    pub(super) fn takes_guests(&self) -> bool {
        self.takes_guests
    }

    /// Whether the peer is a proxy that speaks for others.
    pub(super) fn is_proxy(&self, peer: &Peer) -> bool {
        let address = peer.address.map(|address| address.ip().to_canonical());
        address.is_some_and(|address| self.proxies.contains(address))
    }

    /// The next connection. Waits out whatever keeps it from being taken.
    pub(super) async fn accept(self: &Arc<Self>) -> Arrival {
        let (plain, peer) = match &self.socket {
            Incoming::Tcp(listener) => of_tcp(listener.accept().await),
            Incoming::Unix(socket) => socket.accept().await,
        };
        self.arrival(plain, peer)
    }

    /// Refuses connections from now on, and gives those that have come already.
    pub(super) fn close(self: &Arc<Self>) -> Vec<Arrival> {
        let come: Vec<(Plain, Peer)> = match &self.socket {
            Incoming::Tcp(listener) => listener.close().into_iter().map(of_tcp).collect(),
            Incoming::Unix(socket) => socket.close(),
        };
        come.into_iter()
            .map(|(plain, peer)| self.arrival(plain, peer))
            .collect()
    }

    fn arrival(self: &Arc<Self>, plain: Plain, peer: Peer) -> Arrival {
        Arrival {
            plain,
            peer,
            door: Arc::clone(self),
        }
    }
}

fn of_tcp((stream, address): (TcpStream, net::SocketAddr)) -> (Plain, Peer) {
    let peer = Peer {
        address: Some(address),
        user: None,
        proxy: None,
    };
    (Plain::Tcp(stream), peer)
}

impl UnixSocket {
    fn bind(place: &UnixPlace) -> Result<Self, DoorwayError> {
        let UnixPlace { path, mode, users } = place;
        let problem = |problem: String| DoorwayError::Unix(path.clone(), problem);
        let failed = |error: io::Error| problem(said_of(&error));
        SocketAddr::from_pathname(path).map_err(failed)?;
        make_way(path).map_err(problem)?;
        // Under another name first: nobody gets in before the file has its mode.
        let hidden = hidden(path);
        let bound = bind_at(&hidden, path, *mode);
        if bound.is_err() {
            let _ = fs::remove_file(&hidden);
        }
        let listener = bound.map_err(failed)?;
        let meta = fs::symlink_metadata(path).map_err(failed)?;
        Ok(Self {
            listener,
            path: path.clone(),
            file: (meta.dev(), meta.ino()),
            users: users.clone(),
        })
    }

    /// The next connection of somebody who may connect.
    async fn accept(&self) -> (Plain, Peer) {
        loop {
            let accepted = self.listener.accept().await;
            match accepted.and_then(|(stream, _)| self.admitted(stream)) {
                Ok(Some(admitted)) => return admitted,
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    /// As [`Doorway::close`].
    fn close(&self) -> Vec<(Plain, Peer)> {
        let come = listen::close(&self.listener).into_iter();
        come.filter_map(|stream| {
            let stream = UnixStream::from_std(stream.into()).ok()?;
            self.admitted(stream).ok()?
        })
        .collect()
    }

    /// None for a user who may not connect.
    fn admitted(&self, stream: UnixStream) -> io::Result<Option<(Plain, Peer)>> {
        let user = stream.peer_cred()?.uid();
        if let Some(users) = &self.users
            && !users.contains(&user)
        {
            let path = self.path.display();
            tracing::warn!(
                user,
                "a user who is not listed was turned away from {UNIX}{path} (users)"
            );
            return Ok(None);
        }
        let peer = Peer {
            address: None,
            user: Some(user),
            proxy: None,
        };
        Ok(Some((Plain::Unix(stream), peer)))
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let own = fs::symlink_metadata(&self.path)
            .is_ok_and(|meta| (meta.dev(), meta.ino()) == self.file);
        if own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn bind_at(hidden: &Path, path: &Path, mode: u32) -> io::Result<UnixListener> {
    let _ = fs::remove_file(hidden);
    let listener = UnixListener::bind(hidden)?;
    fs::set_permissions(hidden, fs::Permissions::from_mode(mode))?;
    fs::rename(hidden, path)?;
    Ok(listener)
}

/// Short: the system bounds the length of such paths.
fn hidden(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{}", std::process::id()))
}

fn said_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            format!(
                "{error}: let the host's user write to its folder, or name a path in one of its own (with systemd, RuntimeDirectory= makes one under /run)"
            )
        }
        // Of the path itself: the system takes 107 bytes.
        io::ErrorKind::InvalidInput => {
            "the path is too long for a Unix socket (107 bytes at most)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Sees that the path is free, or has a socket that nobody listens on any more.
fn make_way(path: &Path) -> Result<(), String> {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => Err(format!(
                "there is no folder {}; make it, and let the host's user write to it",
                parent.display()
            )),
            _ => Ok(()),
        };
    };
    if !meta.file_type().is_socket() {
        return Err(
            "there is a file of that name which is no socket; name another path".to_owned(),
        );
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err("another program listens there; end it, or name another path".to_owned()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(format!(
            "there is a socket that can't be asked whether anybody listens: {error}"
        )),
    }
}
