//! Where everything that happens to a pool is brought, one event at a time, and what it leads to is done at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use service::sync::lock;
use tokio::sync::{Notify as Bell, watch};

use super::{Drain, Notice, Notify, Reroute};
use crate::access::Caller;
use crate::clock::Moment;
use crate::link::{LogRecord, ToHost, ToWorker};
use crate::plugin::outcome::Exit;
use crate::plugin::process::{self, NotStarted, Process, Spec, WorkerEvent};
use crate::plugin::scheduler::{Command, PoolReport, Scheduler, WorkerId, cancelled_before_start};
use crate::task::{Task, TaskId};

/// A pool, for all who have a part in it.
pub(super) struct Pool {
    plugin: String,
    pub(super) notify: Notify,
    state: Mutex<State>,
    /// Rung for the keeper, and for whoever opens the pool.
    bell: Bell,
    ended: watch::Sender<bool>,
}

enum State {
    /// What the first worker has said, until somebody has looked at it.
    Opening(VecDeque<WorkerEvent>),
    Open(Box<Desk>),
    Ended,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("plugin", &self.plugin)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// A pool whose first worker is yet to open its plugin.
    pub(super) fn new(plugin: String, notify: Notify) -> Arc<Self> {
        Arc::new(Self {
            plugin,
            notify,
            state: Mutex::new(State::Opening(VecDeque::new())),
            bell: Bell::new(),
            ended: watch::Sender::new(false),
        })
    }

    /// Brings something to the desk, and has all done that it leads to. `None`: the pool has ended.
    ///
    /// A panic in here is a mistake of ours, and ends this pool alone. What it held goes with it: workers are killed, and
    /// tasks answer for themselves.
    pub(super) fn with<R>(&self, bring: impl FnOnce(&mut Desk, Moment) -> R) -> Option<R> {
        let mut state = lock(&self.state);
        let State::Open(desk) = &mut *state else {
            return None;
        };
        let brought = catch_unwind(AssertUnwindSafe(|| {
            let now = Moment::now();
            let result = bring(desk, now);
            desk.carry_out(now);
            if desk.wants_keeper() {
                self.bell.notify_one();
            }
            result
        }));
        let elsewhere = std::mem::take(&mut desk.elsewhere);
        let is_over = brought.is_err() || desk.scheduler.is_drained();
        let over = is_over.then(|| std::mem::replace(&mut *state, State::Ended));
        drop(state);
        if brought.is_err() {
            self.tell_of_loss();
        }
        // All of this may lead to other pools, or back to this one.
        for Elsewhere {
            reroute,
            function,
            tasks,
        } in elsewhere
        {
            reroute.reroute(&function, tasks);
        }
        if over.is_some() {
            drop(over);
            self.has_gone();
        }
        brought.ok()
    }

    /// A worker has something to say.
    pub(super) fn hear(&self, id: WorkerId, event: WorkerEvent) {
        if let State::Opening(early) = &mut *lock(&self.state) {
            early.push_back(event);
            self.bell.notify_one();
            return;
        }
        self.with(|desk, now| desk.hear(id, event, now));
    }

    /// A worker has said all this; nothing is left of it.
    pub(super) fn hear_all(&self, id: WorkerId, frames: &mut Vec<ToHost>) {
        if let State::Opening(early) = &mut *lock(&self.state) {
            early.extend(frames.drain(..).map(WorkerEvent::Said));
            self.bell.notify_one();
            return;
        }
        self.with(|desk, now| {
            for frame in frames.drain(..) {
                desk.hear_frame(id, frame, now);
            }
        });
        // The pool may have ended.
        frames.clear();
    }

    /// The next thing that the first worker says while it opens the plugin.
    pub(super) async fn next_early(&self) -> WorkerEvent {
        loop {
            if let State::Opening(early) = &mut *lock(&self.state)
                && let Some(event) = early.pop_front()
            {
                return event;
            }
            self.bell.notified().await;
        }
    }

    /// The plugin is open: from now on tasks may come.
    pub(super) fn open(&self, desk: Desk) {
        let before = std::mem::replace(&mut *lock(&self.state), State::Open(Box::new(desk)));
        if let State::Opening(early) = before {
            for event in early {
                self.hear(WorkerId(1), event);
            }
        }
    }

    /// The pool is not needed any more, or has never been one.
    pub(super) fn end(&self) {
        let over = std::mem::replace(&mut *lock(&self.state), State::Ended);
        drop(over);
        self.has_gone();
    }

    /// Somebody without whom the pool can't go on has panicked.
    pub(super) fn lose(&self) {
        self.tell_of_loss();
        self.end();
    }

    fn tell_of_loss(&self) {
        let plugin = &self.plugin;
        tracing::error!(plugin, "a pool has panicked, and is lost with its workers");
        (self.notify)(Notice::Lost);
    }

    fn has_gone(&self) {
        self.ended.send_replace(true);
        self.bell.notify_one();
    }

    /// Returns when the pool has ended.
    pub(super) async fn has_ended(&self) {
        // The sender is here.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Returns when the keeper has something to do.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }
}

/// Tasks that another pool is to run.
struct Elsewhere {
    reroute: Arc<dyn Reroute>,
    function: String,
    tasks: Vec<Task>,
}

/// All of a pool that its lock guards.
pub(super) struct Desk {
    spec: Arc<Spec>,
    scheduler: Scheduler,
    processes: HashMap<WorkerId, Process>,
    /// What workers said that could not open their plugin, until they have ended.
    open_failures: HashMap<WorkerId, String>,
    function_names: Vec<String>,
    drain: Option<Drain>,
    notify: Notify,
    /// When a drain has lasted long enough.
    cut_at: Moment,
    /// Reused.
    commands: Vec<Command>,
    /// Workers that have frames to be sent. Reused.
    touched: Vec<WorkerId>,
    /// Workers to be started.
    spawns: Vec<WorkerId>,
    /// Workers that are being started now, and whether they are to be killed as soon as they are there.
    starting: HashMap<WorkerId, bool>,
    /// When the keeper looks next.
    keeper_at: Moment,
    elsewhere: Vec<Elsewhere>,
}

impl Desk {
    pub(super) fn new(
        spec: Arc<Spec>,
        scheduler: Scheduler,
        function_names: Vec<String>,
        notify: Notify,
    ) -> Self {
        Self {
            spec,
            scheduler,
            processes: HashMap::new(),
            open_failures: HashMap::new(),
            function_names,
            drain: None,
            notify,
            cut_at: Moment::NEVER,
            commands: Vec::new(),
            touched: Vec::new(),
            spawns: Vec::new(),
            starting: HashMap::new(),
            keeper_at: Moment::NEVER,
            elsewhere: Vec::new(),
        }
    }

    // ---- what is brought ----

    pub(super) fn submit(&mut self, function: u32, task: Task, now: Moment) {
        match &self.drain {
            Some(Drain::Removed(reroute) | Drain::Replaced(reroute)) => {
                let reroute = Arc::clone(reroute);
                self.pass_on(&reroute, [(function, task)]);
            }
            Some(Drain::Ended) | None if task.answer.is_cancelled() => {
                task.answer.finish(Err(cancelled_before_start()));
            }
            Some(Drain::Ended) | None => self.scheduler.submit(function, task, now),
        }
    }

    pub(super) fn cancel(&mut self, task: TaskId, now: Moment) {
        self.scheduler.cancel(task, now);
    }

    pub(super) fn report(&self, now: Moment) -> PoolReport {
        self.scheduler.report(now)
    }

    pub(super) fn drain(&mut self, grace: Duration, kind: Drain, now: Moment) {
        self.cut_at = now + grace;
        self.drain = Some(kind);
        self.pass_on_waiting(now);
        self.scheduler.drain(now);
    }

    pub(super) fn follow_log_level(&self) {
        let level = process::log_level();
        for process in self.processes.values() {
            process.push(&ToWorker::LogLevel(level));
            process.flush();
        }
    }

    pub(super) fn hear(&mut self, id: WorkerId, event: WorkerEvent, now: Moment) {
        match event {
            WorkerEvent::Said(frame) => self.hear_frame(id, frame, now),
            WorkerEvent::Exited { exit, broken } => self.hear_exit(id, exit, broken, now),
        }
    }

    pub(super) fn hear_frame(&mut self, id: WorkerId, frame: ToHost, now: Moment) {
        match frame {
            ToHost::Return(returned) => {
                let was_quarantined = self.scheduler.is_quarantined();
                self.scheduler.returned(id, &returned, now);
                if was_quarantined && !self.scheduler.is_quarantined() {
                    (self.notify)(Notice::Recovered);
                }
            }
            ToHost::Progress(report) => self.scheduler.progressed(id, report),
            ToHost::Opened { slots, .. } => {
                if self.scheduler.shortage().is_some() {
                    let plugin = &self.spec.plugin;
                    tracing::info!(plugin, "workers can be started again");
                }
                if let Some(process) = self.processes.get(&id) {
                    self.scheduler
                        .worker_opened(id, Arc::clone(&process.board), slots, now);
                }
            }
            ToHost::OpenFailed { reason } => {
                self.open_failures
                    .insert(id, format!("could not open the plugin: {reason}"));
                if let Some(process) = self.processes.get(&id) {
                    process.kill();
                }
            }
            ToHost::Log(record) => {
                let pid = self.processes.get(&id).map_or(0, |process| process.pid);
                let function = self.scheduler.function_of(TaskId(record.task));
                let name = function.and_then(|index| self.function_names.get(index as usize));
                let caller = self.scheduler.caller(TaskId(record.task));
                let name = name.map(String::as_str);
                log(&self.spec.plugin, pid, name, caller, &record);
            }
            ToHost::Short { why } => self.short(id, &why, now),
            ToHost::Hello { .. } => {}
        }
    }

    /// There is no room for a worker: said once, however often it is tried.
    fn short(&mut self, id: WorkerId, why: &str, now: Moment) {
        if self.scheduler.shortage().is_none() {
            let plugin = &self.spec.plugin;
            tracing::warn!(
                plugin,
                "no worker can be started now, it is tried again: {why}"
            );
        }
        self.scheduler.worker_without_room(id, why, now);
    }

    fn hear_exit(&mut self, id: WorkerId, exit: Exit, broken: Option<String>, now: Moment) {
        let pid = self.processes.remove(&id).map_or(0, |process| process.pid);
        let why = self.open_failures.remove(&id).or(broken);
        let crashes = self.scheduler.crashes();
        self.scheduler.worker_exited(id, exit, why.as_deref(), now);
        let plugin = &self.spec.plugin;
        if self.scheduler.crashes() > crashes {
            let why = why.unwrap_or_else(|| exit.to_string());
            tracing::warn!(plugin, worker = pid, "a worker {why}");
            (self.notify)(Notice::Crashed {
                in_row: self.scheduler.crashes_in_row(),
                quarantined: self.scheduler.is_quarantined(),
                why: format!("a worker {why}"),
            });
        } else {
            tracing::debug!(plugin, worker = pid, "a worker {exit}, as it was told to");
        }
    }

    /// The keeper has looked at the clock.
    pub(super) fn tick(&mut self, now: Moment) {
        if self.cut_at <= now {
            self.cut_at = Moment::NEVER;
            self.scheduler.cut_short(now);
        }
        if self.scheduler.next_tick() <= now {
            self.scheduler.tick(now);
        }
    }

    /// What the keeper is to do: the workers that it starts now, and when it looks again.
    pub(super) fn rest(&mut self) -> (Vec<WorkerId>, Moment) {
        let spawns = std::mem::take(&mut self.spawns);
        self.starting.extend(spawns.iter().map(|id| (*id, false)));
        self.keeper_at = self.next_tick();
        (spawns, self.keeper_at)
    }

    /// Workers, and their processes' numbers.
    pub(super) fn pids(&self) -> Vec<(WorkerId, u32)> {
        let processes = self.processes.iter();
        processes.map(|(id, process)| (*id, process.pid)).collect()
    }

    /// A worker holds so many bytes of memory.
    pub(super) fn holds(&mut self, id: WorkerId, bytes: u64, now: Moment) {
        self.scheduler.worker_holds(id, bytes, now);
    }

    /// A worker was started.
    pub(super) fn started(&mut self, id: WorkerId, process: Process) {
        let (plugin, worker) = (&self.spec.plugin, process.pid);
        tracing::debug!(plugin, worker, "started a worker");
        if self.starting.remove(&id) == Some(true) {
            process.kill();
        }
        self.processes.insert(id, process);
    }

    /// A worker could not be started.
    pub(super) fn not_started(&mut self, id: WorkerId, why: NotStarted, now: Moment) {
        self.starting.remove(&id);
        match why {
            NotStarted::Short(why) => self.short(id, &why, now),
            NotStarted::Refused(error) => {
                let plugin = &self.spec.plugin;
                tracing::error!(plugin, "a worker could not be started: {error}");
                self.scheduler.worker_not_started(id, &error, now);
            }
        }
    }

    // ---- what it leads to ----

    /// Does all that what was brought leads to.
    fn carry_out(&mut self, now: Moment) {
        self.pass_on_waiting(now);
        let mut commands = std::mem::take(&mut self.commands);
        self.scheduler.take_commands_into(&mut commands);
        for command in commands.drain(..) {
            self.obey(command);
        }
        self.commands = commands;
        for id in self.touched.drain(..) {
            if let Some(process) = self.processes.get(&id) {
                process.flush();
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let (id, frame) = match command {
            Command::Spawn(id) => return self.spawns.push(id),
            Command::Kill(id) => return self.kill(id),
            Command::Call(id, call) => (id, ToWorker::Call(call)),
            Command::Cancel(id, task) => (id, ToWorker::Cancel { task: task.0 }),
            Command::Close(id) => (id, ToWorker::Close),
        };
        if let Some(process) = self.processes.get(&id) {
            process.push(&frame);
            if self.touched.last() != Some(&id) {
                self.touched.push(id);
            }
        }
    }

    fn kill(&mut self, id: WorkerId) {
        if let Some(process) = self.processes.get(&id) {
            process.kill();
        } else if let Some(is_killed) = self.starting.get_mut(&id) {
            *is_killed = true;
        } else if let Some(at) = self.spawns.iter().position(|spawned| *spawned == id) {
            // Nobody has begun to start it.
            self.spawns.remove(at);
            self.scheduler.worker_not_needed(id);
        }
    }

    /// What is not to be begun here, also what comes back from a worker that died: a replaced generation's is its
    /// successor's, and a removed plugin's, once the grace is over, whoever's its functions are now.
    fn pass_on_waiting(&mut self, now: Moment) {
        match &self.drain {
            Some(Drain::Ended) if self.scheduler.is_cut() => self.scheduler.refuse_waiting(now),
            Some(Drain::Removed(_)) if !self.scheduler.is_cut() => {}
            Some(Drain::Removed(reroute) | Drain::Replaced(reroute)) => {
                let reroute = Arc::clone(reroute);
                let waiting = self.scheduler.give_up_waiting(now);
                self.pass_on(&reroute, waiting);
            }
            Some(Drain::Ended) | None => {}
        }
    }

    /// Has tasks run elsewhere, as soon as nobody waits for this desk.
    fn pass_on(
        &mut self,
        reroute: &Arc<dyn Reroute>,
        tasks: impl IntoIterator<Item = (u32, Task)>,
    ) {
        let mut by_function: BTreeMap<u32, Vec<Task>> = BTreeMap::new();
        for (function, task) in tasks {
            by_function.entry(function).or_default().push(task);
        }
        for (function, tasks) in by_function {
            // No runner is made with an index that the manifest doesn't have.
            let name = self.function_names.get(function as usize);
            self.elsewhere.push(Elsewhere {
                reroute: Arc::clone(reroute),
                function: name.cloned().unwrap_or_default(),
                tasks,
            });
        }
    }

    fn next_tick(&self) -> Moment {
        self.scheduler.next_tick().min(self.cut_at)
    }

    /// Whether the keeper has to look sooner than it means to.
    fn wants_keeper(&mut self) -> bool {
        let next = self.next_tick();
        let sooner = next < self.keeper_at;
        self.keeper_at = self.keeper_at.min(next);
        sooner || !self.spawns.is_empty()
    }
}

/// A plugin's own words, or its worker's, in the host's log.
pub(super) fn log(
    plugin: &str,
    worker: u32,
    function: Option<&str>,
    caller: Option<&Caller>,
    record: &LogRecord,
) {
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "plugin",
                tracing::Level::$level,
                plugin,
                worker,
                function,
                task = (record.task != 0).then_some(record.task),
                client = caller.and_then(Caller::client),
                subject = caller.and_then(Caller::subject),
                module = record.target,
                fields = (!record.fields.is_empty()).then_some(record.fields.as_str()),
                "{}",
                record.message
            )
        };
    }
    match record.level {
        1 => event!(ERROR),
        2 => event!(WARN),
        3 => event!(INFO),
        4 => event!(DEBUG),
        _ => event!(TRACE),
    }
}
