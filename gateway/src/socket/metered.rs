//! Counts what a client has sent of a message before it is whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::HeldBytes;

/// So much of each client's isn't counted, since nearly all messages are shorter.
const FREE_LEN: usize = 8 * 1024;
/// A client that hasn't said who it is may send so much: room for a long token.
const UNKNOWN_LEN_MAX: usize = 64 * 1024;
/// Mask, and two bytes of the length: what stands before a control frame that comes from a client (RFC 6455, 5.2).
const CONTROL_HEAD_LEN: usize = 6;

/// A client's stream. A read fails with [`io::ErrorKind::QuotaExceeded`] when the gateway would hold more of messages that
/// aren't whole than it may, and with [`io::ErrorKind::PermissionDenied`] when the client should first say who it is.
#[derive(Debug)]
pub(super) struct Metered<S> {
    stream: S,
    held: HeldBytes,
    /// What was read since the last message.
    unfinished: usize,
    is_known: bool,
}

impl<S> Metered<S> {
    pub(super) fn new(stream: S, held: HeldBytes, is_known: bool) -> Self {
        Self {
            stream,
            held,
            unfinished: 0,
            is_known,
        }
    }

    /// The client has said who it is.
    pub(super) fn is_known(&mut self) {
        self.is_known = true;
    }

    /// A message is whole.
    pub(super) fn message(&mut self) {
        self.unfinished = 0;
        // Less than before is never refused.
        drop(self.held.set(0));
    }

    /// A control frame has come, perhaps in the middle of a message. It is held no longer.
    pub(super) fn control(&mut self, payload_len: usize) {
        self.unfinished = self
            .unfinished
            .saturating_sub(CONTROL_HEAD_LEN + payload_len);
    }

    /// The stream itself.
    pub(super) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    fn read(&mut self, len: usize) -> io::Result<()> {
        self.unfinished += len;
        if self.unfinished <= FREE_LEN {
            return Ok(());
        }
        if !self.is_known && self.unfinished > UNKNOWN_LEN_MAX {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.held
            .set(self.unfinished)
            .map_err(|failure| io::Error::new(io::ErrorKind::QuotaExceeded, failure.message))
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
        Poll::Ready(self.read(buffer.filled().len() - before))
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
