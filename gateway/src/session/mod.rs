//! A client and its tasks, which outlive the socket that it speaks through.

mod log;
mod registry;
mod settings;
mod task;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use protocol::{Outcome, Progress, Reply, RequestId, TaskFailure};
use service::bytes::{ByteBudget, HeldBytes};
use service::sync::lock;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use self::log::Log;
pub(crate) use self::log::LogLimits;
pub(crate) use self::registry::Registry;
pub(crate) use self::settings::{SessionLimits, Settings, Table};
pub(crate) use self::task::SessionTask;
use self::token::SessionToken;
use crate::access::Identity;
use crate::limits::TaskPermit;
use crate::message;

/// How a client is spoken to.
#[derive(Clone, Debug)]
pub(crate) enum Framing {
    /// Numbered messages, tasks with ids: the subprotocol `tasks.v1`.
    TasksV1,
    /// As in the Text protocol. After a success the text, if there is one, is all that is said.
    Plain { notify_text: Option<Utf8Bytes> },
}

/// Names a task within its session.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TaskKey {
    Id(RequestId),
    /// The one without an id that runs; those after it wait for it.
    Turn,
}

impl TaskKey {
    fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Id(id) => Some(id),
            Self::Turn => None,
        }
    }
}

/// Bytes of a session's messages that are sent at once, unless a single one is longer.
const BATCH_LEN: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) token: SessionToken,
    pub(crate) identity: Arc<Identity>,
    framing: Framing,
    state: Mutex<State>,
    /// There is something for the socket: a message, or its end.
    changed: Notify,
    unsent_len_max: usize,
    /// Bound on the messages that all sessions keep.
    budget: ByteBudget,
}

#[derive(Debug)]
struct State {
    log: Log,
    tasks: HashMap<TaskKey, Arc<SessionTask>>,
    /// The number of the last greeting.
    greeting: Option<u64>,
    /// Counts the sockets that it has had; the last one may be attached.
    socket: u64,
    attachment: Attachment,
    /// The log's length, as the budget knows it.
    kept: HeldBytes,
    /// Bytes that may be unsent now: after a resumption as many more as waited then, until they are on their way.
    unsent_len_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attachment {
    /// A socket speaks for the client.
    Attached,
    /// None does, since then.
    Detached(Instant),
    /// The session is over: none will again.
    Ended,
}

/// Why a socket has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Eviction {
    /// Another one speaks for the client now.
    TakenOver,
    /// It takes less than there is to tell. The session can be resumed.
    TooSlow,
    /// The session is over.
    Ended,
    /// It is over since the client's token has expired.
    Expired,
}

impl Session {
    pub(crate) fn new(
        token: SessionToken,
        identity: Arc<Identity>,
        framing: Framing,
        limits: SessionLimits,
        budget: ByteBudget,
    ) -> Self {
        Self {
            token,
            identity,
            framing,
            state: Mutex::new(State {
                log: Log::new(limits.log),
                tasks: HashMap::new(),
                greeting: None,
                socket: 1,
                attachment: Attachment::Attached,
                kept: budget.hold_nothing(),
                unsent_len_max: limits.unsent_len_max,
            }),
            changed: Notify::new(),
            unsent_len_max: limits.unsent_len_max,
            budget,
        }
    }

    // ---- for the socket ----

    /// Tells the client why its request did not become a task.
    pub(crate) fn refuse(&self, id: Option<RequestId>, failure: TaskFailure) {
        let reply = Reply {
            id,
            outcome: Err(failure),
        };
        self.tell(|seq| match self.framing {
            Framing::TasksV1 => message::reply(seq, &reply),
            Framing::Plain { .. } => message::plain_reply(&reply),
        });
    }

    /// Tells the client something that belongs to no task. The function is handed the message's number.
    pub(crate) fn tell(&self, message: impl FnOnce(u64) -> Utf8Bytes) {
        self.push(&mut self.lock(), message);
    }

    /// The greeting, in place of one that the client has not been sent: it says how things stand now.
    pub(crate) fn greet(&self, message: impl FnOnce(u64, Vec<RequestId>) -> Utf8Bytes) {
        let mut state = self.lock();
        if let Some(before) = state.greeting.take() {
            state.log.retract(before);
        }
        let in_flight = state.in_flight();
        state.greeting = self.push(&mut state, |seq| message(seq, in_flight));
    }

    /// Begins a task for the socket of that number; none if its name is taken.
    ///
    /// # Errors
    /// The socket has to go: what it says no longer counts.
    pub(crate) fn begin(
        self: &Arc<Self>,
        socket: u64,
        key: TaskKey,
        wants_progress: bool,
        permit: TaskPermit,
    ) -> Result<Option<Arc<SessionTask>>, Eviction> {
        let mut state = self.lock();
        self.check_of(&state, socket)?;
        if state.tasks.contains_key(&key) {
            return Ok(None);
        }
        let task = Arc::new(SessionTask::new(Arc::downgrade(self), key.clone(), permit));
        if let (true, Framing::TasksV1, TaskKey::Id(id)) = (wants_progress, &self.framing, &key) {
            self.push(&mut state, |seq| message::accepted(seq, id));
        }
        state.tasks.insert(key, Arc::clone(&task));
        Ok(Some(task))
    }

    /// Whether the task without an id has ended, and the next one may begin.
    pub(crate) fn is_turn_free(&self) -> bool {
        !self.lock().tasks.contains_key(&TaskKey::Turn)
    }

    /// How many tasks have not been answered.
    pub(crate) fn in_flight_count(&self) -> usize {
        self.lock().tasks.len()
    }

    /// Cancels a task. False if there is none of that id.
    pub(crate) fn cancel(&self, id: &RequestId) -> bool {
        let task = self.lock().tasks.get(&TaskKey::Id(id.clone())).cloned();
        if let Some(task) = &task {
            task.cancel();
        }
        task.is_some()
    }

    /// Waits until there is something for the socket to do.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What to send next, through the socket of that number; the number of the last message that was taken, now or before.
    ///
    /// # Errors
    /// The socket has to go.
    pub(crate) fn take(&self, socket: u64, into: &mut Vec<Utf8Bytes>) -> Result<u64, Eviction> {
        let mut state = self.lock();
        self.check_of(&state, socket)?;
        state.log.take(BATCH_LEN, into);
        let waiting = state.log.unsent_len();
        state.unsent_len_max = state.unsent_len_max.min(self.unsent_len_max + waiting);
        if matches!(self.framing, Framing::Plain { .. }) {
            // Nobody comes back for them.
            state.forget_sent();
        }
        Ok(state.log.seq_taken())
    }

    /// Whether the socket of that number still speaks for the client.
    pub(crate) fn check(&self, socket: u64) -> Result<(), Eviction> {
        self.check_of(&self.lock(), socket)
    }

    fn check_of(&self, state: &State, socket: u64) -> Result<(), Eviction> {
        match state.check(socket) {
            Err(Eviction::Ended) if self.identity.is_expired() => Err(Eviction::Expired),
            checked => checked,
        }
    }

    /// The client has everything up to this message.
    pub(crate) fn acknowledge(&self, seq: u64) {
        let mut state = self.lock();
        state.log.acknowledge(seq);
        state.settle();
    }

    /// Speaks through a new socket from now on: its number. It goes on after the message that the client saw last.
    ///
    /// # Errors
    /// Messages after it are gone, or the session is over.
    pub(crate) fn resume(&self, seen: u64) -> Result<u64, ()> {
        let mut state = self.lock();
        if state.attachment == Attachment::Ended {
            return Err(());
        }
        state.log.resume(seen).map_err(drop)?;
        state.settle();
        state.unsent_len_max = self.unsent_len_max + state.log.unsent_len();
        state.socket += 1;
        state.attachment = Attachment::Attached;
        let socket = state.socket;
        drop(state);
        // For the socket before, if it is still there.
        self.changed.notify_waiters();
        self.changed.notify_one();
        Ok(socket)
    }

    /// The socket of that number is gone; unless another one has taken its place, nobody speaks for the client.
    pub(crate) fn detach(&self, socket: u64) {
        let mut state = self.lock();
        if state.socket != socket {
            // It may have taken the news that were for its successor.
            self.changed.notify_one();
        } else if state.attachment == Attachment::Attached {
            state.attachment = Attachment::Detached(Instant::now());
        }
    }

    // ---- for the registry ----

    pub(crate) fn detached_since(&self) -> Option<Instant> {
        match self.lock().attachment {
            Attachment::Detached(since) => Some(since),
            Attachment::Attached | Attachment::Ended => None,
        }
    }

    /// Bytes that are kept for it.
    pub(crate) fn kept_len(&self) -> usize {
        self.lock().kept.len()
    }

    /// What was sent is kept no longer, whether the client has it or not.
    pub(crate) fn forget_sent(&self) {
        self.lock().forget_sent();
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.lock().attachment == Attachment::Ended
    }

    /// Nothing more is told. Its tasks go on, or are cancelled.
    pub(crate) fn end(&self, cancel_tasks: bool) {
        let mut state = self.lock();
        self.finish(&mut state);
        let tasks: Vec<_> = if cancel_tasks {
            state.tasks.values().cloned().collect()
        } else {
            Vec::new()
        };
        drop(state);
        for task in tasks {
            task.cancel();
        }
    }

    // ---- for its tasks ----

    fn progress(&self, task: &SessionTask, progress: Progress) {
        let mut state = self.lock();
        // Progress that nobody has taken is replaced by newer progress.
        if let Some(before) = task.take_progress_seq() {
            state.log.retract(before);
        }
        let Some(id) = task.key().id() else { return };
        let pushed = self.push(&mut state, |seq| match self.framing {
            Framing::TasksV1 => message::progress(seq, id, progress),
            Framing::Plain { .. } => message::plain_progress(id, progress),
        });
        if let Some(seq) = pushed {
            task.set_progress_seq(seq);
        }
    }

    fn done(&self, task: &SessionTask, outcome: Outcome) {
        let mut state = self.lock();
        if state.tasks.remove(task.key()).is_none() {
            return;
        }
        if state.tasks.is_empty() {
            // Idle clients are many.
            state.tasks = HashMap::new();
        }
        let reply = Reply {
            id: task.key().id().cloned(),
            outcome,
        };
        self.push(&mut state, |seq| match &self.framing {
            Framing::TasksV1 => message::reply(seq, &reply),
            Framing::Plain {
                notify_text: Some(text),
            } if reply.outcome.is_ok() => text.clone(),
            Framing::Plain { .. } => message::plain_reply(&reply),
        });
    }

    /// Keeps a message for the client: its number, unless the session is over.
    fn push(&self, state: &mut State, message: impl FnOnce(u64) -> Utf8Bytes) -> Option<u64> {
        if state.attachment == Attachment::Ended {
            return None;
        }
        let message = message(state.log.seq_next());
        let pushed = state.log.push(message);
        state.settle();
        if state.attachment == Attachment::Attached {
            if state.log.unsent_len() > state.unsent_len_max {
                state.attachment = Attachment::Detached(Instant::now());
            }
        } else if is_far_exceeded(&self.budget) {
            // Before the registry has seen to it who has the most.
            self.finish(state);
            return None;
        }
        let Ok(seq) = pushed else {
            self.finish(state);
            return None;
        };
        self.changed.notify_one();
        Some(seq)
    }

    /// Nothing is told any more: a session that has lost a message has lost its promise.
    fn finish(&self, state: &mut State) {
        state.attachment = Attachment::Ended;
        state.log = Log::new(LogLimits {
            count_max: 0,
            len_max: 0,
        });
        state.settle();
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// Whether it is exceeded by more than a quarter.
fn is_far_exceeded(budget: &ByteBudget) -> bool {
    budget.held() > budget.max().saturating_add(budget.max() / 4)
}

impl State {
    fn forget_sent(&mut self) {
        let taken = self.log.seq_taken();
        self.log.acknowledge(taken);
        self.settle();
    }

    /// Tells the budget how much is kept now.
    fn settle(&mut self) {
        self.kept.set(self.log.len());
    }

    /// The ids of tasks that have not been answered.
    fn in_flight(&self) -> Vec<RequestId> {
        self.tasks.keys().filter_map(TaskKey::id).cloned().collect()
    }

    fn check(&self, socket: u64) -> Result<(), Eviction> {
        match self.attachment {
            Attachment::Ended => Err(Eviction::Ended),
            _ if self.socket != socket => Err(Eviction::TakenOver),
            Attachment::Detached(_) => Err(Eviction::TooSlow),
            Attachment::Attached => Ok(()),
        }
    }
}
