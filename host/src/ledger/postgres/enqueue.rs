//! Tasks are taken in.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::desk::Desk;
use super::fault::{self, Fault};
use super::insert::{self, Taken};
use super::known::state_of;
use super::values::len;
use crate::ledger::id::TaskId;
use crate::ledger::record::{Enqueued, NewTask};
use crate::ledger::states::State;
use crate::ledger::times::CLOCK_TOLERANCE_MS;

/// In one order, so that no two of these wait for one another.
const LOCK_HOLDERS: &str = "SELECT asked.at, taken.task \
     FROM unnest($1::int4[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (function, subject, key, at) \
     JOIN @taken AS taken ON taken.function = asked.function AND taken.subject = asked.subject \
     AND taken.key = asked.key ORDER BY asked.at FOR UPDATE OF taken";

const READ_HOLDERS: &str = "SELECT asked.at, taken.task, taken.digest, coalesce(live.state, ended.state), \
     task.unique_until, task.created_at \
     FROM unnest($1::int4[], $2::text[], $3::text[]) WITH ORDINALITY AS asked (function, subject, key, at) \
     JOIN @taken AS taken ON taken.function = asked.function AND taken.subject = asked.subject \
     AND taken.key = asked.key \
     CROSS JOIN LATERAL (SELECT * FROM @task WHERE id = taken.task OFFSET 0) AS task \
     LEFT JOIN LATERAL (SELECT state FROM @live WHERE id = taken.task OFFSET 0) AS live ON true \
     LEFT JOIN LATERAL (SELECT state FROM @ended WHERE id = taken.task OFFSET 0) AS ended ON true \
     ORDER BY asked.at";

/// A function's number, a subject (empty where there is none) and a key.
type Key<'a> = (i32, &'a str, &'a str);

/// Who has a key.
#[derive(Clone, Debug)]
struct Holder {
    id: TaskId,
    state: State,
    unique_until: Option<i64>,
    created_at: i64,
    digest: Vec<u8>,
}

impl Holder {
    /// What whoever sends the key again is told; none where the key is free.
    fn answer(&self, digest: &[u8], now: i64) -> Option<Enqueued> {
        let is_kept = self.unique_until.is_some_and(|until| until > now)
            && self.created_at <= now.saturating_add(CLOCK_TOLERANCE_MS);
        if self.state.is_finished() && !is_kept {
            return None;
        }
        Some(if self.digest == digest {
            Enqueued::Duplicate {
                id: self.id,
                state: self.state,
            }
        } else {
            Enqueued::KeyConflict { id: self.id }
        })
    }
}

impl Desk<'_> {
    /// Takes tasks in, each with the time at which it came. Their functions are known already.
    pub(super) async fn enqueue(
        &mut self,
        tasks: &[(&NewTask, i64)],
    ) -> Result<Vec<Enqueued>, Fault> {
        let mut holders = self.holders(tasks).await?;
        let before = holders.clone();
        let mut stored: Vec<insert::New<'_>> = Vec::with_capacity(tasks.len());
        let mut answers = Vec::with_capacity(tasks.len());
        for (task, now) in tasks {
            let function = self.number_of(&task.function)?;
            let key = key_of(task, function);
            let digest = key.map(|_| Sha256::digest(&task.args).to_vec());
            if let (Some(key), Some(digest)) = (&key, &digest)
                && let Some(holder) = holders.get(key)
                && let Some(answer) = holder.answer(digest, *now)
            {
                answers.push(answer);
                continue;
            }
            if let Some(reached) = self.bound_reached(task) {
                answers.push(Enqueued::Overloaded(reached));
                continue;
            }
            let state = State::of_new(task.available_at, *now);
            if let (Some(key), Some(digest)) = (key, digest) {
                let holder = Holder {
                    id: task.id,
                    state,
                    unique_until: task.unique_until,
                    created_at: *now,
                    digest,
                };
                holders.insert(key, holder);
            }
            self.counts(function, None, Some(state));
            self.holds(function, len(&task.args));
            self.tell(task.id, function, state, task.subject.as_deref(), false);
            stored.push(insert::New {
                task,
                function,
                state,
                now: *now,
            });
            answers.push(Enqueued::Stored(state));
        }
        if stored.is_empty() {
            return Ok(answers);
        }
        self.has_written = true;
        let taken = newly_taken(&before, &holders);
        let (written, tasks, live) = tokio::join!(
            insert::taken(self.connection, &taken),
            insert::tasks(self.connection, &stored),
            insert::live(self.connection, &stored),
        );
        let mut keys = 0;
        Fault::cause_of([written.map(|written| keys = written), tasks, live])?;
        // Somebody else took one of the keys between the look and the writing.
        if keys != taken.len() as u64 {
            return Err(Fault::Raced);
        }
        Ok(answers)
    }

    fn number_of(&self, function: &str) -> Result<i32, Fault> {
        let number = self.memory.number_of(function);
        number.ok_or_else(|| fault::damaged("a function isn't there that was written down"))
    }

    /// Who has the keys of these tasks now, locked until the transaction ends.
    async fn holders<'t>(
        &self,
        tasks: &[(&'t NewTask, i64)],
    ) -> Result<FxHashMap<Key<'t>, Holder>, Fault> {
        let mut keys: Vec<Key<'t>> = Vec::new();
        for (task, _) in tasks {
            if task.key.is_some() {
                keys.extend(key_of(task, self.number_of(&task.function)?));
            }
        }
        keys.sort_unstable();
        keys.dedup();
        let mut holders = FxHashMap::default();
        if keys.is_empty() {
            return Ok(holders);
        }
        let functions: Vec<i32> = keys.iter().map(|key| key.0).collect();
        let subjects: Vec<&str> = keys.iter().map(|key| key.1).collect();
        let names: Vec<&str> = keys.iter().map(|key| key.2).collect();
        let params = [
            (&functions as _, Type::INT4_ARRAY),
            (&subjects as _, Type::TEXT_ARRAY),
            (&names as _, Type::TEXT_ARRAY),
        ];
        // Whoever waits for a lock goes on with the row as it is then, but with what was joined to it before. So the tasks
        // are read by a statement of its own, which sees all that was committed when the locks were there. Sent together.
        let (locked, rows) = Fault::of_both(tokio::join!(
            self.connection.query(LOCK_HOLDERS, &params),
            self.connection.query(READ_HOLDERS, &params),
        ))?;
        let holder_of = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
        let locked: Vec<(i64, TaskId)> =
            locked.iter().map(holder_of).collect::<Result<_, Fault>>()?;
        let read: Vec<(i64, TaskId)> = rows.iter().map(holder_of).collect::<Result<_, Fault>>()?;
        // Somebody gave a key up, or took one, between the two.
        if locked != read {
            return Err(Fault::Raced);
        }
        for row in &rows {
            let at: i64 = row.try_get(0)?;
            let at = usize::try_from(at).ok().and_then(|at| at.checked_sub(1));
            let Some(key) = at.and_then(|at| keys.get(at)) else {
                continue;
            };
            // It is ending, or begins anew, at this moment.
            let Some(state) = row.try_get::<_, Option<i16>>(3)? else {
                return Err(Fault::Raced);
            };
            let holder = Holder {
                id: row.try_get(1)?,
                digest: row.try_get(2)?,
                state: state_of(state)?,
                unique_until: row.try_get(4)?,
                created_at: row.try_get(5)?,
            };
            holders.insert(*key, holder);
        }
        Ok(holders)
    }

    fn bound_reached(&self, task: &NewTask) -> Option<Arc<str>> {
        let (unfinished, stored_len) = self.sums();
        let unfinished = u64::try_from(unfinished).unwrap_or(0);
        let stored_len = u64::try_from(stored_len).unwrap_or(0);
        if unfinished >= self.limits.waiting_max {
            let message = format!("{unfinished} background tasks wait already (waiting_max)");
            return Some(message.into());
        }
        let more = u64::try_from(task.args.len()).unwrap_or(u64::MAX);
        if stored_len.saturating_add(more) > self.limits.stored_len_max {
            let message =
                format!("background tasks hold {stored_len} bytes already (stored_len_max)");
            return Some(message.into());
        }
        None
    }
}

fn key_of(task: &NewTask, function: i32) -> Option<Key<'_>> {
    let key = task.key.as_deref()?;
    Some((function, task.subject.as_deref().unwrap_or(""), key))
}

/// The keys that have another holder than before, in one order.
fn newly_taken<'t>(
    before: &FxHashMap<Key<'t>, Holder>,
    now: &FxHashMap<Key<'t>, Holder>,
) -> Vec<Taken<'t>> {
    let taken = now.iter().filter_map(|(key, holder)| {
        let previous = before.get(key).map(|holder| holder.id);
        (previous != Some(holder.id)).then(|| Taken {
            function: key.0,
            subject: key.1,
            key: key.2,
            task: holder.id,
            digest: holder.digest.clone(),
            previous,
        })
    });
    let mut taken: Vec<Taken<'t>> = taken.collect();
    taken.sort_unstable_by_key(|taken| (taken.function, taken.subject, taken.key));
    taken
}
