//! A generation's workers, and the one loop that all their events pass through.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plugin_api::limits;
use plugin_api::manifest::Manifest;
use service::supervise::caught;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};

use super::process::{self, NotStarted, Process, Spec, WorkerEvent};
use super::scheduler::{
    Command, Function, PoolReport, Scheduler, Settings, WorkerId, cancelled_before_start,
    shortage_back_off,
};
use crate::clock::Moment;
use crate::link::{LogRecord, ToHost, ToWorker};
use crate::stats::Stats;
use crate::task::{Task, TaskId};

/// Events that wait for the pool; whoever brings more waits too.
const MAILBOX_LEN: usize = 1024;
/// Events taken from the mailbox at once, before what they led to is sent.
const BATCH_MAX: usize = 256;
/// How often the memory of workers is looked at.
const MEMORY_INTERVAL: Duration = Duration::from_secs(1);

/// How a pool is to be run: the operator's word, then the author's, then the default.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PoolSettings {
    pub(crate) scheduler: Settings,
    /// `None`: ten a processor, or one where the author says that the plugin is bound by it.
    pub(crate) workers_max: Option<usize>,
    /// Time limit of every function, whatever its author says.
    pub(crate) timeout: Option<Duration>,
    /// Time limit of functions whose author gives none.
    pub(crate) timeout_default: Duration,
}

#[derive(Debug)]
enum Event {
    Submit {
        /// Index into the functions of the manifest.
        function: u32,
        task: Task,
    },
    Cancel(TaskId),
    /// The level of the host's log has changed.
    LogLevel,
    Worker(WorkerId, WorkerEvent),
    Report(oneshot::Sender<PoolReport>),
    /// Finish what is there, then end; whatever is left after the grace is cut short.
    Drain {
        grace: Duration,
        kind: Drain,
    },
}

/// Why a pool drains, and so what becomes of tasks that have not started.
#[derive(Clone, Debug)]
pub(crate) enum Drain {
    /// The host ends, or the pool was never routed to: what is there is finished, what comes is refused.
    Ended,
    /// Its plugin was removed: what is there is finished within the grace, what comes, and what has not started by then,
    /// is rerouted: to an error in most cases.
    Removed(Arc<dyn Reroute>),
    /// Another generation has taken its place: what has not started is rerouted.
    Replaced(Arc<dyn Reroute>),
}

/// Where tasks go whose pool no longer starts any: to whatever runs their function now.
pub(crate) trait Reroute: Send + Sync + std::fmt::Debug {
    /// `tasks` are of one function, the oldest first.
    fn reroute(&self, function: &str, tasks: Vec<Task>);
}

/// What a pool tells of its health, to whoever looks after generations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A worker crashed, so many times without a returned task between; `quarantined`: once too often.
    Crashed {
        in_row: u32,
        quarantined: bool,
        why: String,
    },
    /// A task has been returned after all.
    Recovered,
    /// A candidate's first worker can't be started for now: it is tried again, until there is room.
    Short(String),
    /// The pool has panicked. It has ended, and its tasks were answered `internal`.
    Lost,
}

/// Takes a pool's notices. May not block.
pub(crate) type Notify = Arc<dyn Fn(Notice) + Send + Sync>;

/// What runs one function: a pool, and the function's place among those of its plugin.
#[derive(Clone, Debug)]
pub(crate) struct Runner {
    pool: PoolHandle,
    /// Index into the functions of the manifest.
    function: u32,
}

impl Runner {
    /// Runs the task. `Some`: the pool has ended, here is the task again.
    pub(crate) async fn run(&self, task: Task) -> Option<Task> {
        let function = self.function;
        let submit = Event::Submit { function, task };
        match self.pool.mailbox.send(submit).await {
            Err(mpsc::error::SendError(Event::Submit { task, .. })) => Some(task),
            Ok(()) | Err(_) => None,
        }
    }

    /// Whether both are of the same pool.
    pub(crate) fn is_of_same_pool(&self, other: &Self) -> bool {
        self.pool.mailbox.same_channel(&other.pool.mailbox)
    }
}

/// A way to reach a pool. Pools end by [`PoolHandle::drain`].
#[derive(Clone, Debug)]
pub(crate) struct PoolHandle {
    mailbox: mpsc::Sender<Event>,
}

impl PoolHandle {
    /// What runs the function of this index into the functions of the manifest.
    pub(crate) fn runner(&self, function: u32) -> Runner {
        Runner {
            pool: self.clone(),
            function,
        }
    }

    /// Has workers log from now on what the host's own log takes.
    pub(crate) async fn follow_log_level(&self) {
        let _ = self.mailbox.send(Event::LogLevel).await;
    }

    /// What is left of a pool that has ended.
    #[cfg(test)]
    pub(crate) fn ended() -> Self {
        let (mailbox, _) = mpsc::channel(1);
        Self { mailbox }
    }

    pub(crate) async fn cancel(&self, task: TaskId) {
        let _ = self.mailbox.send(Event::Cancel(task)).await;
    }

    /// `None`: the pool has ended.
    pub(crate) async fn report(&self) -> Option<PoolReport> {
        let (sender, receiver) = oneshot::channel();
        self.mailbox.send(Event::Report(sender)).await.ok()?;
        receiver.await.ok()
    }

    /// Takes no more tasks, finishes those it has within `grace`, and ends its workers. Returns when all have gone.
    pub(crate) async fn drain(&self, grace: Duration, kind: Drain) {
        let _ = self.mailbox.send(Event::Drain { grace, kind }).await;
        self.mailbox.closed().await;
    }
}

/// A candidate whose first worker has opened the plugin: all that is known of it, and its pool, ready to serve.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) manifest: Manifest,
    pub(crate) pool: PoolHandle,
}

/// Why a candidate has not been opened.
enum NotOpened {
    /// Something is wrong with it: a sentence for the plugin's author.
    Refused(String),
    /// The host has no room for its first worker.
    Short(String),
}

impl From<NotStarted> for NotOpened {
    fn from(error: NotStarted) -> Self {
        match error {
            NotStarted::Short(why) => Self::Short(why),
            NotStarted::Refused(why) => {
                Self::Refused(format!("its first worker could not be started: {why}"))
            }
        }
    }
}

/// Starts the first worker of a candidate and waits until it has opened the plugin; also until there is room for one. The
/// error is a sentence for the plugin's author; nothing is left of the candidate then.
pub(crate) async fn open(
    spec: Arc<Spec>,
    settings: PoolSettings,
    stats: &Stats,
    notify: Notify,
) -> Result<Opened, String> {
    if let Some(allowed) = process::memory_allowed(&spec.open) {
        tracing::warn!(
            plugin = spec.plugin,
            memory_max = spec.open.memory_max,
            allowed,
            "its workers get less memory than memory_max: no more than the hard limit of the host (`ulimit -Hd`)"
        );
    }
    let mut tries = 0;
    loop {
        let opening = open_once(&spec, &settings, stats, &notify).await;
        match opening {
            Ok(opened) => return Ok(opened),
            Err(NotOpened::Refused(why)) => return Err(why),
            Err(NotOpened::Short(why)) => {
                if tries == 0 {
                    notify(Notice::Short(why));
                }
                tokio::time::sleep(shortage_back_off(tries)).await;
                tries += 1;
            }
        }
    }
}

async fn open_once(
    spec: &Arc<Spec>,
    settings: &PoolSettings,
    stats: &Stats,
    notify: &Notify,
) -> Result<Opened, NotOpened> {
    let refused = NotOpened::Refused;
    let (mailbox, mut events) = mpsc::channel(MAILBOX_LEN);
    let first = WorkerId(1);
    let process = process::spawn(spec, first, mailbox.clone(), Event::Worker)?;
    let timeout = settings.scheduler.open_timeout;
    let opening = wait_until_opened(&mut events, &spec.plugin, process.pid);
    let (slots, manifest) = match tokio::time::timeout(timeout, opening).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(why)) => return Err(why),
        Err(_elapsed) => {
            return Err(refused(format!(
                "its `open` did not return within {} ms (open_timeout)",
                timeout.as_millis()
            )));
        }
    };
    let manifest: Manifest = serde_json::from_slice(&manifest)
        .map_err(|error| refused(format!("its manifest can't be read: {error}")))?;
    let mut scheduler = Scheduler::new(
        scheduler_settings(settings, &manifest),
        functions(settings, &manifest, stats),
    );
    scheduler.adopt(first, Arc::clone(&process.board), slots, Moment::now());
    let names = manifest
        .functions
        .iter()
        .map(|function| function.name.clone())
        .collect();
    let pool = Pool {
        spec: Arc::clone(spec),
        scheduler,
        processes: HashMap::from([(first, process)]),
        open_failures: HashMap::new(),
        function_names: names,
        mailbox: mailbox.clone(),
        drain: None,
        notify: Arc::clone(notify),
        cut_at: None,
    };
    pool.start(events);
    Ok(Opened {
        manifest,
        pool: PoolHandle { mailbox },
    })
}

fn scheduler_settings(settings: &PoolSettings, manifest: &Manifest) -> Settings {
    let cores = settings.scheduler.cores;
    let default = if manifest.cpu_bound {
        cores
    } else {
        cores * 10
    };
    let workers_max = settings.workers_max.unwrap_or(default);
    Settings {
        workers_max,
        ..settings.scheduler.clone()
    }
}

fn functions(settings: &PoolSettings, manifest: &Manifest, stats: &Stats) -> Vec<Function> {
    manifest
        .functions
        .iter()
        .map(|function| {
            Function::new(
                settings.limit(function.timeout_ms),
                stats.function(&function.name),
            )
        })
        .collect()
}

impl PoolSettings {
    /// How long a handler may run whose author gave it `timeout_ms`.
    pub(crate) fn limit(&self, timeout_ms: Option<u64>) -> Duration {
        limits::timeout(self.timeout, timeout_ms, self.timeout_default)
    }
}

async fn wait_until_opened(
    events: &mut mpsc::Receiver<Event>,
    plugin: &str,
    pid: u32,
) -> Result<(u32, Bytes), NotOpened> {
    let refused = NotOpened::Refused;
    while let Some(event) = events.recv().await {
        let Event::Worker(_, event) = event else {
            continue;
        };
        match event {
            WorkerEvent::Frames(frames) => {
                for frame in frames {
                    match frame {
                        ToHost::Opened { slots, manifest } => return Ok((slots, manifest)),
                        ToHost::OpenFailed { reason } => return Err(refused(reason)),
                        ToHost::Short { why } => return Err(NotOpened::Short(why)),
                        ToHost::Log(record) => log(plugin, pid, None, &record),
                        ToHost::Hello { .. } | ToHost::Return(_) | ToHost::Progress(_) => {}
                    }
                }
            }
            WorkerEvent::Exited { exit, broken } => {
                let why = broken.unwrap_or_else(|| exit.to_string());
                return Err(refused(format!(
                    "its worker {why} while it opened the plugin"
                )));
            }
        }
    }
    Err(refused("its worker was lost".to_owned()))
}

struct Pool {
    spec: Arc<Spec>,
    scheduler: Scheduler,
    processes: HashMap<WorkerId, Process>,
    /// What workers said that could not open their plugin, until they have ended.
    open_failures: HashMap<WorkerId, String>,
    function_names: Vec<String>,
    /// Cloned for new workers.
    mailbox: mpsc::Sender<Event>,
    drain: Option<Drain>,
    notify: Notify,
    /// When a drain has lasted long enough.
    cut_at: Option<Instant>,
}

impl Pool {
    /// Runs, and tells when it panics. What it held goes with it: workers are killed, and tasks answer for themselves.
    fn start(self, events: mpsc::Receiver<Event>) {
        let (plugin, notify) = (self.spec.plugin.clone(), Arc::clone(&self.notify));
        tokio::spawn(async move {
            if caught(self.run(events)).await.is_err() {
                tracing::error!(plugin, "a pool has panicked, and is lost with its workers");
                notify(Notice::Lost);
            }
        });
    }

    async fn run(mut self, mut events: mpsc::Receiver<Event>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        let mut memory = tokio::time::interval(MEMORY_INTERVAL);
        memory.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.scheduler.is_drained() {
            let tick = instant(self.scheduler.next_tick());
            tokio::select! {
                received = events.recv_many(&mut batch, BATCH_MAX) => {
                    debug_assert!(received > 0, "the pool holds a sender itself");
                    for event in batch.drain(..) {
                        self.handle(event);
                    }
                }
                () = tokio::time::sleep_until(tick) => self.scheduler.tick(Moment::now()),
                () = sleep_until_some(self.cut_at) => {
                    self.cut_at = None;
                    self.scheduler.cut_short(Moment::now());
                }
                _ = memory.tick() => self.look_at_memory(),
            }
            self.pass_on_waiting();
            self.carry_out();
        }
        // Tasks that came too late are passed on or answered, not dropped.
        events.close();
        while let Some(event) = events.recv().await {
            if let Event::Submit { function, task } = event {
                self.submit(function, task, Moment::now());
            }
        }
    }

    fn submit(&mut self, function: u32, task: Task, now: Moment) {
        match &self.drain {
            Some(Drain::Removed(reroute) | Drain::Replaced(reroute)) => {
                pass_on(reroute.as_ref(), &self.function_names, [(function, task)]);
            }
            Some(Drain::Ended) | None if task.answer.is_cancelled() => {
                task.answer.finish(Err(cancelled_before_start()));
            }
            Some(Drain::Ended) | None => self.scheduler.submit(function, task, now),
        }
    }

    /// What is not to be begun here, also what comes back from a worker that died: a replaced generation's is its
    /// successor's, and a removed plugin's, once the grace is over, whoever's its functions are now.
    fn pass_on_waiting(&mut self) {
        let now = Moment::now();
        match &self.drain {
            Some(Drain::Ended) if self.scheduler.is_cut() => self.scheduler.refuse_waiting(now),
            Some(Drain::Removed(_)) if !self.scheduler.is_cut() => {}
            Some(Drain::Removed(reroute) | Drain::Replaced(reroute)) => {
                let waiting = self.scheduler.give_up_waiting(now);
                pass_on(reroute.as_ref(), &self.function_names, waiting);
            }
            Some(Drain::Ended) | None => {}
        }
    }

    fn handle(&mut self, event: Event) {
        let now = Moment::now();
        match event {
            Event::Submit { function, task } => self.submit(function, task, now),
            Event::LogLevel => self.follow_log_level(),
            Event::Cancel(task) => self.scheduler.cancel(task, now),
            Event::Worker(id, WorkerEvent::Frames(frames)) => {
                for frame in frames {
                    self.handle_frame(id, frame, now);
                }
            }
            Event::Worker(id, WorkerEvent::Exited { exit, broken }) => {
                self.handle_exit(id, exit, broken, now);
            }
            Event::Report(sender) => {
                let _ = sender.send(self.scheduler.report(now));
            }
            Event::Drain { grace, kind } => {
                self.cut_at = Some(Instant::now() + grace);
                self.drain = Some(kind);
                self.pass_on_waiting();
                self.scheduler.drain(now);
            }
        }
    }

    fn handle_frame(&mut self, id: WorkerId, frame: ToHost, now: Moment) {
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
                log(&self.spec.plugin, pid, name.map(String::as_str), &record);
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

    fn handle_exit(
        &mut self,
        id: WorkerId,
        exit: super::outcome::Exit,
        broken: Option<String>,
        now: Moment,
    ) {
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

    fn carry_out(&mut self) {
        loop {
            // Starting a process takes milliseconds: what goes to those that are there goes first.
            let spawns = self.send_commands();
            if spawns.is_empty() {
                return;
            }
            for id in spawns {
                self.spawn(id);
            }
        }
    }

    /// Sends what the scheduler has for its workers; gives those that are to be started.
    fn send_commands(&mut self) -> Vec<WorkerId> {
        let mut spawns = Vec::new();
        let mut touched: Vec<WorkerId> = Vec::new();
        for command in self.scheduler.take_commands() {
            let (id, frame) = match command {
                Command::Spawn(id) => {
                    spawns.push(id);
                    continue;
                }
                Command::Kill(id) => {
                    if let Some(process) = self.processes.get(&id) {
                        process.kill();
                    }
                    continue;
                }
                Command::Call(id, call) => (id, ToWorker::Call(call)),
                Command::Cancel(id, task) => (id, ToWorker::Cancel { task: task.0 }),
                Command::Close(id) => (id, ToWorker::Close),
            };
            if let Some(process) = self.processes.get(&id) {
                process.push(&frame);
                if touched.last() != Some(&id) {
                    touched.push(id);
                }
            }
        }
        for id in touched {
            if let Some(process) = self.processes.get(&id) {
                process.flush();
            }
        }
        spawns
    }

    fn spawn(&mut self, id: WorkerId) {
        match process::spawn(&self.spec, id, self.mailbox.clone(), Event::Worker) {
            Ok(process) => {
                tracing::debug!(
                    plugin = self.spec.plugin,
                    worker = process.pid,
                    "started a worker"
                );
                self.processes.insert(id, process);
            }
            Err(NotStarted::Short(why)) => self.short(id, &why, Moment::now()),
            Err(NotStarted::Refused(error)) => {
                tracing::error!(
                    plugin = self.spec.plugin,
                    "a worker could not be started: {error}"
                );
                self.scheduler.worker_not_started(id, &error, Moment::now());
            }
        }
    }

    fn follow_log_level(&self) {
        let level = process::log_level();
        for process in self.processes.values() {
            process.push(&ToWorker::LogLevel(level));
            process.flush();
        }
    }

    fn look_at_memory(&mut self) {
        let now = Moment::now();
        for (id, process) in &self.processes {
            if let Some(bytes) = resident_bytes(process.pid) {
                self.scheduler.worker_holds(*id, bytes, now);
            }
        }
    }
}

fn pass_on(reroute: &dyn Reroute, names: &[String], tasks: impl IntoIterator<Item = (u32, Task)>) {
    let mut by_function: BTreeMap<u32, Vec<Task>> = BTreeMap::new();
    for (function, task) in tasks {
        by_function.entry(function).or_default().push(task);
    }
    for (function, tasks) in by_function {
        // No runner is made with an index that the manifest doesn't have.
        let name = names.get(function as usize).map_or("", String::as_str);
        reroute.reroute(name, tasks);
    }
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// A plugin's own words, or its worker's, in the host's log.
fn log(plugin: &str, worker: u32, function: Option<&str>, record: &LogRecord) {
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: "plugin",
                tracing::Level::$level,
                plugin,
                worker,
                function,
                task = (record.task != 0).then_some(record.task),
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

fn instant(moment: Moment) -> Instant {
    let wait = moment.since(Moment::now());
    // Far enough to be never; the clock cannot go to the end of `Moment`.
    Instant::now() + wait.min(Duration::from_secs(24 * 3600))
}

async fn sleep_until_some(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
