//! One connection to a host, shared by many tasks: each has an id of its own on it.

use std::borrow::Cow;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use protocol::{
    ErrorCode, LineDecoder, Outcome, Reply, Request, RequestId, ServerLine, TaskFailure,
};
use rustc_hash::FxHashMap;
use serde::Deserialize;
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

/// Requests to the host itself that find room beside as many tasks as there may be: a ping, a watch, cancellations.
const RESERVED_MAX: usize = 24;
/// With fewer requests at a time from one connection, a host can't be worked with.
const HOST_IN_FLIGHT_MIN: usize = 4;

/// How much later than a task's time limit its answer is waited for.
const ANSWER_GRACE: Duration = Duration::from_secs(30);

/// A connection that is up.
#[derive(Debug)]
pub(super) struct Link {
    state: Mutex<State>,
    /// There is something to write, or the link is to be closed.
    changed: Notify,
    in_flight: AtomicUsize,
    /// Tasks that the host takes from one connection. Beyond it, it would read nothing more, not even a ping.
    in_flight_max: AtomicUsize,
    /// The longest line that the host takes or sends.
    line_len_max: AtomicUsize,
    /// It takes nothing, since it has ended or too many bytes wait to be written.
    is_shut: AtomicBool,
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
    /// Nothing more is taken, for that reason.
    closed: Option<Cow<'static, str>>,
}

/// What a host allows each connection, as `host.status` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct HostLimits {
    in_flight_max: usize,
    line_len_max: usize,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self {
            in_flight_max: 1024,
            line_len_max: protocol::LINE_LEN_MAX_DEFAULT,
        }
    }
}

impl HostLimits {
    /// Reads the result of `host.status`.
    pub(super) fn read(json: &[u8]) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Status {
            limits: HostLimits,
        }
        serde_json::from_slice::<Status>(json)
            .unwrap_or_default()
            .limits
    }

    /// Tasks that one connection may have at the host, beside the requests to the host itself.
    fn tasks_max(self) -> Option<usize> {
        let reserved = (self.in_flight_max / 4).clamp(2, RESERVED_MAX);
        (self.in_flight_max >= HOST_IN_FLIGHT_MIN).then(|| self.in_flight_max - reserved)
    }
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
    /// There may be room again for what waits.
    fn has_room(&self);
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
                closed: None,
            }),
            changed: Notify::new(),
            in_flight: AtomicUsize::new(0),
            // Until the host has told.
            in_flight_max: AtomicUsize::new(0),
            line_len_max: AtomicUsize::new(HostLimits::default().line_len_max),
            is_shut: AtomicBool::new(false),
            began: Instant::now(),
            heard_ms: AtomicU64::new(0),
            pinged_ms: AtomicU64::new(NO_PING),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether a task would be taken now.
    pub(super) fn has_room(&self) -> bool {
        !self.is_shut.load(Ordering::Relaxed)
            && self.in_flight() < self.in_flight_max.load(Ordering::Relaxed)
    }

    /// Takes tasks from now on, as many as the host allows.
    ///
    /// # Errors
    /// The host allows too little: a sentence for its operator.
    pub(super) fn keep_to(&self, limits: HostLimits) -> Result<(), String> {
        let tasks_max = limits.tasks_max().ok_or_else(|| {
            format!(
                "the host takes {} requests at a time from a connection (its limits.in_flight_max); let it be {HOST_IN_FLIGHT_MIN} or more",
                limits.in_flight_max
            )
        })?;
        self.in_flight_max.store(tasks_max, Ordering::Relaxed);
        self.line_len_max
            .store(limits.line_len_max, Ordering::Relaxed);
        Ok(())
    }

    /// Puts a task on the link; its number, or the task again when the link takes no more.
    pub(super) fn submit(
        &self,
        submit: Submit,
        sink: Arc<dyn Sink>,
    ) -> Result<u64, (Submit, Arc<dyn Sink>)> {
        let weight = submit.weight();
        let mut state = self.lock();
        if state.closed.is_some() {
            return Err((submit, sink));
        }
        if weight > 0 {
            if state.tasks >= self.in_flight_max.load(Ordering::Relaxed) {
                return Err((submit, sink));
            }
            if state.out.len() > OUT_LEN_MAX {
                self.is_shut.store(true, Ordering::Relaxed);
                return Err((submit, sink));
            }
        }
        let id = state.id_last + 1;
        state.id_last = id;
        let was_empty = state.out.is_empty();
        let line_len_max = self.line_len_max.load(Ordering::Relaxed);
        if !state.append(id, &submit, line_len_max) {
            drop(state);
            let message = format!(
                "the request is longer than {line_len_max} bytes, the most that the host takes"
            );
            sink.done(Err(TaskFailure::new(ErrorCode::TooLarge, message)));
            return Ok(id);
        }
        let end = state.queued;
        let expires_at = submit
            .limit
            .map(|limit| submit.since + limit + ANSWER_GRACE);
        let pending = Pending {
            submit,
            end,
            expires_at,
            sink,
        };
        state.tasks += weight;
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
    pub(super) fn expire(&self, owner: &dyn Owner) {
        let now = Instant::now();
        let mut expired = Vec::new();
        {
            let mut state = self.lock();
            let mut tasks = state.tasks;
            state.pending.retain(|_, pending| {
                let is_over = pending.expires_at.is_some_and(|at| at <= now);
                if is_over {
                    tasks -= pending.submit.weight();
                    expired.push(Arc::clone(&pending.sink));
                }
                !is_over
            });
            state.tasks = tasks;
            self.in_flight.store(tasks, Ordering::Relaxed);
        }
        if !expired.is_empty() {
            owner.has_room();
        }
        for sink in expired {
            let message = "the host did not answer in time, though it should have ended the task";
            sink.done(Err(TaskFailure::new(ErrorCode::Timeout, message)));
        }
    }

    /// Takes nothing more, and ends the connection.
    pub(super) fn close(&self) {
        self.close_for("the gateway has closed the connection");
    }

    /// The same, for a reason that its operator should know.
    pub(super) fn close_for(&self, reason: impl Into<Cow<'static, str>>) {
        self.shut(&mut self.lock(), reason.into());
        self.changed.notify_one();
    }

    fn shut(&self, state: &mut State, reason: Cow<'static, str>) {
        state.closed.get_or_insert(reason);
        self.is_shut.store(true, Ordering::Relaxed);
    }

    /// Serves the connection until it ends, and gives what was in flight then.
    pub(super) async fn run(
        self: &Arc<Self>,
        stream: TcpStream,
        owner: &dyn Owner,
    ) -> (io::Error, Vec<Orphan>) {
        let (read, write) = stream.into_split();
        let error = tokio::select! {
            ended = self.read(read, owner) => ended,
            ended = self.write(write, owner) => ended,
        };
        (error, self.end())
    }

    /// Nothing more comes or goes.
    fn end(&self) -> Vec<Orphan> {
        let mut state = self.lock();
        self.shut(&mut state, Cow::Borrowed("the connection has ended"));
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

    async fn write(&self, mut write: OwnedWriteHalf, owner: &dyn Owner) -> io::Error {
        let mut buffer = Vec::new();
        loop {
            let was_shut = {
                let mut state = self.lock();
                buffer.clear();
                if buffer.capacity() > OUT_KEPT_MAX {
                    buffer = Vec::new();
                }
                mem::swap(&mut buffer, &mut state.out);
                if let Some(reason) = &state.closed {
                    return io::Error::other(reason.clone());
                }
                self.is_shut.swap(false, Ordering::Relaxed)
            };
            if was_shut {
                owner.has_room();
            }
            if buffer.is_empty() {
                self.changed.notified().await;
                continue;
            }
            let mut rest = &buffer[..];
            while !rest.is_empty() {
                let written = tokio::select! {
                    written = write.write(rest) => written,
                    reason = self.closed() => return io::Error::other(reason),
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
    async fn closed(&self) -> Cow<'static, str> {
        loop {
            if let Some(reason) = &self.lock().closed {
                return reason.clone();
            }
            self.changed.notified().await;
        }
    }

    async fn read(&self, mut read: OwnedReadHalf, owner: &dyn Owner) -> io::Error {
        let mut decoder = LineDecoder::new(0);
        loop {
            decoder.set_line_len_max(self.line_len_max.load(Ordering::Relaxed));
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
        state.tasks -= pending.submit.weight();
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
        owner.has_room();
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

impl Submit {
    /// How much it counts among the tasks of its link.
    fn weight(&self) -> usize {
        usize::from(!self.function.starts_with(super::HOST_PREFIX))
    }
}

impl State {
    /// Whether the request was short enough to be appended.
    fn append(&mut self, id: u64, submit: &Submit, line_len_max: usize) -> bool {
        let before = self.out.len();
        let request = Request {
            id: Some(id.into()),
            function: submit.function.to_string(),
            args: submit.args.clone(),
            timeout: submit.timeout,
            progress: submit.progress,
        };
        request.encode(&mut self.out);
        let len = self.out.len() - before;
        // The newline doesn't count.
        if len - 1 > line_len_max {
            self.out.truncate(before);
            return false;
        }
        self.queued += len as u64;
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_room_for_more_than_tasks() {
        let tasks_max = |in_flight_max: usize| {
            let json = format!("{{\"pid\":7,\"limits\":{{\"in_flight_max\":{in_flight_max}}}}}");
            HostLimits::read(json.as_bytes()).tasks_max()
        };
        assert_eq!(tasks_max(1024), Some(1000));
        assert_eq!(tasks_max(20), Some(15));
        assert_eq!(tasks_max(4), Some(2));
        assert_eq!(tasks_max(3), None);
        assert_eq!(HostLimits::read(b"{}"), HostLimits::default());
    }
}
