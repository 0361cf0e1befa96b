//! Idle connections, kept for the next message and closed when none comes.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::connection::Connection;

pub(crate) struct Pool {
    shared: Arc<Shared>,
    len_max: usize,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    idle_timeout: Duration,
}

#[derive(Default)]
struct State {
    /// The last one used comes last, and is taken first.
    idle: Vec<Connection>,
    /// Closes what has been idle for too long.
    janitor: Option<JoinHandle<()>>,
    /// Whether the janitor is at work; it is while anything is idle.
    has_janitor: bool,
    is_closed: bool,
}

impl Pool {
    pub(crate) fn new(len_max: usize, idle_timeout: Duration) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            idle_timeout,
        };
        Self {
            shared: Arc::new(shared),
            len_max,
        }
    }

    /// A connection that is still alive.
    pub(crate) fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.shared.lock().idle.pop()?;
            if connection.is_alive() {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection for later, or closes it when there are enough.
    pub(crate) fn put(&self, connection: Connection) {
        let mut state = self.shared.lock();
        if state.is_closed || state.idle.len() >= self.len_max {
            drop(state);
            connection.quit();
            return;
        }
        state.idle.push(connection);
        if !state.has_janitor {
            let shared = self.shared.clone();
            // Without a janitor idle connections live until the server closes them.
            state.janitor = thread::Builder::new()
                .name("mail-janitor".to_owned())
                .spawn(move || shared.clean())
                .ok();
            state.has_janitor = state.janitor.is_some();
        }
        drop(state);
        self.shared.changed.notify_one();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        let idle = std::mem::take(&mut state.idle);
        let janitor = state.janitor.take();
        drop(state);
        self.shared.changed.notify_one();
        idle.into_iter().for_each(Connection::quit);
        if let Some(janitor) = janitor {
            // It can't have panicked, and if it did there would be nobody left to tell.
            let _ = janitor.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The janitor: closes every connection at its time, and leaves with the last one.
    fn clean(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            let expires_at = |connection: &Connection| connection.used_at + self.idle_timeout;
            for connection in state
                .idle
                .extract_if(.., |connection| expires_at(connection) <= now)
            {
                connection.quit();
            }
            let Some(next) = state.idle.iter().map(expires_at).min() else {
                state.has_janitor = false;
                return;
            };
            let wait = next.saturating_duration_since(now);
            state = self
                .changed
                .wait_timeout(state, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}
