//! What is read of tasks, without changing anything.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::fault::{self, Fault};
use super::find;
use super::known::{policy_of, state_of};
use super::values::{Kept, wide};
use crate::ledger::id::TaskId;
use crate::ledger::record::{Attempt, Page, PageAsk, Selection, TaskSummary, TaskView};
use crate::ledger::states::{Event, State};
use crate::ledger::store::{FunctionStats, KnownFunction, Stats};
use crate::ledger::work::Cursor;

/// So many tasks has a page at most.
const PAGE_LEN_MAX: usize = 1_000;

/// A page is answered after so many looks.
const LOOKS_MAX: usize = 12;

/// A dry run looks at so many of the tasks that a filter finds at once.
const COUNT_SLICE: usize = 4_000;

/// Of the columns of a task, those that [`summary`] reads, in order. What is joined with `OFFSET 0` is looked for task by task,
/// whatever the database thinks of the tables' sizes.
macro_rules! summaries {
    ($more:literal, $of:literal) => {
        concat!(
            "SELECT task.id, coalesce(live.state, ended.state), function.name, task.key, task.subject, task.priority, \
             coalesce(live.attempts, ended.attempts), task.created_at, coalesce(live.available_at, ended.available_at), \
             coalesce(live.claimed_at, ended.claimed_at), ended.ended_at, task.deadline_at, task.limit_key, task.version, \
             task.parent, task.batch, coalesce(live.cancel_asked, false)",
            $more,
            " FROM @task AS task JOIN @function AS function ON function.number = task.function \
             LEFT JOIN LATERAL (SELECT * FROM @live WHERE id = task.id OFFSET 0) AS live ON true \
             LEFT JOIN LATERAL (SELECT * FROM @ended WHERE id = task.id OFFSET 0) AS ended ON true WHERE ",
            $of
        )
    };
}

fn summary(row: &Row) -> Result<TaskSummary, Fault> {
    let function: &str = row.try_get(2)?;
    let priority: i16 = row.try_get(5)?;
    Ok(TaskSummary {
        id: row.try_get(0)?,
        state: state_of(row.try_get(1)?)?,
        function: function.into(),
        key: row.try_get(3)?,
        subject: row.try_get(4)?,
        priority: u8::try_from(priority).unwrap_or(9),
        attempts: wide(row.try_get(6)?),
        created_at: row.try_get(7)?,
        available_at: row.try_get(8)?,
        claimed_at: row.try_get(9)?,
        ended_at: row.try_get(10)?,
        deadline_at: row.try_get(11)?,
        limit_key: row.try_get(12)?,
        version: row.try_get(13)?,
        parent: row.try_get(14)?,
        batch: row.try_get(15)?,
        cancel_asked: row.try_get(16)?,
    })
}

/// As it is at one moment: within [`Connection::reading`].
pub(super) async fn get(
    connection: &Connection,
    id: TaskId,
) -> Result<Option<Box<TaskView>>, Fault> {
    let rows = connection
        .query(
            summaries!(
                ", task.args, ended.result, task.retry_max, task.retry_base_ms, task.retry_cap_ms, task.retry_on, \
                 task.timeout_ms, task.result_ttl_ms, task.unique_until, task.at_most_once, task.traceparent, task.client, \
                 live.node, coalesce(live.lease, ended.lease), ended.forget_at",
                "task.id = $1"
            ),
            &[(&id, Type::UUID)],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let args: Option<Kept> = row.try_get(17)?;
    let summary = summary(row)?;
    let result: Option<Kept> = row.try_get(18)?;
    let result = match result {
        Some(result) => Some(result.0),
        None if summary.state == State::Completed => Some(bytes::Bytes::new()),
        None => None,
    };
    Ok(Some(Box::new(TaskView {
        summary,
        args: args.map(|args| args.0).unwrap_or_default(),
        result,
        attempts: attempts(connection, id).await?,
        retry: policy_of(row, 19)?,
        timeout_ms: row.try_get(23)?,
        result_ttl_ms: row.try_get(24)?,
        unique_until: row.try_get(25)?,
        at_most_once: row.try_get(26)?,
        traceparent: row.try_get(27)?,
        client: row.try_get(28)?,
        node: row.try_get(29)?,
        lease: row.try_get(30)?,
        forget_at: row.try_get(31)?,
    })))
}

async fn attempts(connection: &Connection, id: TaskId) -> Result<Vec<Attempt>, Fault> {
    let rows = connection
        .query(
            "SELECT number, node, version, started_at, ended_at, error FROM @attempt WHERE task = $1 \
             ORDER BY number DESC LIMIT 100",
            &[(&id, Type::UUID)],
        )
        .await?;
    let read = |row: &Row| {
        let error: Option<Kept> = row.try_get(5)?;
        Ok(Attempt {
            number: wide(row.try_get(0)?),
            node: row.try_get(1)?,
            version: row.try_get(2)?,
            started_at: row.try_get(3)?,
            ended_at: row.try_get(4)?,
            error: error.map(|error| error.0),
        })
    };
    rows.iter().rev().map(read).collect()
}

/// As it is at one moment: within [`Connection::reading`].
pub(super) async fn list(connection: &Connection, ask: &PageAsk) -> Result<Page, Fault> {
    let mut cursor = Cursor {
        before: ask.after,
        is_at_end: false,
    };
    let limit = ask.limit.clamp(1, PAGE_LEN_MAX);
    let mut ids = Vec::new();
    // All of them may fit; where few do, it is looked at more.
    let mut look = limit;
    for _ in 0..LOOKS_MAX {
        let missing = limit - ids.len();
        ids.extend(find::ids(connection, &ask.filter, &mut cursor, missing, look).await?);
        look = (look * 4).min(find::LOOK_MAX);
        if ids.len() >= limit || cursor.is_at_end {
            break;
        }
    }
    let rows = connection
        .query(
            summaries!("", "task.id = ANY($1)"),
            &[(&ids, Type::UUID_ARRAY)],
        )
        .await?;
    let mut found: FxHashMap<TaskId, TaskSummary> = FxHashMap::default();
    for row in &rows {
        let task = summary(row)?;
        found.insert(task.id, task);
    }
    let next = if cursor.is_at_end {
        None
    } else {
        cursor.before
    };
    Ok(Page {
        tasks: ids.iter().filter_map(|id| found.remove(id)).collect(),
        next,
    })
}

/// How many of the tasks that are selected an event would change; looks only.
pub(super) async fn count(
    connection: &Connection,
    selection: &Selection,
    event: Event,
) -> Result<u64, Fault> {
    let filter = match selection {
        Selection::Task(id) => {
            let task = get(connection, *id).await?;
            let state = task.map(|task| task.summary.state);
            let may_change = state.map(|state| u64::from(state.after(event).is_some()));
            return may_change.ok_or_else(|| Fault::Refused(fault::unknown_task()));
        }
        Selection::Filter(filter) => filter,
    };
    let mut cursor = Cursor::default();
    let mut changed = 0;
    while !cursor.is_at_end {
        let found = find::find(connection, filter, &mut cursor, COUNT_SLICE, COUNT_SLICE).await?;
        let changing = found
            .iter()
            .filter(|(_, state)| state.after(event).is_some());
        changed += changing.count() as u64;
    }
    Ok(changed)
}

pub(super) async fn known(connection: &Connection) -> Result<Vec<KnownFunction>, Fault> {
    let rows = connection
        .query("SELECT name, paused FROM @function", &[])
        .await?;
    let read = |row: &Row| {
        Ok(KnownFunction {
            name: row.try_get::<_, &str>(0)?.into(),
            paused: row.try_get(1)?,
        })
    };
    rows.iter().map(read).collect()
}

/// The oldest available task is looked for by the time at which it was taken in, which is near enough where some were tried
/// again.
pub(super) async fn stats(connection: &Connection) -> Result<Stats, Fault> {
    let rows = connection
        .query(
            "SELECT function.name, function.paused, coalesce(scheduled, 0)::int8, coalesce(available, 0)::int8, \
             coalesce(running, 0)::int8, coalesce(retryable, 0)::int8, coalesce(completed, 0)::int8, \
             coalesce(discarded, 0)::int8, coalesce(cancelled, 0)::int8, coalesce(unknown, 0)::int8, \
             coalesce(stored_len, 0)::int8, oldest.at, oldest.version FROM @function AS function \
             LEFT JOIN (SELECT function, sum(scheduled) AS scheduled, sum(available) AS available, sum(running) AS running, \
             sum(retryable) AS retryable, sum(completed) AS completed, sum(discarded) AS discarded, \
             sum(cancelled) AS cancelled, sum(unknown) AS unknown, sum(stored_len) AS stored_len FROM @tally \
             GROUP BY function) AS sums ON sums.function = function.number \
             LEFT JOIN LATERAL (SELECT first.available_at AS at, first.version FROM generate_series(1, 9) AS level \
             CROSS JOIN LATERAL (SELECT available_at, version FROM @live WHERE state = 1 AND function = function.number \
             AND priority = level::int2 ORDER BY id LIMIT 1) AS first ORDER BY first.available_at LIMIT 1) AS oldest \
             ON sums.available > 0",
            &[],
        )
        .await?;
    let mut stats = Stats::default();
    for row in &rows {
        let mut counts = [0; State::ALL.len()];
        for (at, sum) in counts.iter_mut().enumerate() {
            let count: i64 = row.try_get(2 + at)?;
            *sum = u64::try_from(count).unwrap_or(0);
        }
        let stored_len: i64 = row.try_get(10)?;
        stats.stored_len += u64::try_from(stored_len).unwrap_or(0);
        stats.functions.push(FunctionStats {
            function: row.try_get::<_, &str>(0)?.into(),
            paused: row.try_get(1)?,
            counts,
            oldest_available_at: row.try_get(11)?,
            oldest_version: row.try_get::<_, Option<&str>>(12)?.map(Arc::from),
        });
    }
    let lens = connection
        .query(
            "SELECT sum(pg_total_relation_size(oid))::int8 FROM pg_class WHERE relkind = 'r' \
             AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = '@function'::regclass)",
            &[],
        )
        .await?;
    if let Some(row) = lens.first() {
        let len: Option<i64> = row.try_get(0)?;
        stats.file_len = len.and_then(|len| u64::try_from(len).ok());
    }
    Ok(stats)
}
