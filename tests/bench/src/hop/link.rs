//! The two ways from the server to its child and back.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::buffer::spare_capacity;
use rustix::io::{read, write};

use super::ring::{Reader, Writer, ring};
use crate::sys::{Epoll, Fork, Interest, eventfd, fork};

/// What the child takes at once, in bytes.
const CHUNK_LEN: usize = 256 * 1024;

/// How server and child speak with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum By {
    /// A ring in shared memory each way; a futex wakes the child, an eventfd the server, each only if it sleeps.
    Ring,
    /// A socket pair.
    SocketPair,
}

/// The server's side. All that goes in comes out again, in order.
pub(super) enum Link {
    Ring {
        to_child: Writer,
        from_child: Reader,
        /// Never read: each time that it is added to is an event of its own. Open as long as the link.
        _woken: OwnedFd,
    },
    SocketPair {
        socket: UnixStream,
        waiting: Vec<u8>,
        waits_for_room: bool,
    },
}

impl Link {
    /// Starts the child, which sends back whatever comes.
    pub(super) fn start(by: By, epoll: &Epoll, token: u64) -> io::Result<Self> {
        match by {
            By::Ring => {
                let (to_child, from_server) = ring()?;
                let (to_server, from_child) = ring()?;
                let woken = eventfd()?;
                if let Fork::Child = fork()? {
                    echo_by_ring(from_server, to_server, &woken);
                }
                epoll.add(woken.as_fd(), token, Interest::Edge)?;
                Ok(Self::Ring {
                    to_child,
                    from_child,
                    _woken: woken,
                })
            }
            By::SocketPair => {
                let (socket, childs) = UnixStream::pair()?;
                if let Fork::Child = fork()? {
                    drop(socket);
                    std::process::exit(i32::from(echo_by_socket(childs).is_err()));
                }
                socket.set_nonblocking(true)?;
                epoll.add(socket.as_fd(), token, Interest::Readable)?;
                Ok(Self::SocketPair {
                    socket,
                    waiting: Vec::new(),
                    waits_for_room: false,
                })
            }
        }
    }

    /// Whether there is room for so many bytes.
    pub(super) fn has_room(&self, len: usize) -> bool {
        match self {
            Self::Ring { to_child, .. } => to_child.room() >= len,
            // As much as a ring takes, about.
            Self::SocketPair { waiting, .. } => waiting.len() < 64 * CHUNK_LEN,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Ring { to_child, .. } => to_child.write(bytes),
            Self::SocketPair { waiting, .. } => waiting.extend_from_slice(bytes),
        }
    }

    /// Hands over what was pushed, once a turn.
    pub(super) fn flush(&mut self, epoll: &Epoll, token: u64) -> io::Result<()> {
        let (socket, waiting, waits_for_room) = match self {
            Self::Ring { to_child, .. } => {
                to_child.wake();
                return Ok(());
            }
            Self::SocketPair {
                socket,
                waiting,
                waits_for_room,
            } => (socket, waiting, waits_for_room),
        };
        let mut sent = 0;
        while sent < waiting.len() {
            match socket.write(&waiting[sent..]) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        waiting.drain(..sent);
        if waiting.is_empty() == *waits_for_room {
            *waits_for_room = !waiting.is_empty();
            let interest = if *waits_for_room {
                Interest::Both
            } else {
                Interest::Readable
            };
            epoll.change(socket.as_fd(), token, interest)?;
        }
        Ok(())
    }

    /// Appends what has come back.
    pub(super) fn pull(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Ring { from_child, .. } => {
                from_child.read(usize::MAX, out);
                Ok(())
            }
            Self::SocketPair { socket, .. } => loop {
                match read_some(socket.as_fd(), CHUNK_LEN, out) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(len) if len < CHUNK_LEN => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
            },
        }
    }

    /// Whether the server may sleep until something happens; to be followed by [`Self::is_awake`].
    pub(super) fn may_sleep(&self) -> bool {
        match self {
            Self::Ring { from_child, .. } => from_child.may_sleep(),
            Self::SocketPair { .. } => true,
        }
    }

    pub(super) fn is_awake(&self) {
        if let Self::Ring { from_child, .. } = self {
            from_child.is_awake();
        }
    }
}

/// Appends what one read brings, for which there is room of `len` bytes or more.
pub(super) fn read_some(fd: BorrowedFd<'_>, len: usize, out: &mut Vec<u8>) -> io::Result<usize> {
    out.reserve(len);
    Ok(read(fd, spare_capacity(out))?)
}

fn echo_by_ring(mut from: Reader, mut to: Writer, woken: &OwnedFd) -> ! {
    let mut bytes = Vec::new();
    loop {
        from.sleep();
        from.is_awake();
        while to.room() < CHUNK_LEN {
            std::thread::yield_now();
        }
        bytes.clear();
        from.read(CHUNK_LEN, &mut bytes);
        to.write(&bytes);
        if to.must_wake() {
            // It can't be full: the server would have to sleep 2⁶⁴ times.
            write(woken, &1_u64.to_ne_bytes()).ok();
        }
    }
}

fn echo_by_socket(mut socket: UnixStream) -> io::Result<()> {
    let mut bytes = vec![0; CHUNK_LEN];
    loop {
        let len = socket.read(&mut bytes)?;
        if len == 0 {
            return Ok(());
        }
        socket.write_all(&bytes[..len])?;
    }
}
