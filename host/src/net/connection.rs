//! One client: its requests in, their replies out.
//!
//! Two lanes share a connection. Requests without an id run one after another, in the order in which they came; those
//! with an id run at once. Neither lane waits for the other.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use protocol::{
    BadRequest, ErrorCode, Event, Outcome, Progress, Reply, Request, RequestId, TaskFailure,
};
use rustc_hash::FxHashMap;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::inbox::{Arrived, Inbox};
use super::input::{Input, Received, overloaded};
use super::{Phase, Shared};
use crate::budget::Permit;
use crate::clock::Moment;
use crate::router::{Builtin, HOST_PREFIX, Watch, shutting_down};
use crate::stats::count;
use crate::task::{Answer, Client, Task, TaskId};

/// Unread replies beyond this keep the host from reading further requests.
const OUTPUT_HIGH_WATER: usize = 1024 * 1024;
/// Room for replies that is kept when all are sent.
const OUTPUT_KEPT_MAX: usize = 64 * 1024;
/// A client that reads nothing for so long, with replies waiting for it, has gone.
const WRITE_STALL_MAX: Duration = Duration::from_secs(60);
/// How long the rest of an unusable input is read and thrown away after the last reply.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// A request that waits for its turn in the lane without ids.
#[derive(Debug)]
enum Waiting {
    Request(Box<Incoming>),
    /// Answered already, but not before those that came earlier.
    Refused(TaskFailure),
}

#[derive(Debug)]
struct Incoming {
    request: Request,
    received: Moment,
    permit: Permit,
}

/// A request that was accepted and has not been answered.
#[derive(Debug)]
struct InFlight {
    id: Option<RequestId>,
    cancel: Cancel,
}

/// How a request in flight can be ended by its client.
#[derive(Debug)]
enum Cancel {
    Task(TaskId),
    /// The host's own, which goes on until it is told to stop.
    Watch(Arc<Notify>),
    /// Over in no time.
    No,
}

#[derive(Debug, Default)]
struct Output {
    bytes: Vec<u8>,
    sent: usize,
    /// When the client has last taken something, or had nothing to take.
    progress_at: Option<Instant>,
    /// The client reads no more: replies are dropped, and counted.
    gone: bool,
}

pub(super) struct Connection {
    stream: TcpStream,
    state: State,
}

/// Everything but the socket, whose halves are borrowed while the rest changes.
struct State {
    shared: Arc<Shared>,
    inbox: Arc<Inbox>,
    input: Input,
    output: Output,
    in_flight: FxHashMap<u64, InFlight>,
    by_id: HashMap<RequestId, u64>,
    waiting: VecDeque<Waiting>,
    /// The request without an id that runs.
    turn: Option<u64>,
    /// Until when the rest of an unusable input is read, after the last reply has been sent.
    lingers_until: Option<Instant>,
    /// Replies written since the client has ended its sending: it may have gone for good.
    replies_after_end: u64,
}

/// Arguments of `host.cancel`.
#[derive(Deserialize)]
struct CancelArgs {
    id: RequestId,
}

/// Why the loop has woken up.
enum Wake {
    Readable,
    Writable,
    /// The inbox, or the phase: looked at every time round anyway.
    News,
    Stalled,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, shared: Arc<Shared>) -> Self {
        let state = State {
            inbox: Arc::default(),
            input: Input::new(shared.limits.line_len_max, shared.budget.clone()),
            output: Output::default(),
            in_flight: FxHashMap::default(),
            by_id: HashMap::new(),
            waiting: VecDeque::new(),
            turn: None,
            lingers_until: None,
            replies_after_end: 0,
            shared,
        };
        Self { stream, state }
    }

    /// Serves the client until it has gone, or the host ends, and every request of it has been answered.
    pub(super) async fn run(mut self) {
        let state = &mut self.state;
        let (mut read, mut write) = self.stream.split();
        let mut phase = state.shared.phase.clone();
        loop {
            state.take_arrived();
            state.take_requests().await;
            state.output.send(&write);
            state.check_output();
            if state.is_over() {
                break;
            }
            if state.is_lingering() {
                // The last reply is on its way; the client may know that nothing follows it.
                let _ = write.shutdown().await;
            }
            let event = state.wait(&read, &write, &mut phase).await;
            match event {
                Wake::Readable => {
                    if state.input.read(&mut read).await.is_err() {
                        state.client_gone();
                    }
                }
                Wake::Stalled if state.lingers_until.is_some() => break,
                Wake::Stalled => state.client_gone(),
                Wake::Writable | Wake::News => {}
            }
        }
        // The client may have gone without a word; the kernel knows by now, if it can.
        if matches!(self.stream.take_error(), Ok(Some(_)) | Err(_)) {
            self.state.count_unread();
        }
    }
}

impl State {
    async fn wait(
        &self,
        read: &tokio::net::tcp::ReadHalf<'_>,
        write: &WriteHalf<'_>,
        phase: &mut watch::Receiver<Phase>,
    ) -> Wake {
        let wants_input = self.input.is_discarding() || (self.input.is_open() && self.has_room());
        let has_output = !self.output.is_empty();
        let stalled_at = self.lingers_until.or(self.output.stalled_at());
        tokio::select! {
            _ = read.readable(), if wants_input => Wake::Readable,
            _ = write.writable(), if has_output => Wake::Writable,
            () = self.inbox.wait() => Wake::News,
            _ = phase.changed(), if self.shared.phase() < Phase::Closing => Wake::News,
            () = sleep_until(stalled_at) => Wake::Stalled,
        }
    }

    /// Whether further requests may be taken from this client.
    fn has_room(&self) -> bool {
        self.in_flight.len() + self.waiting.len() < self.shared.limits.in_flight_max
            && self.output.len() < OUTPUT_HIGH_WATER
    }

    fn is_quiet(&self) -> bool {
        self.in_flight.is_empty() && self.waiting.is_empty() && self.output.is_empty()
    }

    fn is_over(&self) -> bool {
        let done = match self.shared.phase() {
            Phase::Closing => true,
            Phase::Serving | Phase::Draining => self.input.is_ended(),
        };
        done && self.is_quiet()
    }

    /// Whether only the rest of an unusable input is waited for. True once, when that begins.
    fn is_lingering(&mut self) -> bool {
        let begins = self.lingers_until.is_none() && self.input.is_discarding() && self.is_quiet();
        if begins {
            self.lingers_until = Some(Instant::now() + LINGER_MAX);
        }
        begins
    }

    // ---- requests in ----

    async fn take_requests(&mut self) {
        self.take_turns().await;
        while self.has_room() {
            match self.input.next() {
                Received::Line(line) => self.take_line(&line).await,
                Received::Unusable(failure) => self.refuse(None, failure),
                Received::Nothing => break,
            }
            self.take_turns().await;
        }
    }

    async fn take_line(&mut self, line: &Bytes) {
        let received = Moment::now();
        let request = match Request::parse(line) {
            Ok(request) => request,
            Err(BadRequest { id, message }) => {
                self.refuse(id, TaskFailure::new(ErrorCode::BadRequest, message));
                return;
            }
        };
        if let Some(id) = request.id.clone().filter(|id| self.by_id.contains_key(id)) {
            let message = format!(
                "a request with the id {id} is in flight on this connection; ids must differ"
            );
            self.refuse(Some(id), TaskFailure::new(ErrorCode::BadRequest, message));
            return;
        }
        if self.shared.phase() > Phase::Serving && !request.function.starts_with(HOST_PREFIX) {
            self.refuse(request.id, shutting_down());
            return;
        }
        let Some(permit) = self.shared.budget.take(line.len()) else {
            self.refuse(request.id, overloaded());
            return;
        };
        let incoming = Incoming {
            request,
            received,
            permit,
        };
        self.shared.stats.in_flight.fetch_add(1, Ordering::Relaxed);
        if incoming.request.id.is_some() {
            self.start(incoming).await;
        } else {
            self.waiting.push_back(Waiting::Request(Box::new(incoming)));
        }
    }

    /// Answers a line that becomes no task: at once where it has an id, in its turn where it has none.
    fn refuse(&mut self, id: Option<RequestId>, failure: TaskFailure) {
        count(&self.shared.stats.requests_refused);
        if id.is_some() {
            self.send_reply(id, Err(failure));
        } else {
            self.waiting.push_back(Waiting::Refused(failure));
        }
    }

    /// Lets the lane without ids go on until a request of it runs.
    async fn take_turns(&mut self) {
        while self.turn.is_none()
            && let Some(next) = self.waiting.pop_front()
        {
            match next {
                Waiting::Refused(failure) => self.send_reply(None, Err(failure)),
                Waiting::Request(incoming) => {
                    if let Some(key) = self.start(*incoming).await {
                        self.turn = Some(key);
                    }
                }
            }
        }
    }

    /// Starts a request. `None`: it has been answered already.
    async fn start(&mut self, incoming: Incoming) -> Option<u64> {
        let Incoming {
            request,
            received,
            permit,
        } = incoming;
        let phase = self.shared.phase();
        if request.function.starts_with(HOST_PREFIX) {
            return self.start_builtin(request, phase).await;
        }
        // What was received before the drain began still runs, as long as there is time for it.
        let route = match phase {
            Phase::Closing => Err(shutting_down()),
            Phase::Serving | Phase::Draining => self.shared.router.route(&request.function),
        };
        let route = match route {
            Ok(route) => route,
            Err(failure) => {
                count(&self.shared.stats.requests_refused);
                self.answer(request.id, Err(failure));
                return None;
            }
        };
        let id = TaskId(self.shared.task_last.fetch_add(1, Ordering::Relaxed) + 1);
        let key = id.0;
        let task = Task {
            id,
            function: 0,
            args: request.args,
            received,
            deadline: request
                .timeout
                .map_or(Moment::NEVER, |timeout| received + timeout),
            progress: request.progress,
            answer: Answer::new(self.client(), key),
            permit,
        };
        self.remember(key, request.id, Cancel::Task(id));
        self.shared
            .router
            .submit(&request.function, route, task)
            .await;
        Some(key)
    }

    async fn start_builtin(&mut self, request: Request, phase: Phase) -> Option<u64> {
        if request.function == "host.cancel" {
            let outcome = self.cancel(&request).await;
            self.answer(request.id, outcome);
            return None;
        }
        let Some(builtin) = Builtin::named(&request.function) else {
            count(&self.shared.stats.requests_refused);
            self.answer(request.id, Err(Builtin::unknown(&request.function)));
            return None;
        };
        let key = self.shared.task_last.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = Answer::new(self.client(), key);
        if builtin == Builtin::Plugins && wants_watch(&request.args) {
            return self.start_watch(key, request, answer);
        }
        self.remember(key, request.id, Cancel::No);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let draining = phase > Phase::Serving;
            let outcome = builtin
                .run(
                    &shared.router,
                    &shared.stats,
                    &shared.limits,
                    shared.up_since,
                    draining,
                )
                .await;
            answer.finish(outcome);
        });
        Some(key)
    }

    /// `host.plugins` with `watch`: goes on until it is cancelled, its time is up, or its connection or the host ends.
    fn start_watch(&mut self, key: u64, request: Request, answer: Answer) -> Option<u64> {
        if request.id.is_none() {
            answer.fail(
                ErrorCode::InvalidArgs,
                "`watch` needs an `id`, by which its events are known and it can be cancelled",
            );
            self.remember(key, None, Cancel::No);
            return Some(key);
        }
        let stop = Arc::new(Notify::new());
        self.remember(key, request.id, Cancel::Watch(Arc::clone(&stop)));
        let watch = Watch {
            client: self.client(),
            key,
            stop,
            timeout: request.timeout,
        };
        let (shared, mut phase) = (Arc::clone(&self.shared), self.shared.phase.clone());
        tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = watch.run(&shared.router) => outcome,
                _ = phase.wait_for(|phase| *phase > Phase::Serving) => Err(shutting_down()),
            };
            answer.finish(outcome);
        });
        Some(key)
    }

    async fn cancel(&mut self, request: &Request) -> Outcome {
        let CancelArgs { id } = serde_json::from_slice(&request.args).map_err(|error| {
            let message = format!("host.cancel takes {{\"id\": …}}, the id of a request in flight on this connection: {error}");
            TaskFailure::new(ErrorCode::InvalidArgs, message)
        })?;
        let in_flight = self.by_id.get(&id).and_then(|key| self.in_flight.get(key));
        match in_flight.map(|in_flight| &in_flight.cancel) {
            Some(Cancel::Task(task)) => self.shared.router.cancel(*task).await,
            Some(Cancel::Watch(stop)) => stop.notify_one(),
            Some(Cancel::No) | None => return Ok(Bytes::from_static(b"{\"cancelled\":false}")),
        }
        Ok(Bytes::from_static(b"{\"cancelled\":true}"))
    }

    fn client(&self) -> Arc<dyn Client> {
        Arc::clone(&self.inbox) as Arc<dyn Client>
    }

    fn remember(&mut self, key: u64, id: Option<RequestId>, cancel: Cancel) {
        if let Some(id) = id.clone() {
            self.by_id.insert(id, key);
        }
        self.in_flight.insert(key, InFlight { id, cancel });
    }

    // ---- replies out ----

    fn take_arrived(&mut self) {
        let Arrived {
            progress,
            events,
            finished,
        } = self.inbox.take();
        for (key, name, data) in events {
            if let Some(InFlight { id: Some(id), .. }) = self.in_flight.get(&key) {
                let line = Event {
                    id: id.clone(),
                    name,
                    data,
                };
                self.output.push(|bytes| line.encode(bytes));
            }
        }
        for event in progress {
            if let Some(InFlight { id: Some(id), .. }) = self.in_flight.get(&event.key) {
                let line = Progress {
                    id: id.clone(),
                    done: event.done,
                    total: event.total,
                    message: event.message,
                };
                self.output.push(|bytes| line.encode(bytes));
            }
        }
        for (key, outcome) in finished {
            let Some(InFlight { id, .. }) = self.in_flight.remove(&key) else {
                continue;
            };
            if let Some(id) = &id {
                self.by_id.remove(id);
            }
            if self.turn == Some(key) {
                self.turn = None;
            }
            self.answer(id, outcome);
        }
    }

    /// Answers a request that counts as in flight.
    fn answer(&mut self, id: Option<RequestId>, outcome: Outcome) {
        self.shared.stats.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.send_reply(id, outcome);
    }

    fn send_reply(&mut self, id: Option<RequestId>, outcome: Outcome) {
        if self.output.gone {
            count(&self.shared.stats.replies_dropped);
        } else {
            self.output
                .push(|bytes| Reply { id, outcome }.encode(bytes));
            if self.input.is_ended() {
                self.replies_after_end += 1;
            }
        }
    }

    /// Counts the replies that were written to a client which had gone.
    fn count_unread(&mut self) {
        let unread = std::mem::take(&mut self.replies_after_end);
        self.shared
            .stats
            .replies_dropped
            .fetch_add(unread, Ordering::Relaxed);
    }

    fn check_output(&mut self) {
        if self.output.len() > self.shared.limits.output_len_max {
            tracing::warn!(
                unread = self.output.len(),
                "a client was closed that doesn't read its replies (output_len_max)"
            );
            self.client_gone();
        } else if self.output.gone {
            self.client_gone();
        }
    }

    /// Nobody reads any more. What was received still runs; its replies are dropped.
    fn client_gone(&mut self) {
        for in_flight in self.in_flight.values() {
            if let Cancel::Watch(stop) = &in_flight.cancel {
                stop.notify_one();
            }
        }
        self.count_unread();
        self.output.give_up();
        self.input.end();
    }
}

impl Output {
    fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.gone {
            return;
        }
        if self.is_empty() {
            self.progress_at = None;
        }
        encode(&mut self.bytes);
    }

    /// Sends what the socket takes now.
    fn send(&mut self, stream: &WriteHalf<'_>) {
        while !self.is_empty() {
            match stream.try_write(&self.bytes[self.sent..]) {
                Ok(len) => {
                    self.sent += len;
                    self.progress_at = None;
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.progress_at.get_or_insert_with(Instant::now);
                    return;
                }
                Err(_) => {
                    self.give_up();
                    return;
                }
            }
        }
        self.bytes.clear();
        self.bytes.shrink_to(OUTPUT_KEPT_MAX);
        self.sent = 0;
    }

    fn stalled_at(&self) -> Option<Instant> {
        self.progress_at
            .filter(|_| !self.is_empty())
            .map(|at| at + WRITE_STALL_MAX)
    }

    fn give_up(&mut self) {
        self.gone = true;
        self.bytes = Vec::new();
        self.sent = 0;
    }
}

/// Arguments of `host.plugins`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct PluginsArgs {
    watch: bool,
}

fn wants_watch(args: &[u8]) -> bool {
    serde_json::from_slice::<PluginsArgs>(args)
        .unwrap_or_default()
        .watch
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
