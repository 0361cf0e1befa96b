//! Tasks by a filter, the newest first, a bounded look at a time.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use rustc_hash::FxHashSet;

use super::fault::Fault;
use super::known::{state_of, task_id};
use crate::ledger::id::TaskId;
use crate::ledger::record::Filter;
use crate::ledger::states::State;
use crate::ledger::work::Cursor;

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
    let (id, from) = if let Some(key) = &filter.key {
        values.push(Value::Text(key.clone()));
        let from = "by_key AS found CROSS JOIN task ON task.id = found.task WHERE found.key = ?";
        ("found.task", from)
    } else if let Some(subject) = &filter.subject {
        values.push(Value::Text(subject.clone()));
        let from =
            "by_subject AS found CROSS JOIN task ON task.id = found.task WHERE found.subject = ?";
        ("found.task", from)
    } else if let Some(state) = filter.state.filter(|state| is_rare(*state)) {
        values.push(Value::Integer(i64::try_from(state.index()).unwrap_or(0)));
        (
            "id",
            "task INDEXED BY task_rare WHERE (state = 2 OR state > 4) AND state = ?",
        )
    } else {
        ("id", "task WHERE 1")
    };
    let before = match before {
        Some(before) => {
            values.push(Value::Blob(before.as_bytes().to_vec()));
            format!("AND {id} < ?")
        }
        None => String::new(),
    };
    values.push(Value::Integer(i64::try_from(look_max).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT id, state, task.subject, lane FROM {from} {before} ORDER BY {id} DESC LIMIT ?"
    );
    (sql, values)
}

/// Those of the index `task_rare`.
fn is_rare(state: State) -> bool {
    matches!(
        state,
        State::Running | State::Discarded | State::Cancelled | State::Unknown
    )
}

fn lanes(connection: &Connection, function: &str) -> Result<FxHashSet<i64>, Fault> {
    let sql = "SELECT lane FROM lane JOIN function USING (function) WHERE name = ?";
    let mut statement = connection.prepare_cached(sql)?;
    let lanes = statement.query_map([function], |row| row.get(0))?;
    Ok(lanes.collect::<rusqlite::Result<_>>()?)
}
