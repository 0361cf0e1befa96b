//! A connection's receiving side: bytes in, lines out, within the bounds of one line and of the host's memory.

use std::io;

use bytes::Bytes;
use protocol::{BadRequest, ErrorCode, LineDecoder, TaskFailure};
use service::bytes::{ByteBudget, HeldBytes};

use super::foreign::Foreign;
use super::socket::Socket;
use crate::access::unauthorized;
use crate::admit::memory_full;

/// Room that is made before a read.
const READ_LEN: usize = 16 * 1024;
/// Room that is made when a long line is on its way.
const READ_LEN_LONG: usize = 256 * 1024;
/// An unfinished line up to this long is not counted: every connection may have one.
const UNCOUNTED_LEN: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The client has ended its sending, or has gone.
    Ended,
    /// After a line that can't be taken, nothing more can: the rest is read, so that the client may finish writing and
    /// then read why, and thrown away.
    Discarding,
}

#[derive(Debug)]
pub(super) struct Input {
    decoder: LineDecoder,
    state: State,
    budget: ByteBudget,
    /// For an unfinished long line.
    held: Option<HeldBytes>,
    /// Whether the connection's first byte has been looked at.
    has_begun: bool,
}

/// What the receiving side has for the connection.
#[derive(Debug)]
pub(super) enum Received {
    Line(Bytes),
    /// A request of its own that can't be one; answered in order, like a request without id.
    Unusable(TaskFailure),
    Nothing,
}

impl Input {
    pub(super) fn new(line_len_max: usize, budget: ByteBudget) -> Self {
        Self {
            decoder: LineDecoder::new(line_len_max),
            state: State::Open,
            budget,
            held: None,
            has_begun: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(super) fn is_discarding(&self) -> bool {
        self.state == State::Discarding
    }

    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Nothing more will be read.
    pub(super) fn end(&mut self) {
        self.state = State::Ended;
    }

    /// Takes bytes as if they had been read.
    pub(super) fn push(&mut self, piece: &[u8]) {
        self.decoder.buffer_mut().extend_from_slice(piece);
    }

    /// The next complete line.
    pub(super) fn next(&mut self) -> Received {
        if self.state == State::Discarding {
            return Received::Nothing;
        }
        if let Some(foreign) = self.first_byte().and_then(Foreign::from_first_byte) {
            return self.give_up(foreign);
        }
        match self.decoder.next_line() {
            Ok(Some(line)) => {
                self.held = None;
                match Foreign::from_line(&line) {
                    Some(foreign) => self.give_up(foreign),
                    None => Received::Line(line),
                }
            }
            Ok(None) if self.state == State::Ended => match self.decoder.finish() {
                Some(rest) => Received::Unusable(unended(&rest)),
                None => Received::Nothing,
            },
            Ok(None) => self.after_partial_line(),
            Err(too_long) => self.give_up(too_long),
        }
    }

    /// The first byte of the connection, once.
    fn first_byte(&mut self) -> Option<u8> {
        if self.has_begun {
            return None;
        }
        let first = self.decoder.buffer_mut().first().copied();
        self.has_begun = first.is_some();
        first
    }

    fn after_partial_line(&mut self) -> Received {
        let len = self.decoder.buffered_len();
        if len == 0 {
            self.decoder.release();
        }
        if len <= UNCOUNTED_LEN {
            self.held = None;
            return Received::Nothing;
        }
        let fits = match &mut self.held {
            Some(held) => held.try_set(len),
            None => {
                self.held = self.budget.hold(len);
                self.held.is_some()
            }
        };
        if fits {
            return Received::Nothing;
        }
        self.give_up(memory_full())
    }

    /// Takes nothing more from a client that may not be here any more.
    pub(super) fn turn_away(&mut self) {
        if self.state == State::Open {
            let _ = self.give_up(unauthorized());
        }
    }

    /// Takes nothing more from this connection.
    fn give_up(&mut self, why: impl Into<TaskFailure>) -> Received {
        self.state = State::Discarding;
        self.held = None;
        self.decoder = LineDecoder::new(0);
        Received::Unusable(why.into())
    }

    /// Reads what is there, without waiting. An error, or the end, ends the input.
    pub(super) fn read(&mut self, socket: &Socket) -> io::Result<()> {
        let long = self.decoder.buffered_len() > UNCOUNTED_LEN || self.state == State::Discarding;
        let buffer = self.decoder.buffer_mut();
        buffer.reserve(if long { READ_LEN_LONG } else { READ_LEN });
        match socket.try_read_buf(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Ok(0) => {
                self.state = State::Ended;
                Ok(())
            }
            Ok(_) => {
                if self.state == State::Discarding {
                    self.decoder.buffer_mut().clear();
                }
                Ok(())
            }
            Err(error) => {
                self.state = State::Ended;
                Err(error)
            }
        }
    }
}

/// The rest of a connection that no newline ended.
fn unended(rest: &Bytes) -> TaskFailure {
    match Foreign::from_line(rest) {
        Some(foreign) => foreign.into(),
        None => TaskFailure::new(ErrorCode::BadRequest, BadRequest::unended(rest).message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE_LEN_MAX: usize = 4096;

    fn input() -> Input {
        Input::new(LINE_LEN_MAX, ByteBudget::new(LINE_LEN_MAX))
    }

    /// All that comes of these pieces, one read each.
    fn received(pieces: &[&[u8]]) -> Vec<Received> {
        let mut input = input();
        let mut all = Vec::new();
        for piece in pieces {
            input.push(piece);
            loop {
                match input.next() {
                    Received::Nothing => break,
                    something => all.push(something),
                }
            }
        }
        all
    }

    #[track_caller]
    fn expect_one_refusal(pieces: &[&[u8]]) {
        let all = received(pieces);
        let [Received::Unusable(failure)] = all.as_slice() else {
            panic!("{all:?} of {pieces:?}")
        };
        assert_eq!(failure.code, ErrorCode::BadRequest);
        assert!(failure.message.contains("gateway"), "{failure:?}");
    }

    #[test]
    fn nothing_of_a_foreign_protocol_is_taken_for_a_request_wherever_it_is_cut() {
        let ping = "{\"function\":\"host.ping\"}\n";
        let streams = [
            format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 25\r\n\r\n{ping}{ping}"),
            format!("GET /\n{ping} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
            format!("Host: 127.0.0.1\n{ping}"),
            format!("\u{16}\u{3}\u{1}\u{2}\n{ping}"),
            format!("\u{16}{ping}"),
        ];
        for stream in &streams {
            let stream = stream.as_bytes();
            for at in 0..=stream.len() {
                let (before, after) = stream.split_at(at);
                expect_one_refusal(&[before, after]);
            }
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            expect_one_refusal(&bytes);
        }
    }

    #[test]
    fn the_first_byte_of_tls_is_enough() {
        expect_one_refusal(&[b"\x16"]);
    }

    #[test]
    fn requests_before_it_are_taken_and_none_after_it() {
        let all = received(&[b"{}\n{}\nHost: x\n{}\n", b"{}\n"]);
        assert!(
            matches!(
                all.as_slice(),
                [Received::Line(_), Received::Line(_), Received::Unusable(_)]
            ),
            "{all:?}"
        );
    }

    #[test]
    fn only_a_connection_begins_with_tls() {
        let all = received(&[b"\n", b"\x16\n"]);
        assert!(
            matches!(all.as_slice(), [Received::Line(_), Received::Line(_)]),
            "{all:?}"
        );
    }

    #[test]
    fn garbage_is_a_line_of_its_own_each() {
        let garbage = b"\r\n\nhello\nnull\nfunction: echo\n\xff\xfe\n{\"function\":\n";
        for at in 0..=garbage.len() {
            let (before, after) = garbage.split_at(at);
            let all = received(&[before, after]);
            assert_eq!(all.len(), 7, "{all:?}");
            assert!(
                all.iter().all(|one| matches!(one, Received::Line(_))),
                "{all:?}"
            );
        }
    }
}
