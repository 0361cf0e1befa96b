//! A connection's receiving side: bytes in, lines out, within the bounds of one line and of the host's memory.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use protocol::{BadRequest, ErrorCode, LineDecoder, TaskFailure};
use tokio::io::AsyncReadExt;
use tokio::net::tcp::ReadHalf;

use crate::budget::{Budget, Permit};

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
    budget: Budget,
    /// For an unfinished long line.
    permit: Option<Permit>,
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
    pub(super) fn new(line_len_max: usize, budget: Budget) -> Self {
        Self {
            decoder: LineDecoder::new(line_len_max),
            state: State::Open,
            budget,
            permit: None,
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

    /// The next complete line.
    pub(super) fn next(&mut self) -> Received {
        if self.state == State::Discarding {
            return Received::Nothing;
        }
        match self.decoder.next_line() {
            Ok(Some(line)) => {
                self.permit = None;
                Received::Line(line)
            }
            Ok(None) if self.state == State::Ended => match self.decoder.finish() {
                Some(rest) => Received::Unusable(TaskFailure::new(
                    ErrorCode::BadRequest,
                    BadRequest::unended(&rest).message,
                )),
                None => Received::Nothing,
            },
            Ok(None) => self.after_partial_line(),
            Err(too_long) => {
                self.discard();
                Received::Unusable(too_long.into())
            }
        }
    }

    fn after_partial_line(&mut self) -> Received {
        let len = self.decoder.buffered_len();
        if len == 0 {
            self.decoder.release();
        }
        if len <= UNCOUNTED_LEN {
            self.permit = None;
            return Received::Nothing;
        }
        let fits = match &mut self.permit {
            Some(permit) => permit.resize(len),
            None => {
                self.permit = self.budget.take(len);
                self.permit.is_some()
            }
        };
        if fits {
            return Received::Nothing;
        }
        self.discard();
        Received::Unusable(overloaded())
    }

    fn discard(&mut self) {
        self.state = State::Discarding;
        self.permit = None;
        self.decoder = LineDecoder::new(0);
    }

    /// Reads what is there, without waiting. An error, or the end, ends the input.
    pub(super) async fn read(&mut self, stream: &mut ReadHalf<'_>) -> io::Result<()> {
        let long = self.decoder.buffered_len() > UNCOUNTED_LEN || self.state == State::Discarding;
        let buffer = self.decoder.buffer_mut();
        buffer.reserve(if long { READ_LEN_LONG } else { READ_LEN });
        let mut read = pin!(stream.read_buf(buffer));
        // Polled once: a socket that turned out to have nothing must not keep the connection from its other duties.
        let polled = poll_fn(|context| Poll::Ready(read.as_mut().poll(context))).await;
        match polled {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(0)) => {
                self.state = State::Ended;
                Ok(())
            }
            Poll::Ready(Ok(_)) => {
                if self.state == State::Discarding {
                    self.decoder.buffer_mut().clear();
                }
                Ok(())
            }
            Poll::Ready(Err(error)) => {
                self.state = State::Ended;
                Err(error)
            }
        }
    }
}

/// The host holds as many bytes of requests as it may.
pub(super) fn overloaded() -> TaskFailure {
    TaskFailure::new(
        ErrorCode::Overloaded,
        "the host holds as many bytes of requests as it may (requests_len_max); try again later",
    )
}
