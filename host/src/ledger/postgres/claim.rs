//! Available tasks are handed out. What another node is just claiming is passed over.

use std::time::Instant;

use rustc_hash::{FxHashMap, FxHashSet};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::desk::Desk;
use super::fault::Fault;
use super::own::too_silent;
use super::places::{Levels, Places};
use super::values::{Kept, count, number_of, wide};
use crate::ledger::id::TaskId;
use crate::ledger::record::Claimed;
use crate::ledger::states::{Event, State};
use crate::ledger::store::{ClaimAsk, Want};

/// One claim in so many goes by age alone.
const BY_AGE: u64 = 8;

/// How often a claim looks again where it met tasks that were past their deadline.
const ROUNDS_MAX: u32 = 8;

/// A task that may be claimed, and its deadline.
type Candidate = (TaskId, Option<i64>);

impl Desk<'_> {
    pub(super) async fn claim(&mut self, ask: &ClaimAsk, now: i64) -> Result<Vec<Claimed>, Fault> {
        if !self.may_claim {
            return Err(Fault::Refused(too_silent()));
        }
        let mut claimed = Vec::new();
        for want in &ask.wants {
            let mut left = want.count as usize;
            for _ in 0..ROUNDS_MAX {
                if left == 0 {
                    break;
                }
                let Some(function) = self
                    .memory
                    .find_function(self.connection, &want.function)
                    .await?
                else {
                    break;
                };
                let picked = self.pick(function, want, left).await?;
                let is_late = |candidate: &Candidate| candidate.1.is_some_and(|at| at <= now);
                let (late, picked): (Vec<_>, Vec<_>) = picked.into_iter().partition(is_late);
                let ids: Vec<TaskId> = picked.iter().map(|candidate| candidate.0).collect();
                claimed.extend(
                    self.claim_picked(function, want, &ask.node, &ids, now)
                        .await?,
                );
                left -= ids.len().min(left);
                // Behind those that were past their deadline there may be others.
                if late.is_empty() {
                    break;
                }
                self.expire(&late, now).await?;
            }
        }
        Ok(claimed)
    }

    async fn expire(&mut self, late: &[Candidate], now: i64) -> Result<(), Fault> {
        let ids: Vec<TaskId> = late.iter().map(|candidate| candidate.0).collect();
        let known = self.known_live(&ids).await?;
        let changes: Vec<_> = known
            .into_iter()
            .map(|task| (task, Event::Expire))
            .collect();
        self.change(&changes, now).await?;
        Ok(())
    }

    /// Which tasks are next, `wanted` at most; locked.
    async fn pick(
        &mut self,
        function: i32,
        want: &Want,
        wanted: usize,
    ) -> Result<Vec<Candidate>, Fault> {
        let first = self.memory.claims.get(&function).copied().unwrap_or(0);
        let is_by_age = |at: usize| (first + at as u64) % BY_AGE == BY_AGE - 1;
        let (behind, found) = self.look_on(function, want, wanted).await?;
        // The oldest may be picked before by their priority: as many as are picked before the last one by age.
        let last = (0..wanted.min(found.len())).rfind(|at| is_by_age(*at));
        let ages = last.map_or(0, |at| at + 1);
        let mut by_age = if ages > 0 {
            self.next_by_age(function, want, &behind, ages).await?
        } else {
            Vec::new()
        }
        .into_iter();
        let places = self.places_of(function);
        let mut by_priority = found.into_iter();
        let mut picked = Vec::new();
        let mut seen = FxHashSet::default();
        while picked.len() < wanted {
            // What others are just claiming is missing among the oldest.
            let old = if is_by_age(picked.len()) {
                by_age.next()
            } else {
                None
            };
            let next = old.or_else(|| {
                let (level, candidate) = by_priority.next()?;
                places.passed(level, candidate.0);
                Some(candidate)
            });
            let Some(candidate) = next else { break };
            if seen.insert(candidate.0) {
                picked.push(candidate);
            }
        }
        Ok(picked)
    }

    fn places_of(&mut self, function: i32) -> &mut Places {
        let places = self.memory.places.entry(function);
        places.or_insert_with(|| Places::new(Instant::now()))
    }

    /// The next by priority, with their levels, and behind which tasks they were found.
    async fn look_on(
        &mut self,
        function: i32,
        want: &Want,
        wanted: usize,
    ) -> Result<(Levels, Vec<(i64, Candidate)>), Fault> {
        if let Some(behind) = self.places_of(function).next(Instant::now()) {
            let found = self
                .next_by_priority(function, want, &behind, wanted)
                .await?;
            return Ok((behind, found));
        }
        let behind = Places::BEGINNING;
        // Sent together.
        let (found, entries) = Fault::of_both(tokio::join!(
            self.next_by_priority(function, want, &behind, wanted),
            self.entries_read(),
        ))?;
        let new = entries.saturating_sub(self.entries);
        self.entries = entries;
        self.places_of(function).has_read(new, Instant::now());
        Ok((behind, found))
    }

    /// How many entries of the index of what is available this transaction has read.
    async fn entries_read(&self) -> Result<u64, Fault> {
        let sql = "SELECT pg_stat_get_xact_tuples_returned('@live_ready'::regclass)";
        let rows = self.connection.query(sql, &[]).await?;
        let entries: i64 = match rows.first() {
            Some(row) => row.try_get(0)?,
            None => 0,
        };
        Ok(u64::try_from(entries).unwrap_or(0))
    }

    /// Of each level those behind a place are looked at, as those of this level up to this level: within
    /// one level alone all would be in the order of the primary key, which leads past the tasks of all others.
    async fn next_by_priority(
        &self,
        function: i32,
        want: &Want,
        behind: &[TaskId],
        wanted: usize,
    ) -> Result<Vec<(i64, Candidate)>, Fault> {
        let sql = "SELECT it.id, it.wake_at, behind.level \
                 FROM unnest($3::uuid[]) WITH ORDINALITY AS behind (id, level) CROSS JOIN LATERAL \
                 (SELECT id, wake_at FROM @live WHERE state = 1 AND function = $1 \
                 AND (priority, id) > (behind.level::int2, behind.id) AND priority <= behind.level::int2 \
                 AND (version IS NULL OR version = $2) ORDER BY priority, id LIMIT $4 FOR UPDATE SKIP LOCKED) AS it \
                 WHERE NOT (SELECT paused FROM @function WHERE number = $1) LIMIT $4";
        let rows = self.look(sql, function, want, behind, wanted).await?;
        let read = |row: &Row| Ok((row.try_get(2)?, (row.try_get(0)?, row.try_get(1)?)));
        rows.iter().map(read).collect()
    }

    /// The oldest, whatever their priority: of each level the first, since each has its own order in the index.
    async fn next_by_age(
        &self,
        function: i32,
        want: &Want,
        behind: &[TaskId],
        wanted: usize,
    ) -> Result<Vec<Candidate>, Fault> {
        let sql = "WITH oldest AS MATERIALIZED (SELECT it.id \
                 FROM unnest($3::uuid[]) WITH ORDINALITY AS behind (id, level) CROSS JOIN LATERAL \
                 (SELECT id FROM @live WHERE state = 1 AND function = $1 \
                 AND (priority, id) > (behind.level::int2, behind.id) AND priority <= behind.level::int2 \
                 AND (version IS NULL OR version = $2) ORDER BY priority, id LIMIT $4) AS it ORDER BY it.id LIMIT $4) \
                 SELECT it.id, it.wake_at FROM oldest CROSS JOIN LATERAL \
                 (SELECT id, wake_at FROM @live WHERE id = oldest.id AND state = 1 FOR UPDATE SKIP LOCKED) AS it ORDER BY it.id";
        let rows = self.look(sql, function, want, behind, wanted).await?;
        let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        rows.iter().map(read).collect()
    }

    async fn look(
        &self,
        sql: &'static str,
        function: i32,
        want: &Want,
        behind: &[TaskId],
        wanted: usize,
    ) -> Result<Vec<Row>, Fault> {
        let (version, wanted) = (&*want.version, count(wanted));
        let asked = [
            (&function as _, Type::INT4),
            (&version as _, Type::TEXT),
            (&behind as _, Type::UUID_ARRAY),
            (&wanted as _, Type::INT8),
        ];
        self.connection.query(sql, &asked).await
    }

    /// In the order of `ids`, which are locked.
    async fn claim_picked(
        &mut self,
        function: i32,
        want: &Want,
        node: &str,
        ids: &[TaskId],
        now: i64,
    ) -> Result<Vec<Claimed>, Fault> {
        let Some(to) = State::Available.after(Event::Claim) else {
            return Ok(Vec::new());
        };
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .connection
            .query(
                "UPDATE @live AS live SET state = $2, lease = lease + 1, node = $3, run_version = $4, claimed_at = $5, \
                 wake_at = NULL FROM @task AS task WHERE live.id = ANY($1) AND task.id = live.id \
                 RETURNING live.id, live.lease, live.attempts, task.args, task.created_at, task.deadline_at, \
                 task.timeout_ms, task.at_most_once, task.priority, task.key, task.subject, task.limit_key, \
                 task.traceparent, task.client, task.version",
                &[
                    (&ids, Type::UUID_ARRAY),
                    (&number_of(to), Type::INT2),
                    (&node, Type::TEXT),
                    (&&*want.version, Type::TEXT),
                    (&now, Type::INT8),
                ],
            )
            .await?;
        self.has_written = true;
        let mut claimed: FxHashMap<TaskId, Claimed> = FxHashMap::default();
        for row in &rows {
            let task = read(row, want)?;
            claimed.insert(task.id, task);
        }
        let claimed: Vec<Claimed> = ids.iter().filter_map(|id| claimed.remove(id)).collect();
        for task in &claimed {
            self.counts(function, Some(State::Available), Some(to));
            self.tell(task.id, function, to, task.subject.as_deref(), false);
        }
        *self.memory.claims.entry(function).or_default() += claimed.len() as u64;
        Ok(claimed)
    }
}

fn read(row: &Row, want: &Want) -> Result<Claimed, Fault> {
    let attempts: i32 = row.try_get(2)?;
    let args: Option<Kept> = row.try_get(3)?;
    let priority: i16 = row.try_get(8)?;
    Ok(Claimed {
        id: row.try_get(0)?,
        lease: row.try_get(1)?,
        attempt: wide(attempts).saturating_add(1),
        function: std::sync::Arc::clone(&want.function),
        version: row.try_get::<_, Option<&str>>(14)?.map(Into::into),
        args: args.map(|args| args.0).unwrap_or_default(),
        created_at: row.try_get(4)?,
        deadline_at: row.try_get(5)?,
        timeout_ms: row.try_get(6)?,
        at_most_once: row.try_get(7)?,
        priority: u8::try_from(priority).unwrap_or(9),
        key: row.try_get(9)?,
        subject: row.try_get(10)?,
        limit_key: row.try_get(11)?,
        traceparent: row.try_get(12)?,
        client: row.try_get(13)?,
    })
}
