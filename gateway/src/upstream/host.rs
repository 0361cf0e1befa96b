//! One host: its connections, whether it is well, and what functions it has.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use bytes::Bytes;
use protocol::Outcome;
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::catalogue::Function;
use super::link::{HostLimits, Link, Orphan, Owner};
use super::{Sink, Submit, Upstream};
use crate::config::UpstreamConfig;

/// With fewer tasks than this a connection has little to do.
const PACKED_MAX: usize = 256;
/// How often links are looked after.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Host {
    pub(super) address: String,
    config: Arc<UpstreamConfig>,
    upstream: Weak<Upstream>,
    /// How many tasks wait for room.
    queued: Arc<AtomicUsize>,
    slots: Vec<Slot>,
    /// It takes nothing new. Ends with the next connection that it accepts.
    draining: AtomicBool,
    /// Whether it was asked for its functions. It gets no tasks before: those of the first moment would all go to the host
    /// that told first.
    was_asked: AtomicBool,
    /// None until it has told.
    functions: RwLock<Option<HashSet<String>>>,
    functions_changed: Arc<Notify>,
    last_error: Mutex<Option<String>>,
}

/// The place of a connection.
#[derive(Debug, Default)]
struct Slot {
    /// Answered its first ping.
    link: RwLock<Option<Arc<Link>>>,
}

/// A host that is well.
#[derive(Debug)]
pub(super) struct Vacancy {
    /// The connection to use; none where all have as much as the host takes.
    pub(super) link: Option<Arc<Link>>,
    /// Tasks on all of them.
    pub(super) in_flight: usize,
}

/// What `/readyz` and `/metrics` say of a host.
#[derive(Clone, Debug)]
pub(crate) struct HostStatus {
    pub(crate) address: String,
    pub(crate) links: usize,
    pub(crate) in_flight: usize,
    pub(crate) draining: bool,
    pub(crate) well: bool,
    pub(crate) last_error: Option<String>,
}

impl Host {
    pub(super) fn new(
        address: String,
        config: &Arc<UpstreamConfig>,
        upstream: Weak<Upstream>,
        queued: Arc<AtomicUsize>,
    ) -> Arc<Self> {
        Arc::new(Self {
            address,
            config: Arc::clone(config),
            upstream,
            queued,
            slots: (0..config.connections).map(|_| Slot::default()).collect(),
            draining: AtomicBool::new(false),
            was_asked: AtomicBool::new(false),
            functions: RwLock::default(),
            functions_changed: Arc::default(),
            last_error: Mutex::default(),
        })
    }

    /// Connects, and stays connected for as long as there is an upstream.
    pub(super) fn start(self: &Arc<Self>) {
        for slot in 0..self.slots.len() {
            tokio::spawn(Arc::clone(self).keep(slot));
        }
    }

    pub(super) fn status(&self) -> HostStatus {
        let links = self.links();
        HostStatus {
            address: self.address.clone(),
            links: links.len(),
            in_flight: links.iter().map(|link| link.in_flight()).sum(),
            draining: self.draining.load(Ordering::Relaxed),
            well: self.vacancy().is_some(),
            last_error: self
                .last_error
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        }
    }

    /// Whether it has that function, or had it when it was there last.
    pub(super) fn has(&self, function: &str) -> bool {
        self.functions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .is_some_and(|functions| functions.contains(function))
    }

    /// Whether it has ever told what functions it has.
    pub(super) fn has_told(&self) -> bool {
        self.functions
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    /// The first connection with little to do, or the one with the least; none if the host should get nothing new.
    pub(super) fn vacancy(&self) -> Option<Vacancy> {
        if self.draining.load(Ordering::Relaxed) || !self.was_asked.load(Ordering::Relaxed) {
            return None;
        }
        let mut vacancy = None;
        let mut least = usize::MAX;
        for slot in &self.slots {
            let link = slot.link.read().unwrap_or_else(PoisonError::into_inner);
            let Some(link) = link.as_ref().filter(|link| !self.is_suspect(link)) else {
                continue;
            };
            let mine = link.in_flight();
            let vacancy = vacancy.get_or_insert(Vacancy {
                link: None,
                in_flight: 0,
            });
            vacancy.in_flight += mine;
            // Tasks that share a connection share its reads and writes, so that few of them stay together.
            let cost = if mine < PACKED_MAX { 0 } else { mine };
            if cost < least && link.has_room() {
                least = cost;
                vacancy.link = Some(Arc::clone(link));
            }
        }
        vacancy
    }

    /// Silent for longer than a host that is well.
    fn is_suspect(&self, link: &Link) -> bool {
        link.silence()
            .is_some_and(|silence| silence > self.config.suspect_after)
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.slots
            .iter()
            .filter_map(|slot| {
                slot.link
                    .read()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone()
            })
            .collect()
    }

    /// Keeps a connection for as long as the gateway runs.
    async fn keep(self: Arc<Self>, slot: usize) {
        let mut backoff = Backoff::new(&self.config);
        while let Some(upstream) = self.upstream.upgrade() {
            let connect = TcpStream::connect(&self.address);
            let error = match timeout(self.config.connect_timeout, connect).await {
                Ok(Ok(stream)) => {
                    let was_up = self.serve(slot, stream, &upstream).await;
                    if was_up {
                        backoff.reset();
                    }
                    None
                }
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some(format!(
                    "no connection within {:?}",
                    self.config.connect_timeout
                )),
            };
            if let Some(error) = error {
                self.failed(&error);
            }
            drop(upstream);
            sleep(backoff.next()).await;
        }
    }

    /// Serves one connection to its end; whether it ever got to take tasks.
    async fn serve(self: &Arc<Self>, slot: usize, stream: TcpStream, upstream: &Upstream) -> bool {
        // Without it a request may wait for the acknowledgement of the one before.
        drop(stream.set_nodelay(true));
        let link = Arc::new(Link::new());
        let mut was_up = false;
        let care = async {
            was_up = self.bring_up(slot, &link, upstream).await;
            if was_up && slot == 0 {
                self.watch_functions(&link, upstream).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let health = self.check(&link);
        let run = link.run(stream, &**self);
        let (error, orphans) = {
            let mut run = std::pin::pin!(run);
            tokio::select! {
                ended = &mut run => ended,
                () = health => run.await,
                () = care => run.await,
            }
        };
        *self.slots[slot]
            .link
            .write()
            .unwrap_or_else(PoisonError::into_inner) = None;
        self.failed(&error.to_string());
        for orphan in orphans {
            upstream.orphaned(&self.address, orphan);
        }
        was_up
    }

    /// Gives the link tasks once the host has answered a ping on it.
    async fn bring_up(&self, slot: usize, link: &Arc<Link>, upstream: &Upstream) -> bool {
        if ask(link, "host.ping").await.is_err() {
            link.close();
            return false;
        }
        // A host that doesn't tell has those it has by default.
        let limits = ask(link, "host.status").await.ok();
        let limits = limits.map_or_else(HostLimits::default, |json| HostLimits::read(&json));
        if let Err(reason) = link.keep_to(limits) {
            link.close_for(reason);
            return false;
        }
        self.draining.store(false, Ordering::Relaxed);
        *self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = None;
        *self.slots[slot]
            .link
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(link));
        tracing::info!(host = self.address, connection = slot, "connected");
        upstream.fill();
        true
    }

    /// Pings, and closes the link when the host has been silent for too long.
    async fn check(&self, link: &Arc<Link>) {
        let mut pinged_at = Instant::now();
        loop {
            sleep(CHECK_INTERVAL).await;
            link.expire(self);
            let silence = if pinged_at.elapsed() >= self.config.ping_interval {
                pinged_at = Instant::now();
                link.ping()
            } else {
                link.silence()
            };
            if silence.is_some_and(|silence| silence > self.config.ping_timeout) {
                tracing::warn!(host = self.address, "silent; its connection is given up");
                link.close();
                return;
            }
        }
    }

    /// Keeps the list of functions as the host's plugins change.
    async fn watch_functions(&self, link: &Arc<Link>, upstream: &Upstream) {
        let watch = Submit::of_host("host.plugins", Bytes::from_static(b"{\"watch\":true}"));
        let sink = Arc::new(PluginEvents(Arc::clone(&self.functions_changed)));
        drop(link.submit(watch, sink));
        loop {
            self.read_functions(link, upstream).await;
            if !self.was_asked.swap(true, Ordering::Relaxed) {
                upstream.fill();
            }
            self.functions_changed.notified().await;
        }
    }

    async fn read_functions(&self, link: &Link, upstream: &Upstream) {
        let Ok(json) = ask(link, "host.functions").await else {
            return;
        };
        let Ok(functions) = Function::list(&json) else {
            return;
        };
        let names = functions
            .iter()
            .map(|function| function.name.clone())
            .collect();
        *self
            .functions
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(names);
        upstream.set_functions(&self.address, functions);
    }

    fn failed(&self, error: &str) {
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() != Some(error) {
            tracing::warn!(host = self.address, error, "not connected");
            *last = Some(error.to_owned());
        }
    }
}

impl Owner for Host {
    fn handed_back(&self, orphan: Orphan) {
        if !self.draining.swap(true, Ordering::Relaxed) {
            tracing::info!(host = self.address, "draining");
        }
        if let Some(upstream) = self.upstream.upgrade() {
            upstream.orphaned(&self.address, orphan);
        }
    }

    fn has_room(&self) {
        if self.queued.load(Ordering::Relaxed) > 0
            && let Some(upstream) = self.upstream.upgrade()
        {
            upstream.fill();
        }
    }
}

/// Asks a function of the host itself.
async fn ask(link: &Link, function: &str) -> Result<Bytes, ()> {
    #[derive(Debug)]
    struct Answer(Mutex<Option<oneshot::Sender<Outcome>>>);
    impl Sink for Answer {
        fn done(&self, outcome: Outcome) {
            let sender = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(sender) = sender {
                // Whoever asked may have gone.
                drop(sender.send(outcome));
            }
        }
    }
    let (sender, receiver) = oneshot::channel();
    let submit = Submit::of_host(function, Bytes::from_static(b"{}"));
    let sink = Arc::new(Answer(Mutex::new(Some(sender))));
    link.submit(submit, sink).map_err(drop)?;
    match receiver.await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}

/// Something has changed about the plugins.
#[derive(Debug)]
struct PluginEvents(Arc<Notify>);

impl Sink for PluginEvents {
    fn event(&self, _: &str, _: Bytes) {
        self.0.notify_one();
    }

    fn done(&self, _: Outcome) {}
}

/// How long to wait before the next attempt to connect: ever longer, and never for all at the same moment.
#[derive(Debug)]
struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    fn new(config: &UpstreamConfig) -> Self {
        Self {
            min: config.backoff_min,
            max: config.backoff_max,
            next: config.backoff_min,
        }
    }

    fn reset(&mut self) {
        self.next = self.min;
    }

    fn next(&mut self) -> Duration {
        let wait = self.next.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
        self.next = (self.next * 2).min(self.max);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_differ() {
        let mut backoff = Backoff {
            min: Duration::from_millis(50),
            max: Duration::from_secs(5),
            next: Duration::from_millis(50),
        };
        let first = backoff.next();
        assert!((25..=50).contains(&first.as_millis()), "{first:?}");
        let waits: Vec<_> = (0..50).map(|_| backoff.next()).collect();
        assert!(waits.iter().all(|wait| wait.as_secs_f64() <= 5.0));
        let late: HashSet<_> = waits[20..].iter().collect();
        assert!(late.len() > 20, "{late:?}");
        assert!(late.iter().all(|wait| wait.as_millis() >= 2500));
        backoff.reset();
        assert!(backoff.next().as_millis() <= 50);
    }
}
