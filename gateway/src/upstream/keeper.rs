//! Keeps a connection to a host: connects, sees that the host is well, reads and writes, and begins anew.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::HostLimits;
use futures_util::FutureExt;
use protocol::Request;
use service::remote::Remote;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::catalogue::Function;
use super::connection::Reader;
use super::dispatcher::{Dispatcher, Handle, News};
use super::settings::Settings;
use super::stream::{self, Incoming, Outgoing};
use super::task::Kept;

/// How often connections are looked after.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);
/// How often a host is asked for its functions that may not tell the gateway when they change.
const FUNCTIONS_INTERVAL: Duration = Duration::from_secs(5);

/// Keeps one of a host's connections.
#[derive(Clone, Debug)]
pub(super) struct Keeper {
    pub(super) dispatcher: Arc<Dispatcher>,
    pub(super) settings: Arc<Settings>,
    /// The host's number, and which of its connections this is. The first also keeps the list of its functions.
    pub(super) host: usize,
    pub(super) index: usize,
}

impl Keeper {
    /// Runs until it is aborted.
    pub(super) async fn keep(self) {
        let mut backoff = Backoff::new(&self.settings);
        loop {
            let connect = stream::connect(self.remote(), &self.settings.trust);
            match timeout(self.settings.connect_timeout, connect).await {
                Ok(Ok((read, write))) => {
                    if self.serve(read, write).await {
                        backoff.reset();
                    }
                }
                Ok(Err(error)) => self.failed(&error.to_string()),
                Err(_) => self.failed(&format!(
                    "no connection within {:?}",
                    self.settings.connect_timeout
                )),
            }
            sleep(backoff.next()).await;
        }
    }

    /// Serves one connection to its end; whether it ever got to take tasks.
    async fn serve(&self, read: Incoming, write: Outgoing) -> bool {
        let open = Open {
            keeper: self,
            handle: self.dispatcher.opened(self.host, self.index),
            error: None,
        };
        let handle = &open.handle;
        let mut was_up = false;
        let care = async {
            let tasks_max = match self.bring_up(handle).await {
                Ok(tasks_max) => tasks_max,
                Err(error) => return error,
            };
            was_up = true;
            tokio::select! {
                error = self.watch_functions(handle) => error,
                error = self.show_again(handle, tasks_max) => error,
            }
        };
        let error = {
            let mut care = pin!(care);
            let (error, has_told) = tokio::select! {
                error = self.read(read, handle) => (error, false),
                error = self.write(write, handle) => (error, false),
                error = self.check(handle) => (error, false),
                error = &mut care => (error, true),
            };
            // What the host has said before it closed tells more than that it did.
            let told = if has_told { None } else { care.now_or_never() };
            told.unwrap_or(error)
        };
        open.end(&error);
        was_up
    }

    async fn read(&self, half: Incoming, handle: &Handle) -> io::Error {
        let mut reader = Reader::new(half);
        let mut lines = Vec::new();
        let mut news = News::default();
        loop {
            let read = reader.lines(&handle.connection, &mut lines).await;
            let received = self.dispatcher.received(handle, &mut lines, &mut news);
            if let Err(error) = read.and(received) {
                return error;
            }
        }
    }

    async fn write(&self, mut half: Outgoing, handle: &Handle) -> io::Error {
        let mut buffer = Vec::new();
        loop {
            let was_clogged = handle.connection.unwritten(&mut buffer).await;
            if was_clogged {
                self.dispatcher.unclogged(handle);
            }
            if let Err(error) = handle.connection.write_out(&mut half, &buffer).await {
                return error;
            }
        }
    }

    /// Lets the connection take tasks once the host has answered a ping on it: how many at a time.
    async fn bring_up(&self, handle: &Handle) -> Result<usize, io::Error> {
        self.show(handle).await?;
        if handle.ask("host.ping").await.is_err() {
            return Err(io::Error::other("the host refuses to be pinged"));
        }
        // A host that doesn't tell has those it has by default.
        let limits = handle.ask("host.status").await.ok();
        let limits = limits.map_or_else(HostLimits::default, |json| HostLimits::read(&json));
        let tasks_max = handle
            .connection
            .keep_to(limits)
            .map_err(io::Error::other)?;
        tracing::info!(host = self.address(), connection = self.index, "connected");
        self.dispatcher.is_up(handle, tasks_max);
        Ok(tasks_max)
    }

    /// Shows the host who the gateway is, if it has a token.
    async fn show(&self, handle: &Handle) -> io::Result<()> {
        let Some(token) = &self.settings.token else {
            return Ok(());
        };
        let token = token.read().map_err(io::Error::other)?;
        handle.show(&token).await.map_err(|why| {
            io::Error::other(format!(
                "the host does not let the gateway in by its token (upstream.token): {why}"
            ))
        })
    }

    /// Shows it again when the host doesn't know the gateway any more: its token may be another by now.
    async fn show_again(&self, handle: &Handle, tasks_max: usize) -> io::Error {
        loop {
            handle.unauthorized.notified().await;
            if let Err(error) = self.show(handle).await {
                return error;
            }
            self.dispatcher.is_up(handle, tasks_max);
        }
    }

    /// Pings, and gives the connection up when the host has been silent for too long.
    async fn check(&self, handle: &Handle) -> io::Error {
        let mut pinged_at = Instant::now();
        loop {
            sleep(CHECK_INTERVAL).await;
            self.dispatcher.expire(handle);
            let silence = self.dispatcher.silence(handle);
            if silence.is_some_and(|silence| silence > self.settings.ping_timeout) {
                tracing::warn!(host = self.address(), "silent; its connection is given up");
                return io::Error::other("the host was silent for too long");
            }
            if pinged_at.elapsed() >= self.settings.ping_interval {
                pinged_at = Instant::now();
                self.dispatcher.ping(handle);
            }
        }
    }

    /// Keeps the list of functions as the host's plugins change, on the first of its connections.
    async fn watch_functions(&self, handle: &Handle) -> io::Error {
        if self.index > 0 {
            return std::future::pending().await;
        }
        let changed = Arc::new(Notify::new());
        let mut watch = Request::new("host.plugins");
        watch.args = Bytes::from_static(b"{\"watch\":true}");
        // A connection that takes nothing more is about to be gone.
        drop(
            handle
                .connection
                .send(watch, None, Kept::Watch(Arc::clone(&changed))),
        );
        loop {
            if let Ok(json) = handle.ask("host.functions").await
                && let Ok(functions) = Function::list(&json)
            {
                self.dispatcher.has_functions(self.host, functions);
            }
            self.dispatcher.was_asked(self.host);
            if self.settings.token.is_none() {
                changed.notified().await;
                continue;
            }
            // A client that is no operator is not told what happens to plugins.
            drop(timeout(FUNCTIONS_INTERVAL, changed.notified()).await);
        }
    }

    fn failed(&self, error: &str) {
        if self.dispatcher.failed(self.host, error) {
            self.warn(error);
        }
    }

    fn warn(&self, error: &str) {
        tracing::warn!(host = self.address(), error, "not connected");
    }

    fn remote(&self) -> &Remote {
        &self.settings.remotes[self.host]
    }

    fn address(&self) -> &str {
        &self.settings.hosts[self.host]
    }
}

/// A connection that is open. However it ends, also by a panic, what is on it goes elsewhere or is answered.
struct Open<'k> {
    keeper: &'k Keeper,
    handle: Handle,
    /// Why it ends.
    error: Option<String>,
}

impl Open<'_> {
    fn end(mut self, error: &io::Error) {
        self.error = Some(error.to_string());
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let error = match &self.error {
            Some(error) => error,
            None if thread::panicking() => "its keeper has panicked",
            // The gateway ends.
            None => return,
        };
        if self.keeper.dispatcher.is_gone(&self.handle, error) {
            self.keeper.warn(error);
        }
    }
}

/// How long to wait before the next attempt to connect: ever longer, and never for all at the same moment.
#[derive(Debug)]
struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    fn new(settings: &Settings) -> Self {
        Self {
            min: settings.backoff_min,
            max: settings.backoff_max,
            next: settings.backoff_min,
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
    use std::collections::HashSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::placement::{Placement, Rules};
    use super::super::settings::Table;
    use super::super::task::{Nobody, Task};
    use super::*;

    #[test]
    fn what_was_on_a_connection_waits_for_another_when_its_keeper_panics() {
        let settings = Settings::check(Vec::new(), &Table::default()).unwrap();
        let rules = Rules {
            connect_wait: settings.connect_wait,
            suspect_after: settings.suspect_after,
            waiting_max: settings.waiting_max,
        };
        let now = Instant::now();
        let placement = Placement::new(settings.hosts.clone(), rules, now);
        let keeper = Keeper {
            dispatcher: Arc::new(Dispatcher::new(placement, 1, settings.answer_grace)),
            settings: Arc::new(settings),
            host: 0,
            index: 0,
        };
        let dispatcher = &keeper.dispatcher;
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let open = Open {
                keeper: &keeper,
                handle: dispatcher.opened(0, 0),
                error: None,
            };
            let limits = HostLimits::default();
            let tasks_max = open.handle.connection.keep_to(limits).unwrap();
            dispatcher.is_up(&open.handle, tasks_max);
            dispatcher.was_asked(0);
            let task = Task::new(Request::new("echo"), now, Arc::new(Nobody));
            dispatcher.submit(task, now);
            let status = &dispatcher.hosts()[0];
            assert_eq!((status.in_flight, dispatcher.waiting()), (1, 0));
            panic!("as it should in this test");
        }));
        assert!(panicked.is_err());
        let status = &dispatcher.hosts()[0];
        assert_eq!((status.connections, dispatcher.waiting()), (0, 1));
    }

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
