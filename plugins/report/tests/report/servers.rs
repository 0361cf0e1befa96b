//! Real `PostgreSQL` and `MariaDB` servers, started by the tests on sockets and ports of their own.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::OnceLock,
    time::{Duration, Instant},
};

use databases::{MariaDb, Postgres, free_port};
use plugin_api::serde_json::{Value, json};
use sqlx::{Connection, MySqlConnection, PgConnection};

use crate::bench::Bench;

/// A server; it ends when this is dropped.
pub(crate) struct Server {
    process: Process,
    pub(crate) url: String,
}

enum Process {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

impl Server {
    fn of_postgres(server: Postgres) -> Self {
        Self {
            url: server.url(),
            process: Process::Postgres(server),
        }
    }

    fn of_mariadb(server: MariaDb) -> Self {
        Self {
            url: server.url(),
            process: Process::MariaDb(server),
        }
    }

    /// With all of its processes.
    fn end_at_once(&mut self) {
        match &mut self.process {
            Process::Postgres(server) => server.quit(),
            Process::MariaDb(server) => server.kill(),
        }
    }

    /// A plugin that may use the server as `shop`.
    pub(crate) fn bench(&self) -> Bench {
        Bench::with(json!({"connections": {"shop": {"url": self.url}}}))
    }
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// The servers that tests share: they end with the test program, by its end or by the kernel's hand.
pub(crate) fn postgres() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Server::of_postgres(Postgres::start_for_all(&[]));
        block_on(async {
            let mut connection = PgConnection::connect(&server.url).await.unwrap();
            sqlx::raw_sql(POSTGRES_SHOP)
                .execute(&mut connection)
                .await
                .unwrap();
        });
        server
    })
}

pub(crate) fn mariadb() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let server = Server::of_mariadb(MariaDb::start_for_all());
        block_on(async {
            let mut connection = MySqlConnection::connect(&server.url).await.unwrap();
            sqlx::raw_sql(MARIADB_SHOP)
                .execute(&mut connection)
                .await
                .unwrap();
        });
        server
    })
}

const POSTGRES_SHOP: &str = "
    CREATE TYPE size AS ENUM ('small', 'large');
    CREATE TABLE orders (
        id bigint PRIMARY KEY, small smallint, name text, code varchar(10), amount numeric(12,2), weight real, ratio double precision,
        paid boolean, day date, at timestamp, at_zone timestamptz, tags jsonb, key uuid, size size, price money, time time, span interval, bytes bytea);
    INSERT INTO orders VALUES
        (1, 1, 'Müller', 'x', 1234567890.12, 0.5, 0.25, true, '2026-01-31', '2026-01-31 10:00:00.5', '2026-01-31 10:00:00+02', '{\"a\": 1}',
         'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'large', 12.34, '10:30', '1 month 2 days 03:00', '\\x00ff'),
        (2, NULL, NULL, NULL, -0.5, NULL, 'NaN', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE many AS SELECT i AS id, 'row ' || i AS text FROM generate_series(1, 200000) i;
    CREATE TABLE odd AS SELECT point(1, 2) AS p, ARRAY[1, 2] AS a;
    CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO many VALUES (0, ''x'') RETURNING 1';";

const MARIADB_SHOP: &str = "
    CREATE TABLE orders (
        id bigint PRIMARY KEY, tiny tinyint, flag boolean, big bigint unsigned, name varchar(50), note text, amount decimal(12,2),
        ratio double, weight float, day date, at datetime(3), time time, year year, kind enum('a','b'), doc json, bytes varbinary(10));
    INSERT INTO orders VALUES
        (1, -5, true, 18446744073709551, 'Müller 😀', 'long', 1234567890.12, 0.25, 0.5, '2026-01-31', '2026-01-31 10:00:00.5', '10:30:00', 2026, 'b', '{\"a\": 1}', x'00ff'),
        (2, NULL, NULL, NULL, NULL, NULL, -0.5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
    CREATE TABLE many (id int, text varchar(20));
    INSERT INTO many SELECT seq, concat('row ', seq) FROM seq_1_to_200000;";

fn shop(source: Value) -> Value {
    let mut source = source;
    source["connection"] = json!("shop");
    json!({"sources": {"orders": source}})
}

#[test]
fn postgres_types() {
    let bench = postgres().bench();
    let args = shop(json!({"query": "SELECT * FROM orders ORDER BY id"}));
    let rows = bench.rows(args.clone());
    let first = &rows[0];
    for (column, expected) in [
        ("id", json!(1)),
        ("small", json!(1)),
        ("name", json!("Müller")),
        ("code", json!("x")),
        ("weight", json!(0.5)),
        ("ratio", json!(0.25)),
        ("paid", json!(true)),
        ("day", json!("2026-01-31")),
        ("tags", json!("{\"a\":1}")),
        ("key", json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("size", json!("large")),
        ("time", json!("10:30:00")),
        ("span", json!("1 months 2 days 03:00:00")),
        ("bytes", json!("00ff")),
    ] {
        assert_eq!(first[column], expected, "{column}");
    }
    assert_eq!(first["amount"].to_string(), "1234567890.12");
    assert_eq!(first["price"].to_string(), "12.34");
    assert!(
        first["at"]
            .as_str()
            .unwrap()
            .starts_with("2026-01-31T10:00:00.5")
            || first["at"]
                .as_str()
                .unwrap()
                .starts_with("2026-01-31 10:00:00.5"),
        "{first}"
    );
    assert!(
        first["at_zone"].as_str().unwrap().contains("08:00:00"),
        "{first}"
    );
    assert_eq!(rows[1]["ratio"], Value::Null);
    assert_eq!(rows[1]["day"], Value::Null);
    let columns = bench.columns(args);
    let kind = |name: &str| {
        columns
            .iter()
            .find(|(column, _)| column == name)
            .unwrap()
            .1
            .clone()
    };
    assert_eq!(
        (
            kind("amount").as_str(),
            kind("day").as_str(),
            kind("at").as_str()
        ),
        ("decimal", "date", "timestamp")
    );

    let failure = bench.failure(shop(json!({"table": "odd"})));
    assert_eq!(failure.kind, "unsupported_type");
    assert!(
        failure.message.contains("`p`") && failure.message.contains("::text"),
        "{}",
        failure.message
    );
}

#[test]
fn postgres_parameters_have_the_types_that_the_query_needs() {
    let bench = postgres().bench();
    let asked =
        |query: &str, parameters: Value| shop(json!({"query": query, "parameters": parameters}));
    let one = json!([{"id": 1}]);
    for (condition, parameter) in [
        ("day >= $1", json!("2026-01-31")),
        ("amount > $1", json!(1000.5)),
        ("amount > $1", json!("1000.5")),
        ("id = $1", json!(1)),
        ("paid = $1", json!(true)),
        ("name = $1", json!("Müller")),
        ("size = $1", json!("large")),
        ("key = $1", json!("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")),
        ("at_zone < $1", json!("2026-01-31T09:00:00Z")),
        ("coalesce($1, name) = 'Müller'", json!(null)),
    ] {
        let query = format!("SELECT id FROM orders WHERE {condition}");
        assert_eq!(
            bench.rows(asked(&query, json!([parameter]))),
            one,
            "{condition} {parameter}"
        );
    }
    let attack = asked(
        "SELECT id FROM orders WHERE name = $1",
        json!(["' OR 1=1 --"]),
    );
    assert_eq!(bench.rows(attack), json!([]));
    for (query, parameters, kind) in [
        (
            "SELECT id FROM orders WHERE day >= $1",
            json!(["soon"]),
            "invalid_parameter",
        ),
        (
            "SELECT id FROM orders WHERE id = $1",
            json!([1.5]),
            "invalid_parameter",
        ),
        (
            "SELECT id FROM orders WHERE id = $1",
            json!([]),
            "missing_parameter",
        ),
        ("SELECT id FROM orders", json!([1]), "missing_parameter"),
    ] {
        let failure = bench.failure(asked(query, parameters));
        assert_eq!(failure.kind, kind, "{query}: {}", failure.message);
    }
}

#[test]
fn mariadb_types_and_parameters() {
    let bench = mariadb().bench();
    let rows = bench.rows(shop(json!({"query": "SELECT * FROM orders ORDER BY id"})));
    let first = &rows[0];
    for (column, expected) in [
        ("id", json!(1)),
        ("tiny", json!(-5)),
        ("flag", json!(1)),
        ("big", json!(18_446_744_073_709_551u64)),
        ("name", json!("Müller 😀")),
        ("note", json!("long")),
        ("ratio", json!(0.25)),
        ("weight", json!(0.5)),
        ("day", json!("2026-01-31")),
        ("year", json!(2026)),
        ("kind", json!("b")),
        ("doc", json!("{\"a\": 1}")),
        ("bytes", json!("00ff")),
    ] {
        assert_eq!(first[column], expected, "{column}");
    }
    assert_eq!(first["amount"].to_string(), "1234567890.12");
    assert!(
        first["time"].as_str().unwrap().contains("10:30:00"),
        "{first}"
    );
    assert!(
        rows[1]
            .as_object()
            .unwrap()
            .iter()
            .all(|(key, value)| matches!(key.as_str(), "id" | "amount") || value.is_null()),
        "{rows}"
    );
    let asked = shop(
        json!({"query": "SELECT id FROM orders WHERE name = ? OR amount > ?", "parameters": ["' OR 1=1 --", 1000]}),
    );
    assert_eq!(bench.rows(asked), json!([{"id": 1}]));
    let missing = shop(json!({"query": "SELECT id FROM orders WHERE id = ?"}));
    assert_eq!(bench.failure(missing).kind, "missing_parameter");
}

#[test]
fn many_rows_stream_and_join_with_files() {
    for server in [postgres(), mariadb()] {
        let bench = server.bench();
        bench.file("factors.csv", "id,factor\n1,10\n2,20\n");
        let mut args = shop(json!({"table": "many"}));
        args["sources"]["factors"] = json!({"csv": "factors.csv"});
        args["query"] = json!(
            "SELECT count(*) AS n, sum(o.id) AS s, sum(factor) AS f FROM orders o LEFT JOIN factors f ON f.id = o.id"
        );
        assert_eq!(
            bench.rows(args),
            json!([{"n": 200_000, "s": 20_000_100_000u64, "f": 30}])
        );
        let whole = json!({"sources": {"orders": {"connection": "shop", "table": "many"}}, "output": {"path": "all.csv"}});
        assert_eq!(bench.result(whole)["rows"], 200_000);
        assert!(
            fs::read_to_string(bench.path("all.csv"))
                .unwrap()
                .ends_with("200000,row 200000\r\n")
        );
    }
}

#[test]
fn nothing_is_written_to_servers() {
    let statements = [
        "INSERT INTO many VALUES (0, 'x')",
        "UPDATE many SET id = 0",
        "DELETE FROM many",
        "DROP TABLE many",
        "TRUNCATE TABLE many",
        "CREATE TABLE x (a int)",
        "SELECT 1; DROP TABLE many",
        "COMMIT",
        "SET SESSION TRANSACTION READ WRITE",
        "SELECT * INTO copy FROM many",
        "SELECT * FROM many INTO OUTFILE '/tmp/never.txt'",
        "WITH t AS (SELECT 1) DELETE FROM many",
        "COPY many TO '/tmp/never.txt'",
        "CALL p()",
    ];
    for server in [postgres(), mariadb()] {
        let bench = server.bench();
        for statement in statements {
            let failure = bench.failure(shop(json!({"query": statement})));
            let kinds = ["statement_refused", "database_error"];
            assert!(
                kinds.contains(&failure.kind.as_str()),
                "{statement}: {failure:?}"
            );
            assert!(!failure.is_retryable);
        }
        let mut count = shop(json!({"table": "many"}));
        count["query"] = json!("SELECT count(*) AS n FROM orders");
        assert_eq!(bench.rows(count), json!([{"n": 200_000}]));
    }
    // What only looks like reading.
    let bench = postgres().bench();
    for query in [
        "WITH t AS (DELETE FROM many RETURNING id) SELECT * FROM t",
        "SELECT writes()",
        "SELECT nextval('x')",
    ] {
        let failure = bench.failure(shop(json!({"query": query})));
        assert!(
            ["statement_refused", "database_error"].contains(&failure.kind.as_str()),
            "{query}: {failure:?}"
        );
    }
    assert!(!Path::new("/tmp/never.txt").exists());
}

#[test]
fn what_servers_say_of_queries() {
    for server in [postgres(), mariadb()] {
        let bench = server.bench();
        for query in [
            "SELECT nothing FROM orders",
            "SELECT * FROM nothing",
            "SELECT FROM FROM x",
        ] {
            let failure = bench.failure(shop(json!({"query": query})));
            assert_eq!(
                (failure.kind.as_str(), failure.is_retryable),
                ("database_error", false),
                "{query}: {}",
                failure.message
            );
            assert!(
                failure.message.contains("source `orders`"),
                "{}",
                failure.message
            );
            assert!(
                failure.data["code"].is_string(),
                "{query}: {}",
                failure.data
            );
        }
    }
    let failure = postgres()
        .bench()
        .failure(shop(json!({"query": "SELECT id,\n  nothing FROM orders"})));
    assert_eq!(
        (&failure.data["line"], &failure.data["column_number"]),
        (&json!(2), &json!(3)),
        "{}",
        failure.message
    );
}

#[test]
fn servers_that_are_not_there_or_refuse() {
    let port = free_port();
    for scheme in ["postgres", "mysql"] {
        let url = format!("{scheme}://shop:secret@127.0.0.1:{port}/shop");
        let bench = Bench::with(json!({"connections": {"shop": {"url": url}}}));
        let failure = bench.failure(shop(json!({"table": "orders"})));
        assert_eq!(
            (failure.kind.as_str(), failure.is_retryable),
            ("database_unreachable", true),
            "{}",
            failure.message
        );
        assert!(!failure.message.contains("secret"), "{}", failure.message);
    }
    for server in [postgres(), mariadb()] {
        let url = server.url.replace("secret", "wrong");
        let bench = Bench::with(json!({"connections": {"shop": {"url": url}}}));
        let failure = bench.failure(shop(json!({"table": "orders"})));
        assert_eq!(
            (failure.kind.as_str(), failure.is_retryable),
            ("database_auth", false),
            "{}",
            failure.message
        );
        // The password may be in a file as well.
        let url = server.url.replace(":secret", "");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), "secret\n").unwrap();
        let config = json!({"connections": {"shop": {"url": url, "password_file": folder.path().join("password")}}});
        assert_eq!(
            Bench::with(config).rows(shop(json!({"query": "SELECT 1 AS one"}))),
            json!([{"one": 1}])
        );
    }
    // Somebody who accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://shop@{}/shop", silent.local_addr().unwrap());
    let bench =
        Bench::with(json!({"connections": {"shop": {"url": url, "connect_timeout": "200ms"}}}));
    let failure = bench.failure(shop(json!({"table": "orders"})));
    assert_eq!(
        (failure.kind.as_str(), failure.is_retryable),
        ("database_unreachable", true),
        "{}",
        failure.message
    );

    let failure = postgres()
        .bench()
        .failure(json!({"sources": {"a": {"connection": "shopp", "table": "t"}}}));
    assert_eq!(failure.kind, "unknown_connection");
    assert_eq!(failure.data["near_misses"], json!(["shop"]));
}

#[test]
fn slow_queries_are_ended_on_the_server_too() {
    for (server, sleep, count) in [
        (
            postgres(),
            "SELECT pg_sleep(60)::text AS x",
            "SELECT count(*) AS n FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(60)%'",
        ),
        (
            mariadb(),
            "SELECT sleep(60) AS x",
            "SELECT count(*) AS n FROM information_schema.processlist WHERE info LIKE 'SELECT sleep(60)%'",
        ),
    ] {
        let bench = server.bench();
        let mut args = shop(json!({"query": sleep}));
        args["query_timeout"] = json!(0.4);
        let failure = bench.failure(args);
        assert_eq!(
            (failure.kind.as_str(), failure.is_retryable),
            ("query_timeout", true),
            "{}",
            failure.message
        );

        let running = bench.prepare(shop(json!({"query": sleep}))).start();
        running.wait_for_progress(0);
        let at = Instant::now();
        running.cancel();
        assert!(running.wait().result.is_err());
        assert!(at.elapsed() < Duration::from_secs(2), "{:?}", at.elapsed());
        let deadline = Instant::now() + Duration::from_secs(10);
        while bench.rows(shop(json!({"query": count}))) != json!([{"n": 0}]) {
            assert!(Instant::now() < deadline, "the server is still at it");
        }
    }
}

#[test]
fn a_server_that_is_killed_meanwhile() {
    let servers = [
        Server::of_postgres(Postgres::start(&[])),
        Server::of_mariadb(MariaDb::start()),
    ];
    for mut server in servers {
        let bench = server.bench();
        let sleep = if server.url.starts_with("postgres") {
            "SELECT pg_sleep(60)::text AS x"
        } else {
            "SELECT sleep(60) AS x"
        };
        let args = shop(json!({"query": sleep}));
        let running = bench.prepare(args).start();
        running.wait_for_progress(0);
        server.end_at_once();
        let failure = crate::bench::failure(running.wait().result, "");
        let kinds = ["connection_lost", "database_unreachable"];
        assert!(kinds.contains(&failure.kind.as_str()), "{failure:?}");
        assert!(failure.is_retryable);
    }
}
