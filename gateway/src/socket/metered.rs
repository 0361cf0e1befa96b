//! Counts the bytes of messages that aren't whole yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use service::bytes::HeldBytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::Message;

use super::frames::Frames;
use crate::limits::INCOMING_FREE_LEN;

/// Bytes that a client may send before it says who it is: room for a long token.
const UNKNOWN_LEN_MAX: usize = 64 * 1024;
/// How long a long message may take to become whole: what is counted of it, others can't have.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(300);
/// Mask, and two bytes of the length: what stands before a control frame that comes from a client (RFC 6455, 5.2).
const CONTROL_HEAD_LEN: usize = 6;

/// A client's stream. A read fails with [`io::ErrorKind::QuotaExceeded`] when the gateway would hold more of messages that
/// aren't whole than it may, and with [`io::ErrorKind::PermissionDenied`] when the client should first say who it is.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    frames: Frames,
    held: HeldBytes,
    /// Bytes that were read since the last message.
    unfinished: usize,
    /// Since when it counts.
    since: Option<Instant>,
    is_known: bool,
}

impl<S> Metered<S> {
    /// `ahead` was read from the stream before.
    pub(super) fn new(stream: S, ahead: &[u8], held: HeldBytes, is_known: bool) -> Self {
        let mut frames = Frames::default();
        frames.read(ahead);
        Self {
            stream,
            frames,
            held,
            unfinished: 0,
            since: None,
            is_known,
        }
    }

    /// The client has said who it is.
    pub(super) fn introduced(&mut self) {
        self.is_known = true;
    }

    /// What was read has become that message.
    pub(super) fn became(&mut self, message: &Message) {
        match message {
            // Perhaps in the middle of another one. It is held no longer.
            Message::Ping(payload) | Message::Pong(payload) => {
                self.unfinished = self
                    .unfinished
                    .saturating_sub(CONTROL_HEAD_LEN + payload.len());
            }
            _ => {
                self.unfinished = 0;
                self.since = None;
                self.held.set(0);
            }
        }
    }

    /// Whether a message takes too long to become whole.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.since
            .is_some_and(|since| now.duration_since(since) > MESSAGE_TIMEOUT)
    }

    /// The stream itself, of which nothing more counts, and where it is.
    pub(super) fn into_parts(self) -> (S, Frames) {
        (self.stream, self.frames)
    }

    fn read(&mut self, len: usize) -> io::Result<()> {
        self.unfinished += len;
        if self.unfinished <= INCOMING_FREE_LEN {
            return Ok(());
        }
        if !self.is_known && self.unfinished > UNKNOWN_LEN_MAX {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.since.get_or_insert_with(Instant::now);
        if self.held.try_set(self.unfinished - INCOMING_FREE_LEN) {
            Ok(())
        } else {
            Err(io::ErrorKind::QuotaExceeded.into())
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = &buffer.filled()[before..];
        self.frames.read(read);
        Poll::Ready(self.read(read.len()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{Allowance, CapSettings, Caps, ConnectionPermit};

    fn permit() -> ConnectionPermit {
        let allowance = Allowance {
            connections_max: 9,
            in_flight_max: 9,
            rate: None,
        };
        let caps = Caps::new(CapSettings {
            connections_max: 9,
            user: allowance,
            address: allowance,
            ipv6_prefix: 64,
            connection_rate: None,
            connection_in_flight_max: 9,
            requests_len_max: 100_000,
        });
        caps.connect(None).unwrap()
    }

    #[test]
    fn what_is_not_whole_counts_until_it_is() {
        let permit = permit();
        let mut one = Metered::new((), b"", permit.incoming(), true);
        let mut other = Metered::new((), b"", permit.incoming(), true);
        one.read(90_000).unwrap();
        other.read(INCOMING_FREE_LEN).unwrap();
        let error = other.read(90_000).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        // Between its fragments, which changes nothing about them.
        one.read(CONTROL_HEAD_LEN + 100).unwrap();
        one.became(&Message::Ping(vec![0; 100].into()));
        assert!(other.read(1).is_err());
        one.became(&Message::text("whole"));
        other.read(1).unwrap();
        let _ = other.into_parts();
        one.read(100_000).unwrap();
    }

    #[test]
    fn who_is_not_known_may_send_little() {
        let permit = permit();
        let mut stream = Metered::new((), b"", permit.incoming(), false);
        stream.read(UNKNOWN_LEN_MAX).unwrap();
        let error = stream.read(1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        stream.introduced();
        stream.read(1).unwrap();
    }

    #[test]
    fn long_messages_have_their_time() {
        let permit = permit();
        let mut stream = Metered::new((), b"", permit.incoming(), true);
        let later = || Instant::now() + MESSAGE_TIMEOUT + Duration::from_secs(1);
        stream.read(INCOMING_FREE_LEN).unwrap();
        assert!(!stream.is_late(later()), "short ones don't count");
        stream.read(1).unwrap();
        assert!(!stream.is_late(Instant::now()));
        assert!(stream.is_late(later()));
        stream.became(&Message::text("whole"));
        assert!(!stream.is_late(later()));
    }
}
