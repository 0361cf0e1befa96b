//! The database's tables, how they came to be, and how a connection to it is set up.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::fault::{self, Fault};
use crate::ledger::error::{StoreError, StoreErrorKind};
use crate::ledger::store::Durability;

/// Written into the file's header, so that no other program's database is taken for a ledger: `TkLg`.
const APPLICATION_ID: i32 = 0x546b_4c67;

/// From an empty database to today's, step by step; a step that was ever released is never changed. `user_version` says
/// how many of them a database has seen.
const MIGRATIONS: &[&str] = &[FIRST];

/// Texts that are longer, in bytes, stand in a table of their own, so that a change of a task's state doesn't write them
/// again.
pub(super) const INLINE_LEN_MAX: usize = 512;

/// `task`: its key is the id, which begins with the time: new ones are appended, and age is the order of the key. Numbers of
/// states are `State::index`. `wake_at` is when time alone changes a task that hasn't finished, `forget_at` when one that has
/// is forgotten; `since` is when its wait began. There are few indexes, since a statement opens all of them, and each has
/// only the rows that it is for; what few tasks have, a key and a subject, is found by tables of their own. No condition of
/// an index has a list: `SQLite` would make a table of it each time that a task is written, which took half of that time.
///
/// `attempt`: the attempts that counted, but for one that runs.
///
/// `lane`: tasks of one function, version and limit key, and how many of them are in each state: what is claimed together,
/// and counted without looking at tasks.
///
/// `taken`: keys that another task can't have now.
///
/// `word`: names of hosts and versions of plugins, which many rows share.
const FIRST: &str = "
CREATE TABLE task (
    id BLOB NOT NULL PRIMARY KEY,
    lane INTEGER NOT NULL,
    state INTEGER NOT NULL,
    priority INTEGER NOT NULL,
    lease INTEGER NOT NULL DEFAULT 0,
    tries INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    cancel_asked INTEGER NOT NULL DEFAULT 0,
    node INTEGER,
    run_version INTEGER,
    created_at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    available_at INTEGER NOT NULL,
    wake_at INTEGER,
    claimed_at INTEGER,
    ended_at INTEGER,
    forget_at INTEGER,
    deadline_at INTEGER,
    timeout_ms INTEGER,
    result_ttl_ms INTEGER NOT NULL,
    unique_until INTEGER,
    retry_max INTEGER NOT NULL,
    retry_base_ms INTEGER NOT NULL,
    retry_cap_ms INTEGER NOT NULL,
    retry_on INTEGER NOT NULL,
    at_most_once INTEGER NOT NULL,
    key TEXT,
    subject TEXT,
    parent BLOB,
    batch TEXT,
    traceparent TEXT,
    client TEXT,
    stored_len INTEGER NOT NULL,
    args_at INTEGER,
    args TEXT,
    result_at INTEGER,
    result TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX task_ready ON task (lane, priority, id) WHERE state = 1;
CREATE INDEX task_time ON task (forget_at, wake_at) WHERE forget_at IS NOT NULL OR wake_at IS NOT NULL;
CREATE INDEX task_rare ON task (state, id) WHERE state = 2 OR state > 4;
CREATE TABLE by_key (
    key TEXT NOT NULL,
    task BLOB NOT NULL,
    PRIMARY KEY (key, task)
) STRICT, WITHOUT ROWID;
CREATE TABLE by_subject (
    subject TEXT NOT NULL,
    task BLOB NOT NULL,
    PRIMARY KEY (subject, task)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempt (
    task BLOB NOT NULL,
    number INTEGER NOT NULL,
    node INTEGER NOT NULL,
    version INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    error TEXT,
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE long_text (at INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
CREATE TABLE function (
    function INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    paused INTEGER NOT NULL DEFAULT 0,
    known_at INTEGER NOT NULL
) STRICT;
CREATE TABLE lane (
    lane INTEGER PRIMARY KEY,
    function INTEGER NOT NULL,
    version TEXT,
    limit_key TEXT,
    scheduled INTEGER NOT NULL DEFAULT 0,
    available INTEGER NOT NULL DEFAULT 0,
    running INTEGER NOT NULL DEFAULT 0,
    retryable INTEGER NOT NULL DEFAULT 0,
    completed INTEGER NOT NULL DEFAULT 0,
    discarded INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    unknown INTEGER NOT NULL DEFAULT 0,
    stored_len INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE taken (
    function INTEGER NOT NULL,
    subject TEXT NOT NULL,
    key TEXT NOT NULL,
    task BLOB NOT NULL,
    PRIMARY KEY (function, subject, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE word (word INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE clock (one INTEGER PRIMARY KEY CHECK (one = 1), latest INTEGER NOT NULL) STRICT;
INSERT INTO clock VALUES (1, 0);
";

/// How long a statement waits for another program that has the database locked.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Makes a whole, empty database: at a name of its own, so that the file of the right name is never half made.
pub(super) fn create(path: &Path) -> Result<(), Fault> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )?;
    connection.pragma_update(None, "page_size", 4096)?;
    connection.pragma_update(None, "synchronous", "EXTRA")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    migrate(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(())
}

/// Opens the connection that writes, and brings an older database up to date.
pub(super) fn open_writer(path: &Path, durability: Durability) -> Result<Connection, Fault> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    check_header(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Fault::Known(StoreError::new(
            StoreErrorKind::Unavailable,
            "the ledger's file system can't share memory between processes, which its write-ahead log needs; give it a \
             folder on a local disk",
        )));
    }
    let synchronous = match durability {
        Durability::Fsync | Durability::Commit => "FULL",
        Durability::Write => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    // The writer moves the log into the database itself, when it has answered; this is for the case that it can't keep up.
    connection.pragma_update(None, "wal_autocheckpoint", 32_768)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    connection.pragma_update(None, "cache_size", -32_768)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.set_prepared_statement_cache_capacity(128);
    migrate(&connection)?;
    Ok(connection)
}

/// Opens a connection that only reads.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Fault> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    check_header(&connection)?;
    connection.pragma_update(None, "cache_size", -4_096)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Whether this is a ledger, and one that this version can read.
pub(super) fn check_header(connection: &Connection) -> Result<(), Fault> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id != APPLICATION_ID {
        return Err(fault::not_ours());
    }
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > known {
        return Err(Fault::Known(StoreError::new(
            StoreErrorKind::NewerSchema,
            format!(
                "the ledger was written by a newer version of this program (its schema is {version}, this program knows \
                 {known}): start that version, or move the data folder away to begin with an empty ledger"
            ),
        )));
    }
    Ok(())
}

fn migrate(connection: &Connection) -> Result<(), Fault> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let done = usize::try_from(version).unwrap_or(0);
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(done) {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE; {sql} PRAGMA user_version = {}; COMMIT;",
            step + 1
        ))?;
    }
    Ok(())
}
