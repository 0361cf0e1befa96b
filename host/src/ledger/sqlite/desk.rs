//! Where the writer works: the connection, inside a transaction, and what is kept beside it. All changes of a task's state
//! go through here, so that counts, keys and news follow.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params};

use super::book::{Book, Named};
use super::fault::Fault;
use super::known::Known;
use super::schema::INLINE_LEN_MAX;
use super::statements::Statements;
use crate::ledger::id::TaskId;
use crate::ledger::states::{Event, State};
use crate::ledger::store::{Change, Limits};
use crate::ledger::times::wake_at;

pub(super) struct Desk<'c> {
    pub(super) connection: &'c Connection,
    pub(super) statements: Statements<'c>,
    pub(super) book: Book,
    pub(super) limits: Limits,
    pub(super) news: News,
}

/// What the transaction changed, to be told when it is committed.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) are_wanted: bool,
    pub(super) available: Named,
    pub(super) changes: Vec<Change>,
}

/// Text that is bound byte for byte, as it came.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

/// Lengths fit: no text is longer than a request's line.
pub(super) fn len(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

impl Desk<'_> {
    pub(super) fn known(&mut self, id: TaskId) -> Result<Option<Known>, Fault> {
        let mut rows = self.statements.known.query([id])?;
        rows.next()?
            .map(|row| Known::read(row, &self.book))
            .transpose()
    }

    /// Has counts, keys and news follow a change of state that was written to the task's row.
    pub(super) fn moved(&mut self, task: &Known, to: State, now: i64) -> Result<(), Fault> {
        self.book.moves(
            task.lane,
            (task.priority, task.id),
            Some(task.state),
            Some(to),
        );
        if to.is_finished() && task.unique_until.is_none_or(|until| until <= now) {
            self.release_key(task)?;
        }
        self.tell(task.id, task.lane, to, task.subject.as_deref(), false);
        Ok(())
    }

    pub(super) fn release_key(&mut self, task: &Known) -> Result<(), Fault> {
        let Some(key) = &task.key else { return Ok(()) };
        let sql = "DELETE FROM taken WHERE function = ? AND subject = ? AND key = ? AND task = ?";
        let function = self.book.function_of(task.lane).number;
        let subject = task.subject.as_deref().unwrap_or("");
        self.connection
            .prepare_cached(sql)?
            .execute(params![function, subject, key, task.id])?;
        Ok(())
    }

    pub(super) fn tell(
        &mut self,
        id: TaskId,
        lane: usize,
        state: State,
        subject: Option<&str>,
        cancel_asked: bool,
    ) {
        if state == State::Available {
            self.news.available.insert(self.book.lanes[lane].function);
        }
        if self.news.are_wanted {
            let function = Arc::clone(&self.book.function_of(lane).name);
            let subject = subject.map(Arc::from);
            self.news.changes.push(Change {
                id,
                state,
                function,
                subject,
                cancel_asked,
            });
        }
    }

    /// A change that no run brings: a time has come, or a person wants it. Answers whether it may happen.
    pub(super) fn change(&mut self, task: &Known, event: Event, now: i64) -> Result<bool, Fault> {
        let Some(to) = task.state.after(event) else {
            return Ok(false);
        };
        if to == State::Running {
            let sql = "UPDATE task SET cancel_asked = 1 WHERE id = ?";
            self.connection.prepare_cached(sql)?.execute([task.id])?;
            self.tell(task.id, task.lane, to, task.subject.as_deref(), true);
            return Ok(true);
        }
        let is_anew = event == Event::Retry && task.state.is_finished();
        if is_anew && !self.takes_key_again(task)? {
            return Ok(false);
        }
        let ended_at = to.is_finished().then_some(now);
        let forget_at = task.forget_at(to, self.limits, now);
        // When it became available, where it does now.
        let available_at = if to == State::Available {
            now
        } else {
            task.available_at
        };
        let deadline_at = if is_anew { None } else { task.deadline_at };
        let tries = if event == Event::Retry { 0 } else { task.tries };
        self.connection
            .prepare_cached(
                "UPDATE task SET state = ?, tries = ?, cancel_asked = 0, node = NULL, run_version = NULL, since = ?, \
                 available_at = ?, wake_at = ?, ended_at = ?, forget_at = ?, deadline_at = ? WHERE id = ?",
            )?
            .execute(params![
                to,
                tries,
                now,
                available_at,
                wake_at(to, available_at, deadline_at),
                ended_at,
                forget_at,
                deadline_at,
                task.id
            ])?;
        self.moved(task, to, now)?;
        Ok(true)
    }

    /// For a task that has ended and is to run once more: whether no other task has its key now.
    fn takes_key_again(&mut self, task: &Known) -> Result<bool, Fault> {
        let Some(key) = &task.key else {
            return Ok(true);
        };
        let function = self.book.function_of(task.lane).number;
        let subject = task.subject.as_deref().unwrap_or("");
        let sql = "INSERT INTO taken (function, subject, key, task) VALUES (?1, ?2, ?3, ?4)
                   ON CONFLICT DO UPDATE SET task = ?4 WHERE task = ?4";
        let taken = self
            .connection
            .prepare_cached(sql)?
            .execute(params![function, subject, key, task.id])?;
        Ok(taken == 1)
    }

    /// Where a text stands: in the task's own row, or at this place of the table of long ones.
    pub(super) fn place_text(&mut self, text: &[u8]) -> Result<Option<i64>, Fault> {
        if text.len() <= INLINE_LEN_MAX {
            return Ok(None);
        }
        let at = self.book.next_long_text();
        let sql = "INSERT INTO long_text (at, text) VALUES (?, ?)";
        self.connection
            .prepare_cached(sql)?
            .execute(params![at, Text(text)])?;
        Ok(Some(at))
    }
}
