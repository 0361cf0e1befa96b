//! How long a connection may be idle between requests, and how long the head of a request may take.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use service::sync::lock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::Body;
use super::body::RequestBody;

/// What a connection is about, and since when.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing is asked.
    Idle(Instant),
    /// A request has begun.
    Head(Instant),
    /// A request is being answered.
    Busy,
}

/// The clock of a connection.
#[derive(Debug)]
pub(super) struct Pace {
    phase: Mutex<Phase>,
    header_timeout: Duration,
    idle_timeout: Duration,
}

impl Pace {
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            // Who connects wants something.
            phase: Mutex::new(Phase::Head(Instant::now())),
            header_timeout,
            idle_timeout,
        })
    }

    fn heard(&self) {
        let mut phase = lock(&self.phase);
        if let Phase::Idle(_) = *phase {
            *phase = Phase::Head(Instant::now());
        }
    }

    /// A request is there; until what is returned is dropped, it is being answered.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        *lock(&self.phase) = Phase::Busy;
        Exchange {
            pace: Arc::clone(self),
            rest: None,
        }
    }

    /// Ready when the connection is to be closed. To be polled by the task that moves the connection's bytes, after it.
    pub(super) fn poll_over(&self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        loop {
            let phase = *lock(&self.phase);
            let deadline = match phase {
                Phase::Idle(since) => since + self.idle_timeout,
                Phase::Head(since) => since + self.header_timeout,
                // It is not over before it was idle.
                Phase::Busy => Instant::now() + self.idle_timeout,
            };
            let is_too_late = timer.deadline() > deadline;
            if is_too_late || timer.is_elapsed() {
                if deadline <= Instant::now() {
                    return Poll::Ready(());
                }
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
        }
    }
}

/// A request that is being answered. When it is dropped, after the last byte of the answer was handed on, what is left of
/// the request is read.
#[derive(Debug)]
pub(super) struct Exchange {
    pace: Arc<Pace>,
    rest: Option<RequestBody>,
}

impl Exchange {
    /// The answer, with which it ends.
    pub(super) fn answer(mut self, answer: Body, request: RequestBody) -> Answer {
        self.rest = request.has_rest().then_some(request);
        Answer {
            body: answer,
            _exchange: self,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let pace = Arc::clone(&self.pace);
        let idle = move || *lock(&pace.phase) = Phase::Idle(Instant::now());
        match self.rest.take() {
            None => idle(),
            Some(rest) => {
                tokio::spawn(async move {
                    rest.discard().await;
                    idle();
                });
            }
        }
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _exchange: Exchange,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The bytes of a connection, which say when a request begins.
#[derive(Debug)]
pub(super) struct Paced<S> {
    stream: S,
    pace: Arc<Pace>,
}

impl<S> Paced<S> {
    pub(super) fn new(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, pace }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pace.heard();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
