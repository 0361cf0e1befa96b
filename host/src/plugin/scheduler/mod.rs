//! The pool's mind: which task runs where, when a worker is started, cancelled, killed. No I/O and no clock of its own:
//! events come in with the moment at which they happened, [`Command`]s go out.
//!
//! Every task is in one place, queued or handed to a worker, from the moment it is submitted until its worker has
//! returned it or died. It may have been answered before (`timeout`): its cell stays taken until its handler is gone.

mod dispatch;
mod drain;
mod events;
mod failure;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod line;
mod opening;
mod queue;
mod stacks;
#[cfg(test)]
mod tests;
mod time;
mod timers;
mod worker;
mod workers;

pub(crate) use self::failure::shortage_back_off;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{ErrorCode, Outcome, TaskFailure};
use rustc_hash::FxHashMap;
use serde::Serialize;
use service::bytes::HeldBytes;

use self::failure::{cancelled, timeout_in_queue};
use self::opening::Opening;
use self::queue::Queue;
use self::timers::{Timer, Timers};
use self::worker::Worker;
use self::workers::Workers;
use crate::access::Caller;
use crate::clock::Moment;
use crate::link::{Board, Call, RING_LEN};
use crate::stats::{FunctionStats, millis};
use crate::task::{Answer, Asker, Task, TaskId, keep};

/// Bytes of arguments that may be handed to one worker at once, beyond its first task: what its ring has room for. More
/// would be copied once more, and wait there instead of here.
const HANDED_LEN_MAX: usize = RING_LEN / 4 * 3;
/// Tasks expected to take at most this together may be stacked on one worker: cheaper than waking another one up.
const STACK_COST_MAX: Duration = Duration::from_micros(200);
/// Tasks that are stacked on one that runs for longer than this are taken back and given to another worker.
const STACK_WAIT_MAX: Duration = Duration::from_millis(5);
/// A queue that will be empty sooner than this needs no further worker.
const QUEUE_WAIT_GOOD: Duration = Duration::from_millis(5);
/// Crashes in a row that are taken for accidents: the next worker starts at once.
const CRASHES_WITHOUT_BACK_OFF: u32 = 2;
const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// The longest wait before another worker is tried where there was no room for one.
const SHORTAGE_WAIT_MAX: Duration = Duration::from_secs(2);
/// Crashes in a row after which the plugin is quarantined.
const CRASHES_MAX: u32 = 10;
/// What a function costs that has never run: nothing is stacked on it.
const COST_UNKNOWN: Duration = Duration::from_secs(3600);
/// With a time limit shorter than this, a worker that has not begun a task within it may only be short of processor time.
const STUCK_LIMIT_MIN: Duration = Duration::from_millis(500);
/// How long a worker may take to end after it was told to close.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WorkerId(pub(crate) u32);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settings {
    pub(crate) workers_max: usize,
    /// Processors: more workers than this don't make quick tasks quicker.
    pub(crate) cores: usize,
    pub(crate) queue_len_max: usize,
    /// How long a worker may take to open its plugin.
    pub(crate) open_timeout: Duration,
    /// How long a handler that was told to stop may go on before its worker is killed.
    pub(crate) cancel_grace: Duration,
    /// How long a worker that is not the last one stays without work.
    pub(crate) idle_timeout: Duration,
    /// A worker is replaced after so many tasks.
    pub(crate) tasks_max: Option<u64>,
    /// A worker is replaced when it holds so many bytes of memory.
    pub(crate) rss_max: Option<u64>,
}

/// A function as the scheduler knows it.
#[derive(Debug)]
pub(crate) struct Function {
    /// How long its handler may run.
    pub(crate) limit: Duration,
    pub(crate) stats: Arc<FunctionStats>,
    /// How long it is expected to run. `None` until it has run.
    cost: Option<Duration>,
}

impl Function {
    pub(crate) fn new(limit: Duration, stats: Arc<FunctionStats>) -> Self {
        Self {
            limit,
            stats,
            cost: None,
        }
    }

    /// One slow run may be an accident of a busy machine; a row of them soon counts in full.
    fn learn(&mut self, ran: Duration) {
        self.cost = Some(match self.cost {
            None => ran,
            Some(cost) if ran > cost => ran.min(cost.max(Duration::from_micros(1)) * 2),
            Some(cost) => (cost * 7 + ran) / 8,
        });
    }
}

/// What the pool has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Spawn(WorkerId),
    Call(WorkerId, Call),
    Cancel(WorkerId, TaskId),
    /// No more tasks come; the worker ends by itself.
    Close(WorkerId),
    Kill(WorkerId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Queued,
    Handed { worker: WorkerId, cell: u8 },
}

/// Why a running task was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The client asked for it; it is answered when the handler has gone, or its grace is over.
    Cancelled,
    /// Its time is up; it has been answered.
    TimedOut,
    /// The grace of a drain is over; it is answered as one that was cancelled.
    CutShort,
    /// Its time is up, but its handler had finished before: only its return is waited for.
    Finished,
}

#[derive(Debug)]
struct Entry {
    function: u32,
    asker: Asker,
    args: Bytes,
    received: Moment,
    deadline: Moment,
    progress: bool,
    /// `None` when it has been given.
    answer: Option<Answer>,
    held: HeldBytes,
    caller: Caller,
    place: Place,
    stop: Option<Stop>,
    /// When the scheduler looks at this task again.
    timer: Timer,
    /// When its handler began, as the board said when it was first seen to run. What it says later is not believed.
    started: Option<Moment>,
    /// What it was expected to take when it was handed over.
    cost: Duration,
}

impl Entry {
    /// `None`: it has been answered.
    fn into_task(self, id: TaskId) -> Option<Task> {
        Some(Task {
            id,
            args: self.args,
            received: self.received,
            deadline: self.deadline,
            progress: self.progress,
            answer: self.answer?,
            held: self.held,
            caller: self.caller,
        })
    }
}

/// A snapshot for `host.status` and `host.plugins`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct PoolReport {
    /// Live worker processes.
    pub(crate) workers: usize,
    pub(crate) workers_busy: usize,
    pub(crate) workers_max: usize,
    /// Tasks that each worker runs at once.
    #[serde(skip)]
    pub(crate) slots: usize,
    pub(crate) queued: usize,
    pub(crate) handed_over: usize,
    pub(crate) oldest_waiting_ms: f64,
    pub(crate) crashes: u64,
    pub(crate) quarantined: bool,
    /// Quarantined, and nothing is tried now.
    #[serde(skip)]
    pub(crate) closed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_crash: Option<String>,
    /// Why no worker can be started now; it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shortage: Option<String>,
}

/// The host has no room for another worker.
#[derive(Debug)]
struct Shortage {
    why: String,
    /// Workers that could not be started for it, in a row.
    tries: u32,
}

#[derive(Debug)]
pub(crate) struct Scheduler {
    settings: Settings,
    functions: Vec<Function>,
    tasks: FxHashMap<TaskId, Entry>,
    queue: Queue,
    timers: Timers,
    workers: Workers,
    opening: Opening,
    worker_last: u32,
    /// Tasks that each worker runs at once, as the last one said.
    slots: usize,
    crashes_in_row: u32,
    spawn_not_before: Moment,
    /// When it was last looked whether quick workers are quick.
    doubted_at: Moment,
    draining: bool,
    /// The grace of the drain is over.
    cut: bool,
    crashes: u64,
    last_crash: Option<String>,
    shortage: Option<Shortage>,
    commands: Vec<Command>,
}

/// The answer of a task that its client has ended before a pool had it.
pub(crate) fn cancelled_before_start() -> TaskFailure {
    cancelled(false)
}

impl Scheduler {
    /// A pool whose first worker is the candidate's, see [`Scheduler::adopt`].
    pub(crate) fn new(settings: Settings, functions: Vec<Function>) -> Self {
        Self {
            settings,
            functions,
            tasks: FxHashMap::default(),
            queue: Queue::default(),
            timers: Timers::default(),
            workers: Workers::default(),
            opening: Opening::default(),
            worker_last: 0,
            slots: 1,
            crashes_in_row: 0,
            spawn_not_before: Moment::default(),
            doubted_at: Moment::default(),
            draining: false,
            cut: false,
            crashes: 0,
            last_crash: None,
            shortage: None,
            commands: Vec::new(),
        }
    }

    /// Workers that ended without having been told to.
    pub(crate) fn crashes(&self) -> u64 {
        self.crashes
    }

    /// Why no worker can be started now.
    pub(crate) fn shortage(&self) -> Option<&str> {
        self.shortage.as_ref().map(|shortage| shortage.why.as_str())
    }

    /// Crashes since a task was returned last.
    pub(crate) fn crashes_in_row(&self) -> u32 {
        self.crashes_in_row
    }

    /// Which function a task that is here runs.
    pub(crate) fn function_of(&self, id: TaskId) -> Option<u32> {
        self.tasks.get(&id).map(|entry| entry.function)
    }

    /// Takes in a worker that has opened its plugin already.
    pub(crate) fn adopt(&mut self, id: WorkerId, board: Arc<Board>, slots: u32, now: Moment) {
        self.worker_last = self.worker_last.max(id.0);
        self.opening.insert(id, now);
        self.worker_opened(id, board, slots, now);
    }

    /// What is to be done since the last call.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        self.take_commands_into(&mut commands);
        commands
    }

    /// Adds what is to be done since the last call. Where `to` is empty, the two change places: nothing is copied, and
    /// nothing allocated once both are large enough.
    pub(crate) fn take_commands_into(&mut self, to: &mut Vec<Command>) {
        if to.is_empty() {
            std::mem::swap(to, &mut self.commands);
        } else {
            to.append(&mut self.commands);
        }
    }

    /// Whether what is kept ready for each task is what a look at all there is says.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn check(&self) {
        self.workers.check();
        let next = self.next_tick();
        assert!(self.tasks.values().all(|entry| next <= entry.timer.at()));
    }

    pub(crate) fn report(&self, now: Moment) -> PoolReport {
        let oldest = self
            .queue
            .oldest()
            .and_then(|id| self.tasks.get(&id))
            .map(|entry| entry.received);
        PoolReport {
            workers: self.workers.len(),
            workers_busy: self
                .workers
                .values()
                .filter(|worker| worker.tasks > 0)
                .count(),
            workers_max: self.settings.workers_max,
            slots: self.slots,
            queued: self.queue.len(),
            handed_over: self.workers.values().map(|worker| worker.tasks).sum(),
            oldest_waiting_ms: oldest.map_or(0.0, |oldest| millis(now.since(oldest))),
            crashes: self.crashes,
            quarantined: self.is_quarantined(),
            closed: self.is_closed(now),
            last_crash: self.last_crash.clone(),
            shortage: self.shortage().map(str::to_owned),
        }
    }

    /// Who asked for a task that has not ended.
    pub(crate) fn caller(&self, id: TaskId) -> Option<&Caller> {
        self.tasks.get(&id).map(|entry| &entry.caller)
    }

    pub(crate) fn submit(&mut self, function: u32, task: Task, now: Moment) {
        let Task {
            id,
            args,
            received,
            deadline,
            progress,
            answer,
            held,
            caller,
        } = task;
        let asker = answer.asker();
        let mut entry = Entry {
            function,
            asker,
            args,
            received,
            deadline,
            progress,
            answer: Some(answer),
            held,
            caller,
            place: Place::Queued,
            stop: None,
            timer: Timer::NEVER,
            started: None,
            cost: Duration::ZERO,
        };
        if let Some(failure) = self.refusal(&entry, now) {
            self.answer(entry, Err(failure), now);
            return;
        }
        self.timers.set(id, &mut entry.timer, deadline, now);
        // Most find a worker at once, and need no place in the queue.
        let is_first = self.queue.is_empty() && !self.cut;
        let worker = is_first
            .then(|| self.choose_worker(self.cost_of(function), entry.args.len()))
            .flatten();
        if worker.is_none() {
            keep(&mut entry.args);
        }
        self.tasks.insert(id, entry);
        match worker {
            Some(worker) => self.hand_over(id, worker, now),
            None => {
                self.queue.push_back(asker, id);
                self.dispatch(now);
            }
        }
    }

    fn refusal(&self, entry: &Entry, now: Moment) -> Option<TaskFailure> {
        if self.draining {
            return Some(TaskFailure::new(
                ErrorCode::ShuttingDown,
                "the host is shutting down",
            ));
        }
        if entry.deadline <= now {
            return Some(timeout_in_queue(None));
        }
        if self.is_closed(now) {
            return Some(self.unavailable(now));
        }
        let queued = self.queue.len();
        (queued >= self.settings.queue_len_max).then(|| {
            let message = format!("the plugin's queue is full: {queued} tasks wait, more are not taken (queue_len_max)");
            TaskFailure::new(ErrorCode::Overloaded, message)
                .with_retry_after(self.expected_wait(entry.function))
        })
    }

    pub(crate) fn is_quarantined(&self) -> bool {
        self.crashes_in_row >= CRASHES_MAX
    }

    /// Quarantined, nobody left to serve what waits, and not yet time for another try.
    fn is_closed(&self, now: Moment) -> bool {
        self.is_quarantined()
            && self.workers.ready_count() == 0
            && self.opening.is_empty()
            && now < self.spawn_not_before
    }

    fn unavailable(&self, now: Moment) -> TaskFailure {
        let crash = self.last_crash.as_deref().unwrap_or("its worker crashed");
        let message = format!(
            "the plugin is quarantined after {} crashes in a row; the last: {crash}",
            self.crashes_in_row
        );
        TaskFailure::new(ErrorCode::Unavailable, message)
            .with_retry_after(self.spawn_not_before.since(now))
    }

    fn cost_of(&self, function: u32) -> Option<Duration> {
        self.functions.get(function as usize)?.cost
    }

    fn limit_of(&self, function: u32) -> Duration {
        self.functions
            .get(function as usize)
            .map_or(Duration::ZERO, |function| function.limit)
    }

    /// How long a queue of nothing but this function would take to become empty.
    fn expected_wait(&self, function: u32) -> Duration {
        let queued = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        let workers = u32::try_from(self.workers.len()).unwrap_or(u32::MAX).max(1);
        self.cost_of(function)
            .unwrap_or(QUEUE_WAIT_GOOD)
            .saturating_mul(queued)
            / workers
    }

    /// The client no longer wants this task. An unknown one has been answered: nothing to do.
    pub(crate) fn cancel(&mut self, id: TaskId, now: Moment) {
        let Some(place) = self.tasks.get(&id).map(|entry| entry.place) else {
            return;
        };
        match place {
            Place::Queued => self.answer_unstarted(id, cancelled(false), now),
            Place::Handed { worker, cell } => {
                if self.take_back(id, worker, cell) {
                    self.answer_unstarted(id, cancelled(false), now);
                    self.settle(worker, now);
                } else if self
                    .tasks
                    .get(&id)
                    .is_some_and(|entry| entry.stop.is_none())
                {
                    self.stop(id, Stop::Cancelled, now);
                }
            }
        }
        self.dispatch(now);
    }

    /// Takes a task back that has not started: it is the worker's no more, but its cell is not free yet.
    ///
    /// A task that was told to stop has started, whatever is on the board now: a plugin may have written over it.
    fn take_back(&mut self, id: TaskId, worker: WorkerId, cell: u8) -> bool {
        let may_be = |entry: &Entry| entry.stop.is_none();
        self.tasks.get(&id).is_some_and(may_be)
            && self.workers.change(worker, |worker| worker.take_back(cell)) == Some(true)
    }

    /// Takes back whatever a worker has not started; gives what that was, to be queued again.
    fn take_back_from(&mut self, worker: WorkerId) -> Vec<TaskId> {
        let own_tasks = self.workers.get(worker).map(Worker::own_tasks);
        let mut tasks: Vec<(u8, TaskId)> = own_tasks.into_iter().flatten().collect();
        tasks.retain(|(cell, id)| self.take_back(*id, worker, *cell));
        tasks.into_iter().map(|(_, id)| id).collect()
    }

    fn answer_unstarted(&mut self, id: TaskId, failure: TaskFailure, now: Moment) {
        if let Some(entry) = self.forget(id) {
            match entry.place {
                Place::Queued => self.queue.remove(entry.asker, id),
                Place::Handed { worker, .. } => {
                    self.workers.change(worker, |worker| worker.unload(&entry));
                }
            }
            self.answer(entry, Err(failure), now);
        }
    }

    fn forget(&mut self, id: TaskId) -> Option<Entry> {
        let mut entry = self.tasks.remove(&id)?;
        self.timers.unset(id, &mut entry.timer);
        if let (Some(_), Place::Handed { worker, .. }) = (entry.stop, entry.place) {
            self.workers.change(worker, |worker| worker.stopping -= 1);
        }
        Some(entry)
    }

    fn answer_now(&mut self, id: TaskId, failure: TaskFailure, now: Moment) {
        if let Some(entry) = self.tasks.get_mut(&id)
            && let Some(answer) = entry.answer.take()
        {
            let (function, received) = (entry.function, entry.received);
            self.give(answer, function, received, Err(failure), now);
        }
    }

    fn answer(&self, mut entry: Entry, outcome: Outcome, now: Moment) {
        if let Some(answer) = entry.answer.take() {
            self.give(answer, entry.function, entry.received, outcome, now);
        }
    }

    fn give(&self, answer: Answer, function: u32, received: Moment, outcome: Outcome, now: Moment) {
        if let Some(function) = self.functions.get(function as usize) {
            function.stats.answered(&outcome, now.since(received));
        }
        answer.finish(outcome);
    }
}
