//! Decimals stay decimals. What is right is what a real `PostgreSQL` computes.

use plugin_api::serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use crate::{
    bench::Bench,
    servers::{block_on, mariadb, postgres},
};

/// The same query, of the server and of ours, whose tables are the server's.
const COMPUTED: [&str; 28] = [
    "SELECT 19.99 * 1.19",
    "SELECT 0.1 + 0.2",
    "SELECT 100.0 / 3",
    "SELECT 2.0 / 3",
    "SELECT -2 / 3.0",
    "SELECT 1999 * 0.01",
    "SELECT 1 - 0.9",
    "SELECT (1 + 0.19) * 100",
    "SELECT amount * 1.19 FROM money WHERE id = 1",
    "SELECT amount / 7 FROM money WHERE id = 1",
    "SELECT amount / 0.3 FROM money WHERE id = 2",
    "SELECT amount * rate FROM money WHERE id = 1",
    "SELECT amount / rate FROM money WHERE id = 2",
    "SELECT sum(amount) * 0.19 FROM money",
    "SELECT sum(amount * 1.19) FROM money",
    "SELECT sum(amount) / count(*) FROM money",
    "SELECT round(sum(amount) * 0.19, 2) FROM money",
    "SELECT round(amount * 1.005, 2) FROM money WHERE id = 3",
    "SELECT coalesce(amount, 0.0) + 0.1 FROM money WHERE id = 4",
    "SELECT CASE WHEN id = 1 THEN amount ELSE 0.0 END * 3 FROM money WHERE id = 1",
    "SELECT count(*) FROM money WHERE amount = 19.99",
    "SELECT count(*) FROM money WHERE amount * 3 = 59.97",
    "SELECT count(*) FROM money WHERE amount BETWEEN 19.98 AND 20.0",
    "SELECT count(*) FROM money WHERE amount IN (19.99, 0.1)",
    "SELECT max(amount) - min(amount) FROM money",
    "SELECT sum(CASE WHEN amount > 5.5 THEN amount * 0.5 ELSE 0 END) FROM money",
    "SELECT sum(long) FROM money",
    "SELECT long / 3 FROM money WHERE id = 1",
];

fn without_zeros(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

#[test]
fn what_is_computed_of_decimals_is_what_postgres_computes() {
    let server = postgres();
    let bench = server.bench();
    let expected: Vec<String> = block_on(async {
        let mut connection = PgConnection::connect(&server.url).await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE money (id int, amount numeric(12,2), rate numeric(20,10), long numeric);
             INSERT INTO money VALUES (1, 19.99, 1.1234567891, 12345678901234567.89), (2, 0.10, 0.3333333333, 0.01),
                (3, 1.00, 1, 1), (4, NULL, NULL, NULL), (5, 9999999999.99, 2, -0.005)",
        )
        .execute(&mut connection)
        .await
        .unwrap();
        let mut computed = Vec::new();
        for query in COMPUTED {
            let asked = format!("SELECT round(v::numeric, 16)::text FROM ({query}) AS t(v)");
            let row = sqlx::query_scalar(sqlx::AssertSqlSafe(asked));
            computed.push(row.fetch_one(&mut connection).await.unwrap());
        }
        computed
    });
    for (query, expected) in COMPUTED.iter().zip(expected) {
        let args = json!({
            "sources": {"money": {"connection": "shop", "table": "money"}},
            "query": query,
            "output": {"format": "json", "json": {"rows": "arrays", "exact": "string"}},
        });
        let found = bench.rows(args)[0][0].clone();
        let found = found
            .as_str()
            .map_or_else(|| found.to_string(), str::to_owned);
        assert_eq!(without_zeros(&found), without_zeros(&expected), "{query}");
    }
}

#[test]
fn digits_that_a_database_keeps_are_kept() {
    let bench = postgres().bench();
    let ask = |query: &str| json!({"sources": {"t": {"connection": "shop", "query": query}}, "output": {"format": "json", "json": {"rows": "arrays", "exact": "string"}}});
    for (query, expected) in [
        ("SELECT 1 / 3::numeric AS v", "0.33333333333333333333"),
        (
            "SELECT 0.123456789012345::numeric AS v",
            "0.123456789012345",
        ),
        (
            "SELECT 1234567890123456789012345678901234567890.5::numeric AS v",
            "1234567890123456789012345678901234567890.5",
        ),
    ] {
        assert_eq!(bench.rows(ask(query)), json!([[expected]]), "{query}");
    }
    let ask = ask("SELECT CAST('12345678901.1234567890123' AS decimal(30,13)) AS v");
    assert_eq!(
        mariadb().bench().rows(ask),
        json!([["12345678901.1234567890123"]])
    );
}

#[test]
fn averages_and_quotients_are_rounded() {
    let bench = Bench::new();
    let rows: Vec<Value> = ["1.00", "2.00", "2.00"].map(|v| json!({"v": v})).to_vec();
    let source = json!({"t": {"rows": rows, "types": {"v": "decimal(12,2)"}}});
    let ask = |query: &str| json!({"sources": source, "query": query, "output": {"format": "json", "json": {"rows": "arrays", "exact": "string"}}});
    // By PostgreSQL: 1.6666666666666667, 0.66666666666666666667.
    for (query, expected) in [
        ("SELECT avg(v) AS a FROM t", "1.666667"),
        ("SELECT -avg(v) AS a FROM t", "-1.666667"),
        ("SELECT avg(-v) AS a FROM t GROUP BY v > 0", "-1.666667"),
        ("SELECT sum(v) / 3 AS a FROM t", "1.6666666666666667"),
        ("SELECT avg(v) OVER () AS a FROM t LIMIT 1", "1.666667"),
    ] {
        assert_eq!(bench.rows(ask(query)), json!([[expected]]), "{query}");
    }
}

#[test]
fn decimals_beside_numbers_are_numbers_and_zero_divides_nothing() {
    let bench = Bench::new();
    let source =
        json!({"t": {"rows": [{"d": "1.50", "f": 1e22}], "types": {"d": "decimal(12,2)"}}});
    let ask = |query: &str| json!({"sources": source, "query": query});
    let found = bench.arrays(ask("SELECT f > d AS g, f * d AS p, f + 0.5 AS s FROM t"));
    assert_eq!(found, json!([[true, 1.5e22, 1e22]]));
    for query in [
        "SELECT 1.0 / 0 AS q",
        "SELECT d / 0 AS q FROM t",
        "SELECT d / 0.0 AS q FROM t",
        "SELECT 1 / (d - 1.5) AS q FROM t",
    ] {
        let failure = bench.failure(ask(query));
        assert_eq!(failure.kind, "query_failed", "{query}: {}", failure.message);
        assert!(failure.message.contains("NULLIF"), "{}", failure.message);
    }
    // Readers get the digits of a quotient that say something.
    let mut args = ask("SELECT d / 4 AS q, 100.0 / 3 AS r FROM t");
    args["output"] = json!(["csv", {"format": "csv", "csv": {"localized": true}}]);
    args["locale"] = json!("de");
    let result = bench.result(args);
    assert_eq!(
        result["outputs"][0]["text"],
        "q,r\r\n0.375,33.3333333333333333\r\n"
    );
    assert_eq!(result["outputs"][1]["text"], "q;r\r\n0,375;33,333333\r\n");
}
