//! A client's socket as the system has it: TCP or Unix.

use std::io;

use bytes::BytesMut;
use rustix::net::Shutdown;
use tokio::net::{TcpStream, UnixStream};

/// A socket as the system has it.
#[derive(Debug)]
pub(super) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! either {
    ($socket:expr, $one:ident => $call:expr) => {
        match $socket {
            Plain::Tcp($one) => $call,
            Plain::Unix($one) => $call,
        }
    };
}

impl Plain {
    /// Waits until there may be something to read.
    pub(super) async fn readable(&self) -> io::Result<()> {
        either!(self, socket => socket.readable().await)
    }

    /// Waits until something may be written.
    pub(super) async fn writable(&self) -> io::Result<()> {
        either!(self, socket => socket.writable().await)
    }

    /// Reads what is there into the room that the buffer has; 0: the peer has ended its sending.
    pub(super) fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        either!(self, socket => socket.try_read_buf(buffer))
    }

    /// The same, into a slice.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(self, socket => socket.try_read(buffer))
    }

    /// Writes what finds room.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        either!(self, socket => socket.try_write(bytes))
    }

    /// Ends the sending.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        either!(self, socket => rustix::net::shutdown(socket, Shutdown::Write)?);
        Ok(())
    }

    /// What has gone wrong without being noticed.
    pub(super) fn take_error(&self) -> io::Result<Option<io::Error>> {
        either!(self, socket => socket.take_error())
    }
}

/// Waits for bytes.
pub(super) async fn read(plain: &Plain, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        plain.readable().await?;
        match plain.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}
