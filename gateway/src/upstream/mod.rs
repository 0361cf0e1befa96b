//! The hosts: which of them runs a task, and what becomes of the task when it fails.

mod catalogue;
mod host;
mod link;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use protocol::{ErrorCode, Outcome, Progress, TaskFailure};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub(crate) use self::catalogue::{Catalogue, Function};
use self::host::Host;
pub(crate) use self::host::HostStatus;
use self::link::{Link, Orphan};
use crate::config::UpstreamConfig;

/// How often a task is handed to another host before it is given up.
const ATTEMPTS_MAX: u32 = 5;
/// How exactly the wait for a host is kept.
const WAITING_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Functions of the hosts themselves.
pub(crate) const HOST_PREFIX: &str = "host.";

/// A task to run.
#[derive(Clone, Debug)]
pub(crate) struct Submit {
    pub(crate) function: Arc<str>,
    /// JSON, on one line.
    pub(crate) args: Bytes,
    pub(crate) timeout: Option<Duration>,
    pub(crate) progress: bool,
    /// How long it may take at most, with the function's own limit, as far as that is known.
    pub(crate) limit: Option<Duration>,
    /// How often it has been handed to a host.
    attempts: u32,
}

impl Submit {
    pub(crate) fn new(
        function: Arc<str>,
        args: Bytes,
        timeout: Option<Duration>,
        progress: bool,
    ) -> Self {
        Self {
            function,
            args,
            timeout,
            progress,
            limit: timeout,
            attempts: 0,
        }
    }

    fn of_host(function: &str, args: Bytes) -> Self {
        Self::new(function.into(), args, None, false)
    }
}

/// Who hears of a task. Called by whoever reads from the host: nothing in it may wait.
pub(crate) trait Sink: Debug + Send + Sync {
    /// Where it is now. Again when it moves; perhaps only after it has ended.
    fn placed(&self, _: Place) {}
    /// Whether it is still wanted. Asked while it is nowhere.
    fn is_cancelled(&self) -> bool {
        false
    }
    /// How far it is.
    fn progress(&self, _: Progress) {}
    /// News of another kind.
    fn event(&self, _name: &str, _data: Bytes) {}
    /// Its end. Exactly once.
    fn done(&self, outcome: Outcome);
}

/// For requests whose answer changes nothing.
#[derive(Debug)]
struct Nobody;

impl Sink for Nobody {
    fn done(&self, _: Outcome) {}
}

/// Where a task is, for whoever wants to cancel it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    link: Arc<Link>,
    id: u64,
}

impl Place {
    /// Asks the host to end the task, which is answered all the same.
    pub(crate) fn cancel(&self) {
        self.link.cancel(self.id);
    }
}

/// All hosts.
#[derive(Debug)]
pub(crate) struct Upstream {
    config: Arc<UpstreamConfig>,
    hosts: Vec<Arc<Host>>,
    waiting: Mutex<VecDeque<Waiting>>,
    /// By host, in the hosts' order.
    functions: Mutex<Vec<Vec<Function>>>,
    catalogue: watch::Sender<Arc<Catalogue>>,
}

/// A task for which there is no host at the moment.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    submit: Submit,
    sink: Arc<dyn Sink>,
}

impl Upstream {
    /// Connects to the hosts, and stays connected.
    pub(crate) fn start(config: UpstreamConfig) -> Arc<Self> {
        let config = Arc::new(config);
        let upstream = Arc::new_cyclic(|upstream| Self {
            hosts: config
                .hosts
                .iter()
                .map(|address| Host::new(address.clone(), &config, Weak::clone(upstream)))
                .collect(),
            waiting: Mutex::default(),
            functions: Mutex::new(vec![Vec::new(); config.hosts.len()]),
            catalogue: watch::Sender::default(),
            config: Arc::clone(&config),
        });
        // Not before it is whole: they would take it for gone.
        for host in &upstream.hosts {
            host.start();
        }
        tokio::spawn(expire_waiting(Arc::downgrade(&upstream)));
        upstream
    }

    /// Hands a task to a host. Never waits: whatever goes wrong comes by the sink.
    pub(crate) fn submit(&self, submit: Submit, sink: Arc<dyn Sink>) {
        if let Err((submit, sink)) = self.place(submit, sink) {
            self.wait(submit, sink);
        }
    }

    /// The functions of all hosts, as they are and as they change.
    pub(crate) fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.catalogue.subscribe()
    }

    /// How long that function may take, as far as that is known.
    pub(crate) fn limit_of(&self, function: &str) -> Option<Duration> {
        let catalogue = self.catalogue.borrow();
        let limit = catalogue.functions.get(function)?.timeout_ms?;
        Some(Duration::from_millis(limit))
    }

    pub(crate) fn hosts(&self) -> Vec<HostStatus> {
        self.hosts.iter().map(|host| host.status()).collect()
    }

    /// Whether a task would find a host now.
    pub(crate) fn is_ready(&self) -> bool {
        self.hosts.iter().any(|host| host.best_link().is_some())
    }

    /// Tasks that wait for a host.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.waiting).len()
    }

    fn place(
        &self,
        mut submit: Submit,
        sink: Arc<dyn Sink>,
    ) -> Result<(), (Submit, Arc<dyn Sink>)> {
        if submit.attempts >= ATTEMPTS_MAX {
            sink.done(Err(no_host(
                "no host took the task, though several were tried",
            )));
            return Ok(());
        }
        let Some(link) = self.choose(&submit.function) else {
            return Err((submit, sink));
        };
        submit.attempts += 1;
        let place = Arc::clone(&sink);
        let id = link.submit(submit, sink)?;
        place.placed(Place { link, id });
        Ok(())
    }

    /// Of the hosts that are well and have the function, the one with the least in flight.
    fn choose(&self, function: &str) -> Option<Arc<Link>> {
        if let [host] = &self.hosts[..] {
            return host.best_link().map(|(link, _)| link);
        }
        let well: Vec<_> = self
            .hosts
            .iter()
            .filter_map(|host| host.best_link().map(|(link, busy)| (host, link, busy)))
            .collect();
        // A function that nobody is known to have gets its answer from whichever host.
        let anybody = !well.iter().any(|(host, ..)| host.has(function));
        well.into_iter()
            .filter(|(host, ..)| anybody || host.has(function))
            .min_by_key(|(.., busy)| *busy)
            .map(|(_, link, _)| link)
    }

    fn wait(&self, submit: Submit, sink: Arc<dyn Sink>) {
        let mut waiting = lock(&self.waiting);
        if waiting.len() < self.config.waiting_max {
            waiting.push_back(Waiting {
                since: Instant::now(),
                submit,
                sink,
            });
            drop(waiting);
            // A host may have come back between the look for one and now.
            if self.is_ready() {
                self.link_up();
            }
        } else {
            drop(waiting);
            sink.done(Err(no_host(
                "no host can be reached, and too many tasks wait for one already",
            )));
        }
    }

    /// A host takes tasks: those that wait go there.
    fn link_up(&self) {
        let waiting = mem::take(&mut *lock(&self.waiting));
        for Waiting {
            since,
            submit,
            sink,
        } in waiting
        {
            if sink.is_cancelled() {
                sink.done(Err(TaskFailure {
                    started: false,
                    ..TaskFailure::new(ErrorCode::Cancelled, "cancelled before a host took it")
                }));
            } else if let Err((submit, sink)) = self.place(submit, sink) {
                lock(&self.waiting).push_back(Waiting {
                    since,
                    submit,
                    sink,
                });
            }
        }
    }

    /// What becomes of a task whose host has gone, or takes nothing new.
    fn orphaned(&self, address: &str, orphan: Orphan) {
        let Orphan {
            submit,
            sink,
            may_have_started,
        } = orphan;
        if may_have_started || submit.function.starts_with(HOST_PREFIX) {
            let message = format!(
                "the connection to the host {address} broke; the task may have run, or run still"
            );
            sink.done(Err(TaskFailure::new(ErrorCode::WorkerCrashed, message)));
        } else {
            self.submit(submit, sink);
        }
    }

    fn set_functions(&self, address: &str, list: Vec<Function>) {
        let Some(host) = self.hosts.iter().position(|host| host.address == address) else {
            return;
        };
        let mut functions = lock(&self.functions);
        if functions[host] == list {
            return;
        }
        functions[host] = list;
        let catalogue = Catalogue::of_hosts(functions.iter());
        drop(functions);
        self.catalogue.send_replace(Arc::new(catalogue));
    }
}

/// Tells those who have waited for a host for too long that there is none.
async fn expire_waiting(upstream: Weak<Upstream>) {
    loop {
        sleep(WAITING_CHECK_INTERVAL).await;
        let Some(upstream) = upstream.upgrade() else {
            return;
        };
        let mut expired = Vec::new();
        {
            let mut waiting = lock(&upstream.waiting);
            let wait_max = upstream.config.connect_wait;
            for task in mem::take(&mut *waiting) {
                if task.since.elapsed() < wait_max && !task.sink.is_cancelled() {
                    waiting.push_back(task);
                } else {
                    expired.push(task);
                }
            }
        }
        for Waiting { sink, .. } in expired {
            let failure = if sink.is_cancelled() {
                TaskFailure {
                    started: false,
                    ..TaskFailure::new(ErrorCode::Cancelled, "cancelled before a host took it")
                }
            } else {
                no_host("no host can be reached")
            };
            sink.done(Err(failure));
        }
    }
}

fn no_host(message: &str) -> TaskFailure {
    TaskFailure::new(
        ErrorCode::Unavailable,
        format!("{message}; try again later"),
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds one of these can panic half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
