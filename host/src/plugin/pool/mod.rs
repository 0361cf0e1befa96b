//! A generation's workers, and what passes between them and those who bring tasks.
//!
//! Whoever has an event brings it to the [`desk`] at once, under a short lock: a connection its tasks, a worker's listener
//! what the worker has said. What takes longer, and what nobody brings, is the [`keeper`]'s: processes are started, time
//! passes.

mod desk;
mod keeper;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plugin_api::limits;
use plugin_api::manifest::Manifest;

use self::desk::{Desk, Pool};
use self::keeper::Ear;
use super::process::{self, NotStarted, Spec, WorkerEvent};
use super::scheduler::{Function, PoolReport, Scheduler, Settings, WorkerId, shortage_back_off};
use crate::clock::Moment;
use crate::link::ToHost;
use crate::stats::Stats;
use crate::task::{Task, TaskId};

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
    pub(crate) fn run(&self, task: Task) -> Option<Task> {
        let mut task = Some(task);
        self.run_all(|| task.take().map(|task| (self.function, task)));
        task
    }

    /// Runs tasks of functions of this pool, as `next` gives them, until there are no more. `next` is not asked
    /// when the pool has ended.
    pub(crate) fn run_all(&self, mut next: impl FnMut() -> Option<(u32, Task)>) {
        self.pool.0.with(|desk, now| {
            while let Some((function, task)) = next() {
                desk.submit(function, task, now);
            }
        });
    }

    /// Index into the functions of the manifest.
    pub(crate) fn function(&self) -> u32 {
        self.function
    }

    /// Whether both are of the same pool.
    pub(crate) fn is_of_same_pool(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pool.0, &other.pool.0)
    }
}

/// A way to reach a pool. Pools end by [`PoolHandle::drain`].
#[derive(Clone, Debug)]
pub(crate) struct PoolHandle(Arc<Pool>);

impl PoolHandle {
    /// What runs the function of this index into the functions of the manifest.
    pub(crate) fn runner(&self, function: u32) -> Runner {
        Runner {
            pool: self.clone(),
            function,
        }
    }

    /// Has workers log from now on what the host's own log takes.
    pub(crate) fn follow_log_level(&self) {
        self.0.with(|desk, _| desk.follow_log_level());
    }

    /// What is left of a pool that has ended.
    #[cfg(test)]
    pub(crate) fn ended() -> Self {
        let pool = Pool::new(String::new(), Arc::new(|_| ()));
        pool.end();
        Self(pool)
    }

    pub(crate) fn cancel(&self, task: TaskId) {
        self.0.with(|desk, now| desk.cancel(task, now));
    }

    /// `None`: the pool has ended.
    pub(crate) fn report(&self) -> Option<PoolReport> {
        self.0.with(|desk, now| desk.report(now))
    }

    /// Takes no more tasks, finishes those it has within `grace`, and ends its workers. Returns when all have gone.
    pub(crate) async fn drain(&self, grace: Duration, kind: Drain) {
        self.0.with(|desk, now| desk.drain(grace, kind, now));
        self.0.has_ended().await;
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
    let pool = Pool::new(spec.plugin.clone(), Arc::clone(notify));
    let opened = open_first(&pool, spec, settings, stats).await;
    if opened.is_err() {
        pool.end();
    }
    opened
}

async fn open_first(
    pool: &Arc<Pool>,
    spec: &Arc<Spec>,
    settings: &PoolSettings,
    stats: &Stats,
) -> Result<Opened, NotOpened> {
    let refused = NotOpened::Refused;
    let first = WorkerId(1);
    let (process, listener) = process::spawn(spec, Ear::new(pool, first))?;
    listener.start();
    let timeout = settings.scheduler.open_timeout;
    let opening = wait_until_opened(pool, &spec.plugin, process.pid);
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
    let names = manifest.functions.iter();
    let names = names.map(|function| function.name.clone()).collect();
    let mut desk = Desk::new(Arc::clone(spec), scheduler, names, Arc::clone(&pool.notify));
    desk.started(first, process);
    pool.open(desk);
    keeper::start(Arc::clone(pool), Arc::clone(spec));
    Ok(Opened {
        manifest,
        pool: PoolHandle(Arc::clone(pool)),
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

/// Waits for the first worker's word. What it says after that stays where it is.
async fn wait_until_opened(pool: &Pool, plugin: &str, pid: u32) -> Result<(u32, Bytes), NotOpened> {
    let refused = NotOpened::Refused;
    loop {
        match pool.next_early().await {
            WorkerEvent::Said(frame) => match frame {
                ToHost::Opened { slots, manifest } => return Ok((slots, manifest)),
                ToHost::OpenFailed { reason } => return Err(refused(reason)),
                ToHost::Short { why } => return Err(NotOpened::Short(why)),
                ToHost::Log(record) => desk::log(plugin, pid, None, None, &record),
                ToHost::Hello { .. } | ToHost::Return(_) | ToHost::Progress(_) => {}
            },
            WorkerEvent::Exited { exit, broken } => {
                let why = broken.unwrap_or_else(|| exit.to_string());
                return Err(refused(format!(
                    "its worker {why} while it opened the plugin"
                )));
            }
        }
    }
}
