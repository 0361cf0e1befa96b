//! The way to the database: a connection that is made anew when it was lost, not too often.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use super::fault::{Fault, unavailable};
use super::reach::Reach;
use crate::ledger::error::StoreError;

/// How long to wait before it is tried again; twice as long each time.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

pub(super) struct Link {
    reach: Arc<Reach>,
    connection: Option<Connection>,
    is_pooled: Option<bool>,
    /// When it may be tried again, and why it failed.
    failed: Option<(Instant, StoreError)>,
    wait: Duration,
    /// How many connections were made.
    made: u64,
}

impl Link {
    pub(super) fn new(reach: Arc<Reach>, is_pooled: Option<bool>) -> Self {
        Self {
            reach,
            connection: None,
            is_pooled,
            failed: None,
            wait: WAIT_MIN,
            made: 0,
        }
    }

    /// The connection, made if need be.
    ///
    /// # Errors
    /// It can't be made; what failed a moment ago isn't tried again yet.
    pub(super) async fn get(&mut self) -> Result<&Connection, StoreError> {
        if self.connection.as_ref().is_some_and(Connection::is_closed) {
            self.connection = None;
        }
        if self.connection.is_none() {
            if let Some((until, error)) = &self.failed
                && Instant::now() < *until
            {
                return Err(error.clone());
            }
            match Connection::open(&self.reach, self.is_pooled).await {
                Ok(connection) => {
                    if self.failed.take().is_some() {
                        tracing::info!("the ledger's database is reached again");
                    }
                    self.wait = WAIT_MIN;
                    self.made += 1;
                    self.connection = Some(connection);
                }
                Err(fault) => {
                    let error = fault.into_store_error();
                    self.give_up(error.clone());
                    return Err(error);
                }
            }
        }
        let closed = || unavailable("the connection to the ledger's database was lost");
        self.connection.as_ref().ok_or_else(closed)
    }

    /// Has the connection made anew, but not at once: who waits already is refused, and doesn't wait once more for as long.
    pub(super) fn give_up(&mut self, error: StoreError) {
        self.connection = None;
        if self.failed.is_none() {
            tracing::warn!(%error, "the ledger's database can't be reached");
        }
        let until = Instant::now() + jittered(self.wait);
        self.wait = (self.wait * 2).min(WAIT_MAX);
        self.failed = Some((until, error));
    }

    /// What a fault says about the connection. Answers whether the same is to be tried again at once.
    pub(super) fn heed(&mut self, fault: &Fault) -> bool {
        if matches!(fault, Fault::Slow) {
            self.give_up(Fault::Slow.into_store_error());
        } else if fault.breaks_connection() {
            self.connection = None;
        }
        fault.may_pass_at_once()
    }

    /// As [`Self::get`], and which of its connections that is: on another one another database may answer, if a replica has
    /// taken over.
    pub(super) async fn get_numbered(&mut self) -> Result<(&Connection, u64), StoreError> {
        self.get().await?;
        let number = self.made;
        Ok((self.get().await?, number))
    }

    pub(super) fn drop_connection(&mut self) {
        self.connection = None;
    }

    /// Tries at once, whatever failed before.
    pub(super) fn try_now(&mut self) {
        if let Some((until, _)) = &mut self.failed {
            *until = Instant::now();
        }
    }
}

/// Between half and all of it at random, so that hosts don't come back all at once.
fn jittered(wait: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness it is the whole wait.
    if getrandom::fill(&mut random).is_err() {
        return wait;
    }
    let half = wait / 2;
    half + half.mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}
