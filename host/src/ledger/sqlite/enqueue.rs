//! Tasks are taken in.

use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};

use super::desk::{Desk, Text, len};
use super::fault::Fault;
use super::known::{retry_on_index, state_of, task_id};
use crate::ledger::id::TaskId;
use crate::ledger::record::{Enqueued, NewTask};
use crate::ledger::states::State;
use crate::ledger::times::{CLOCK_TOLERANCE_MS, wake_at};

impl Desk<'_> {
    pub(super) fn enqueue(&mut self, tasks: &[NewTask], now: i64) -> Result<Vec<Enqueued>, Fault> {
        tasks
            .iter()
            .map(|task| self.enqueue_one(task, now))
            .collect()
    }

    fn enqueue_one(&mut self, task: &NewTask, now: i64) -> Result<Enqueued, Fault> {
        let known = self.book.place_of(&task.function);
        if let (Some(key), Some(function)) = (&task.key, known)
            && let Some(answer) = self.is_taken(task, key, function, now)?
        {
            return Ok(answer);
        }
        if let Some(reached) = self.bound_reached(task) {
            return Ok(Enqueued::Overloaded(reached));
        }
        let function = self.book.know(self.connection, &task.function, now)?;
        let lane = self.book.lane(
            self.connection,
            function,
            task.version.as_deref(),
            task.limit_key.as_deref(),
        )?;
        let state = State::of_new(task.available_at, now);
        if let Some(subject) = &task.subject {
            let sql = "INSERT INTO by_subject (subject, task) VALUES (?, ?)";
            self.connection
                .prepare_cached(sql)?
                .execute(params![subject, task.id])?;
        }
        if let Some(key) = &task.key {
            let sql = "INSERT INTO by_key (key, task) VALUES (?, ?)";
            self.connection
                .prepare_cached(sql)?
                .execute(params![key, task.id])?;
            let sql =
                "INSERT OR REPLACE INTO taken (function, subject, key, task) VALUES (?, ?, ?, ?)";
            let number = self.book.functions[function].number;
            let subject = task.subject.as_deref().unwrap_or("");
            self.connection
                .prepare_cached(sql)?
                .execute(params![number, subject, key, task.id])?;
        }
        self.insert(task, lane, state, now)?;
        self.book
            .moves(lane, (task.priority, task.id), None, Some(state));
        self.book.holds(lane, len(&task.args));
        self.tell(task.id, lane, state, task.subject.as_deref(), false);
        Ok(Enqueued::Stored(state))
    }

    fn insert(&mut self, task: &NewTask, lane: usize, state: State, now: i64) -> Result<(), Fault> {
        let args_at = self.place_text(&task.args)?;
        let available_at = task.available_at.max(now);
        self.statements.insert.execute(params![
            task.id,
            self.book.lanes[lane].number,
            state,
            task.priority,
            now,
            available_at,
            wake_at(state, available_at, task.deadline_at),
            task.deadline_at,
            task.timeout_ms,
            task.result_ttl_ms,
            task.unique_until,
            task.retry.max,
            task.retry.base_ms,
            task.retry.cap_ms,
            retry_on_index(task.retry.on),
            task.at_most_once,
            task.key,
            task.subject,
            task.parent,
            task.batch,
            task.traceparent,
            task.client,
            len(&task.args),
            args_at,
            args_at.is_none().then_some(Text(&task.args)),
        ])?;
        Ok(())
    }

    /// What to answer where another task has the key.
    fn is_taken(
        &self,
        task: &NewTask,
        key: &str,
        function: usize,
        now: i64,
    ) -> Result<Option<Enqueued>, Fault> {
        let mut select = self.connection.prepare_cached(
            "SELECT task.id, state, unique_until, created_at, coalesce(args, long_text.text) = ? FROM taken \
             JOIN task ON task.id = taken.task LEFT JOIN long_text ON long_text.at = args_at \
             WHERE function = ? AND taken.subject = ? AND taken.key = ?",
        )?;
        let subject = task.subject.as_deref().unwrap_or("");
        let number = self.book.functions[function].number;
        let holder = |row: &rusqlite::Row<'_>| {
            let id: TaskId = task_id(row, 0)?;
            let (until, created_at): (Option<i64>, i64) = (row.get(2)?, row.get(3)?);
            Ok((
                id,
                state_of(row, 1),
                until,
                created_at,
                row.get::<_, bool>(4)?,
            ))
        };
        let found = select
            .query_row(params![Text(&task.args), number, subject, key], holder)
            .optional()?;
        let Some((id, state, until, created_at, is_equal)) = found else {
            return Ok(None);
        };
        let state = state?;
        let is_kept = until.is_some_and(|until| until > now)
            && created_at <= now.saturating_add(CLOCK_TOLERANCE_MS);
        Ok(match (!state.is_finished() || is_kept, is_equal) {
            (false, _) => None,
            (true, true) => Some(Enqueued::Duplicate { id, state }),
            (true, false) => Some(Enqueued::KeyConflict { id }),
        })
    }

    fn bound_reached(&self, task: &NewTask) -> Option<Arc<str>> {
        if self.book.unfinished() >= self.limits.waiting_max {
            return Some(
                format!(
                    "{} background tasks wait already (waiting_max)",
                    self.book.unfinished()
                )
                .into(),
            );
        }
        let more = u64::try_from(task.args.len()).unwrap_or(u64::MAX);
        if self.book.stored_len().saturating_add(more) > self.limits.stored_len_max {
            let stored = self.book.stored_len();
            return Some(
                format!("background tasks hold {stored} bytes already (stored_len_max)").into(),
            );
        }
        None
    }
}
