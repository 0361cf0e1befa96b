//! One connection to a host, shared by many tasks: each has an id of its own on it.

use std::io;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use protocol::{
    ErrorCode, LineDecoder, Outcome, Reply, Request, RequestId, ServerLine, TaskFailure,
};
use rustc_hash::FxHashMap;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Sink, Submit};

/// Room that is made before a read.
const READ_LEN: usize = 64 * 1024;
/// A buffer for requests that grew beyond this is given back.
const OUT_KEPT_MAX: usize = 256 * 1024;
/// Requests that the host has not taken, in bytes: beyond it, the link takes no more.
const OUT_LEN_MAX: usize = 64 << 20;
/// No ping is on its way.
const NO_PING: u64 = u64::MAX;

/// How much later than a task's time limit its answer is waited for.
const ANSWER_GRACE: Duration = Duration::from_secs(30);

/// A connection that is up.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    /// There is something to write, or the link is to be closed.
    changed: Notify,
    in_flight: AtomicUsize,
    /// Times are in milliseconds since then.
    began: Instant,
    /// When the host last said anything.
    heard_ms: AtomicU64,
    /// When the oldest ping that has not been answered was sent; [`NO_PING`] where there is none.
    pinged_ms: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// Requests that have not been handed to the writer.
    out: Vec<u8>,
    /// Bytes ever appended to `out`, and bytes that the socket has taken.
    queued: u64,
    written: u64,
    pending: FxHashMap<u64, Pending>,
    /// Of those that are pending, the ones that are no requests to the host itself.
    tasks: usize,
    id_last: u64,
    /// Nothing more is taken.
    closed: bool,
}

#[derive(Debug)]
struct Pending {
    submit: Submit,
    /// When all bytes up to here are written, the host may have begun it.
    end: u64,
    /// When the host should have answered, whatever happened.
    expires_at: Option<Instant>,
    sink: Arc<dyn Sink>,
}

/// What was in flight when a link ended.
#[derive(Debug)]
pub(super) struct Orphan {
    pub(super) submit: Submit,
    pub(super) sink: Arc<dyn Sink>,
    /// Whether the host can have begun it.
    pub(super) may_have_started: bool,
}

/// What a link hands to those above it, instead of to a task's sink.
pub(super) trait Owner: Send + Sync {
    /// The host takes nothing new: a task that it refused for that is handed back.
    fn handed_back(&self, orphan: Orphan);
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                out: Vec::new(),
                queued: 0,
                written: 0,
                pending: FxHashMap::default(),
                tasks: 0,
                id_last: 0,
                closed: false,
            }),
            changed: Notify::new(),
            in_flight: AtomicUsize::new(0),
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
            pinged_ms: AtomicU64::new(NO_PING),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Puts a task on the link; its number, or the task again when the link takes no more.
    pub(super) fn submit(
        &self,
        submit: Submit,
        sink: Arc<dyn Sink>,
    ) -> Result<u64, (Submit, Arc<dyn Sink>)> {
        let mut state = self.lock();
        if state.closed || state.out.len() > OUT_LEN_MAX {
            return Err((submit, sink));
        }
        let id = state.id_last + 1;
        state.id_last = id;
        let was_empty = state.out.is_empty();
        state.append(id, &submit);
        let end = state.queued;
        let expires_at = submit
            .limit
            .map(|limit| Instant::now() + limit + ANSWER_GRACE);
        let pending = Pending {
            submit,
            end,
            expires_at,
            sink,
        };
        state.tasks += pending.weight();
        state.pending.insert(id, pending);
        self.in_flight.store(state.tasks, Ordering::Relaxed);
        drop(state);
        if was_empty {
            self.changed.notify_one();
        }
        Ok(id)
    }

    /// Asks the host to end a task. It is answered all the same, by the host.
    pub(super) fn cancel(&self, id: u64) {
        let args = Bytes::from(format!("{{\"id\":{id}}}"));
        let is_pending = self.lock().pending.contains_key(&id);
        if is_pending {
            // If the link takes no more, it is about to end, and the task with it.
            drop(self.submit(
                Submit::of_host("host.cancel", args),
                Arc::new(super::Nobody),
            ));
        }
    }

    /// Sends a ping, unless one is on its way. How long the oldest unanswered one has been, and how long the host has
    /// been silent since.
    pub(super) fn ping(self: &Arc<Self>) -> Option<Duration> {
        let silence = self.silence();
        if silence.is_none() {
            self.pinged_ms.store(self.now_ms(), Ordering::Relaxed);
            let pong = Arc::new(Pong(Arc::clone(self)));
            drop(self.submit(
                Submit::of_host("host.ping", Bytes::from_static(b"{}")),
                pong,
            ));
        }
        silence
    }

    /// How long a ping has been without an answer, and the host silent.
    pub(super) fn silence(&self) -> Option<Duration> {
        let pinged = self.pinged_ms.load(Ordering::Relaxed);
        if pinged == NO_PING {
            return None;
        }
        let since = pinged.max(self.heard_ms.load(Ordering::Relaxed));
        Some(Duration::from_millis(self.now_ms().saturating_sub(since)))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NO_PING - 1)
    }

    /// Answers what the host should have answered long ago.
    pub(super) fn expire(&self) {
        let now = Instant::now();
        let mut expired = Vec::new();
        {
            let mut state = self.lock();
            let mut tasks = state.tasks;
            state.pending.retain(|_, pending| {
                let is_over = pending.expires_at.is_some_and(|at| at <= now);
                if is_over {
                    tasks -= pending.weight();
                    expired.push(Arc::clone(&pending.sink));
                }
                !is_over
            });
            state.tasks = tasks;
            self.in_flight.store(tasks, Ordering::Relaxed);
        }
        for sink in expired {
            let message = "the host did not answer in time, though it should have ended the task";
            sink.done(Err(TaskFailure::new(ErrorCode::Timeout, message)));
        }
    }

    /// Takes nothing more, and ends the connection.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    /// Serves the connection until it ends, and gives what was in flight then.
    pub(super) async fn run(
        self: &Arc<Self>,
        stream: TcpStream,
        line_len_max: usize,
        owner: &dyn Owner,
    ) -> (io::Error, Vec<Orphan>) {
        let (read, write) = stream.into_split();
        let error = tokio::select! {
            ended = self.read(read, line_len_max, owner) => ended,
            ended = self.write(write) => ended,
        };
        (error, self.end())
    }

    /// Nothing more comes or goes.
    fn end(&self) -> Vec<Orphan> {
        let mut state = self.lock();
        state.closed = true;
        state.out = Vec::new();
        let written = state.written;
        let pending = mem::take(&mut state.pending);
        state.tasks = 0;
        self.in_flight.store(0, Ordering::Relaxed);
        drop(state);
        pending
            .into_values()
            .map(
                |Pending {
                     submit, end, sink, ..
                 }| Orphan {
                    submit,
                    sink,
                    may_have_started: end <= written,
                },
            )
            .collect()
    }

    async fn write(&self, mut write: OwnedWriteHalf) -> io::Error {
        let mut buffer = Vec::new();
        loop {
            let closed = {
                let mut state = self.lock();
                buffer.clear();
                if buffer.capacity() > OUT_KEPT_MAX {
                    buffer = Vec::new();
                }
                mem::swap(&mut buffer, &mut state.out);
                state.closed
            };
            if closed {
                return io::Error::other("the gateway has closed the connection");
            }
            if buffer.is_empty() {
                self.changed.notified().await;
                continue;
            }
            let mut rest = &buffer[..];
            while !rest.is_empty() {
                let written = tokio::select! {
                    written = write.write(rest) => written,
                    () = self.closed() => return io::Error::other("the gateway has closed the connection"),
                };
                match written {
                    Ok(0) => return io::ErrorKind::WriteZero.into(),
                    Ok(len) => {
                        rest = &rest[len..];
                        self.lock().written += len as u64;
                    }
                    Err(error) => return error,
                }
            }
        }
    }

    /// Waits until the link is to be closed. Takes wake-ups that mean something else; the writer looks again anyway.
    async fn closed(&self) {
        while !self.lock().closed {
            self.changed.notified().await;
        }
    }

    async fn read(
        &self,
        mut read: OwnedReadHalf,
        line_len_max: usize,
        owner: &dyn Owner,
    ) -> io::Error {
        let mut decoder = LineDecoder::new(line_len_max);
        loop {
            decoder.buffer_mut().reserve(READ_LEN);
            match read.read_buf(decoder.buffer_mut()).await {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
            self.heard_ms.store(self.now_ms(), Ordering::Relaxed);
            loop {
                match decoder.next_line() {
                    Ok(Some(line)) => {
                        if let Err(error) = self.dispatch(&line, owner) {
                            return error;
                        }
                    }
                    Ok(None) => break,
                    Err(too_long) => {
                        return io::Error::new(io::ErrorKind::InvalidData, too_long.to_string());
                    }
                }
            }
            decoder.release();
        }
    }

    fn dispatch(&self, line: &Bytes, owner: &dyn Owner) -> io::Result<()> {
        let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
        match ServerLine::parse(line).map_err(|error| invalid(error.to_string()))? {
            ServerLine::Reply(Reply {
                id: Some(id),
                outcome,
            }) => {
                self.answer(&id, outcome, owner);
                Ok(())
            }
            // Only said of a connection as a whole: that it is one too many, or sent what is no request.
            ServerLine::Reply(Reply { id: None, outcome }) => Err(invalid(match outcome {
                Ok(_) => "an answer without an id".to_owned(),
                Err(failure) => failure.message,
            })),
            ServerLine::Progress(progress) => {
                if let Some(sink) = self.sink(&progress.id) {
                    sink.progress(progress);
                }
                Ok(())
            }
            ServerLine::Event(event) => {
                if let Some(sink) = self.sink(&event.id) {
                    sink.event(&event.name, event.data);
                }
                Ok(())
            }
        }
    }

    fn answer(&self, id: &RequestId, outcome: Outcome, owner: &dyn Owner) {
        let Some(id) = id.as_u64() else { return };
        let mut state = self.lock();
        let Some(pending) = state.pending.remove(&id) else {
            return;
        };
        state.tasks -= pending.weight();
        self.in_flight.store(state.tasks, Ordering::Relaxed);
        drop(state);
        let Pending { submit, sink, .. } = pending;
        let handed_back = matches!(
            &outcome,
            Err(TaskFailure {
                code: ErrorCode::ShuttingDown,
                started: false,
                ..
            })
        );
        if handed_back {
            owner.handed_back(Orphan {
                submit,
                sink,
                may_have_started: false,
            });
        } else {
            sink.done(outcome);
        }
    }

    fn sink(&self, id: &RequestId) -> Option<Arc<dyn Sink>> {
        let id = id.as_u64()?;
        self.lock()
            .pending
            .get(&id)
            .map(|pending| Arc::clone(&pending.sink))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing that holds it can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    /// How much it counts among the tasks of its link.
    fn weight(&self) -> usize {
        usize::from(!self.submit.function.starts_with(super::HOST_PREFIX))
    }
}

impl State {
    fn append(&mut self, id: u64, submit: &Submit) {
        let before = self.out.len();
        let request = Request {
            id: Some(id.into()),
            function: submit.function.to_string(),
            args: submit.args.clone(),
            timeout: submit.timeout,
            progress: submit.progress,
        };
        request.encode(&mut self.out);
        self.queued += (self.out.len() - before) as u64;
    }
}

/// The answer to a ping.
#[derive(Debug)]
struct Pong(Arc<Link>);

impl Sink for Pong {
    fn done(&self, _: Outcome) {
        self.0.pinged_ms.store(NO_PING, Ordering::Relaxed);
    }
}
