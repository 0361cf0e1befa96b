//! A `PostgreSQL` server, and what it has done.

use databases::{Postgres, Session, psql};

use crate::error::BenchError;
use crate::usage::Processes;

/// As Debian sets it up, but for memory and the log's room, which one would give to a server that is used, and for statements
/// that are counted.
const SETTINGS: [&str; 6] = [
    "fsync=on",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "max_connections=200",
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track=top",
];

pub(super) struct Database(Postgres);

/// What it has done up to one moment.
#[derive(Clone, Copy)]
pub(super) struct Done {
    pub(super) wal_len: f64,
    pub(super) transactions: f64,
    pub(super) statements: f64,
}

impl Database {
    /// A new one, whose commits are on disk when they are answered.
    pub(super) fn start() -> Result<Self, BenchError> {
        let database = Self(Postgres::start(&SETTINGS));
        database.ask("CREATE EXTENSION pg_stat_statements")?;
        Ok(database)
    }

    pub(super) fn url(&self) -> String {
        self.0.url()
    }

    pub(super) fn processes(&self) -> Processes {
        Processes {
            server: self.0.pid(),
            helpers: Vec::new(),
        }
    }

    /// The rows that a statement answers.
    pub(super) fn ask(&self, sql: &str) -> Result<String, BenchError> {
        let answer = psql()
            .args(["--field-separator= ", "--command", sql, &self.url()])
            .output();
        let answer = answer.map_err(BenchError::io("can't run psql"))?;
        if answer.status.success() {
            return Ok(String::from_utf8_lossy(&answer.stdout).trim().to_owned());
        }
        Err(BenchError::WrongReply {
            expected: format!("an answer to {sql}"),
            got: String::from_utf8_lossy(&answer.stderr).into_owned(),
        })
    }

    pub(super) fn done(&self) -> Result<Done, BenchError> {
        let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0'), \
                   (SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname IS NOT NULL), \
                   (SELECT sum(calls) FROM pg_stat_statements)";
        let answer = self.ask(sql)?;
        let numbers = answer.split(' ').map(str::parse);
        let numbers: Result<Vec<f64>, _> = numbers.collect();
        match numbers.as_deref() {
            Ok([wal_len, transactions, statements]) => Ok(Done {
                wal_len: *wal_len,
                transactions: *transactions,
                statements: *statements,
            }),
            _ => Err(BenchError::WrongReply {
                expected: "three numbers".to_owned(),
                got: answer,
            }),
        }
    }

    /// Somebody's transaction that looks at everything as it is now, until it is dropped.
    pub(super) fn hold_snapshot(&self) -> Result<Session, BenchError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current()";
        Session::start(&self.url(), begin).map_err(BenchError::io("can't hold a snapshot"))
    }
}
