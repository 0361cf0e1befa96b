//! Available tasks are handed out. What it costs depends on how many are asked for, and a little on how many lanes have any
//! (that is, on how many different limit keys wait), but not on how many tasks wait.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, Row, params};
use rustc_hash::FxHashMap;

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
            let mut has_met_all = false;
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
                has_met_all = left == 0 || taken == found;
                if has_met_all {
                    break;
                }
            }
            // Few or none were found, but that doesn't mean that there are no more.
            if !has_met_all && let Some(function) = self.book.place_of(&want.function) {
                self.news.available.insert(function);
            }
        }
        Ok(claimed)
    }

    /// Which tasks are next, `count` at most.
    fn pick(&mut self, want: &Want, count: usize) -> Result<Vec<Candidate>, Fault> {
        let Some(function) = self.book.place_of(&want.function) else {
            return Ok(Vec::new());
        };
        if count == 0 || self.book.functions[function].paused {
            return Ok(Vec::new());
        }
        let lanes = self.open_lanes(function, want);
        let available: i64 = lanes
            .iter()
            .map(|lane| self.book.lanes[*lane].count(State::Available))
            .sum();
        let count = count.min(usize::try_from(available).unwrap_or(0));
        let first = self.book.functions[function].claims;
        let is_by_age = |at: usize| (first + at as u64) % BY_AGE == BY_AGE - 1;
        let mut by_priority = Ahead::of(self, &lanes, Order::Priority, count)?;
        let mut by_age = if (0..count).any(is_by_age) {
            Ahead::of(self, &lanes, Order::Age, count)?
        } else {
            Ahead::default()
        };
        let mut picked = Vec::with_capacity(count);
        let mut seen = BTreeSet::new();
        while picked.len() < count {
            let source = if is_by_age(picked.len()) {
                &mut by_age
            } else {
                &mut by_priority
            };
            let Some(candidate) = source.next(self)? else {
                break;
            };
            if seen.insert(candidate.0) {
                picked.push(candidate);
            }
        }
        Ok(picked)
    }

    /// The function's lanes that have something for this claim.
    fn open_lanes(&self, function: usize, want: &Want) -> Vec<usize> {
        let lanes = self.book.functions[function].open_lanes.iter().copied();
        let is_for_it = |place: &usize| {
            let version = self.book.lanes[*place].version.as_ref();
            version.is_none_or(|version| *version == want.version)
        };
        lanes.filter(is_for_it).collect()
    }

    /// The available tasks of a lane that are next, `count` at most.
    fn ready(
        &mut self,
        lane: usize,
        order: Order,
        count: usize,
    ) -> Result<Vec<(u8, TaskId)>, Fault> {
        let number = self.book.lanes[lane].number;
        let mut found = Vec::new();
        match order {
            Order::Priority => {
                let mut rows = self.statements.ready.query(params![number, limit(count)])?;
                while let Some(row) = rows.next()? {
                    found.push((row.get(1)?, task_id(row, 0)?));
                }
                self.book.lanes[lane].next = found.first().copied();
            }
            Order::Age => {
                for priority in 1..=9 {
                    let statement = &mut self.statements.ready_of_priority;
                    let mut rows = statement.query(params![number, priority, limit(count)])?;
                    while let Some(row) = rows.next()? {
                        found.push((0, task_id(row, 0)?));
                    }
                }
                found.sort_unstable();
                found.truncate(count);
                self.book.lanes[lane].oldest = found.first().map(|first| first.1);
            }
        }
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
                version: self.book.lanes[lane].version.clone(),
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
        let task = (claimed.priority, id);
        self.book
            .moves(lane, task, Some(State::Available), Some(to));
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

/// What goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Priority,
    Age,
}

/// The available tasks of several lanes, in order. A lane is asked for its tasks when its first one has its turn; which that
/// is, the book knows of most lanes.
#[derive(Default)]
struct Ahead {
    order: Order,
    /// Of each lane the next one; as a priority 0, where that doesn't count.
    heap: BinaryHeap<Reverse<(u8, TaskId, usize)>>,
    /// Of those lanes that were asked, what comes after it.
    rest: FxHashMap<usize, std::vec::IntoIter<(u8, TaskId)>>,
    count: usize,
}

impl Ahead {
    fn of(desk: &mut Desk<'_>, lanes: &[usize], order: Order, count: usize) -> Result<Self, Fault> {
        let mut ahead = Self {
            order,
            count,
            ..Self::default()
        };
        for lane in lanes {
            let of_lane = &desk.book.lanes[*lane];
            let first = match order {
                Order::Priority => of_lane.next,
                Order::Age => of_lane.oldest.map(|oldest| (0, oldest)),
            };
            match first {
                Some((priority, id)) => ahead.heap.push(Reverse((priority, id, *lane))),
                None => {
                    ahead
                        .rest
                        .insert(*lane, desk.ready(*lane, order, count)?.into_iter());
                    ahead.push_next_of(*lane);
                }
            }
        }
        Ok(ahead)
    }

    fn next(&mut self, desk: &mut Desk<'_>) -> Result<Option<Candidate>, Fault> {
        let Some(Reverse((_, id, lane))) = self.heap.pop() else {
            return Ok(None);
        };
        if !self.rest.contains_key(&lane) {
            let mut ready = desk.ready(lane, self.order, self.count)?.into_iter();
            if ready.next().map(|first| first.1) != Some(id) {
                return Err(fault::damaged(
                    "what is next isn't what is kept in memory of it",
                ));
            }
            self.rest.insert(lane, ready);
        }
        self.push_next_of(lane);
        Ok(Some((id, lane)))
    }

    fn push_next_of(&mut self, lane: usize) {
        if let Some((priority, id)) = self.rest.get_mut(&lane).and_then(Iterator::next) {
            self.heap.push(Reverse((priority, id, lane)));
        }
    }
}
