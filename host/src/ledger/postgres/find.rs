//! Tasks by a filter, the newest first, a bounded look at a time.

use tokio_postgres::types::Type;

use super::connection::Connection;
use super::fault::Fault;
use super::known::state_of;
use super::values::{count, number_of};
use crate::ledger::id::TaskId;
use crate::ledger::record::Filter;
use crate::ledger::states::State;
use crate::ledger::work::Cursor;

/// So many tasks are looked at by one statement, at most.
pub(super) const LOOK_MAX: usize = 4_000;

/// The last of all ids.
const LAST: TaskId = TaskId::from_bytes([255; 16]);

/// Those of the tasks before $1 that have the state $2, the function $3, the subject $4 and the key $5, where these are
/// given: $7 at most, after a look at $6. The last row, which is false, is where the look ended, if there may be more. What
/// is joined with `OFFSET 0` is looked for task by task, whatever the database thinks of the tables' sizes.
macro_rules! look {
    ($table:literal, $state:literal, $of:literal, $which:literal) => {
        concat!(
            "WITH looked AS MATERIALIZED (SELECT it.id, ",
            $state,
            " AS state, task.function, task.subject, task.key FROM ",
            $table,
            " AS it ",
            $of,
            " WHERE it.id < $1 AND ",
            $which,
            " ORDER BY it.id DESC LIMIT $6), \
             fitting AS (SELECT id, state FROM looked WHERE ($2::int2 IS NULL OR state = $2) \
             AND ($3::text IS NULL OR function = (SELECT number FROM @function WHERE name = $3)) \
             AND ($4::text IS NULL OR subject = $4) AND ($5::text IS NULL OR key = $5) ORDER BY id DESC LIMIT $7) \
             (SELECT id, state, true FROM fitting ORDER BY id DESC) UNION ALL \
             (SELECT id, state, false FROM looked ORDER BY id DESC OFFSET $6 - 1 LIMIT 1)"
        )
    };
}

macro_rules! of_task {
    ($which:literal) => {
        look!(
            "@task",
            "coalesce(live.state, ended.state)",
            "CROSS JOIN LATERAL (SELECT it.function, it.subject, it.key) AS task \
             LEFT JOIN LATERAL (SELECT state FROM @live WHERE id = it.id OFFSET 0) AS live ON true \
             LEFT JOIN LATERAL (SELECT state FROM @ended WHERE id = it.id OFFSET 0) AS ended ON true",
            $which
        )
    };
}

macro_rules! of_state {
    ($table:literal, $which:literal) => {
        look!(
            $table,
            "it.state",
            "CROSS JOIN LATERAL (SELECT function, subject, key FROM @task WHERE id = it.id OFFSET 0) AS task",
            $which
        )
    };
}

const ALL: &str = of_task!("true");
const BY_KEY: &str = of_task!("it.key = $5");
const BY_SUBJECT: &str = of_task!("it.subject = $4");
const LIVE: &str = of_state!("@live", "true");
const RUNNING: &str = of_state!("@live", "it.state = 2");
const ENDED: &str = of_state!("@ended", "true");
const RARE: &str = of_state!("@ended", "it.state > 4 AND it.state = $2");

/// The way that leads most straightly to them.
fn way(filter: &Filter) -> &'static str {
    if filter.key.is_some() {
        return BY_KEY;
    }
    if filter.subject.is_some() {
        return BY_SUBJECT;
    }
    match filter.state {
        None => ALL,
        Some(State::Running) => RUNNING,
        Some(State::Completed) => ENDED,
        Some(state) if state.is_finished() => RARE,
        Some(_) => LIVE,
    }
}

/// The next tasks that the filter finds, and their states: `found_max` at most, after a look at `look` tasks.
pub(super) async fn find(
    connection: &Connection,
    filter: &Filter,
    cursor: &mut Cursor,
    found_max: usize,
    look: usize,
) -> Result<Vec<(TaskId, State)>, Fault> {
    let before = cursor.before.unwrap_or(LAST);
    let state = filter.state.map(number_of);
    let rows = connection
        .query(
            way(filter),
            &[
                (&before, Type::UUID),
                (&state, Type::INT2),
                (&filter.function.as_deref(), Type::TEXT),
                (&filter.subject, Type::TEXT),
                (&filter.key, Type::TEXT),
                (&count(look), Type::INT8),
                (&count(found_max), Type::INT8),
            ],
        )
        .await?;
    let mut found = Vec::new();
    let mut end = None;
    for row in &rows {
        let id: TaskId = row.try_get(0)?;
        if row.try_get(2)? {
            // None while it is on its way from one table to the other, which a look at one moment never sees.
            if let Some(state) = row.try_get::<_, Option<i16>>(1)? {
                found.push((id, state_of(state)?));
            }
        } else {
            end = Some(id);
        }
    }
    if found.len() >= found_max {
        cursor.before = found.last().map(|(id, _)| *id);
    } else if end.is_some() {
        cursor.before = end;
    } else {
        cursor.is_at_end = true;
    }
    Ok(found)
}

/// As [`find`], without states.
pub(super) async fn ids(
    connection: &Connection,
    filter: &Filter,
    cursor: &mut Cursor,
    found_max: usize,
    look: usize,
) -> Result<Vec<TaskId>, Fault> {
    let found = find(connection, filter, cursor, found_max, look).await?;
    Ok(found.into_iter().map(|(id, _)| id).collect())
}
