//! `SQLite` files, opened for reading only.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, ConnectOptions as _, Either, Executor, Row as _,
    SqlSafeStr, SqliteConnection, Statement as _, TypeInfo as _, ValueRef as _,
    sqlite::{SqliteArguments, SqliteColumn, SqliteConnectOptions, SqliteRow},
};

use crate::{
    columns::Kind,
    database::{
        SourceQuery, guarded, hex, pass_on,
        sink::{Cell, Declared, Sink},
    },
    error::{Result, Trouble},
    watch::Watch,
};

pub(super) async fn run(
    path: &Path,
    query: &SourceQuery,
    watch: &Arc<Watch>,
    sink: &mut Sink,
) -> Result<()> {
    let failed = |error: sqlx::Error| trouble(query, watch, &error);
    let options = SqliteConnectOptions::new()
        .filename(path)
        .read_only(true)
        .create_if_missing(false)
        .pragma("query_only", "on")
        .busy_timeout(Duration::from_secs(5))
        .row_buffer_size(500);
    let connect = async { options.connect().await.map_err(failed) };
    let mut connection = match guarded(sink, watch, connect).await {
        // A database with a write-ahead log can't be opened in a folder that can't be written, unless nobody writes it.
        Err(error) if error.kind == "unreadable_file" && !has_log(path) => {
            let options = options.clone().immutable(true);
            let connect = async { options.connect().await.map_err(failed) };
            guarded(sink, watch, connect).await?
        }
        connected => connected?,
    };
    let stop = Arc::clone(watch);
    let mut handle = connection.lock_handle().await.map_err(failed)?;
    handle.set_progress_handler(10_000, move || stop.check().is_ok());
    drop(handle);
    ask(&mut connection, query, watch, sink).await
}

fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).exists()
}

async fn ask(
    connection: &mut SqliteConnection,
    query: &SourceQuery,
    watch: &Arc<Watch>,
    sink: &mut Sink,
) -> Result<()> {
    let failed = |error: sqlx::Error| trouble(query, watch, &error);
    let prepare = async {
        let text = AssertSqlSafe(query.sql.as_str()).into_sql_str();
        (&mut *connection).prepare(text).await.map_err(failed)
    };
    let statement = guarded(sink, watch, prepare).await?;
    let count = match statement.parameters() {
        Some(Either::Right(count)) => count,
        _ => 0,
    };
    let arguments = arguments(query, count)?;
    let columns = statement.columns().iter();
    sink.declare(
        columns
            .map(|column| (column.name().to_owned(), declare(column.type_info().name())))
            .collect(),
    )?;
    drop(statement);
    let rows = sqlx::query_with(AssertSqlSafe(query.sql.as_str()), arguments).fetch(connection);
    pass_on(rows, query, watch, sink, cell, failed).await
}

/// A column holds what its rows have; where there are none, what it was declared as.
fn declare(name: &str) -> Declared {
    Declared::Any(match name {
        "INTEGER" | "BOOLEAN" | "INT4" | "BIGINT" => Kind::Integer,
        "REAL" | "NUMERIC" => Kind::Number,
        "DATE" => Kind::Date,
        "DATETIME" => Kind::Timestamp,
        // What is computed has no type until it has a value.
        "NULL" => Kind::Nothing,
        _ => Kind::Text,
    })
}

fn cell(row: &SqliteRow, column: &SqliteColumn) -> Result<Cell, sqlx::Error> {
    let at = column.ordinal();
    let value = row.try_get_raw(at)?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    let name = value.type_info().name().to_owned();
    Ok(match name.as_str() {
        "INTEGER" | "BOOLEAN" | "INT4" => Cell::Integer(row.try_get_unchecked(at)?),
        "REAL" | "NUMERIC" => Cell::Number(row.try_get_unchecked(at)?),
        "BLOB" => hex(&row.try_get_unchecked::<Vec<u8>, _>(at)?),
        _ => Cell::Text(row.try_get_unchecked(at)?),
    })
}

fn arguments(query: &SourceQuery, count: usize) -> Result<SqliteArguments> {
    query.check_count(count)?;
    let mut arguments = SqliteArguments::default();
    for (value, number) in query.parameters.iter().zip(1..) {
        let added = match value {
            Value::Null => arguments.add(None::<String>),
            Value::Bool(value) => arguments.add(*value),
            Value::Number(number) => match number.as_i64() {
                Some(value) => arguments.add(value),
                None => arguments.add(number.as_f64()),
            },
            Value::String(text) => arguments.add(text.clone()),
            Value::Array(_) | Value::Object(_) => arguments.add(value.to_string()),
        };
        added.map_err(|error| query.invalid_parameter(number, error))?;
    }
    Ok(arguments)
}

fn trouble(query: &SourceQuery, watch: &Watch, error: &sqlx::Error) -> Trouble {
    let sqlx::Error::Database(database) = error else {
        return query.connection_trouble(error, true);
    };
    let code = database.code().unwrap_or_default().into_owned();
    let primary = code.parse::<u32>().unwrap_or(0) & 0xff;
    match primary {
        // Interrupted, by us.
        9 => watch
            .check()
            .err()
            .unwrap_or_else(|| query.error("query_timeout", database.message())),
        5 | 6 => query.error("database_busy", database.message()).retryable(),
        8 => query.error(
            "statement_refused",
            format!("{}; a report only reads", database.message()),
        ),
        10 => query.error("io_error", database.message()).retryable(),
        11 | 14 | 26 => query.error("unreadable_file", database.message()),
        _ => query.error("database_error", database.message()),
    }
}
