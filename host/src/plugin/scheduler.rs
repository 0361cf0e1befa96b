//! The pool's mind: which task runs where, when a worker is started, cancelled, killed. No I/O and no clock of its own:
//! events come in with the moment at which they happened, [`Command`]s go out.
//!
//! Every task is in one place, queued or handed to a worker, from the moment it is submitted until its worker has
//! returned it or died. It may have been answered before (`timeout`): its place stays taken until its handler is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocol::{ErrorCode, Outcome, TaskFailure};
use serde::Serialize;

use super::outcome::{self, Exit};
use crate::clock::Moment;
use crate::link::{Board, Call, ProgressReport, Return, SLOTS_MAX, SlotState, link_status};
use crate::budget::Permit;
use crate::stats::{FunctionStats, millis};
use crate::task::{Answer, Task, TaskId};

/// Bytes of arguments that may be handed to one worker at once, beyond its first task.
const HANDED_LEN_MAX: usize = 1024 * 1024;
/// Tasks expected to take at most this together may be stacked on one worker: cheaper than waking another one up.
const STACK_COST_MAX: Duration = Duration::from_micros(200);
/// A stacked task that has not started after this long is taken back and given to another worker.
const STACK_WAIT_MAX: Duration = Duration::from_millis(5);
/// A queue that will be empty sooner than this needs no further worker.
const QUEUE_WAIT_GOOD: Duration = Duration::from_millis(5);
/// Crashes in a row that are taken for accidents: the next worker starts at once.
const CRASHES_WITHOUT_BACK_OFF: u32 = 2;
const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);
/// Crashes in a row after which the plugin is quarantined.
const CRASHES_MAX: u32 = 10;
/// What a function costs that has never run: nothing is stacked on it.
const COST_UNKNOWN: Duration = Duration::from_secs(3600);
/// How long a worker may take to end after it was told to close.
const CLOSE_WAIT_MAX: Duration = Duration::from_secs(10);
/// A look at a task that has just ended, in case the return is still on its way.
const RETURN_WAIT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WorkerId(pub(crate) u32);

#[derive(Clone, Debug)]
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
    /// How long it is expected to run: quick to rise, slow to fall. `None` until it has run.
    cost: Option<Duration>,
}

impl Function {
    pub(crate) fn new(limit: Duration, stats: Arc<FunctionStats>) -> Self {
        Self { limit, stats, cost: None }
    }

    fn learn(&mut self, ran: Duration) {
        let decayed = self.cost.map_or(ran, |cost| (cost * 7 + ran) / 8);
        self.cost = Some(decayed.max(ran));
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
enum Phase {
    Ready,
    /// Takes no new tasks; is told to close when it has none left.
    Leaving,
    /// Was told to close, or killed: its end is no crash. Killed when it is still there at the given moment.
    Ending { until: Moment },
}

/// What lies in one of a worker's places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Handed {
    Task(TaskId),
    /// Its task was taken back; the place is free when the worker has noticed.
    TakenBack,
}

/// A worker that has opened its plugin.
#[derive(Debug)]
struct Worker {
    phase: Phase,
    board: Arc<Board>,
    slots: usize,
    places: Vec<Option<Handed>>,
    free: Vec<u8>,
    /// Tasks in `places` that are still its own.
    tasks: usize,
    handed_len: usize,
    /// What its tasks are expected to take together.
    cost: Duration,
    /// Since when it has had more tasks than slots.
    stacked_since: Option<Moment>,
    tasks_done: u64,
    idle_since: Moment,
}

impl Worker {
    fn new(board: Arc<Board>, slots: u32, now: Moment) -> Self {
        Self {
            phase: Phase::Ready,
            board,
            slots: slots as usize,
            places: vec![None; SLOTS_MAX],
            free: (0..=u8::MAX).rev().collect(),
            tasks: 0,
            handed_len: 0,
            cost: Duration::ZERO,
            stacked_since: None,
            tasks_done: 0,
            idle_since: now,
        }
    }

    fn is_idle(&self) -> bool {
        self.free.len() == SLOTS_MAX
    }

    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    fn has_slot(&self) -> bool {
        self.phase == Phase::Ready && self.tasks < self.slots && !self.free.is_empty()
    }

    /// Busy with nothing but tasks that are over in no time.
    fn is_quick(&self) -> bool {
        self.tasks > 0 && self.cost <= STACK_COST_MAX
    }

    fn can_stack(&self, cost: Duration, len: usize) -> bool {
        self.phase == Phase::Ready
            && self.is_quick()
            && !self.free.is_empty()
            && self.handed_len + len <= HANDED_LEN_MAX
            && self.cost.saturating_add(cost) <= STACK_COST_MAX
    }

    /// A task that was handed over weighs on it no longer.
    fn unload(&mut self, entry: &Entry) {
        self.cost = if self.tasks == 0 { Duration::ZERO } else { self.cost.saturating_sub(entry.cost) };
        self.handed_len = self.handed_len.saturating_sub(entry.args.len());
    }

    fn own_tasks(&self) -> impl Iterator<Item = (u8, TaskId)> + '_ {
        (0..=u8::MAX).zip(&self.places).filter_map(|(slot, handed)| match handed {
            Some(Handed::Task(task)) => Some((slot, *task)),
            _ => None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Queued,
    Handed { worker: WorkerId, slot: u8 },
}

/// Why a running task was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The client asked for it; it is answered when the handler has gone.
    Cancelled,
    /// Its time is up; it has been answered.
    TimedOut,
    /// The host's grace is over; it is answered when the handler has gone.
    ShuttingDown,
}

#[derive(Debug)]
struct Entry {
    function: u32,
    args: Bytes,
    received: Moment,
    deadline: Moment,
    progress: bool,
    /// `None` when it has been given.
    answer: Option<Answer>,
    _permit: Permit,
    place: Place,
    stop: Option<Stop>,
    /// When the scheduler looks at this task again.
    timer: Moment,
    /// What it was expected to take when it was handed over.
    cost: Duration,
}

/// A snapshot for `host.status` and `host.plugins`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct PoolReport {
    /// Live worker processes.
    pub(crate) workers: usize,
    pub(crate) workers_busy: usize,
    pub(crate) workers_max: usize,
    pub(crate) queued: usize,
    pub(crate) handed_over: usize,
    pub(crate) oldest_waiting_ms: f64,
    pub(crate) crashes: u64,
    pub(crate) quarantined: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_crash: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Scheduler {
    settings: Settings,
    functions: Vec<Function>,
    tasks: HashMap<TaskId, Entry>,
    queue: VecDeque<TaskId>,
    timers: BTreeSet<(Moment, TaskId)>,
    workers: BTreeMap<WorkerId, Worker>,
    /// Workers that open their plugin, and until when they may.
    opening: BTreeMap<WorkerId, Moment>,
    worker_last: u32,
    crashes_in_row: u32,
    spawn_not_before: Moment,
    draining: bool,
    crashes: u64,
    last_crash: Option<String>,
    commands: Vec<Command>,
}

impl Scheduler {
    /// A pool whose first worker is the candidate's, see [`Scheduler::adopt`].
    pub(crate) fn new(settings: Settings, functions: Vec<Function>) -> Self {
        Self {
            settings,
            functions,
            tasks: HashMap::new(),
            queue: VecDeque::new(),
            timers: BTreeSet::new(),
            workers: BTreeMap::new(),
            opening: BTreeMap::new(),
            worker_last: 0,
            crashes_in_row: 0,
            spawn_not_before: Moment::default(),
            draining: false,
            crashes: 0,
            last_crash: None,
            commands: Vec::new(),
        }
    }

    /// Workers that ended without having been told to.
    pub(crate) fn crashes(&self) -> u64 {
        self.crashes
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
    pub(crate) fn take_commands(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.commands)
    }

    /// Whether every task and every worker has gone, after [`Scheduler::drain`].
    pub(crate) fn is_drained(&self) -> bool {
        self.draining && self.tasks.is_empty() && self.workers.is_empty() && self.opening.is_empty()
    }

    pub(crate) fn report(&self, now: Moment) -> PoolReport {
        let oldest = self.queue.front().and_then(|id| self.tasks.get(id)).map(|entry| entry.received);
        PoolReport {
            workers: self.workers.len(),
            workers_busy: self.workers.values().filter(|worker| worker.tasks > 0).count(),
            workers_max: self.settings.workers_max,
            queued: self.queue.len(),
            handed_over: self.workers.values().map(|worker| worker.tasks).sum(),
            oldest_waiting_ms: oldest.map_or(0.0, |oldest| millis(now.since(oldest))),
            crashes: self.crashes,
            quarantined: self.is_quarantined(),
            last_crash: self.last_crash.clone(),
        }
    }

    // ---- tasks come in ----

    pub(crate) fn submit(&mut self, task: Task, now: Moment) {
        let Task { id, function, args, received, deadline, progress, answer, permit } = task;
        let entry = Entry {
            function,
            args,
            received,
            deadline,
            progress,
            answer: Some(answer),
            _permit: permit,
            place: Place::Queued,
            stop: None,
            timer: deadline,
            cost: Duration::ZERO,
        };
        if let Some(failure) = self.refusal(&entry, now) {
            self.answer(entry, Err(failure), now);
            return;
        }
        self.timers.insert((entry.timer, id));
        self.tasks.insert(id, entry);
        self.queue.push_back(id);
        self.dispatch(now);
    }

    fn refusal(&self, entry: &Entry, now: Moment) -> Option<TaskFailure> {
        if self.draining {
            return Some(TaskFailure::new(ErrorCode::ShuttingDown, "the host is shutting down"));
        }
        if entry.deadline <= now {
            return Some(timeout_in_queue());
        }
        if self.is_closed(now) {
            return Some(self.unavailable(now));
        }
        let queued = self.queue.len();
        (queued >= self.settings.queue_len_max).then(|| {
            let mut failure = TaskFailure::new(
                ErrorCode::Overloaded,
                format!("the plugin's queue is full: {queued} tasks wait, more are not taken (queue_len_max)"),
            );
            failure.data = retry_after(self.expected_wait(entry.function));
            failure
        })
    }

    fn is_quarantined(&self) -> bool {
        self.crashes_in_row >= CRASHES_MAX
    }

    /// Quarantined, nobody left to serve, and not yet time for another try.
    fn is_closed(&self, now: Moment) -> bool {
        self.is_quarantined()
            && self.workers.is_empty()
            && self.opening.is_empty()
            && now < self.spawn_not_before
    }

    fn unavailable(&self, now: Moment) -> TaskFailure {
        let crash = self.last_crash.as_deref().unwrap_or("its worker crashed");
        let mut failure = TaskFailure::new(
            ErrorCode::Unavailable,
            format!("the plugin is quarantined after {} crashes in a row; the last: {crash}", self.crashes_in_row),
        );
        failure.data = retry_after(self.spawn_not_before.since(now));
        failure
    }

    fn cost_of(&self, function: u32) -> Option<Duration> {
        self.functions.get(function as usize)?.cost
    }

    fn limit_of(&self, function: u32) -> Duration {
        self.functions.get(function as usize).map_or(Duration::ZERO, |function| function.limit)
    }

    /// How long a queue of nothing but this function would take to become empty.
    fn expected_wait(&self, function: u32) -> Duration {
        let queued = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        let workers = u32::try_from(self.workers.len()).unwrap_or(u32::MAX).max(1);
        self.cost_of(function).unwrap_or(QUEUE_WAIT_GOOD).saturating_mul(queued) / workers
    }

    // ---- tasks go out to workers ----

    fn dispatch(&mut self, now: Moment) {
        while let Some(id) = self.queue.front().copied()
            && let Some(entry) = self.tasks.get(&id)
        {
            let cost = self.cost_of(entry.function);
            let Some(worker) = self.choose_worker(cost, entry.args.len()) else { break };
            self.queue.pop_front();
            self.hand_over(id, worker, now);
        }
        self.grow(now);
    }

    /// Quick tasks are stacked on a worker that is busy with quick ones; others get a slot of their own, on the worker
    /// that was idle for the shortest time.
    fn choose_worker(&self, cost: Option<Duration>, len: usize) -> Option<WorkerId> {
        let mut workers = self.workers.iter();
        if let Some(cost) = cost.filter(|cost| *cost <= STACK_COST_MAX)
            && let Some((id, _)) = workers.find(|(_, worker)| worker.can_stack(cost, len))
        {
            return Some(*id);
        }
        let with_slot = self.workers.iter().filter(|(_, worker)| worker.has_slot());
        with_slot.max_by_key(|(_, worker)| worker.idle_since).map(|(id, _)| *id)
    }

    fn hand_over(&mut self, id: TaskId, worker_id: WorkerId, now: Moment) {
        let Some(function) = self.tasks.get(&id).map(|entry| entry.function) else { return };
        let limit = self.limit_of(function);
        let cost = self.cost_of(function).unwrap_or(COST_UNKNOWN);
        let Some(entry) = self.tasks.get_mut(&id) else { return };
        let Some(worker) = self.workers.get_mut(&worker_id) else { return };
        let Some(slot) = worker.free.pop() else { return };
        worker.places[usize::from(slot)] = Some(Handed::Task(id));
        worker.tasks += 1;
        worker.handed_len += entry.args.len();
        worker.cost = worker.cost.saturating_add(cost);
        if worker.tasks > worker.slots {
            worker.stacked_since.get_or_insert(now);
        }
        worker.board.hand_over(slot);
        entry.place = Place::Handed { worker: worker_id, slot };
        entry.cost = cost;
        let call = Call {
            task: id.0,
            slot,
            function,
            deadline: entry.deadline,
            limit_ns: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            progress: entry.progress,
            args: entry.args.clone(),
        };
        let timer = entry.deadline.min(now + limit);
        self.set_timer(id, timer);
        self.commands.push(Command::Call(worker_id, call));
    }

    fn set_timer(&mut self, id: TaskId, timer: Moment) {
        if let Some(entry) = self.tasks.get_mut(&id)
            && entry.timer != timer
        {
            self.timers.remove(&(entry.timer, id));
            entry.timer = timer;
            self.timers.insert((timer, id));
        }
    }

    /// Starts workers where those that are there can't keep up.
    fn grow(&mut self, now: Moment) {
        if self.growth_due().is_none_or(|due| now < due) {
            return;
        }
        // After a crash loop one probe is enough to know whether it is over.
        let at_once = if self.is_quarantined() { 1 } else { self.settings.cores * 2 };
        let missing = self.queue.len().saturating_sub(self.opening.len());
        let wanted = missing.min(self.room()).min(at_once.saturating_sub(self.opening.len()));
        for _ in 0..wanted {
            self.worker_last += 1;
            let id = WorkerId(self.worker_last);
            self.opening.insert(id, now + self.settings.open_timeout);
            self.commands.push(Command::Spawn(id));
        }
    }

    fn room(&self) -> usize {
        let workers = self.workers.values().filter(|worker| !worker.is_ending()).count();
        self.settings.workers_max.saturating_sub(workers + self.opening.len())
    }

    /// When the next worker should be started for the queue as it stands; `None`: not for this queue.
    fn growth_due(&self) -> Option<Moment> {
        let front = self.tasks.get(self.queue.front()?)?;
        if self.room() == 0 || self.opening.len() >= self.queue.len() {
            return None;
        }
        let quick = self.workers.values().filter(|worker| worker.is_quick()).count();
        let quick_soon = quick > 0 && self.expected_wait(front.function) < QUEUE_WAIT_GOOD;
        let due = if quick >= self.settings.cores {
            return None;
        } else if quick_soon {
            front.received + QUEUE_WAIT_GOOD
        } else {
            Moment::default()
        };
        Some(due.max(self.spawn_not_before))
    }

    // ---- workers speak ----

    /// The worker has opened its plugin and runs `slots` tasks at once.
    pub(crate) fn worker_opened(&mut self, id: WorkerId, board: Arc<Board>, slots: u32, now: Moment) {
        if self.opening.remove(&id).is_none() {
            return;
        }
        self.workers.insert(id, Worker::new(board, slots, now));
        self.dispatch(now);
        self.settle(id, now);
    }

    pub(crate) fn returned(&mut self, worker_id: WorkerId, returned: &Return, now: Moment) {
        let Some(worker) = self.workers.get_mut(&worker_id) else { return };
        let place = &mut worker.places[usize::from(returned.slot)];
        let id = match *place {
            Some(Handed::TakenBack) => {
                free_place(worker, returned.slot, now);
                self.settle(worker_id, now);
                return;
            }
            Some(Handed::Task(id)) if id.0 == returned.task => id,
            _ => {
                tracing::warn!(task = returned.task, "a worker returned a task that it does not have");
                return;
            }
        };
        free_place(worker, returned.slot, now);
        let Some(entry) = self.forget(id) else { return };
        if let Some(worker) = self.workers.get_mut(&worker_id) {
            worker.unload(&entry);
        }
        if returned.status == link_status::SKIPPED {
            // Nobody took it back, so it must have run: a broken worker must not make a task run twice.
            self.answer(entry, Err(TaskFailure::new(ErrorCode::Internal, "the worker skipped this task")), now);
        } else {
            self.account(worker_id, &entry, returned);
            let outcome = outcome_of(&entry, returned);
            self.answer(entry, outcome, now);
        }
        self.kill_if_stuck(worker_id);
        self.dispatch(now);
        self.settle(worker_id, now);
    }

    fn account(&mut self, worker_id: WorkerId, entry: &Entry, returned: &Return) {
        let ran = Duration::from_nanos(returned.ran_ns);
        if let Some(function) = self.functions.get_mut(entry.function as usize) {
            function.learn(ran);
            function.stats.ran(ran);
        }
        if let Some(worker) = self.workers.get_mut(&worker_id) {
            worker.tasks_done += 1;
            if self.settings.tasks_max.is_some_and(|max| worker.tasks_done >= max)
                && worker.phase == Phase::Ready
            {
                worker.phase = Phase::Leaving;
            }
        }
        // Whatever the handler said, its worker lives.
        self.crashes_in_row = 0;
    }

    pub(crate) fn progressed(&self, worker: WorkerId, report: ProgressReport) {
        let Some(entry) = self.tasks.get(&TaskId(report.task)) else { return };
        let is_its_own = matches!(entry.place, Place::Handed { worker: at, .. } if at == worker);
        if let Some(answer) = entry.answer.as_ref().filter(|_| is_its_own && entry.progress) {
            answer.progress(report.done, report.total, report.message);
        }
    }

    /// A worker holds `bytes` of memory.
    pub(crate) fn worker_holds(&mut self, id: WorkerId, bytes: u64, now: Moment) {
        let over = self.settings.rss_max.is_some_and(|max| bytes > max);
        if let Some(worker) = self.workers.get_mut(&id).filter(|worker| over && worker.phase == Phase::Ready) {
            worker.phase = Phase::Leaving;
            self.settle(id, now);
        }
    }

    /// Tells a worker that takes no more tasks, and has none left, to close.
    fn settle(&mut self, id: WorkerId, now: Moment) {
        let draining = self.draining && self.queue.is_empty();
        if let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.is_idle())
            && (worker.phase == Phase::Leaving || (draining && worker.phase == Phase::Ready))
        {
            worker.phase = Phase::Ending { until: now + CLOSE_WAIT_MAX };
            self.commands.push(Command::Close(id));
        }
    }

    /// The process that a [`Command::Spawn`] asked for could not be started.
    pub(crate) fn worker_not_started(&mut self, id: WorkerId, why: &str, now: Moment) {
        if self.opening.remove(&id).is_some() {
            self.crashed(format!("could not be started: {why}"), now);
            // With no back-off yet, and nothing that would ring later, the next try would be at once, and for ever.
            self.spawn_not_before = self.spawn_not_before.max(now + BACK_OFF_FIRST);
        }
        if self.is_closed(now) {
            self.fail_queue(now);
        }
    }

    /// The worker's process has ended, and all that it had sent has been read.
    pub(crate) fn worker_exited(&mut self, id: WorkerId, exit: Exit, why: Option<&str>, now: Moment) {
        let was_opening = self.opening.remove(&id).is_some();
        let worker = self.workers.remove(&id);
        let expected = worker.as_ref().is_some_and(Worker::is_ending);
        if !expected && (worker.is_some() || was_opening) {
            self.crashed(why.map_or_else(|| exit.to_string(), str::to_owned), now);
        }
        if let Some(worker) = worker {
            self.bury(&worker, exit, now);
        }
        if self.is_closed(now) {
            self.fail_queue(now);
        }
        self.dispatch(now);
    }

    /// Answers what ran in a worker that has died; what had not started goes back to the head of the queue.
    fn bury(&mut self, worker: &Worker, exit: Exit, now: Moment) {
        let mut again = Vec::new();
        for (slot, id) in worker.own_tasks() {
            let state = worker.board.state(slot);
            if state == SlotState::HandedOver {
                again.push(id);
                continue;
            }
            let Some(entry) = self.forget(id) else { continue };
            let failure = match entry.stop {
                Some(Stop::Cancelled) => cancelled(true),
                Some(Stop::ShuttingDown) => TaskFailure::new(
                    ErrorCode::WorkerCrashed,
                    "the host shut down before this task had finished",
                ),
                _ => outcome::of_crash(exit, slot, state == SlotState::Done),
            };
            self.answer(entry, Err(failure), now);
        }
        self.requeue(again);
    }

    /// Puts tasks back to where they came from, the oldest first.
    fn requeue(&mut self, mut ids: Vec<TaskId>) {
        ids.sort_unstable();
        for id in ids.into_iter().rev() {
            if let Some(entry) = self.tasks.get_mut(&id) {
                if let Place::Handed { worker, .. } = entry.place
                    && let Some(worker) = self.workers.get_mut(&worker)
                {
                    worker.unload(entry);
                }
                entry.place = Place::Queued;
                let deadline = entry.deadline;
                self.queue.push_front(id);
                self.set_timer(id, deadline);
            }
        }
    }

    fn crashed(&mut self, why: String, now: Moment) {
        self.crashes += 1;
        self.crashes_in_row = self.crashes_in_row.saturating_add(1);
        self.spawn_not_before = now + back_off(self.crashes_in_row);
        self.last_crash = Some(format!("the worker {why}"));
    }

    fn fail_queue(&mut self, now: Moment) {
        let failure = self.unavailable(now);
        for id in std::mem::take(&mut self.queue) {
            if let Some(entry) = self.forget(id) {
                self.answer(entry, Err(failure.clone()), now);
            }
        }
    }

    // ---- time passes ----

    /// When [`Scheduler::tick`] is wanted next.
    pub(crate) fn next_tick(&self) -> Moment {
        let timer = self.timers.first().map(|(at, _)| *at);
        let opening = self.opening.values().min().copied();
        let ending = self.workers.values().filter_map(|worker| match worker.phase {
            Phase::Ending { until } => Some(until),
            _ => None,
        });
        let stacked = self.workers.values().filter_map(|worker| worker.stacked_since).min();
        [timer, opening, ending.min(), stacked.map(|since| since + STACK_WAIT_MAX), self.growth_due(), self.next_idle_end()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Moment::NEVER)
    }

    pub(crate) fn tick(&mut self, now: Moment) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timer_rang(id, now);
        }
        let overdue: Vec<WorkerId> =
            self.opening.iter().filter(|(_, until)| **until <= now).map(|(id, _)| *id).collect();
        for id in overdue {
            // Once is enough: its end takes it out.
            self.opening.insert(id, Moment::NEVER);
            self.commands.push(Command::Kill(id));
        }
        for (id, worker) in &mut self.workers {
            if matches!(worker.phase, Phase::Ending { until } if until <= now) {
                worker.phase = Phase::Ending { until: Moment::NEVER };
                self.commands.push(Command::Kill(*id));
            }
        }
        self.take_back_stacked(now);
        self.close_idle(now);
        self.dispatch(now);
    }

    /// A task's time is up: its deadline, its limit, or the grace after either.
    fn timer_rang(&mut self, id: TaskId, now: Moment) {
        let Some(entry) = self.tasks.get(&id) else {
            self.timers.retain(|(_, task)| *task != id);
            return;
        };
        match entry.place {
            Place::Queued => self.answer_unstarted(id, timeout_in_queue(), now),
            Place::Handed { worker, .. } if entry.stop.is_some() => {
                self.set_timer(id, Moment::NEVER);
                self.kill_if_stuck(worker);
            }
            Place::Handed { worker, slot } => self.running_too_long(id, worker, slot, now),
        }
    }

    fn running_too_long(&mut self, id: TaskId, worker_id: WorkerId, slot: u8, now: Moment) {
        let Some((function, deadline)) = self.tasks.get(&id).map(|entry| (entry.function, entry.deadline)) else {
            return;
        };
        let limit = self.limit_of(function);
        let Some(worker) = self.workers.get_mut(&worker_id) else { return };
        if worker.board.take_back(slot) {
            take_place(worker, slot);
            self.requeue(vec![id]);
            return;
        }
        let until = deadline.min(worker.board.started(slot) + limit);
        if now < until {
            self.set_timer(id, until);
            return;
        }
        if worker.board.state(slot) == SlotState::Done {
            self.set_timer(id, now + RETURN_WAIT);
            return;
        }
        self.stop(id, Stop::TimedOut, now);
        let ran = now.since(self.started(worker_id, slot));
        self.answer_now(id, timeout_while_running(ran), now);
    }

    fn started(&self, worker: WorkerId, slot: u8) -> Moment {
        self.workers.get(&worker).map_or(Moment::NEVER, |worker| worker.board.started(slot))
    }

    /// Tells the handler to stop; after the grace its worker is killed.
    fn stop(&mut self, id: TaskId, stop: Stop, now: Moment) {
        let Some(entry) = self.tasks.get_mut(&id) else { return };
        let Place::Handed { worker, .. } = entry.place else { return };
        entry.stop = Some(stop);
        self.set_timer(id, now + self.settings.cancel_grace);
        self.commands.push(Command::Cancel(worker, id));
    }

    /// Kills a worker whose every task has been told to stop and has used up its grace. While others run beside them
    /// it only takes no new ones.
    fn kill_if_stuck(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let used_up = |task: &TaskId| {
            self.tasks.get(task).is_some_and(|entry| entry.stop.is_some() && entry.timer == Moment::NEVER)
        };
        let tasks: Vec<(u8, TaskId)> = worker.own_tasks().collect();
        let stuck = tasks.iter().filter(|(_, task)| used_up(task)).count();
        if stuck == 0 || worker.is_ending() {
            return;
        }
        worker.phase = Phase::Leaving;
        let mut again = Vec::new();
        for (slot, task) in &tasks {
            if worker.board.take_back(*slot) {
                take_place(worker, *slot);
                again.push(*task);
            }
        }
        if stuck + again.len() == tasks.len() {
            worker.phase = Phase::Ending { until: Moment::NEVER };
            self.commands.push(Command::Kill(id));
        }
        self.requeue(again);
    }

    /// A task on top of which others were stacked takes longer than expected: they go elsewhere.
    fn take_back_stacked(&mut self, now: Moment) {
        let mut again = Vec::new();
        let mut not_quick = Vec::new();
        for (id, worker) in &mut self.workers {
            if worker.stacked_since.is_none_or(|since| now < since + STACK_WAIT_MAX) {
                continue;
            }
            worker.stacked_since = (worker.tasks > worker.slots).then_some(now);
            let tasks: Vec<(u8, TaskId)> = worker.own_tasks().collect();
            let too_long = tasks.iter().any(|(slot, _)| {
                worker.board.state(*slot) == SlotState::Running
                    && now.since(worker.board.started(*slot)) >= STACK_WAIT_MAX
            });
            if !too_long {
                continue;
            }
            for (slot, task) in tasks {
                if worker.board.take_back(slot) {
                    take_place(worker, slot);
                    again.push(task);
                }
            }
            worker.stacked_since = None;
            not_quick.push(*id);
        }
        self.requeue(again);
        for id in not_quick {
            // Whatever was expected of its task: nothing more is stacked on this worker before it has returned.
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.cost = COST_UNKNOWN;
            }
        }
    }

    fn next_idle_end(&self) -> Option<Moment> {
        let idle = self.workers.values().filter(|worker| worker.phase == Phase::Ready && worker.is_idle());
        let since = idle.map(|worker| worker.idle_since).min();
        since.filter(|_| self.ready_count() > 1).map(|since| since + self.settings.idle_timeout)
    }

    fn ready_count(&self) -> usize {
        self.workers.values().filter(|worker| worker.phase == Phase::Ready).count()
    }

    fn close_idle(&mut self, now: Moment) {
        while self.next_idle_end().is_some_and(|end| end <= now) {
            let idle = self.workers.iter().filter(|(_, worker)| worker.phase == Phase::Ready && worker.is_idle());
            let Some(id) = idle.min_by_key(|(_, worker)| worker.idle_since).map(|(id, _)| *id) else { return };
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.phase = Phase::Ending { until: now + CLOSE_WAIT_MAX };
                self.commands.push(Command::Close(id));
            }
        }
    }

    // ---- tasks and pools end ----

    /// The client no longer wants this task. An unknown one has been answered: nothing to do.
    pub(crate) fn cancel(&mut self, id: TaskId, now: Moment) {
        let Some(entry) = self.tasks.get(&id) else { return };
        match entry.place {
            Place::Queued => self.answer_unstarted(id, cancelled(false), now),
            Place::Handed { worker, slot } => {
                let Some(at) = self.workers.get_mut(&worker) else { return };
                if at.board.take_back(slot) {
                    take_place(at, slot);
                    self.answer_unstarted(id, cancelled(false), now);
                } else if entry.stop.is_none() {
                    self.stop(id, Stop::Cancelled, now);
                }
            }
        }
        self.dispatch(now);
    }

    fn answer_unstarted(&mut self, id: TaskId, failure: TaskFailure, now: Moment) {
        if let Some(entry) = self.forget(id) {
            match entry.place {
                Place::Queued => self.queue.retain(|queued| *queued != id),
                Place::Handed { worker, .. } => {
                    if let Some(worker) = self.workers.get_mut(&worker) {
                        worker.unload(&entry);
                    }
                }
            }
            self.answer(entry, Err(failure), now);
        }
    }

    /// Takes no new tasks; what is there is finished, then the workers close.
    pub(crate) fn drain(&mut self, now: Moment) {
        self.draining = true;
        let ids: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in ids {
            self.settle(id, now);
        }
        if self.queue.is_empty() {
            // Nobody needs those any more.
            self.commands.extend(self.opening.keys().map(|id| Command::Kill(*id)));
        }
        self.dispatch(now);
    }

    /// The grace of a drain is over: what waits is refused, what runs is told to stop, and killed a little later.
    pub(crate) fn cut_short(&mut self, now: Moment) {
        for id in std::mem::take(&mut self.queue) {
            if let Some(entry) = self.forget(id) {
                let failure = TaskFailure::new(ErrorCode::ShuttingDown, "the host shut down before this task began");
                self.answer(entry, Err(failure), now);
            }
        }
        let running: Vec<TaskId> = self.tasks.iter().filter(|(_, e)| e.stop.is_none()).map(|(id, _)| *id).collect();
        for id in running {
            self.stop(id, Stop::ShuttingDown, now);
        }
        self.drain(now);
    }

    fn forget(&mut self, id: TaskId) -> Option<Entry> {
        let entry = self.tasks.remove(&id)?;
        self.timers.remove(&(entry.timer, id));
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

/// The task in this place has been taken back: it is the worker's no more, but the place is not free yet.
fn take_place(worker: &mut Worker, slot: u8) {
    worker.places[usize::from(slot)] = Some(Handed::TakenBack);
    worker.tasks -= 1;
}

fn free_place(worker: &mut Worker, slot: u8, now: Moment) {
    if let Some(Handed::Task(_)) = worker.places[usize::from(slot)].take() {
        worker.tasks -= 1;
    }
    worker.board.free(slot);
    worker.free.push(slot);
    if worker.tasks <= worker.slots {
        worker.stacked_since = None;
    }
    if worker.tasks == 0 {
        worker.idle_since = now;
    }
}

fn outcome_of(entry: &Entry, returned: &Return) -> Outcome {
    match entry.stop {
        Some(Stop::ShuttingDown) if returned.status == plugin_api::abi::status::CANCELLED => {
            Err(TaskFailure::new(ErrorCode::WorkerCrashed, "the host shut down before this task had finished"))
        }
        stop => outcome::of_return(returned, stop == Some(Stop::Cancelled)),
    }
}

fn back_off(crashes_in_row: u32) -> Duration {
    let doublings = match crashes_in_row.checked_sub(CRASHES_WITHOUT_BACK_OFF + 1) {
        Some(doublings) => doublings.min(16),
        None => return Duration::ZERO,
    };
    BACK_OFF_FIRST.saturating_mul(1 << doublings).min(BACK_OFF_MAX)
}

fn timeout_in_queue() -> TaskFailure {
    let mut failure = TaskFailure::new(ErrorCode::Timeout, "its time was up before it began");
    failure.started = false;
    failure
}

fn timeout_while_running(ran: Duration) -> TaskFailure {
    let message = format!("its time was up after the handler had run for {} ms", ran.as_millis());
    let mut failure = TaskFailure::new(ErrorCode::Timeout, message);
    failure.started = true;
    failure
}

fn cancelled(started: bool) -> TaskFailure {
    let message = if started { "cancelled while it ran" } else { "cancelled before it began" };
    let mut failure = TaskFailure::new(ErrorCode::Cancelled, message);
    failure.started = started;
    failure
}

#[derive(Serialize)]
struct RetryAfter {
    retry_after_ms: u128,
}

/// A hint that is neither a hammer nor a farewell.
fn retry_after(wait: Duration) -> Option<Bytes> {
    let wait = wait.clamp(Duration::from_millis(50), Duration::from_secs(60));
    outcome::data(&RetryAfter { retry_after_ms: wait.as_millis() })
}
