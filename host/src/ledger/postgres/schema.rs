//! The database's tables, and how they came to be.

use super::connection::Connection;
use super::fault::Fault;
use super::reach::Reach;
use crate::ledger::error::{StoreError, StoreErrorKind};

/// From an empty schema to today's, step by step; a step that was ever released is never changed. The table `step` says how
/// many of them a schema has seen.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("first.sql"),
    include_str!("second.sql"),
    include_str!("third.sql"),
    include_str!("fourth.sql"),
    include_str!("fifth.sql"),
];

/// Makes the schema and its tables, or brings them up to date. Of several hosts that start together one does so, and the
/// others wait for it.
pub(super) async fn migrate(connection: &Connection, reach: &Reach) -> Result<(), Fault> {
    connection.begin().await?;
    let migrated = try_migrate(connection, reach.schema()).await;
    match migrated {
        Ok(()) => connection.commit().await,
        Err(fault) => {
            // What fails here is over anyway: the connection is dropped.
            let _ = connection.rollback().await;
            Err(fault)
        }
    }
}

async fn try_migrate(connection: &Connection, schema: &str) -> Result<(), Fault> {
    // Whoever waits for another host's migration may wait for longer than for a row.
    let lock = format!(
        "SET LOCAL lock_timeout = '9s'; SELECT pg_advisory_xact_lock(hashtextextended('task ledger {schema}', 0))"
    );
    connection.run(&lock).await?;
    let encoding = "SELECT current_setting('server_encoding')";
    for row in connection.query(encoding, &[]).await? {
        let encoding: String = row.try_get(0)?;
        if encoding != "UTF8" {
            let message = format!(
                "the ledger's database has the encoding {encoding}, which can't keep every text: make one with \
                 `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`"
            );
            return Err(Fault::Known(StoreError::new(
                StoreErrorKind::Unfit,
                message,
            )));
        }
    }
    let name = (&schema as _, tokio_postgres::types::Type::TEXT);
    let is_there = connection
        .query("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[name])
        .await?;
    if is_there.is_empty() {
        connection
            .run(&format!("CREATE SCHEMA \"{schema}\""))
            .await?;
    }
    connection
        .run("CREATE TABLE IF NOT EXISTS @step (number integer PRIMARY KEY, done_at timestamptz NOT NULL DEFAULT now())")
        .await?;
    let rows = connection
        .query("SELECT coalesce(max(number), 0) FROM @step", &[])
        .await?;
    let done: i32 = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => 0,
    };
    let done = usize::try_from(done).unwrap_or(0);
    if done > MIGRATIONS.len() {
        let known = MIGRATIONS.len();
        return Err(Fault::Known(StoreError::new(
            StoreErrorKind::NewerSchema,
            format!(
                "the ledger's schema `{schema}` was made by a newer version of this program (step {done}, this program knows \
                 {known}): start that version, or name another schema to begin with an empty ledger"
            ),
        )));
    }
    for (at, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        connection.run(sql).await?;
        let number = at + 1;
        let note = format!("INSERT INTO @step (number) VALUES ({number})");
        connection.run(&note).await?;
    }
    Ok(())
}
