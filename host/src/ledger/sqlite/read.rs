//! What is read of tasks, without changing anything.

use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::fault::Fault;
use super::find;
use super::known::{policy_of, state_of, task_id};
use crate::ledger::id::TaskId;
use crate::ledger::record::{Attempt, Page, PageAsk, TaskSummary, TaskView};
use crate::ledger::store::FunctionStats;
use crate::ledger::work::Cursor;

/// A page looks at so many tasks before it is answered.
const LOOK_MAX: usize = 50_000;

/// So many tasks has a page at most.
const PAGE_LEN_MAX: usize = 1_000;

/// So many attempts are shown.
const ATTEMPTS_MAX: i64 = 100;

/// The columns of [`summary`], in order.
const SUMMARY: &str = "task.id, state, function.name, key, subject, priority, attempts, created_at, available_at, claimed_at, \
ended_at, deadline_at, lane.limit_key, lane.version, parent, batch, cancel_asked";

fn summary(row: &Row<'_>) -> Result<TaskSummary, Fault> {
    let parent: Option<[u8; 16]> = row.get(14)?;
    Ok(TaskSummary {
        id: task_id(row, 0)?,
        state: state_of(row, 1)?,
        function: row.get(2)?,
        key: row.get(3)?,
        subject: row.get(4)?,
        priority: row.get(5)?,
        attempts: row.get(6)?,
        created_at: row.get(7)?,
        available_at: row.get(8)?,
        claimed_at: row.get(9)?,
        ended_at: row.get(10)?,
        deadline_at: row.get(11)?,
        limit_key: row.get(12)?,
        version: row.get(13)?,
        parent: parent.map(TaskId::from_bytes),
        batch: row.get(15)?,
        cancel_asked: row.get(16)?,
    })
}

pub(super) fn text(row: &Row<'_>, column: usize) -> Result<Option<Bytes>, Fault> {
    let text = row
        .get_ref(column)?
        .as_bytes_or_null()
        .map_err(rusqlite::Error::from)?;
    Ok(text.map(Bytes::copy_from_slice))
}

pub(super) fn get(connection: &Connection, id: TaskId) -> Result<Option<Box<TaskView>>, Fault> {
    // One transaction, so that the attempts belong to the task as it is shown.
    let transaction = connection.unchecked_transaction()?;
    let sql = format!(
        "SELECT {SUMMARY}, coalesce(args, long_args.text), coalesce(result, long_result.text), retry_max, retry_base_ms, \
         retry_cap_ms, retry_on, timeout_ms, result_ttl_ms, unique_until, at_most_once, traceparent, client, word.text, \
         lease, forget_at \
         FROM task JOIN lane USING (lane) JOIN function USING (function) \
         LEFT JOIN long_text AS long_args ON long_args.at = args_at \
         LEFT JOIN long_text AS long_result ON long_result.at = result_at \
         LEFT JOIN word ON word.word = node \
         WHERE task.id = ?"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut rows = statement.query([id])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(Box::new(TaskView {
        summary: summary(row)?,
        args: text(row, 17)?.unwrap_or_default(),
        result: text(row, 18)?,
        attempts: attempts(&transaction, id)?,
        retry: policy_of(row, 19)?,
        timeout_ms: row.get(23)?,
        result_ttl_ms: row.get(24)?,
        unique_until: row.get(25)?,
        at_most_once: row.get(26)?,
        traceparent: row.get(27)?,
        client: row.get(28)?,
        node: row.get(29)?,
        lease: row.get(30)?,
        forget_at: row.get(31)?,
    })))
}

/// Of the columns from this one on: number, host, version, begin, end and error.
pub(super) fn attempt(row: &Row<'_>, first: usize) -> Result<Attempt, Fault> {
    Ok(Attempt {
        number: row.get(first)?,
        node: row.get(first + 1)?,
        version: row.get(first + 2)?,
        started_at: row.get(first + 3)?,
        ended_at: row.get(first + 4)?,
        error: text(row, first + 5)?,
    })
}

fn attempts(connection: &Connection, id: TaskId) -> Result<Vec<Attempt>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT number, node.text, version.text, started_at, ended_at, error FROM attempt \
         JOIN word AS node ON node.word = node JOIN word AS version ON version.word = version \
         WHERE task = ? ORDER BY number DESC LIMIT ?",
    )?;
    let mut rows = statement.query((id, ATTEMPTS_MAX))?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        attempts.push(attempt(row, 0)?);
    }
    attempts.reverse();
    Ok(attempts)
}

pub(super) fn list(connection: &Connection, ask: &PageAsk) -> Result<Page, Fault> {
    let transaction = connection.unchecked_transaction()?;
    let mut cursor = Cursor {
        before: ask.after,
        is_at_end: false,
    };
    let limit = ask.limit.clamp(1, PAGE_LEN_MAX);
    let ids = find::find(&transaction, &ask.filter, &mut cursor, LOOK_MAX, limit)?;
    let sql = format!(
        "SELECT {SUMMARY} FROM task JOIN lane USING (lane) JOIN function USING (function) WHERE task.id = ?"
    );
    let mut statement = transaction.prepare_cached(&sql)?;
    let mut tasks = Vec::with_capacity(ids.len());
    for id in ids {
        let mut rows = statement.query([id])?;
        if let Some(row) = rows.next()? {
            tasks.push(summary(row)?);
        }
    }
    let next = if cursor.is_at_end {
        None
    } else {
        cursor.before
    };
    Ok(Page { tasks, next })
}

/// Finds the one that may be claimed and has waited longest: of each lane and priority the oldest is looked at. That is the
/// oldest by the time at which it was taken in, which is near enough where some were tried again.
pub(super) fn find_oldest(connection: &Connection, of: &mut FunctionStats) -> Result<(), Fault> {
    let mut lanes = connection.prepare_cached(
        "SELECT lane, version FROM lane JOIN function USING (function) WHERE name = ? AND available > 0 LIMIT 1000",
    )?;
    let lanes: Vec<(i64, Option<Arc<str>>)> = lanes
        .query_map([&of.function], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut first = connection.prepare_cached(
        "SELECT available_at FROM task INDEXED BY task_ready WHERE state = 1 AND lane = ? AND priority = ? \
         ORDER BY id LIMIT 1",
    )?;
    for (lane, version) in lanes {
        for priority in 1..=9 {
            let at: Option<i64> = first
                .query_row((lane, priority), |row| row.get(0))
                .optional()?;
            if at.is_some_and(|at| of.oldest_available_at.is_none_or(|oldest| at < oldest)) {
                of.oldest_available_at = at;
                of.oldest_version.clone_from(&version);
            }
        }
    }
    Ok(())
}
