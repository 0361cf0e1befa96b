//! `SQLite` files.

use plugin_api::serde_json::{Value, json};
use sqlx::{AssertSqlSafe, ConnectOptions, sqlite::SqliteConnectOptions};

use crate::bench::Bench;

/// Makes a `SQLite` file.
pub(crate) fn sqlite(bench: &Bench, name: &str, statements: &str) {
    let options = SqliteConnectOptions::new()
        .filename(bench.path(name))
        .create_if_missing(true);
    let statements = statements.to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut connection = options.connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statements))
            .execute(&mut connection)
            .await
            .unwrap();
        sqlx::Connection::close(connection).await.unwrap();
    });
}

const SHOP: &str = "
    CREATE TABLE orders (id INTEGER PRIMARY KEY, customer TEXT, amount REAL, day TEXT, note);
    INSERT INTO orders VALUES (1, 'Ann', 12.5, '2026-01-01', NULL), (2, 'Bob', 7, '2026-01-02', x'00ff'), (3, NULL, NULL, NULL, 5);
    CREATE TABLE empty (a INTEGER, b REAL, c TEXT);
    CREATE TABLE mixed (a);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) INSERT INTO mixed SELECT i FROM n;
    INSERT INTO mixed VALUES ('x');
    CREATE TABLE many (id INTEGER);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) INSERT INTO many SELECT i FROM n;";

fn shop() -> Bench {
    let bench = Bench::new();
    sqlite(&bench, "shop.db", SHOP);
    bench
}

fn orders(more: Value) -> Value {
    let mut source = json!({"sqlite": "shop.db"});
    source
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"sources": {"orders": source}})
}

#[test]
fn tables_and_queries() {
    let bench = shop();
    assert_eq!(
        bench.rows(orders(json!({"table": "orders"}))),
        json!([
            {"id": 1, "customer": "Ann", "amount": 12.5, "day": "2026-01-01", "note": null},
            {"id": 2, "customer": "Bob", "amount": 7, "day": "2026-01-02", "note": "00ff"},
            {"id": 3, "customer": null, "amount": null, "day": null, "note": "5"},
        ])
    );
    let columns = bench.columns(orders(json!({"table": "orders"})));
    let kinds: Vec<&str> = columns.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(kinds, ["integer", "text", "number", "date", "text"]);
    let asked = orders(
        json!({"query": "SELECT customer, ?1 AS p FROM orders WHERE amount > ?2 ORDER BY 1", "parameters": ["x", 5]}),
    );
    assert_eq!(
        bench.rows(asked),
        json!([{"customer": "Ann", "p": "x"}, {"customer": "Bob", "p": "x"}])
    );
    let columns = bench.columns(orders(json!({"table": "empty"})));
    let kinds: Vec<&str> = columns.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(kinds, ["integer", "number", "text"]);
}

#[test]
fn rows_stream_into_queries_and_may_be_read_twice() {
    let bench = shop();
    let mut args = orders(json!({"table": "many"}));
    args["query"] =
        json!("SELECT count(*) AS n, sum(a.id) AS s FROM orders a JOIN orders b ON a.id = b.id");
    assert_eq!(bench.rows(args), json!([{"n": 50_000, "s": 1_250_025_000}]));
    let mut args = orders(json!({"table": "many"}));
    args["query"] = json!("SELECT id FROM orders LIMIT 3");
    assert_eq!(bench.arrays(args), json!([[1], [2], [3]]));
}

#[test]
fn a_later_value_of_another_type_is_named() {
    let bench = shop();
    let failure = bench.failure(orders(json!({"table": "mixed"})));
    assert_eq!(failure.kind, "type_mismatch");
    assert_eq!(
        failure.data,
        json!({"source": "orders", "row": 1501, "column": "a", "value": "x", "type": "integer"})
    );
    let rows = bench.rows(orders(json!({"table": "mixed", "types": {"a": "text"}})));
    assert_eq!(rows[1500]["a"], "x");
}

#[test]
fn nothing_is_written_and_nothing_else_is_opened() {
    let bench = shop();
    let other = tempfile::tempdir().unwrap();
    let other = other.path().join("other.db").display().to_string();
    for query in [
        "DELETE FROM orders".to_owned(),
        "INSERT INTO orders (id) VALUES (9)".to_owned(),
        "DROP TABLE orders".to_owned(),
        format!("ATTACH DATABASE '{other}' AS o"),
        format!("SELECT 1; ATTACH DATABASE '{other}' AS o"),
        "PRAGMA writable_schema = on".to_owned(),
        "VACUUM".to_owned(),
        "WITH t AS (SELECT 1) DELETE FROM orders".to_owned(),
        "BEGIN".to_owned(),
    ] {
        let failure = bench.failure(orders(json!({"query": query})));
        assert_eq!(
            failure.kind, "statement_refused",
            "{query}: {}",
            failure.message
        );
    }
    let failure = bench.failure(orders(json!({"query": "SELECT load_extension('x')"})));
    assert_eq!(failure.kind, "database_error", "{}", failure.message);
    let mut count = orders(json!({"table": "orders"}));
    count["query"] = json!("SELECT count(*) AS n FROM orders");
    assert_eq!(bench.rows(count), json!([{"n": 3}]));
}

#[test]
fn files_that_are_no_databases() {
    let bench = shop();
    bench.file(
        "no.db",
        "this is not a database, however long it may be, and whatever is in it".repeat(100),
    );
    let failure = bench.failure(json!({"sources": {"a": {"sqlite": "no.db", "table": "t"}}}));
    assert_eq!(
        (failure.kind.as_str(), failure.is_retryable),
        ("unreadable_file", false),
        "{}",
        failure.message
    );
    let mut bytes = std::fs::read(bench.path("shop.db")).unwrap();
    bytes[4096..].fill(0x5a);
    bench.file("broken.db", bytes);
    let failure = bench
        .failure(json!({"sources": {"a": {"sqlite": "broken.db", "query": "SELECT * FROM many"}}}));
    assert_eq!(failure.kind, "unreadable_file", "{}", failure.message);
    for (source, told) in [
        (json!({"table": "nothing"}), "nothing"),
        (json!({"query": "SELECT nothing FROM orders"}), "nothing"),
        (json!({"query": "SELECT FROM FROM"}), "syntax"),
    ] {
        let failure = bench.failure(orders(source));
        assert_eq!(failure.kind, "database_error");
        assert!(failure.message.contains(told), "{}", failure.message);
    }
    let failure = bench.failure(orders(json!({"query": "SELECT ?1, ?2", "parameters": [1]})));
    assert_eq!(failure.kind, "missing_parameter");
}

#[test]
fn a_log_that_nobody_has_written_back_is_read() {
    let bench = Bench::new();
    sqlite(
        &bench,
        "wal.db",
        "PRAGMA journal_mode = wal; CREATE TABLE t (a); INSERT INTO t VALUES (1), (2);",
    );
    assert_eq!(
        bench.rows(json!({"sources": {"t": {"sqlite": "wal.db", "table": "t"}}})),
        json!([{"a": 1}, {"a": 2}])
    );
}

#[test]
fn a_query_without_an_end_is_stopped() {
    let bench = shop();
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n";
    let mut args = orders(json!({"query": endless}));
    args["query_timeout"] = json!(0.3);
    let failure = bench.failure(args);
    assert_eq!(
        (failure.kind.as_str(), failure.is_retryable),
        ("query_timeout", true),
        "{}",
        failure.message
    );
}
