//! The bare hop: a server that hands everything to another process and sends back what returns. It checks nothing and knows
//! nothing, not even lines, so that it is the limit of what a server can do that hands each task to a worker.
//!
//! One thread, one epoll, no runtime. What one read of a connection brought is handed over as it is, with the
//! connection's number and its length in front.

mod link;
mod ring;

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;

pub(crate) use link::By;
use link::{Link, read_some};

use crate::error::BenchError;
use crate::say;
use crate::sys::{Epoll, Event, Interest};

const LISTENER: u64 = u64::MAX;
const LINK: u64 = u64::MAX - 1;
/// So much is read of a connection at once, in bytes.
const READ_LEN: usize = 64 * 1024;
/// A connection's number and the length, four bytes each, in the machine's order.
const HEAD_LEN: usize = 8;

/// Serves until it is killed.
pub(crate) fn run(addr: SocketAddr, by: By) -> Result<String, BenchError> {
    serve(addr, by)
        .map(|never| match never {})
        .map_err(BenchError::io("the bare hop"))
}

fn serve(addr: SocketAddr, by: By) -> io::Result<Infallible> {
    let epoll = Epoll::new()?;
    // First, while there is nothing else that the child would get.
    let link = Link::start(by, &epoll, LINK)?;
    let listener = TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    epoll.add(listener.as_fd(), LISTENER, Interest::Readable)?;
    say::listening(&listener.local_addr()?)?;
    let mut server = Server {
        epoll,
        link,
        listener,
        connections: Vec::new(),
        free: Vec::new(),
        chunk: Vec::new(),
        returned: Vec::new(),
    };
    loop {
        server.turn()?;
    }
}

struct Server {
    epoll: Epoll,
    link: Link,
    listener: TcpListener,
    /// A connection's number is its place here.
    connections: Vec<Connection>,
    /// Places of connections that are gone.
    free: Vec<usize>,
    /// What was read of a connection, with its head; keeps its memory.
    chunk: Vec<u8>,
    /// What has come back and was not looked at.
    returned: Vec<u8>,
}

struct Connection {
    /// None once it is gone, and as long as something of it is on the way.
    stream: Option<TcpStream>,
    /// Bytes that are with the child; the place is not given away before they are back.
    away: usize,
    out: Vec<u8>,
}

impl Server {
    /// Waits for events, reads, hands over, takes back, writes.
    fn turn(&mut self) -> io::Result<()> {
        let mut events = Vec::new();
        let may_sleep = self.link.may_sleep();
        self.epoll.wait(may_sleep, &mut events)?;
        self.link.is_awake();
        for event in events {
            match event.token {
                LISTENER => self.accept()?,
                LINK => {}
                _ => self.serve(event)?,
            }
        }
        self.link.flush(&self.epoll, LINK)?;
        self.link.pull(&mut self.returned)?;
        self.give_back()
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let place = self.free.pop().unwrap_or(self.connections.len());
            self.epoll
                .add(stream.as_fd(), place as u64, Interest::Readable)?;
            let connection = Connection {
                stream: Some(stream),
                away: 0,
                out: Vec::new(),
            };
            if place == self.connections.len() {
                self.connections.push(connection);
            } else {
                self.connections[place] = connection;
            }
        }
    }

    fn serve(&mut self, event: Event) -> io::Result<()> {
        let place = usize::try_from(event.token).expect("it was a place");
        if event.writable {
            self.flush(place)?;
        }
        // Without room it is read in a later turn: it stays readable.
        if !event.readable || !self.link.has_room(HEAD_LEN + 2 * READ_LEN) {
            return Ok(());
        }
        let connection = &mut self.connections[place];
        let Some(stream) = &connection.stream else {
            return Ok(());
        };
        self.chunk.clear();
        self.chunk.extend_from_slice(&[0; HEAD_LEN]);
        match read_some(stream.as_fd(), READ_LEN, &mut self.chunk) {
            // A client that goes away has no one to tell.
            Ok(0) | Err(_) => {
                connection.stream = None;
                self.forget_if_gone(place);
            }
            Ok(len) => {
                connection.away += len;
                let [number, len] = [place, len]
                    .map(|value| u32::try_from(value).expect("both are small").to_ne_bytes());
                self.chunk[..HEAD_LEN].copy_from_slice(&[number, len].concat());
                self.link.push(&self.chunk);
            }
        }
        Ok(())
    }

    fn give_back(&mut self) -> io::Result<()> {
        let returned = std::mem::take(&mut self.returned);
        let mut rest = returned.as_slice();
        while let Some((place, bytes, after)) = first_chunk(rest) {
            let connection = &mut self.connections[place];
            connection.away -= bytes.len();
            let mut sent = 0;
            if let Some(stream) = &mut connection.stream
                && connection.out.is_empty()
            {
                sent = stream.write(bytes).unwrap_or(0);
            }
            connection.out.extend_from_slice(&bytes[sent..]);
            if sent < bytes.len() {
                self.flush(place)?;
            }
            self.forget_if_gone(place);
            rest = after;
        }
        let read = returned.len() - rest.len();
        self.returned = returned;
        self.returned.drain(..read);
        Ok(())
    }

    /// Writes what there is room for, and waits for more room if that isn't all.
    fn flush(&mut self, place: usize) -> io::Result<()> {
        let connection = &mut self.connections[place];
        let Some(stream) = &mut connection.stream else {
            return Ok(());
        };
        let sent = stream.write(&connection.out).unwrap_or(0);
        connection.out.drain(..sent);
        let interest = if connection.out.is_empty() {
            Interest::Readable
        } else {
            Interest::Both
        };
        self.epoll.change(stream.as_fd(), place as u64, interest)
    }

    fn forget_if_gone(&mut self, place: usize) {
        let connection = &mut self.connections[place];
        if connection.stream.is_none() && connection.away == 0 {
            connection.out = Vec::new();
            self.free.push(place);
        }
    }
}

/// The first chunk that is there as a whole: its connection's place, its bytes, and what stands behind it.
fn first_chunk(bytes: &[u8]) -> Option<(usize, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_LEN>()?;
    let [a, b, c, d, e, f, g, h] = *head;
    let [place, len] = [[a, b, c, d], [e, f, g, h]]
        .map(|word| usize::try_from(u32::from_ne_bytes(word)).expect("it was a usize"));
    let (chunk, rest) = rest.split_at_checked(len)?;
    Some((place, chunk, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_taken_once_it_is_whole() {
        let bytes = [&3_u32.to_ne_bytes()[..], &2_u32.to_ne_bytes(), b"xyz"].concat();
        for len in 0..bytes.len() - 1 {
            assert_eq!(first_chunk(&bytes[..len]), None, "{len}");
        }
        assert_eq!(first_chunk(&bytes), Some((3, &b"xy"[..], &b"z"[..])));
    }
}
