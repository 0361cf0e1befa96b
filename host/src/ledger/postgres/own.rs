//! What this host knows of itself among those that share the ledger, and says of itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_postgres::types::Type;

use super::clock::{self, Clock};
use super::connection::Connection;
use super::fault::{Fault, unavailable};
use super::values::Json;
use crate::ledger::error::StoreError;
use crate::ledger::store::NodeAbout;

/// A host that couldn't say so for so long claims nothing: soon the others take it for dead.
const BEAT_AGE_MAX: Duration = Duration::from_secs(15);
/// What is still available is said again after this.
const SAY_AGAIN: Duration = Duration::from_secs(1);

/// What this host knows and says of itself.
pub(super) struct Own {
    pub(super) id: Arc<str>,
    /// The database's, which each beat hears.
    pub(super) clock: Clock,
    about: Mutex<Option<NodeAbout>>,
    /// It has something new to say.
    pub(super) news: Notify,
    beat_at: Mutex<Option<Instant>>,
    /// No more is to be said.
    is_over: Mutex<bool>,
    /// Functions of which it was told that tasks are available, and when.
    told: Mutex<FxHashMap<Arc<str>, Instant>>,
}

impl Own {
    pub(super) fn new(id: Arc<str>) -> Self {
        Self {
            id,
            clock: Clock::new(),
            about: Mutex::default(),
            news: Notify::new(),
            beat_at: Mutex::default(),
            is_over: Mutex::default(),
            told: Mutex::default(),
        }
    }

    pub(super) fn introduce(&self, about: NodeAbout) {
        *self.about.lock().unwrap_or_else(PoisonError::into_inner) = Some(about);
        self.news.notify_one();
    }

    /// The store is closed.
    pub(super) fn end(&self) {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.news.notify_one();
    }

    pub(super) fn is_over(&self) -> bool {
        *self.is_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the others know that this host lives.
    pub(super) fn is_alive(&self) -> bool {
        let beat_at = self.beat_at.lock().unwrap_or_else(PoisonError::into_inner);
        beat_at.is_some_and(|at| at.elapsed() < BEAT_AGE_MAX)
    }

    /// The listener is told of these now.
    pub(super) fn tells(&self, functions: &[Arc<str>]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        told.extend(functions.iter().map(|name| (Arc::clone(name), now)));
    }

    /// Those of the functions that have available tasks of which the listener doesn't know yet.
    pub(super) fn untold(&self, available: Vec<Arc<str>>) -> Vec<Arc<str>> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|name, at| at.elapsed() < SAY_AGAIN && available.contains(name));
        let mut untold = available;
        untold.retain(|name| !told.contains_key(name));
        untold
    }

    /// Says that this host lives.
    pub(super) async fn beat(&self, connection: &Connection) -> Result<(), Fault> {
        let (begun, asked) = (Instant::now(), clock::moment());
        let about = self
            .about
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let name = about.as_ref().map_or("", |about| &about.name);
        let text = about.as_ref().map(|about| Json(&about.about));
        let rows = connection
            .query(
                // No replica is waited for: what isn't there when it takes over is said again soon.
                "INSERT INTO @node AS node (id, name, about) SELECT $1, $2, $3 \
                 WHERE set_config('synchronous_commit', 'local', true) IS NOT NULL ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
                 about = excluded.about, beat_at = now(), dead_at = NULL \
                 RETURNING floor(extract(epoch FROM clock_timestamp()) * 1000)::int8",
                &[(&&*self.id, Type::TEXT), (&name, Type::TEXT), (&text, Type::JSON)],
            )
            .await?;
        if let Some(row) = rows.first() {
            self.clock.heard(asked, row.try_get(0)?, clock::moment());
        }
        *self.beat_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(begun);
        Ok(())
    }
}

/// That this host may claim nothing.
pub(super) fn too_silent() -> StoreError {
    unavailable(
        "this host couldn't say to the ledger's database for 15 seconds that it lives: until it can, it begins nothing",
    )
}
