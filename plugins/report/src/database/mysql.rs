//! `MySQL` and `MariaDB`.

use std::time::Duration;

use kit::secret::Secret;
use serde_json::Value;
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, Connection as _, Either, Executor, MySqlConnection,
    Row as _, SqlSafeStr, Statement as _, TypeInfo as _, ValueRef as _,
    mysql::{
        MySqlArguments, MySqlColumn, MySqlConnectOptions, MySqlDatabaseError, MySqlRow,
        MySqlSslMode,
    },
    types::chrono::{NaiveDate, NaiveDateTime},
};

use crate::{
    columns::Kind,
    database::{
        ConnectionConfig, SourceQuery, Tls, connect, date, guarded, hex, pass_on, remaining_ms,
        sink::{Cell, Declared, Sink},
    },
    error::{Result, Trouble},
    watch::Watch,
};

pub(super) fn options(
    config: &ConnectionConfig,
    password: Option<&Secret>,
) -> Result<MySqlConnectOptions, String> {
    let url = config.url.expose().replacen("mariadb://", "mysql://", 1);
    let mut options: MySqlConnectOptions = url
        .parse()
        .map_err(|_| String::from("`url` is not like `mysql://USER@HOST:3306/DATABASE`"))?;
    if let Some(password) = password {
        options = options.password(password.expose());
    }
    if let Some(tls) = config.tls {
        options = options.ssl_mode(match tls {
            Tls::None => MySqlSslMode::Disabled,
            Tls::Prefer => MySqlSslMode::Preferred,
            Tls::Required => MySqlSslMode::Required,
            Tls::Verify => MySqlSslMode::VerifyIdentity,
        });
    }
    if let Some(path) = &config.ca_file {
        options = options.ssl_ca(path);
    }
    Ok(options)
}

pub(super) async fn run(
    options: &MySqlConnectOptions,
    connect_timeout: Duration,
    query: &SourceQuery,
    watch: &Watch,
    sink: &mut Sink,
) -> Result<()> {
    let connecting = connect(
        query,
        connect_timeout,
        MySqlConnection::connect_with(options),
        |error| trouble(query, error, false),
    );
    let mut connection = guarded(sink, watch, connecting).await?;
    let mut thread = None;
    let done = ask(&mut connection, query, watch, sink, &mut thread).await;
    if done.is_err()
        && let Some(thread) = thread
    {
        cancel(options, thread).await;
    }
    done
}

async fn ask(
    connection: &mut MySqlConnection,
    query: &SourceQuery,
    watch: &Watch,
    sink: &mut Sink,
    thread: &mut Option<u64>,
) -> Result<()> {
    let lost = |error: sqlx::Error| trouble(query, &error, true);
    let begin = async {
        let (id, version): (u64, String) = sqlx::query_as("SELECT CONNECTION_ID(), VERSION()")
            .fetch_one(&mut *connection)
            .await
            .map_err(lost)?;
        let mut setup = vec![String::from("SET SESSION TRANSACTION READ ONLY")];
        if let Some(timeout) = remaining_ms(watch) {
            setup.push(if version.contains("MariaDB") {
                format!(
                    "SET SESSION max_statement_time = {}.{:03}",
                    timeout / 1000,
                    timeout % 1000
                )
            } else {
                format!("SET SESSION max_execution_time = {timeout}")
            });
        }
        setup.push(String::from("START TRANSACTION READ ONLY"));
        for statement in setup {
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut *connection)
                .await
                .map_err(lost)?;
        }
        Ok(id)
    };
    *thread = Some(guarded(sink, watch, begin).await?);
    let prepare = async {
        let text = AssertSqlSafe(query.sql.as_str()).into_sql_str();
        (&mut *connection).prepare(text).await.map_err(lost)
    };
    let statement = guarded(sink, watch, prepare).await?;
    let count = match statement.parameters() {
        Some(Either::Right(count)) => count,
        Some(Either::Left(types)) => types.len(),
        None => 0,
    };
    let arguments = arguments(query, count)?;
    let columns = statement.columns().iter();
    sink.declare(
        columns
            .map(|column| (column.name().to_owned(), declare(column.type_info().name())))
            .collect(),
    )?;
    let rows = sqlx::query_with(AssertSqlSafe(query.sql.as_str()), arguments).fetch(connection);
    pass_on(rows, query, watch, sink, cell, lost).await
}

async fn cancel(options: &MySqlConnectOptions, thread: u64) {
    let cancel = async {
        let mut connection = MySqlConnection::connect_with(options).await?;
        sqlx::raw_sql(AssertSqlSafe(format!("KILL QUERY {thread}")))
            .execute(&mut connection)
            .await?;
        connection.close().await
    };
    // If it can't be told, its time limit will do.
    drop(tokio::time::timeout(Duration::from_secs(2), cancel).await);
}

fn declare(name: &str) -> Declared {
    let name = name.trim_end_matches(" UNSIGNED");
    match name {
        // TINYINT(1), which holds more than true and false.
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" | "YEAR" | "BIT" => {
            Declared::Kind(Kind::Integer)
        }
        "FLOAT" | "DOUBLE" => Declared::Kind(Kind::Number),
        "DECIMAL" => Declared::Decimal,
        "DATE" => Declared::Kind(Kind::Date),
        "DATETIME" => Declared::Kind(Kind::Timestamp),
        "TIMESTAMP" => Declared::Kind(Kind::Instant),
        _ => Declared::Kind(Kind::Text),
    }
}

fn cell(row: &MySqlRow, column: &MySqlColumn) -> Result<Cell, sqlx::Error> {
    let (at, name) = (column.ordinal(), column.type_info().name());
    if row.try_get_raw(at)?.is_null() {
        return Ok(Cell::Null);
    }
    Ok(match name.trim_end_matches(" UNSIGNED") {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" | "YEAR" | "BIT" => {
            if name.ends_with("UNSIGNED") || matches!(name, "YEAR" | "BIT") {
                let value: u64 = row.try_get_unchecked(at)?;
                i64::try_from(value).map_or_else(|_| Cell::Text(value.to_string()), Cell::Integer)
            } else {
                Cell::Integer(row.try_get_unchecked(at)?)
            }
        }
        "FLOAT" => Cell::Number(row.try_get_unchecked::<f32, _>(at)?.into()),
        "DOUBLE" => Cell::Number(row.try_get_unchecked(at)?),
        "DECIMAL" => Cell::Decimal(row.try_get_unchecked(at)?),
        // `0000-00-00`, which is not a date.
        "DATE" => match row.try_get_unchecked::<NaiveDate, _>(at) {
            Ok(value) => date(value),
            Err(_) => Cell::Null,
        },
        // The session's time zone is UTC.
        "DATETIME" | "TIMESTAMP" => match row.try_get_unchecked::<NaiveDateTime, _>(at) {
            Ok(time) if name == "TIMESTAMP" => Cell::Instant(time.and_utc().timestamp_micros()),
            Ok(time) => Cell::Timestamp(time.and_utc().timestamp_micros()),
            Err(_) => Cell::Null,
        },
        "TIME" => {
            let time: sqlx::mysql::types::MySqlTime = row.try_get_unchecked(at)?;
            Cell::Text(time.to_string())
        }
        _ => {
            let bytes: Vec<u8> = row.try_get_unchecked(at)?;
            String::from_utf8(bytes).map_or_else(|error| hex(error.as_bytes()), Cell::Text)
        }
    })
}

fn arguments(query: &SourceQuery, count: usize) -> Result<MySqlArguments> {
    query.check_count(count)?;
    let mut arguments = MySqlArguments::default();
    for (value, number) in query.parameters.iter().zip(1..) {
        let added = match value {
            Value::Null => arguments.add(None::<String>),
            Value::Bool(value) => arguments.add(*value),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(value), _) => arguments.add(value),
                (None, Some(value)) => arguments.add(value),
                (None, None) => arguments.add(number.as_f64()),
            },
            Value::String(text) => arguments.add(text.clone()),
            Value::Array(_) | Value::Object(_) => arguments.add(value.to_string()),
        };
        added.map_err(|error| query.invalid_parameter(number, error))?;
    }
    Ok(arguments)
}

fn trouble(query: &SourceQuery, error: &sqlx::Error, is_connected: bool) -> Trouble {
    let sqlx::Error::Database(database) = error else {
        return query.connection_trouble(error, is_connected);
    };
    let Some(error) = database.try_downcast_ref::<MySqlDatabaseError>() else {
        return query.error("database_error", database);
    };
    let number = error.number();
    let kind = match number {
        1044 | 1045 | 1698 => "database_auth",
        1317 | 1969 | 3024 => "query_timeout",
        1053 | 1077 | 1152 | 1158..=1161 | 1927 => "connection_lost",
        1040 | 1203 | 1226 => "database_unreachable",
        1290 | 1792 => "statement_refused",
        _ => "database_error",
    };
    let mut trouble = query.error(kind, error.message());
    if let Some(data) = trouble.data.as_mut().and_then(Value::as_object_mut) {
        data.insert("code".into(), number.to_string().into());
    }
    trouble.retryable = matches!(
        kind,
        "query_timeout" | "connection_lost" | "database_unreachable"
    ) || matches!(number, 1205 | 1213);
    trouble
}
