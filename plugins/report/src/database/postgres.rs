//! `PostgreSQL`. Values come in its binary format; parameters are of the types that the server finds for them.

use std::time::Duration;

use kit::secret::Secret;
use report_document::calendar::parse_timestamp;
use serde_json::Value;
use sqlx::{
    Arguments, AssertSqlSafe, Column as _, Connection as _, Either, Executor, PgConnection,
    Row as _, SqlSafeStr, Statement as _, TypeInfo as _, ValueRef as _,
    postgres::{
        PgArguments, PgColumn, PgConnectOptions, PgDatabaseError, PgErrorPosition, PgRow,
        PgSslMode, PgTypeInfo, PgTypeKind, PgValueRef, types::PgInterval,
    },
    types::{
        BigDecimal, Uuid,
        chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc},
    },
};

use crate::{
    columns::{Kind, Zone},
    database::{
        ConnectionConfig, SourceQuery, Tls, connect, date, guarded, hex, pass_on, remaining_ms,
        sink::{Cell, Declared, Sink},
    },
    error::{Result, Trouble},
    sql,
    watch::Watch,
};

pub(super) fn options(
    config: &ConnectionConfig,
    password: Option<&Secret>,
) -> Result<PgConnectOptions, String> {
    let options: PgConnectOptions = config
        .url
        .expose()
        .parse()
        .map_err(|_| String::from("`url` is not like `postgres://USER@HOST:5432/DATABASE`"))?;
    let mut options = options.application_name("report");
    if let Some(password) = password {
        options = options.password(password.expose());
    }
    if let Some(tls) = config.tls {
        options = options.ssl_mode(match tls {
            Tls::None => PgSslMode::Disable,
            Tls::Prefer => PgSslMode::Prefer,
            Tls::Required => PgSslMode::Require,
            Tls::Verify => PgSslMode::VerifyFull,
        });
    }
    if let Some(path) = &config.ca_file {
        options = options.ssl_root_cert(path);
    }
    Ok(options)
}

pub(super) async fn run(
    options: &PgConnectOptions,
    connect_timeout: Duration,
    query: &SourceQuery,
    watch: &Watch,
    sink: &mut Sink,
) -> Result<()> {
    let connecting = connect(
        query,
        connect_timeout,
        PgConnection::connect_with(options),
        |error| trouble(query, error, false),
    );
    let mut connection = guarded(sink, watch, connecting).await?;
    let mut process = None;
    let done = ask(&mut connection, query, watch, sink, &mut process).await;
    if done.is_err()
        && let Some(process) = process
    {
        // The server goes on until it is told, or its own time limit is up.
        cancel(options, process).await;
    }
    done
}

async fn ask(
    connection: &mut PgConnection,
    query: &SourceQuery,
    watch: &Watch,
    sink: &mut Sink,
    process: &mut Option<i32>,
) -> Result<()> {
    let lost = |error: sqlx::Error| trouble(query, &error, true);
    let mut setup = String::from("SET default_transaction_read_only = on; BEGIN READ ONLY");
    if let Some(timeout) = remaining_ms(watch) {
        setup.push_str(&format!("; SET LOCAL statement_timeout = {timeout}"));
    }
    // What the query itself does with days and times, it does by the report's clock.
    setup.push_str(&format!(
        "; SET LOCAL TIME ZONE {}",
        query.zone.for_postgres()
    ));
    let begin = async {
        sqlx::raw_sql(AssertSqlSafe(setup))
            .execute(&mut *connection)
            .await
            .map_err(lost)?;
        sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut *connection)
            .await
            .map_err(lost)
    };
    *process = Some(guarded(sink, watch, begin).await?);
    let prepare = async {
        let text = AssertSqlSafe(query.sql.as_str()).into_sql_str();
        (&mut *connection).prepare(text).await.map_err(lost)
    };
    let statement = guarded(sink, watch, prepare).await?;
    let types = match statement.parameters() {
        Some(Either::Left(types)) => types.to_vec(),
        _ => Vec::new(),
    };
    let arguments = arguments(query, &types)?;
    let mut declared = Vec::new();
    for column in statement.columns() {
        declared.push((
            column.name().to_owned(),
            declare(query, column.name(), column.type_info())?,
        ));
    }
    sink.declare(declared)?;
    let rows = sqlx::query_with(AssertSqlSafe(query.sql.as_str()), arguments).fetch(connection);
    pass_on(rows, query, watch, sink, cell, lost).await
}

async fn cancel(options: &PgConnectOptions, process: i32) {
    let cancel = async {
        let mut connection = PgConnection::connect_with(options).await?;
        sqlx::query("SELECT pg_cancel_backend($1)")
            .bind(process)
            .execute(&mut connection)
            .await?;
        connection.close().await
    };
    // If it can't be told, its time limit will do.
    drop(tokio::time::timeout(Duration::from_secs(2), cancel).await);
}

fn base(info: &PgTypeInfo) -> &PgTypeInfo {
    match info.kind() {
        PgTypeKind::Domain(inner) => base(inner),
        _ => info,
    }
}

fn declare(query: &SourceQuery, name: &str, info: &PgTypeInfo) -> Result<Declared> {
    let info = base(info);
    if matches!(info.kind(), PgTypeKind::Enum(_)) {
        return Ok(Declared::Kind(Kind::Text));
    }
    Ok(match info.name() {
        "BOOL" => Declared::Kind(Kind::Boolean),
        "INT2" | "INT4" | "INT8" | "OID" => Declared::Kind(Kind::Integer),
        "FLOAT4" | "FLOAT8" => Declared::Kind(Kind::Number),
        "NUMERIC" => Declared::Decimal,
        "MONEY" => Declared::Kind(Kind::Decimal {
            precision: 38,
            scale: 2,
        }),
        "DATE" => Declared::Kind(Kind::Date),
        "TIMESTAMP" => Declared::Kind(Kind::Timestamp),
        "TIMESTAMPTZ" => Declared::Kind(Kind::Instant),
        "TEXT" | "VARCHAR" | "CHAR" | "\"CHAR\"" | "BPCHAR" | "NAME" | "UNKNOWN" | "CITEXT"
        | "citext" | "UUID" | "JSON" | "JSONB" | "TIME" | "INTERVAL" | "BYTEA" | "XML" | "xml" => {
            Declared::Kind(Kind::Text)
        }
        other => {
            let message = format!(
                "column `{name}` is of the type {other}, which can't be read; cast it in the query: `{name}::text`"
            );
            return Err(query.error("unsupported_type", message));
        }
    })
}

fn cell(row: &PgRow, column: &PgColumn) -> Result<Cell, String> {
    let failed = |error: sqlx::Error| error.to_string();
    let (at, info) = (column.ordinal(), base(column.type_info()));
    let value = &row.try_get_raw(at).map_err(failed)?;
    if value.is_null() {
        return Ok(Cell::Null);
    }
    if matches!(info.kind(), PgTypeKind::Enum(_)) {
        return Ok(Cell::Text(text(value)?));
    }
    Ok(match info.name() {
        "BOOL" => Cell::Boolean(row.try_get_unchecked(at).map_err(failed)?),
        "INT2" => Cell::Integer(row.try_get_unchecked::<i16, _>(at).map_err(failed)?.into()),
        "INT4" => Cell::Integer(row.try_get_unchecked::<i32, _>(at).map_err(failed)?.into()),
        "INT8" => Cell::Integer(row.try_get_unchecked(at).map_err(failed)?),
        "OID" => {
            let bytes = value.as_bytes().map_err(|error| error.to_string())?;
            let bytes =
                <[u8; 4]>::try_from(bytes).map_err(|_| String::from("an OID has four bytes"))?;
            Cell::Integer(u32::from_be_bytes(bytes).into())
        }
        "FLOAT4" => Cell::Number(row.try_get_unchecked::<f32, _>(at).map_err(failed)?.into()),
        "FLOAT8" => Cell::Number(row.try_get_unchecked(at).map_err(failed)?),
        "NUMERIC" => match numeric(value.as_bytes().map_err(|error| error.to_string())?) {
            Some(text) => Cell::Decimal(text),
            None => Cell::Null,
        },
        "MONEY" => {
            let bytes = value.as_bytes().map_err(|error| error.to_string())?;
            let bytes =
                <[u8; 8]>::try_from(bytes).map_err(|_| String::from("money has eight bytes"))?;
            let cents = i64::from_be_bytes(bytes);
            let sign = if cents < 0 { "-" } else { "" };
            let cents = cents.unsigned_abs();
            Cell::Decimal(format!("{sign}{}.{:02}", cents / 100, cents % 100))
        }
        "DATE" => date(row.try_get_unchecked(at).map_err(failed)?),
        "TIMESTAMP" => {
            let time: NaiveDateTime = row.try_get_unchecked(at).map_err(failed)?;
            Cell::Timestamp(time.and_utc().timestamp_micros())
        }
        "TIMESTAMPTZ" => {
            let time: DateTime<Utc> = row.try_get_unchecked(at).map_err(failed)?;
            Cell::Instant(time.timestamp_micros())
        }
        "TIME" => Cell::Text(
            row.try_get_unchecked::<NaiveTime, _>(at)
                .map_err(failed)?
                .to_string(),
        ),
        "UUID" => Cell::Text(
            row.try_get_unchecked::<Uuid, _>(at)
                .map_err(failed)?
                .to_string(),
        ),
        "JSON" | "JSONB" => Cell::Text(
            row.try_get_unchecked::<Value, _>(at)
                .map_err(failed)?
                .to_string(),
        ),
        "INTERVAL" => Cell::Text(interval(&row.try_get_unchecked(at).map_err(failed)?)),
        "BYTEA" => hex(value.as_bytes().map_err(|error| error.to_string())?),
        _ => Cell::Text(text(value)?),
    })
}

fn text(value: &PgValueRef<'_>) -> Result<String, String> {
    value
        .as_str()
        .map(str::to_owned)
        .map_err(|error| error.to_string())
}

/// The binary format of `numeric`: digits to the base of 10,000. NaN and infinity have no digits.
fn numeric(bytes: &[u8]) -> Option<String> {
    let short = |at: usize| Some(i16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    let (count, weight, sign, scale) = (short(0)?, short(2)?, short(4)?, short(6)?);
    let sign = match sign {
        0 => "",
        0x4000 => "-",
        _ => return None,
    };
    let count = usize::try_from(count).ok()?;
    let scale = usize::try_from(scale).ok()?;
    let digit = |place: i32| {
        let index = i32::from(weight) - place;
        let index = usize::try_from(index).ok().filter(|index| *index < count);
        index.map_or(Some(0), |index| short(8 + 2 * index))
    };
    let mut text = String::from(sign);
    if weight < 0 {
        text.push('0');
    }
    for place in (0..=i32::from(weight)).rev() {
        let digit = digit(place)?;
        if place == i32::from(weight) {
            text.push_str(&digit.to_string());
        } else {
            text.push_str(&format!("{digit:04}"));
        }
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut place = -1;
        while fraction.len() < scale {
            fraction.push_str(&format!("{:04}", digit(place)?));
            place -= 1;
        }
        text.push('.');
        text.push_str(fraction.get(..scale)?);
    }
    Some(text)
}

fn interval(value: &PgInterval) -> String {
    let mut parts = Vec::new();
    if value.months != 0 {
        parts.push(format!("{} months", value.months));
    }
    if value.days != 0 {
        parts.push(format!("{} days", value.days));
    }
    if value.microseconds != 0 || parts.is_empty() {
        let sign = if value.microseconds < 0 { "-" } else { "" };
        let seconds = value.microseconds.unsigned_abs() / 1_000_000;
        parts.push(format!(
            "{sign}{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ));
    }
    parts.join(" ")
}

fn arguments(query: &SourceQuery, types: &[PgTypeInfo]) -> Result<PgArguments> {
    query.check_count(types.len())?;
    let mut arguments = PgArguments::default();
    for ((info, value), number) in types.iter().zip(&query.parameters).zip(1..) {
        add(&mut arguments, base(info), value, query.zone).map_err(|reason| {
            let message = format!(
                "parameter {number} should be of the type {}: {reason}",
                info.name()
            );
            query.error("invalid_parameter", message)
        })?;
    }
    Ok(arguments)
}

fn add(
    arguments: &mut PgArguments,
    info: &PgTypeInfo,
    value: &Value,
    zone: Zone,
) -> Result<(), String> {
    let shown = || format!("{value} isn't");
    let as_text = match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    };
    if value.is_null() {
        return arguments
            .add(None::<String>)
            .map_err(|error| error.to_string());
    }
    let text = as_text.clone().unwrap_or_default();
    let added = match info.name() {
        "BOOL" => arguments.add(value.as_bool().ok_or_else(shown)?),
        "INT2" => arguments.add(text.parse::<i16>().map_err(|_| shown())?),
        "INT4" => arguments.add(text.parse::<i32>().map_err(|_| shown())?),
        "INT8" => arguments.add(text.parse::<i64>().map_err(|_| shown())?),
        "FLOAT4" => arguments.add(text.parse::<f32>().map_err(|_| shown())?),
        "FLOAT8" => arguments.add(text.parse::<f64>().map_err(|_| shown())?),
        "NUMERIC" => arguments.add(text.parse::<BigDecimal>().map_err(|_| shown())?),
        "DATE" => arguments.add(text.parse::<NaiveDate>().map_err(|_| shown())?),
        "TIMESTAMP" => arguments.add(wall(&text, zone).ok_or_else(shown)?.naive_utc()),
        "TIMESTAMPTZ" => arguments.add(instant(&text, zone).ok_or_else(shown)?),
        "UUID" => arguments.add(text.parse::<Uuid>().map_err(|_| shown())?),
        "JSON" | "JSONB" => arguments.add(value.clone()),
        "TEXT" | "VARCHAR" | "BPCHAR" | "NAME" | "UNKNOWN" | "CITEXT" | "citext" => {
            arguments.add(as_text.ok_or_else(shown)?)
        }
        _ if matches!(info.kind(), PgTypeKind::Enum(_)) => {
            arguments.add(as_text.ok_or_else(shown)?)
        }
        _ => {
            return Err(String::from(
                "which can't be given; write it as a text and cast it: `$1::text::…`",
            ));
        }
    };
    added.map_err(|error| error.to_string())
}

/// What the report's clock shows at this time.
fn wall(text: &str, zone: Zone) -> Option<DateTime<Utc>> {
    let moment = parse_timestamp(text)?;
    DateTime::from_timestamp_micros(match moment.offset {
        Some(_) => zone.local(moment.utc()),
        None => moment.micros,
    })
}

/// A time of which no zone is said is one of the report's clock.
fn instant(text: &str, zone: Zone) -> Option<DateTime<Utc>> {
    let moment = parse_timestamp(text)?;
    DateTime::from_timestamp_micros(match moment.offset {
        Some(_) => moment.utc(),
        None => zone.instant(moment.micros),
    })
}

fn trouble(query: &SourceQuery, error: &sqlx::Error, is_connected: bool) -> Trouble {
    let sqlx::Error::Database(database) = error else {
        return query.connection_trouble(error, is_connected);
    };
    let Some(error) = database.try_downcast_ref::<PgDatabaseError>() else {
        return query.error("database_error", database);
    };
    let code = error.code();
    let kind = match code {
        "28000" | "28P01" => "database_auth",
        "57014" => "query_timeout",
        "57P01" | "57P02" | "57P05" => "connection_lost",
        "57P03" | "53300" => "database_unreachable",
        "25006" => "statement_refused",
        _ => "database_error",
    };
    let is_retryable = matches!(
        kind,
        "query_timeout" | "connection_lost" | "database_unreachable"
    ) || code.starts_with("40")
        || code.starts_with("53")
        || code == "55P03";
    let message = match kind {
        "statement_refused" => format!("{}; a report only reads", error.message()),
        _ => error.message().to_owned(),
    };
    let mut trouble = query.error(kind, message);
    if let Some(data) = trouble.data.as_mut().and_then(Value::as_object_mut) {
        data.insert("code".into(), code.into());
    }
    trouble.retryable = is_retryable;
    match error.position() {
        Some(PgErrorPosition::Original(position)) => {
            let (line, column) = place(&query.sql, position);
            sql::at(trouble, &query.sql, line, column)
        }
        _ => trouble,
    }
}

/// Line and column of the character at a position that counts from 1.
fn place(sql: &str, position: usize) -> (u64, u64) {
    let (mut line, mut column) = (1, 1);
    for character in sql.chars().take(position.saturating_sub(1)) {
        if character == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(weight: i16, sign: i16, scale: i16, digits: &[i16]) -> Vec<u8> {
        let count = i16::try_from(digits.len()).unwrap();
        let header = [count, weight, sign, scale];
        header
            .iter()
            .chain(digits)
            .flat_map(|short| short.to_be_bytes())
            .collect()
    }

    #[test]
    fn numerics_keep_all_of_their_digits() {
        assert_eq!(numeric(&binary(0, 0, 2, &[12, 5000])).unwrap(), "12.50");
        assert_eq!(
            numeric(&binary(1, 0x4000, 0, &[123, 4567])).unwrap(),
            "-1234567"
        );
        assert_eq!(numeric(&binary(1, 0, 0, &[5])).unwrap(), "50000");
        assert_eq!(numeric(&binary(0, 0, 2, &[])).unwrap(), "0.00");
        assert_eq!(numeric(&binary(-1, 0, 4, &[1])).unwrap(), "0.0001");
        assert_eq!(numeric(&binary(-2, 0, 8, &[7])).unwrap(), "0.00000007");
        assert_eq!(numeric(&binary(0, -0x4000, 0, &[])), None);
        assert_eq!(numeric(&[0, 1]), None);
    }

    #[test]
    fn positions_become_lines_and_columns() {
        assert_eq!(place("SELECT 1\nFROM x", 1), (1, 1));
        assert_eq!(place("SELECT 1\nFROM x", 15), (2, 6));
        assert_eq!(place("é\nx", 3), (2, 1));
    }
}
