//! A connection's sending side: lines that wait until the client takes them.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::socket::Socket;

/// Unread lines beyond this keep the host from reading further requests.
const HIGH_WATER: usize = 1024 * 1024;
/// Room for lines that is kept when all are sent.
const KEPT_MAX: usize = 64 * 1024;
/// A client that reads nothing for so long, with lines waiting for it, has gone.
const STALL_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    sent: usize,
    /// The socket has taken all, but not yet handed it to the system.
    is_held: bool,
    /// When the client has last taken something, or had nothing to take.
    progress_at: Option<Instant>,
    /// The client reads no more: lines are dropped.
    is_gone: bool,
}

impl Output {
    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0 && !self.is_held
    }

    /// Whether so much waits that no more should be asked for.
    pub(super) fn is_full(&self) -> bool {
        self.len() >= HIGH_WATER
    }

    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// Adds a line.
    pub(super) fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.is_gone {
            return;
        }
        if self.is_empty() {
            self.progress_at = None;
        }
        encode(&mut self.bytes);
    }

    /// Sends what the socket takes now.
    pub(super) fn send(&mut self, socket: &Socket) {
        while self.sent < self.bytes.len() {
            match socket.try_write(&self.bytes[self.sent..]) {
                Ok(len) => {
                    self.sent += len;
                    self.progress_at = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.progress_at.get_or_insert_with(Instant::now);
                    self.compact();
                    return;
                }
                Err(_) => {
                    self.give_up();
                    return;
                }
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_MAX);
        self.sent = 0;
        self.hand_over(socket);
    }

    /// What was sent gives its room back once it is half of all; so no byte is moved more often than it is sent. A client that
    /// is always a little behind never has everything.
    fn compact(&mut self) {
        if self.sent < self.bytes.len() / 2 {
            return;
        }
        self.bytes.drain(..self.sent);
        self.bytes.shrink_to((self.bytes.len() * 2).max(KEPT_MAX));
        self.sent = 0;
    }

    /// Sees that what the socket has taken reaches the system.
    fn hand_over(&mut self, socket: &Socket) {
        match socket.try_flush() {
            Ok(()) => self.is_held = false,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.is_held = true;
                self.progress_at.get_or_insert_with(Instant::now);
            }
            Err(_) => self.give_up(),
        }
    }

    /// When the client is taken for gone, unless it reads something.
    pub(super) fn stalls_at(&self) -> Option<Instant> {
        self.progress_at
            .filter(|_| !self.is_empty())
            .map(|at| at + STALL_MAX)
    }

    /// The client reads no more.
    pub(super) fn give_up(&mut self) {
        self.is_gone = true;
        self.is_held = false;
        self.bytes = Vec::new();
        self.sent = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::super::plain::Plain;
    use super::*;

    #[tokio::test]
    async fn what_was_sent_to_a_client_that_is_always_behind_is_forgotten() {
        let (here, mut there) = UnixStream::pair().unwrap();
        here.set_nonblocking(true).unwrap();
        let here = tokio::net::UnixStream::from_std(here).unwrap();
        let socket = Socket::Plain(Plain::Unix(here));
        let mut output = Output::default();
        let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1 << 18).collect();
        let (mut pushed, mut seen) = (0, Vec::new());
        let mut read = vec![0; bytes.len()];
        while pushed < 200 * bytes.len() {
            while output.len() < 4 * bytes.len() {
                output.push(|out| out.extend_from_slice(&bytes));
                pushed += bytes.len();
            }
            socket.writable().await.unwrap();
            output.send(&socket);
            let len = there.read(&mut read).unwrap();
            seen.extend_from_slice(&read[..len]);
            assert!(!output.is_empty(), "it is always behind");
            assert!(output.bytes.capacity() < 16 * bytes.len());
        }
        let all = (0..=u8::MAX).cycle();
        assert!(seen.iter().copied().eq(all.take(seen.len())));
    }
}
