//! Available tasks are handed out. What it costs depends on how many are asked for and on how many lanes have any, not on
//! how many wait.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, Row, params};

use super::desk::Desk;
use super::fault::{self, Fault};
use super::known::task_id;
use crate::ledger::id::TaskId;
use crate::ledger::record::Claimed;
use crate::ledger::states::{Event, State};
use crate::ledger::store::{ClaimAsk, Want};

/// One claim in so many goes by age alone.
const BY_AGE: u64 = 8;

/// How often a claim looks again where it met tasks that were past their deadline.
const ROUNDS_MAX: u32 = 8;

/// An available task that may be claimed, and the place of its lane.
type Candidate = (TaskId, usize);

impl Desk<'_> {
    pub(super) fn claim(&mut self, ask: &ClaimAsk, now: i64) -> Result<Vec<Claimed>, Fault> {
        let node = self.book.word(self.connection, &ask.node)?;
        let mut claimed = Vec::new();
        for want in &ask.wants {
            let mut left = want.count as usize;
            for _ in 0..ROUNDS_MAX {
                let picked = self.pick(want, left)?;
                let found = picked.len();
                let before = claimed.len();
                for candidate in picked {
                    claimed.extend(self.claim_one(want, node, candidate, now)?);
                }
                let taken = claimed.len() - before;
                left -= taken;
                // Fewer were taken than found where some were past their deadline: behind them there may be others.
                if left == 0 || taken == found {
                    break;
                }
            }
        }
        Ok(claimed)
    }

    /// Which tasks are next, `count` at most.
    fn pick(&mut self, want: &Want, count: usize) -> Result<Vec<Candidate>, Fault> {
        let Some(function) = self.book.place_of(&want.function) else {
            return Ok(Vec::new());
        };
        let mut bounds = Bounds::of(self, function, want);
        let count = count.min(bounds.function);
        if count == 0 || self.book.functions[function].paused {
            return Ok(Vec::new());
        }
        let lanes = self.open_lanes(function, want, &bounds);
        let available: i64 = lanes
            .iter()
            .map(|lane| self.book.lanes[*lane].count(State::Available))
            .sum();
        let count = count.min(usize::try_from(available).unwrap_or(0));
        let first = self.book.functions[function].claims;
        let is_by_age = |at: usize| (first + at as u64) % BY_AGE == BY_AGE - 1;
        let mut by_priority = self.by_priority(&lanes, count)?.into_iter();
        let needs_age = (0..count).any(is_by_age);
        let mut by_age = if needs_age {
            self.by_age(&lanes, count)?
        } else {
            Vec::new()
        }
        .into_iter();
        let mut picked = Vec::with_capacity(count);
        let mut seen = BTreeSet::new();
        while picked.len() < count {
            let source = if is_by_age(picked.len()) {
                &mut by_age
            } else {
                &mut by_priority
            };
            let mut fitting =
                source.filter(|(id, lane)| !seen.contains(id) && bounds.has_room(self, *lane));
            let Some(candidate) = fitting.next() else {
                break;
            };
            bounds.take(self, candidate.1);
            seen.insert(candidate.0);
            picked.push(candidate);
        }
        Ok(picked)
    }

    /// The function's lanes that have something for this claim.
    fn open_lanes(&self, function: usize, want: &Want, bounds: &Bounds) -> Vec<usize> {
        let lanes = self.book.functions[function].lanes.iter().copied();
        let is_open = |place: &usize| {
            let lane = &self.book.lanes[*place];
            let is_held_back = |key: &Arc<str>| want.held_back.contains(key);
            lane.count(State::Available) > 0
                && lane
                    .version
                    .as_ref()
                    .is_none_or(|version| *version == want.version)
                && !lane.limit_key.as_ref().is_some_and(is_held_back)
                && bounds.has_room(self, *place)
        };
        lanes.filter(is_open).collect()
    }

    fn by_priority(&mut self, lanes: &[usize], count: usize) -> Result<Vec<Candidate>, Fault> {
        let mut found = Vec::new();
        for lane in lanes {
            let mut rows = self
                .statements
                .ready
                .query(params![self.book.lanes[*lane].number, limit(count)])?;
            while let Some(row) = rows.next()? {
                found.push((row.get::<_, u8>(1)?, task_id(row, 0)?, *lane));
            }
        }
        found.sort_unstable();
        Ok(found.into_iter().map(|(_, id, lane)| (id, lane)).collect())
    }

    fn by_age(&mut self, lanes: &[usize], count: usize) -> Result<Vec<Candidate>, Fault> {
        let mut found = Vec::new();
        for lane in lanes {
            let number = self.book.lanes[*lane].number;
            for priority in 1..=9 {
                let mut rows = self.statements.ready_of_priority.query(params![
                    number,
                    priority,
                    limit(count)
                ])?;
                while let Some(row) = rows.next()? {
                    found.push((task_id(row, 0)?, *lane));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// None where the task was past its deadline, and is discarded.
    fn claim_one(
        &mut self,
        want: &Want,
        node: i64,
        (id, lane): Candidate,
        now: i64,
    ) -> Result<Option<Claimed>, Fault> {
        let version = self.book.word(self.connection, &want.version)?;
        let read = |row: &Row<'_>| {
            let args: Option<Bytes> = row
                .get_ref(12)?
                .as_bytes_or_null()?
                .map(Bytes::copy_from_slice);
            let attempts: u32 = row.get(1)?;
            let claimed = Claimed {
                id,
                lease: row.get(0)?,
                attempt: attempts.saturating_add(1),
                function: Arc::clone(&want.function),
                args: args.unwrap_or_default(),
                created_at: row.get(2)?,
                deadline_at: row.get(3)?,
                timeout_ms: row.get(4)?,
                at_most_once: row.get(5)?,
                priority: row.get(6)?,
                key: row.get(7)?,
                subject: row.get(8)?,
                limit_key: self.book.lanes[lane]
                    .limit_key
                    .as_deref()
                    .map(str::to_owned),
                traceparent: row.get(9)?,
                client: row.get(10)?,
            };
            Ok((claimed, row.get::<_, Option<i64>>(11)?))
        };
        let found = self.statements.to_claim.query_row([id], read).optional()?;
        let Some((mut claimed, args_at)) = found else {
            return Err(fault::damaged("an index names a task that isn't there"));
        };
        if claimed.deadline_at.is_some_and(|deadline| deadline <= now) {
            if let Some(task) = self.known(id)? {
                self.change(&task, Event::Expire, now)?;
            }
            return Ok(None);
        }
        let Some(to) = State::Available.after(Event::Claim) else {
            return Ok(None);
        };
        claimed.lease += 1;
        self.statements
            .claim
            .execute(params![claimed.lease, node, version, now, id])?;
        if let Some(at) = args_at {
            claimed.args = self.long_text(at)?;
        }
        self.book.moves(lane, Some(State::Available), Some(to));
        let function = self.book.lanes[lane].function;
        self.book.function_of_mut(function).claims += 1;
        self.tell(id, lane, to, claimed.subject.as_deref(), false);
        Ok(Some(claimed))
    }

    pub(super) fn long_text(&self, at: i64) -> Result<Bytes, Fault> {
        let mut select = self
            .connection
            .prepare_cached("SELECT text FROM long_text WHERE at = ?")?;
        let text = select.query_row([at], |row| {
            Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_bytes()?))
        });
        text.optional()?
            .ok_or_else(|| fault::damaged("a task's text isn't there"))
    }
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// How many more may run: of the function, and of each limit key.
struct Bounds {
    function: usize,
    by_key: Option<BTreeMap<Arc<str>, i64>>,
    by_key_max: i64,
}

impl Bounds {
    fn of(desk: &Desk<'_>, function: usize, want: &Want) -> Self {
        let lanes = || {
            desk.book.functions[function]
                .lanes
                .iter()
                .map(|place| &desk.book.lanes[*place])
        };
        let running: i64 = lanes().map(|lane| lane.count(State::Running)).sum();
        let left = |max: u32| usize::try_from(i64::from(max) - running).unwrap_or(0);
        let mut by_key = want.running_max_by_key.map(|_| BTreeMap::new());
        if let Some(by_key) = &mut by_key {
            for lane in lanes() {
                if let Some(key) = &lane.limit_key {
                    *by_key.entry(Arc::clone(key)).or_insert(0) += lane.count(State::Running);
                }
            }
        }
        Self {
            function: want.running_max.map_or(usize::MAX, left),
            by_key,
            by_key_max: want.running_max_by_key.map_or(i64::MAX, i64::from),
        }
    }

    fn has_room(&self, desk: &Desk<'_>, lane: usize) -> bool {
        let key = desk.book.lanes[lane].limit_key.as_ref();
        let running = self
            .by_key
            .as_ref()
            .zip(key)
            .and_then(|(by_key, key)| by_key.get(key));
        running.is_none_or(|running| *running < self.by_key_max)
    }

    fn take(&mut self, desk: &Desk<'_>, lane: usize) {
        if let (Some(by_key), Some(key)) = (&mut self.by_key, &desk.book.lanes[lane].limit_key) {
            *by_key.entry(Arc::clone(key)).or_insert(0) += 1;
        }
    }
}
