//! What is `PostgreSQL`'s own about the ledger, and the server that tests of the ledger share.

mod bad_days;
mod bench;
mod condition;
mod encryption;
mod failover;
mod feed;
mod full_disk;
mod lost_commits;
mod nodes;
mod opening;
mod plans;
mod pooler;
mod sql;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use databases::Release;

use super::{Postgres, PostgresOptions};
use crate::ledger::store::Limits;
use crate::ledger::tests::DISCARDED_TTL_MS;

/// The server that the tests of this program share.
pub(in crate::ledger) fn server() -> &'static databases::Postgres {
    server_of(Release::Installed)
}

/// As [`server`], of this release.
fn server_of(release: Release) -> &'static databases::Postgres {
    static INSTALLED: OnceLock<databases::Postgres> = OnceLock::new();
    static OLDEST: OnceLock<databases::Postgres> = OnceLock::new();
    static NEWEST: OnceLock<databases::Postgres> = OnceLock::new();
    let server = match release {
        Release::Installed => &INSTALLED,
        Release::Oldest => &OLDEST,
        Release::Newest => &NEWEST,
    };
    let settings = ["max_connections=300"];
    server.get_or_init(|| databases::Postgres::start_release_for_all(release, &settings))
}

/// Runs a test on a new schema of each release.
pub(in crate::ledger) fn each_release(test: impl Fn(&Schema)) {
    for release in [Release::Installed, Release::Oldest, Release::Newest] {
        test(&Schema::of(release));
    }
}

/// A schema of a test's own; dropped with all that is in it.
pub(in crate::ledger) struct Schema(pub(in crate::ledger) String, &'static databases::Postgres);

impl Schema {
    /// A name that no other test has.
    pub(in crate::ledger) fn new() -> Self {
        Self::of(Release::Installed)
    }

    /// As [`Self::new`], in a database of this release.
    fn of(release: Release) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("ledger_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        Self(name, server_of(release))
    }

    /// As [`run`], in its database.
    pub(super) fn run(&self, sql: &str) -> Vec<String> {
        self.try_run(sql).unwrap()
    }

    fn try_run(&self, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        try_run_at(&self.1.socket_url(), sql)
    }

    pub(in crate::ledger) fn options(&self, limits: Limits) -> PostgresOptions {
        PostgresOptions {
            url: self.1.socket_url(),
            schema: self.0.clone(),
            limits,
            node: "node-a".into(),
            is_pooled: false,
        }
    }

    pub(in crate::ledger) fn open(&self, limits: Limits) -> Postgres {
        Postgres::open(self.options(limits)).unwrap()
    }

    /// What is wrong with its counts, a line each.
    pub(in crate::ledger) fn miscounts(&self) -> Vec<String> {
        let name = &self.0;
        let by_state = (0..8).map(|state| format!("count(*) FILTER (WHERE state = {state})"));
        let by_state: Vec<String> = by_state.collect();
        let sql = format!(
            "WITH found AS (SELECT task.function, coalesce(live.state, ended.state) AS state, \
             args_len + coalesce(result_len, 0) AS len FROM {name}.task AS task \
             LEFT JOIN {name}.live AS live ON live.id = task.id LEFT JOIN {name}.ended AS ended ON ended.id = task.id), \
             counted AS (SELECT function, {}, sum(len) FROM found GROUP BY function), \
             tallied AS (SELECT function, sum(scheduled), sum(available), sum(running), sum(retryable), sum(completed), \
             sum(discarded), sum(cancelled), sum(unknown), sum(stored_len) FROM {name}.tally GROUP BY function \
             HAVING sum(scheduled + available + running + retryable + completed + discarded + cancelled + unknown) > 0 \
             OR sum(stored_len) <> 0) \
             SELECT 'counted: ' || it::text FROM (SELECT * FROM counted EXCEPT SELECT * FROM tallied) AS it \
             UNION ALL SELECT 'tallied: ' || it::text FROM (SELECT * FROM tallied EXCEPT SELECT * FROM counted) AS it \
             UNION ALL SELECT 'in both tables: ' || id FROM {name}.live JOIN {name}.ended USING (id) \
             UNION ALL SELECT 'in no table: ' || task FROM {name}.taken WHERE NOT EXISTS \
             (SELECT FROM {name}.task WHERE id = taken.task)",
            by_state.join(", ")
        );
        self.run(&sql)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        self.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", self.0));
    }
}

/// A database of a test's own, since what is done to it is done to all who use it.
pub(super) struct Database(String);

impl Database {
    pub(super) fn new() -> Self {
        Self::made("")
    }

    /// With these words of SQL.
    pub(super) fn made(how: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let name = format!("database_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        run(&format!("CREATE DATABASE {name} {how}"));
        Self(name)
    }

    pub(super) fn url(&self) -> String {
        let url = server().socket_url();
        url.replace("dbname=postgres", &format!("dbname={}", self.0))
    }

    pub(super) fn options(&self) -> PostgresOptions {
        PostgresOptions {
            url: self.url(),
            schema: "task_server".into(),
            limits: LIMITS,
            node: "node-a".into(),
            is_pooled: false,
        }
    }

    pub(super) fn open(&self) -> Postgres {
        Postgres::open(self.options()).unwrap()
    }

    /// Ends all connections to it; answers how many there were.
    pub(super) fn disconnect(&self) -> usize {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ";
        run(&format!("{sql} '{}'", self.0)).len()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        run(&format!("DROP DATABASE {} WITH (FORCE)", self.0));
    }
}

/// Somebody who does something, and stays.
pub(super) struct Session {
    client: tokio_postgres::Client,
    runtime: tokio::runtime::Runtime,
}

impl Session {
    pub(super) fn connect(url: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let client = runtime.block_on(async {
            let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
            let (client, connection) = connected.unwrap();
            // It ends with the runtime.
            tokio::spawn(connection);
            client
        });
        Self { client, runtime }
    }

    pub(super) fn run(&self, sql: &str) {
        self.runtime
            .block_on(self.client.batch_execute(sql))
            .unwrap();
    }

    /// The process that serves it.
    pub(super) fn process(&self) -> i32 {
        let row = self.client.query_one("SELECT pg_backend_pid()", &[]);
        self.runtime.block_on(row).unwrap().get(0)
    }
}

/// The ledger of a server of a test's own.
fn options_at(server: &databases::Postgres) -> PostgresOptions {
    PostgresOptions {
        url: server.socket_url(),
        schema: "task_server".into(),
        limits: LIMITS,
        node: "node-a".into(),
        is_pooled: false,
    }
}

fn open_at(server: &databases::Postgres) -> Postgres {
    Postgres::open(options_at(server)).unwrap()
}

/// As in the contract's tests.
const LIMITS: Limits = Limits {
    waiting_max: u64::MAX,
    stored_len_max: u64::MAX,
    discarded_ttl_ms: DISCARDED_TTL_MS,
};

/// Looks again and again until `condition` holds.
#[track_caller]
pub(in crate::ledger) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// What a statement answers, as text: the first column of each row.
pub(in crate::ledger) fn run(sql: &str) -> Vec<String> {
    try_run(sql).unwrap()
}

fn try_run(sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    try_run_at(&server().socket_url(), sql)
}

/// As [`run`], in the database at this address.
fn try_run_at(url: &str, sql: &str) -> Result<Vec<String>, tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
        let (client, connection) = connected.unwrap();
        let driver = tokio::spawn(connection);
        let answers = client.simple_query(sql).await;
        drop(client);
        driver.await.unwrap().unwrap();
        let answers = answers?;
        let rows = answers.iter().filter_map(|answer| match answer {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(rows.collect())
    })
}
