//! What time brings: tasks whose time has come, deadlines, and what is to be forgotten.

use rustc_hash::FxHashMap;
use tokio_postgres::types::Type;

use super::desk::Desk;
use super::fault::Fault;
use super::known::{Known, state_of};
use super::values::count;
use super::writes::release_keys;
use crate::ledger::id::TaskId;
use crate::ledger::states::{Event, State};
use crate::ledger::store::{Pruned, Swept};

/// The tally is folded together when so many rows were added here.
const TALLIED_MAX: u64 = 200;

impl Desk<'_> {
    pub(super) async fn sweep(&mut self, now: i64, limit: usize) -> Result<Swept, Fault> {
        let rows = self
            .connection
            .query(
                "SELECT id FROM @live WHERE wake_at <= $1 ORDER BY wake_at, id LIMIT $2 FOR UPDATE SKIP LOCKED",
                &[(&now, Type::INT8), (&count(limit), Type::INT8)],
            )
            .await?;
        let woken: Vec<TaskId> = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        let mut swept = Swept {
            more: woken.len() >= limit,
            ..Swept::default()
        };
        if !woken.is_empty() {
            let mut known: FxHashMap<TaskId, Known> = FxHashMap::default();
            known.extend(
                self.known_live(&woken)
                    .await?
                    .into_iter()
                    .map(|task| (task.id, task)),
            );
            let changes = woken.iter().filter_map(|id| known.remove(id)).map(|task| {
                let is_over = task.deadline_at.is_some_and(|deadline| deadline <= now);
                (task, if is_over { Event::Expire } else { Event::Due })
            });
            let changes: Vec<(Known, Event)> = changes.collect();
            let changed = self.change(&changes, now).await?;
            for ((_, event), is_changed) in changes.iter().zip(changed) {
                match event {
                    Event::Expire => swept.expired += u64::from(is_changed),
                    _ => swept.due += u64::from(is_changed),
                }
            }
        }
        if self.memory.tallied >= TALLIED_MAX {
            self.fold().await?;
        }
        swept.lost = self.end_lost(now).await?;
        let next = self
            .connection
            .query(
                "SELECT min(wake_at) FROM @live WHERE wake_at IS NOT NULL",
                &[],
            )
            .await?;
        if let Some(row) = next.first() {
            swept.next_at = row.try_get(0)?;
        }
        Ok(swept)
    }

    /// Makes one row of each function's part of the tally, which adds up to the same. What others are just folding is left.
    async fn fold(&mut self) -> Result<(), Fault> {
        self.connection
            .execute(
                "WITH gone AS (DELETE FROM @tally WHERE number IN \
                 (SELECT number FROM @tally ORDER BY number LIMIT 10000 FOR UPDATE SKIP LOCKED) RETURNING *) \
                 INSERT INTO @tally (function, scheduled, available, running, retryable, completed, discarded, cancelled, \
                 unknown, stored_len) SELECT function, sum(scheduled), sum(available), sum(running), sum(retryable), \
                 sum(completed), sum(discarded), sum(cancelled), sum(unknown), sum(stored_len) FROM gone GROUP BY function",
                &[],
            )
            .await?;
        self.memory.tallied = 0;
        self.has_written = true;
        Ok(())
    }

    pub(super) async fn prune(&mut self, now: i64, limit: usize) -> Result<Pruned, Fault> {
        let rows = self
            .connection
            .query(
                "DELETE FROM @ended WHERE id IN (SELECT id FROM @ended WHERE forget_at <= $1 ORDER BY forget_at, id \
                 LIMIT $2 FOR UPDATE SKIP LOCKED) RETURNING id, state, result_len",
                &[(&now, Type::INT8), (&count(limit), Type::INT8)],
            )
            .await?;
        let mut over: FxHashMap<TaskId, (State, i64)> = FxHashMap::default();
        for row in &rows {
            over.insert(
                row.try_get(0)?,
                (state_of(row.try_get(1)?)?, row.try_get(2)?),
            );
        }
        if !over.is_empty() {
            self.forget(&over).await?;
        }
        let is_left = self.forget_heard().await?;
        Ok(Pruned {
            forgotten: over.len() as u64,
            more: over.len() >= limit || is_left,
        })
    }

    async fn forget(&mut self, over: &FxHashMap<TaskId, (State, i64)>) -> Result<(), Fault> {
        let ids: Vec<TaskId> = over.keys().copied().collect();
        let attempts = [(&ids as _, Type::UUID_ARRAY)];
        let tasks = attempts.clone();
        let (_, rows) = Fault::of_both(tokio::join!(
            self.connection
                .execute("DELETE FROM @attempt WHERE task = ANY($1)", &attempts),
            self.connection.query(
                "DELETE FROM @task WHERE id = ANY($1) RETURNING id, function, args_len, subject, key",
                &tasks
            ),
        ))?;
        let mut released = Vec::new();
        for row in &rows {
            let (id, function, args_len): (TaskId, i32, i64) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let (subject, key): (Option<String>, Option<String>) =
                (row.try_get(3)?, row.try_get(4)?);
            if let Some((state, result_len)) = over.get(&id) {
                self.counts(function, Some(*state), None);
                self.holds(function, -(args_len + result_len));
            }
            if let Some(key) = key {
                released.push((function, subject.unwrap_or_default(), key, id));
            }
        }
        self.has_written = true;
        release_keys(self.connection, &released).await
    }
}
