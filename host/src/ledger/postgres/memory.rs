//! What the writer remembers from one transaction to the next.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tokio::time::{Duration, Instant};
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::fault::Fault;
use super::places::Places;
use crate::ledger::states::State;

pub(super) const STATES: usize = State::ALL.len();

/// For so long what other nodes take in isn't counted.
const SUM_AGE_MAX: Duration = Duration::from_secs(1);

/// A function that isn't known is looked for again after this.
const FUNCTIONS_AGE_MAX: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Memory {
    numbers: FxHashMap<Arc<str>, i32>,
    names: FxHashMap<i32, Arc<str>>,
    functions_at: Option<Instant>,
    /// How many tasks of a function were claimed here, which says whose turn it is by age.
    pub(super) claims: FxHashMap<i32, u64>,
    /// From where it is looked for the next tasks of a function.
    pub(super) places: FxHashMap<i32, Places>,
    unfinished: i64,
    stored_len: i64,
    summed_at: Option<Instant>,
    /// Rows of the tally that were written here since they were last folded together.
    pub(super) tallied: u64,
    /// On which connection all of this was found out.
    connection: u64,
    /// When it was last looked for hosts that have died.
    pub(super) looked_for_dead_at: Option<Instant>,
}

/// How the counts of a function change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delta {
    pub(super) counts: [i64; STATES],
    pub(super) stored_len: i64,
}

impl Delta {
    pub(super) fn unfinished(&self) -> i64 {
        let counts = State::ALL.iter().zip(self.counts);
        let unfinished = counts.filter(|(state, _)| !state.is_finished());
        unfinished.map(|(_, by)| by).sum()
    }
}

impl Memory {
    /// On another connection than before, forgets what may be otherwise there: a replica that has taken over may not have heard of a
    /// function, and may give its number to another.
    pub(super) async fn look_anew(
        &mut self,
        connection: &Connection,
        number: u64,
    ) -> Result<(), Fault> {
        if self.connection == number {
            return Ok(());
        }
        self.numbers.clear();
        self.names.clear();
        self.claims.clear();
        self.summed_at = None;
        self.read_functions(connection).await?;
        self.connection = number;
        Ok(())
    }

    pub(super) fn number_of(&self, name: &str) -> Option<i32> {
        self.numbers.get(name).copied()
    }

    pub(super) fn name_of(&self, number: i32) -> Option<&Arc<str>> {
        self.names.get(&number)
    }

    /// Reads the functions that are known.
    pub(super) async fn read_functions(&mut self, connection: &Connection) -> Result<(), Fault> {
        let rows = connection
            .query("SELECT number, name FROM @function", &[])
            .await?;
        for row in rows {
            let (number, name): (i32, &str) = (row.try_get(0)?, row.try_get(1)?);
            if !self.names.contains_key(&number) {
                let name: Arc<str> = name.into();
                self.numbers.insert(Arc::clone(&name), number);
                self.names.insert(number, name);
            }
        }
        self.functions_at = Some(Instant::now());
        Ok(())
    }

    /// As [`Self::number_of`], after a look at the database now and then.
    pub(super) async fn find_function(
        &mut self,
        connection: &Connection,
        name: &str,
    ) -> Result<Option<i32>, Fault> {
        let is_old = self
            .functions_at
            .is_none_or(|at| at.elapsed() >= FUNCTIONS_AGE_MAX);
        if is_old && !self.numbers.contains_key(name) {
            self.read_functions(connection).await?;
        }
        Ok(self.number_of(name))
    }

    /// Has these functions known; outside of what is being written, so that what is remembered isn't rolled back.
    pub(super) async fn know(
        &mut self,
        connection: &Connection,
        names: impl IntoIterator<Item = &Arc<str>>,
        now: i64,
    ) -> Result<(), Fault> {
        let new = names
            .into_iter()
            .filter(|name| !self.numbers.contains_key(*name));
        let mut new: Vec<&str> = new.map(|name| &**name).collect();
        if new.is_empty() {
            return Ok(());
        }
        new.sort_unstable();
        new.dedup();
        // In a transaction of its own for its limits: another host may have the same name, and wait for a replica.
        connection.begin().await?;
        let inserted = connection
            .execute(
                "INSERT INTO @function (name, known_at) SELECT name, $2 FROM unnest($1::text[]) AS name \
                 WHERE name NOT IN (SELECT name FROM @function) ON CONFLICT DO NOTHING",
                &[(&new, Type::TEXT_ARRAY), (&now, Type::INT8)],
            )
            .await;
        match inserted {
            Ok(_) => connection.commit().await?,
            Err(fault) => {
                if !fault.breaks_connection() {
                    connection.rollback().await?;
                }
                return Err(fault);
            }
        }
        self.read_functions(connection).await
    }

    /// Tasks that haven't finished, and bytes that are kept: what the database said a moment ago, and what was changed here
    /// since.
    pub(super) fn sums(&self) -> (i64, i64) {
        (self.unfinished, self.stored_len)
    }

    /// Counts what others took in too, now and then; outside of any transaction.
    pub(super) async fn sum(&mut self, connection: &Connection) -> Result<(), Fault> {
        if self.summed_at.is_some_and(|at| at.elapsed() < SUM_AGE_MAX) {
            return Ok(());
        }
        let rows = connection
            .query(
                "SELECT coalesce(sum(scheduled + available + running + retryable), 0)::bigint, \
                 coalesce(sum(stored_len), 0)::bigint FROM @tally",
                &[],
            )
            .await?;
        if let Some(row) = rows.first() {
            (self.unfinished, self.stored_len) = (row.try_get(0)?, row.try_get(1)?);
        }
        self.summed_at = Some(Instant::now());
        Ok(())
    }

    /// What a transaction changed is committed.
    pub(super) fn apply(&mut self, deltas: &FxHashMap<i32, Delta>) {
        for delta in deltas.values() {
            self.unfinished += delta.unfinished();
            self.stored_len += delta.stored_len;
        }
        self.tallied += deltas.len() as u64;
    }

    /// Nobody knows what became of a transaction, so what is remembered may be wrong.
    pub(super) fn forget_sums(&mut self) {
        self.summed_at = None;
    }
}
