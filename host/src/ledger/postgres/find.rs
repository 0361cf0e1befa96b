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

/// So many tasks are looked at by one statement.
const LOOK: usize = 4_000;

/// The last of all ids.
const LAST: TaskId = TaskId::from_bytes([255; 16]);

/// Those of the tasks before $1 that have the state $2, the function $3, the subject $4 and the key $5, where these are
/// given: $7 at most, after a look at $6. The last row, which is false, is where the look ended, if there may be more.
macro_rules! look {
    ($from:literal) => {
        concat!(
            "WITH looked AS MATERIALIZED (SELECT task.id, ",
            $from,
            " ORDER BY task.id DESC LIMIT $6), \
             fitting AS (SELECT id, state FROM looked WHERE ($2::int2 IS NULL OR state = $2) \
             AND ($3::text IS NULL OR function = (SELECT number FROM @function WHERE name = $3)) \
             AND ($4::text IS NULL OR subject = $4) AND ($5::text IS NULL OR key = $5) ORDER BY id DESC LIMIT $7) \
             (SELECT id, state, true FROM fitting ORDER BY id DESC) UNION ALL \
             (SELECT id, state, false FROM looked ORDER BY id DESC OFFSET $6 - 1 LIMIT 1)"
        )
    };
}

const BY_KEY: &str = look!(
    "coalesce(live.state, ended.state) AS state, task.function, task.subject, task.key FROM @task AS task \
     LEFT JOIN @live AS live ON live.id = task.id LEFT JOIN @ended AS ended ON ended.id = task.id \
     WHERE task.id < $1 AND task.key = $5"
);

const BY_SUBJECT: &str = look!(
    "coalesce(live.state, ended.state) AS state, task.function, task.subject, task.key FROM @task AS task \
     LEFT JOIN @live AS live ON live.id = task.id LEFT JOIN @ended AS ended ON ended.id = task.id \
     WHERE task.id < $1 AND task.subject = $4"
);

const RUNNING: &str = look!(
    "live.state, task.function, task.subject, task.key FROM @live AS live JOIN @task AS task ON task.id = live.id \
     WHERE live.id < $1 AND live.state = 2"
);

const LIVE: &str = look!(
    "live.state, task.function, task.subject, task.key FROM @live AS live JOIN @task AS task ON task.id = live.id \
     WHERE live.id < $1"
);

const RARE: &str = look!(
    "ended.state, task.function, task.subject, task.key FROM @ended AS ended JOIN @task AS task ON task.id = ended.id \
     WHERE ended.id < $1 AND ended.state > 4 AND ended.state = $2"
);

const ENDED: &str = look!(
    "ended.state, task.function, task.subject, task.key FROM @ended AS ended JOIN @task AS task ON task.id = ended.id \
     WHERE ended.id < $1"
);

const ALL: &str = look!(
    "coalesce(live.state, ended.state) AS state, task.function, task.subject, task.key FROM @task AS task \
     LEFT JOIN @live AS live ON live.id = task.id LEFT JOIN @ended AS ended ON ended.id = task.id WHERE task.id < $1"
);

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

/// The next tasks that the filter finds, and their states: `found_max` at most, after a bounded look.
pub(super) async fn find(
    connection: &Connection,
    filter: &Filter,
    cursor: &mut Cursor,
    found_max: usize,
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
                (&count(LOOK), Type::INT8),
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
) -> Result<Vec<TaskId>, Fault> {
    let found = find(connection, filter, cursor, found_max).await?;
    Ok(found.into_iter().map(|(id, _)| id).collect())
}
