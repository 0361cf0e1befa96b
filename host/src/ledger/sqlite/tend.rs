//! What time brings: tasks whose time has come, deadlines, and what is to be forgotten.

use rusqlite::{OptionalExtension as _, Params, params};

use super::desk::Desk;
use super::fault::Fault;
use super::known::{Known, task_id};
use crate::ledger::id::TaskId;
use crate::ledger::states::Event;
use crate::ledger::store::{Pruned, Swept};
use crate::ledger::times::CLOCK_TOLERANCE_MS;

/// Lanes without tasks are deleted when there are so many.
const EMPTY_LANES_MAX: usize = 1_000;

impl Desk<'_> {
    pub(super) fn ids(&self, sql: &str, params: impl Params) -> Result<Vec<TaskId>, Fault> {
        let mut select = self.connection.prepare_cached(sql)?;
        let ids = select.query_map(params, |row| task_id(row, 0))?;
        Ok(ids.collect::<rusqlite::Result<_>>()?)
    }

    pub(super) fn sweep(&mut self, now: i64, limit: usize) -> Result<Swept, Fault> {
        let woken = self.ids(
            "SELECT id FROM task INDEXED BY task_time WHERE forget_at IS NULL AND wake_at IS NOT NULL AND wake_at <= ? \
             ORDER BY wake_at, id LIMIT ?",
            params![now, count(limit)],
        )?;
        let mut swept = Swept {
            more: woken.len() >= limit,
            ..Swept::default()
        };
        for id in woken {
            let Some(task) = self.known(id)? else {
                continue;
            };
            if task.deadline_at.is_some_and(|deadline| deadline <= now) {
                swept.expired += u64::from(self.change(&task, Event::Expire, now)?);
            } else {
                swept.due += u64::from(self.change(&task, Event::Due, now)?);
            }
        }
        let mut next = self.connection.prepare_cached(
            "SELECT wake_at FROM task INDEXED BY task_time WHERE forget_at IS NULL AND wake_at IS NOT NULL \
             ORDER BY wake_at LIMIT 1",
        )?;
        swept.next_at = next.query_row([], |row| row.get(0)).optional()?;
        Ok(swept)
    }

    pub(super) fn prune(&mut self, now: i64, limit: usize) -> Result<Pruned, Fault> {
        let ids = self.ids(
            "SELECT id FROM task INDEXED BY task_time WHERE forget_at IS NOT NULL AND forget_at <= ? \
             ORDER BY forget_at, id LIMIT ?",
            params![now, count(limit)],
        )?;
        for id in &ids {
            if let Some(task) = self.known(*id)? {
                self.forget(&task)?;
            }
        }
        self.tidy()?;
        let forgotten = ids.len() as u64;
        Ok(Pruned {
            forgotten,
            more: ids.len() >= limit,
        })
    }

    fn forget(&mut self, task: &Known) -> Result<(), Fault> {
        let sql = "SELECT stored_len, args_at, result_at FROM task WHERE id = ?";
        let texts = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let (stored_len, args_at, result_at): (i64, Option<i64>, Option<i64>) = self
            .connection
            .prepare_cached(sql)?
            .query_row([task.id], texts)?;
        for at in [args_at, result_at].into_iter().flatten() {
            self.connection
                .prepare_cached("DELETE FROM long_text WHERE at = ?")?
                .execute([at])?;
        }
        if let Some(key) = &task.key {
            let sql = "DELETE FROM by_key WHERE key = ? AND task = ?";
            self.connection
                .prepare_cached(sql)?
                .execute(params![key, task.id])?;
        }
        if let Some(subject) = &task.subject {
            let sql = "DELETE FROM by_subject WHERE subject = ? AND task = ?";
            self.connection
                .prepare_cached(sql)?
                .execute(params![subject, task.id])?;
        }
        self.connection
            .prepare_cached("DELETE FROM attempt WHERE task = ?")?
            .execute([task.id])?;
        self.connection
            .prepare_cached("DELETE FROM task WHERE id = ?")?
            .execute([task.id])?;
        self.release_key(task)?;
        self.book
            .moves(task.lane, (task.priority, task.id), Some(task.state), None);
        self.book.holds(task.lane, -stored_len);
        Ok(())
    }

    /// Deletes lanes of limit keys that nobody uses any more, when there are many.
    pub(super) fn tidy(&mut self) -> Result<(), Fault> {
        if self.book.empty_lanes() <= EMPTY_LANES_MAX {
            return Ok(());
        }
        self.book.write(self.connection)?;
        self.book.delete_empty_lanes(self.connection)?;
        self.reload_book()
    }

    pub(super) fn reload_book(&mut self) -> Result<(), Fault> {
        let claims: Vec<_> = self
            .book
            .functions
            .iter()
            .map(|function| (function.name.clone(), function.claims))
            .collect();
        let book = super::book::Book::load(self.connection)?;
        self.book = book;
        for (name, claims) in claims {
            if let Some(place) = self.book.place_of(&name) {
                self.book.function_of_mut(place).claims = claims;
            }
        }
        Ok(())
    }

    /// Notices a clock that was set back, by more than a minute. What waits was given its time by the clock as it was: where
    /// that time can't be right, it waits from now on for as long as it was to wait then, and what has ended is kept for as
    /// long as it was to be kept. So nothing waits longer than it was told to, counted from the moment at which the clock is
    /// set right. What a clock that was ahead has begun or ended too early stays so.
    pub(super) fn heed_clock(&mut self, now: i64) -> Result<(), Fault> {
        let latest = self.book.latest;
        if (latest.saturating_sub(CLOCK_TOLERANCE_MS)..=latest.saturating_add(CLOCK_TOLERANCE_MS))
            .contains(&now)
        {
            return Ok(());
        }
        self.book.latest = now;
        self.connection
            .prepare_cached("UPDATE clock SET latest = ?")?
            .execute([now])?;
        if now > latest {
            return Ok(());
        }
        for sql in [
            "UPDATE task SET available_at = ?1 + (available_at - since), since = ?1, \
             wake_at = min(?1 + (available_at - since), coalesce(deadline_at, ?1 + (available_at - since))) \
             WHERE forget_at IS NULL AND wake_at IS NOT NULL AND state IN (0, 3) AND since > ?1 + ?2",
            "UPDATE task SET forget_at = ?1 + (forget_at - since), since = ?1 \
             WHERE forget_at IS NOT NULL AND since > ?1 + ?2",
        ] {
            self.connection
                .prepare_cached(sql)?
                .execute(params![now, CLOCK_TOLERANCE_MS])?;
        }
        Ok(())
    }
}

fn count(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
