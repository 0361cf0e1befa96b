//! Available tasks are handed out. What another node is just claiming is passed over.

use rustc_hash::{FxHashMap, FxHashSet};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::desk::Desk;
use super::fault::Fault;
use super::own::too_silent;
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
        let mut by_priority = self
            .next_by_priority(function, want, wanted)
            .await?
            .into_iter();
        let mut by_age = if by_priority.len() > 0 && (0..wanted).any(is_by_age) {
            self.next_by_age(function, want, wanted).await?
        } else {
            Vec::new()
        }
        .into_iter();
        let mut picked = Vec::new();
        let mut seen = FxHashSet::default();
        while picked.len() < wanted {
            let next = if is_by_age(picked.len()) {
                // What others are just claiming is missing here.
                by_age.next().or_else(|| by_priority.next())
            } else {
                by_priority.next()
            };
            let Some(candidate) = next else { break };
            if seen.insert(candidate.0) {
                picked.push(candidate);
            }
        }
        Ok(picked)
    }

    async fn next_by_priority(
        &self,
        function: i32,
        want: &Want,
        wanted: usize,
    ) -> Result<Vec<Candidate>, Fault> {
        let sql = "SELECT id, wake_at FROM @live WHERE state = 1 AND function = $1 AND (version IS NULL OR version = $2) \
                 AND NOT (SELECT paused FROM @function WHERE number = $1) \
                 ORDER BY priority, id LIMIT $3 FOR UPDATE SKIP LOCKED";
        self.candidates(sql, function, want, wanted).await
    }

    /// The oldest, whatever their priority. Each priority has its own order in the index, so of each the first are looked at;
    /// asked for as those of this priority or lower ones, since in one priority all would be in the order of the primary key,
    /// which leads past the tasks of all others.
    async fn next_by_age(
        &self,
        function: i32,
        want: &Want,
        wanted: usize,
    ) -> Result<Vec<Candidate>, Fault> {
        let sql = "WITH oldest AS MATERIALIZED (SELECT found.id FROM generate_series(1, 9) AS level CROSS JOIN LATERAL \
                 (SELECT id, priority FROM @live WHERE state = 1 AND function = $1 AND priority >= level::int2 \
                 AND (version IS NULL OR version = $2) ORDER BY priority, id LIMIT $3) AS found \
                 WHERE found.priority = level ORDER BY found.id LIMIT $3) \
                 SELECT it.id, it.wake_at FROM oldest CROSS JOIN LATERAL \
                 (SELECT id, wake_at FROM @live WHERE id = oldest.id AND state = 1 FOR UPDATE SKIP LOCKED) AS it ORDER BY it.id";
        self.candidates(sql, function, want, wanted).await
    }

    async fn candidates(
        &self,
        sql: &'static str,
        function: i32,
        want: &Want,
        wanted: usize,
    ) -> Result<Vec<Candidate>, Fault> {
        let (version, wanted) = (&*want.version, count(wanted));
        let asked = [
            (&function as _, Type::INT4),
            (&version as _, Type::TEXT),
            (&wanted as _, Type::INT8),
        ];
        candidates(&self.connection.query(sql, &asked).await?)
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
                 task.traceparent, task.client",
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

fn candidates(rows: &[Row]) -> Result<Vec<Candidate>, Fault> {
    let read = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(read).collect()
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
