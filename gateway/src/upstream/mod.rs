//! The hosts: which of them runs a task, and what becomes of the task when it fails.

mod catalogue;
mod host;
mod link;
mod queue;

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use protocol::{ErrorCode, Outcome, Progress, TaskFailure};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

pub(crate) use self::catalogue::{Catalogue, Function};
pub(crate) use self::host::HostStatus;
use self::host::{Host, Vacancy};
use self::link::{Link, Orphan};
use self::queue::{Over, Queue, Waiting};
use crate::config::UpstreamConfig;
use crate::limits::overloaded;

/// How often a task is handed to another host before it is given up.
const ATTEMPTS_MAX: u32 = 5;
/// How exactly the limits of those that wait are kept.
const QUEUE_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// When whoever finds the queue full may ask again.
const QUEUE_FULL_RETRY: Duration = Duration::from_secs(1);
/// Where functions wait that no host is known to have.
const UNKNOWN_FUNCTIONS: &str = "";
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
    /// When the client handed it over: its time runs from then.
    since: Instant,
    /// Hosts that it was handed to in vain.
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
            since: Instant::now(),
            attempts: 0,
        }
    }

    fn is_late(&self, now: Instant) -> bool {
        self.limit
            .is_some_and(|limit| now.duration_since(self.since) >= limit)
    }

    /// Leaves the host as much time as there is still.
    fn shorten(&mut self) {
        if let Some(limit) = self.limit {
            self.timeout = Some(limit.saturating_sub(self.since.elapsed()));
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
    queue: Mutex<Queue>,
    /// The length of the queue, for those who only want to know whether there is anything.
    queued: Arc<AtomicUsize>,
    since: Instant,
    /// By host, in the hosts' order.
    functions: Mutex<Vec<Vec<Function>>>,
    catalogue: watch::Sender<Arc<Catalogue>>,
}

/// What there is for a task at the moment.
#[derive(Debug)]
enum Choice {
    Link(Arc<Link>),
    /// The hosts that have its function have as much as they take.
    Full,
    /// No host that has its function is there.
    Nobody,
}

impl Upstream {
    /// Connects to the hosts, and stays connected.
    pub(crate) fn start(config: UpstreamConfig) -> Arc<Self> {
        let config = Arc::new(config);
        let queued = Arc::new(AtomicUsize::new(0));
        let upstream = Arc::new_cyclic(|upstream| Self {
            hosts: config
                .hosts
                .iter()
                .map(|address| {
                    let upstream = Weak::clone(upstream);
                    Host::new(address.clone(), &config, upstream, Arc::clone(&queued))
                })
                .collect(),
            queue: Mutex::new(Queue::new(Arc::clone(&queued))),
            queued: Arc::clone(&queued),
            since: Instant::now(),
            functions: Mutex::new(vec![Vec::new(); config.hosts.len()]),
            catalogue: watch::Sender::default(),
            config: Arc::clone(&config),
        });
        // Not before it is whole: they would take it for gone.
        for host in &upstream.hosts {
            host.start();
        }
        tokio::spawn(look_after_queue(Arc::downgrade(&upstream)));
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
        self.hosts.iter().any(|host| host.vacancy().is_some())
    }

    /// Tasks that wait for a host, or for room at one.
    pub(crate) fn waiting(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    fn place(&self, submit: Submit, sink: Arc<dyn Sink>) -> Result<(), (Submit, Arc<dyn Sink>)> {
        if submit.attempts >= ATTEMPTS_MAX {
            sink.done(Err(no_host(
                "no host took the task, though several were tried",
            )));
            return Ok(());
        }
        let Choice::Link(link) = self.choose(&submit.function) else {
            return Err((submit, sink));
        };
        let place = Arc::clone(&sink);
        let id = link.submit(submit, sink)?;
        place.placed(Place { link, id });
        Ok(())
    }

    /// Of the hosts that are well, have the function, and have room, the one with the least in flight.
    fn choose(&self, function: &str) -> Choice {
        // Whoever is the only one is asked for all.
        let is_known = self.hosts.len() > 1 && self.is_known(function);
        if self.hosts.len() > 1 && !is_known && self.is_to_hear_more() {
            return Choice::Nobody;
        }
        let mut choice = Choice::Nobody;
        let mut least = usize::MAX;
        for host in &self.hosts {
            if is_known && !host.has(function) {
                continue;
            }
            match host.vacancy() {
                Some(Vacancy {
                    link: Some(link),
                    in_flight,
                }) if in_flight < least => {
                    least = in_flight;
                    choice = Choice::Link(link);
                }
                Some(_) if matches!(choice, Choice::Nobody) => choice = Choice::Full,
                _ => {}
            }
        }
        choice
    }

    /// Whether a host has it, or had it before it went.
    fn is_known(&self, function: &str) -> bool {
        self.hosts.iter().any(|host| host.has(function))
    }

    /// Whether a host that has not told its functions may still do so: at the beginning.
    fn is_to_hear_more(&self) -> bool {
        self.since.elapsed() < self.config.connect_wait
            && self.hosts.iter().any(|host| !host.has_told())
    }

    fn lane(&self, function: &Arc<str>) -> Arc<str> {
        if self.is_known(function) {
            Arc::clone(function)
        } else {
            UNKNOWN_FUNCTIONS.into()
        }
    }

    fn wait(&self, submit: Submit, sink: Arc<dyn Sink>) {
        let lane = self.lane(&submit.function);
        let mut queue = lock(&self.queue);
        if queue.len() >= self.config.waiting_max {
            drop(queue);
            let failure = match self.choose(&submit.function) {
                Choice::Nobody => {
                    no_host("no host can be reached, and too many tasks wait for one already")
                }
                Choice::Full | Choice::Link(_) => overloaded(
                    "the hosts have as many tasks as they take, and too many wait already",
                    Some(QUEUE_FULL_RETRY),
                ),
            };
            sink.done(Err(failure));
            return;
        }
        queue.push(lane, Waiting { submit, sink });
        drop(queue);
        // There may be room between the look for it and now.
        self.fill();
    }

    /// Hands on what waits, as far as there is room.
    fn fill(&self) {
        loop {
            let popped =
                lock(&self.queue).pop(|function| matches!(self.choose(function), Choice::Link(_)));
            let Some((lane, Waiting { mut submit, sink })) = popped else {
                return;
            };
            if sink.is_cancelled() {
                sink.done(Err(cancelled()));
                continue;
            }
            submit.shorten();
            if let Err((submit, sink)) = self.place(submit, sink) {
                lock(&self.queue).put_back(lane, Waiting { submit, sink });
            }
        }
    }

    /// Which functions the hosts have is no longer as it was when those in the queue came.
    fn sort_anew(&self) {
        let mut queue = lock(&self.queue);
        for waiting in queue.take_all() {
            queue.push(self.lane(&waiting.submit.function), waiting);
        }
        drop(queue);
        self.fill();
    }

    /// What becomes of a task whose host has gone, or takes nothing new.
    fn orphaned(&self, address: &str, orphan: Orphan) {
        let Orphan {
            mut submit,
            sink,
            may_have_started,
        } = orphan;
        if may_have_started || submit.function.starts_with(HOST_PREFIX) {
            let message = format!(
                "the connection to the host {address} broke; the task may have run, or run still"
            );
            sink.done(Err(TaskFailure::new(ErrorCode::WorkerCrashed, message)));
        } else {
            submit.attempts += 1;
            submit.shorten();
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
        self.sort_anew();
    }
}

/// Tells those who have waited for too long, and sees to it that nobody waits for nothing.
async fn look_after_queue(upstream: Weak<Upstream>) {
    loop {
        sleep(QUEUE_CHECK_INTERVAL).await;
        let Some(upstream) = upstream.upgrade() else {
            return;
        };
        // A host that was silent may speak again.
        upstream.fill();
        let has_host = |function: &str| !matches!(upstream.choose(function), Choice::Nobody);
        let over = lock(&upstream.queue).take_over(upstream.config.connect_wait, has_host);
        for (why, Waiting { submit, sink }) in over {
            sink.done(Err(match why {
                Over::Cancelled => cancelled(),
                Over::Late => {
                    let message = "its time limit passed before a host had room for it";
                    not_started(ErrorCode::Timeout, message)
                }
                Over::NoHost if upstream.is_ready() => no_host(&format!(
                    "the host that has {} can't be reached",
                    submit.function
                )),
                Over::NoHost => no_host("no host can be reached"),
            }));
        }
    }
}

fn cancelled() -> TaskFailure {
    not_started(ErrorCode::Cancelled, "cancelled before a host took it")
}

fn not_started(code: ErrorCode, message: &str) -> TaskFailure {
    TaskFailure {
        started: false,
        ..TaskFailure::new(code, message)
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
