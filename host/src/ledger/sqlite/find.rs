//! Tasks by a filter, the newest first, a bounded look at a time.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use rustc_hash::FxHashSet;

use super::fault::Fault;
use super::known::{state_of, task_id};
use crate::ledger::id::TaskId;
use crate::ledger::record::Filter;
use crate::ledger::states::State;

/// Where a look goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursor {
    /// Tasks before this one.
    pub(super) before: Option<TaskId>,
    /// There are no more.
    pub(super) is_at_end: bool,
}

/// The next tasks that the filter finds: `found_max` at most, after a look at `look_max` at most.
pub(super) fn find(
    connection: &Connection,
    filter: &Filter,
    cursor: &mut Cursor,
    look_max: usize,
    found_max: usize,
) -> Result<Vec<TaskId>, Fault> {
    let (sql, values) = query(filter, cursor.before, look_max);
    let lanes = filter
        .function
        .as_deref()
        .map(|function| lanes(connection, function))
        .transpose()?;
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut found = Vec::new();
    let mut looked = 0;
    while let Some(row) = rows.next()? {
        looked += 1;
        let id = task_id(row, 0)?;
        cursor.before = Some(id);
        let is_of_state = match filter.state {
            Some(state) => state_of(row, 1)? == state,
            None => true,
        };
        let is_of_subject = match &filter.subject {
            Some(subject) => row
                .get_ref(2)?
                .as_str_or_null()
                .is_ok_and(|found| found == Some(subject)),
            None => true,
        };
        let is_of_function = match &lanes {
            Some(lanes) => lanes.contains(&row.get(3)?),
            None => true,
        };
        if is_of_state && is_of_subject && is_of_function {
            found.push(id);
            if found.len() >= found_max {
                return Ok(found);
            }
        }
    }
    cursor.is_at_end = looked < look_max;
    Ok(found)
}

/// By the index that leads most straightly to them, or else through all tasks in order of age.
fn query(filter: &Filter, before: Option<TaskId>, look_max: usize) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = Vec::new();
    let by = if let Some(key) = &filter.key {
        values.push(Value::Text(key.clone()));
        "INDEXED BY task_key WHERE key IS NOT NULL AND key = ?"
    } else if let Some(subject) = &filter.subject {
        values.push(Value::Text(subject.clone()));
        "INDEXED BY task_subject WHERE subject IS NOT NULL AND subject = ?"
    } else {
        match filter.state {
            Some(State::Running) => "INDEXED BY task_running WHERE state = 2",
            Some(State::Discarded) => {
                "INDEXED BY task_failed WHERE state IN (5, 6, 7) AND state = 5"
            }
            Some(State::Cancelled) => {
                "INDEXED BY task_failed WHERE state IN (5, 6, 7) AND state = 6"
            }
            Some(State::Unknown) => "INDEXED BY task_failed WHERE state IN (5, 6, 7) AND state = 7",
            _ => "WHERE 1",
        }
    };
    let mut sql = format!("SELECT id, state, subject, lane FROM task {by}");
    if let Some(before) = before {
        values.push(Value::Blob(before.as_bytes().to_vec()));
        sql.push_str(" AND id < ?");
    }
    sql.push_str(" ORDER BY id DESC LIMIT ?");
    values.push(Value::Integer(i64::try_from(look_max).unwrap_or(i64::MAX)));
    (sql, values)
}

fn lanes(connection: &Connection, function: &str) -> Result<FxHashSet<i64>, Fault> {
    let sql = "SELECT lane FROM lane JOIN function USING (function) WHERE name = ?";
    let mut statement = connection.prepare_cached(sql)?;
    let lanes = statement.query_map([function], |row| row.get(0))?;
    Ok(lanes.collect::<rusqlite::Result<_>>()?)
}
