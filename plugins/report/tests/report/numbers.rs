//! Numbers that outgrow their types: what comes out is right, or an error that says what to do. What is right was found
//! by Python, whose integers and decimals have no end.

use plugin_api::serde_json::{Value, json};

use crate::bench::Bench;

const MAX: i64 = i64::MAX;

fn integers(values: &[i64]) -> Value {
    let rows = values.iter().zip(0..);
    let rows: Vec<Value> = rows
        .map(|(n, id)| json!({"id": id, "n": n, "g": id % 2}))
        .collect();
    json!({"t": {"rows": rows, "types": {"n": "integer"}}})
}

fn decimals(kind: &str, values: &[&str]) -> Value {
    let rows = values.iter().zip(0..);
    let rows: Vec<Value> = rows.map(|(n, id)| json!({"id": id, "n": n})).collect();
    json!({"t": {"rows": rows, "types": {"n": kind}}})
}

/// Each of the queries fails, and says of what and what to do.
fn refused(sources: &Value, queries: &[&str], told: &[&str]) {
    let bench = Bench::new();
    for query in queries {
        let failure = bench.failure(json!({"sources": sources, "query": query}));
        assert_eq!(
            (failure.kind.as_str(), failure.is_retryable),
            ("query_failed", false),
            "{query}: {}",
            failure.message
        );
        for part in told {
            assert!(
                failure.message.contains(part),
                "{query}: {}",
                failure.message
            );
        }
    }
}

fn right(sources: &Value, queries: &[(&str, Value)]) {
    let bench = Bench::new();
    for (query, expected) in queries {
        let found = bench.arrays(json!({"sources": sources, "query": query}));
        assert_eq!(found, *expected, "{query}");
    }
}

#[test]
fn sums_that_integers_cannot_hold_are_refused() {
    refused(
        &integers(&[MAX, MAX, MAX, 1]),
        &[
            "SELECT sum(n) AS s FROM t",
            "SELECT g, sum(n) AS s FROM t GROUP BY g",
            "SELECT sum(n) FILTER (WHERE id < 2) AS s FROM t",
            "SELECT sum(n) FILTER (WHERE id < 2) AS s FROM t GROUP BY n > 0",
            "SELECT g FROM t GROUP BY g HAVING sum(n) > 0",
            // The engine makes a group of what is distinct; with a second column it can't.
            "SELECT sum(DISTINCT n) AS s FROM t",
            "SELECT sum(DISTINCT n) AS s, sum(DISTINCT n + 0) AS other, count(DISTINCT g) AS c FROM t",
            "SELECT g, sum(DISTINCT n - id) AS s, count(DISTINCT id) AS c FROM t GROUP BY g",
            "SELECT id, sum(n) OVER () AS s FROM t",
            "SELECT id, sum(n) OVER (ORDER BY id) AS s FROM t",
            "SELECT id, sum(n) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t",
            "SELECT id, sum(n - 1) FILTER (WHERE id < 3) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING) AS s FROM t",
            "SELECT id, sum(DISTINCT n) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t",
            "SELECT sum(n) AS s FROM t GROUP BY ROLLUP (g)",
        ],
        &[
            "sum(",
            "more than an integer of 64 bits can hold",
            "CAST(… AS decimal(38,0))",
        ],
    );
    refused(
        &integers(&[MAX, -MAX, -MAX, -MAX]),
        &["SELECT sum(n) AS s FROM t"],
        &["sum(t.n)", "(-18446744073709551614)"],
    );
    refused(
        &integers(&[MAX, MAX, MAX, 1]),
        &[
            "SELECT sum(CAST(n AS bigint unsigned)) AS s FROM t",
            "SELECT sum(CAST(n AS bigint unsigned)) AS s FROM t GROUP BY n > 0",
        ],
        &["sum(t.n)", "(27670116110564327422)"],
    );
}

#[test]
fn sums_that_fit_are_right_whatever_they_were_meanwhile() {
    right(
        &integers(&[MAX, MAX, -MAX, -MAX, 7]),
        &[
            ("SELECT sum(n) AS s FROM t", json!([[7]])),
            (
                "SELECT g, sum(n) AS s FROM t GROUP BY g ORDER BY g",
                json!([[0, 7], [1, 0]]),
            ),
            (
                "SELECT sum(DISTINCT n) AS s, sum(DISTINCT id) AS i FROM t",
                json!([[7, 10]]),
            ),
            ("SELECT sum(n) AS s FROM t WHERE id > 9", json!([[null]])),
            (
                "SELECT sum(CAST(n AS decimal(38,0))) AS s FROM t WHERE id < 2",
                json!([[18_446_744_073_709_551_614_u64]]),
            ),
            (
                "SELECT sum(CAST(n AS bigint unsigned)) AS s FROM t WHERE id < 2",
                json!([[18_446_744_073_709_551_614_u64]]),
            ),
            (
                "SELECT avg(n) AS a FROM t WHERE id < 2",
                json!([[9_223_372_036_854_776_000_u64]]),
            ),
            (
                "SELECT median(n) AS m FROM t WHERE id < 2",
                json!([[9_223_372_036_854_776_000_u64]]),
            ),
        ],
    );
    // The row that enters a frame is added before the one that leaves it is taken off.
    right(
        &integers(&[MAX, 0, MAX - 1, 0, -5, MAX]),
        &[
            (
                "SELECT sum(n) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t ORDER BY id",
                json!([[MAX], [MAX], [MAX - 1], [MAX - 1], [-5], [MAX - 5]]),
            ),
            (
                "SELECT sum(DISTINCT n) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t ORDER BY id",
                json!([[MAX], [MAX], [MAX - 1], [MAX - 1], [-5], [MAX - 5]]),
            ),
            (
                "SELECT sum(n) FILTER (WHERE n < 0) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t ORDER BY id",
                json!([[null], [null], [null], [null], [-5], [-5]]),
            ),
            (
                "SELECT sum(CAST(id AS bigint unsigned)) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS s FROM t ORDER BY id",
                json!([[0], [1], [3], [5], [7], [9]]),
            ),
        ],
    );
}

#[test]
fn sums_of_several_threads_and_many_groups() {
    let bench = Bench::new();
    let rows = 300_000_i64;
    let mut text = String::from("id,n\n");
    for id in 0..rows {
        let n = if id < rows / 2 {
            MAX - id
        } else {
            id * 2 - MAX
        };
        text.push_str(&format!("{id},{n}\n"));
    }
    bench.file("t.csv", text);
    let ask = |query: &str| json!({"sources": {"t": {"csv": "t.csv"}}, "query": query});
    for (query, expected) in [
        ("SELECT sum(n) AS s FROM t", json!([[56_249_925_000_u64]])),
        (
            "SELECT id % 5 AS g, sum(n) AS s FROM t GROUP BY 1 ORDER BY 1",
            json!([
                [0, 11_249_925_000_u64],
                [1, 11_249_955_000_u64],
                [2, 11_249_985_000_u64],
                [3, 11_250_015_000_u64],
                [4, 11_250_045_000_u64]
            ]),
        ),
        // So many groups that the engine stops grouping in each thread.
        (
            "SELECT count(*) AS c, min(s) AS min, max(s) AS max FROM (SELECT sum(n) AS s FROM t GROUP BY id % 150000)",
            json!([[150_000, 300_000, 449_999]]),
        ),
        (
            "SELECT count(*) AS c, min(s) AS min, max(s) AS max FROM (SELECT id, sum(n) FILTER (WHERE id <> 0) AS s FROM t GROUP BY id)",
            json!([[300_000, -9_223_372_036_854_475_807_i64, MAX - 1]]),
        ),
    ] {
        assert_eq!(bench.arrays(ask(query)), expected, "{query}");
    }
    for query in [
        "SELECT sum(n) AS s FROM t WHERE id < 150000",
        "SELECT id % 7 AS g, sum(n) AS s FROM t WHERE id < 150000 GROUP BY 1",
        "SELECT sum(n) AS s FROM t WHERE id < 150000 GROUP BY id % 75000",
    ] {
        let failure = bench.failure(ask(query));
        assert_eq!(failure.kind, "query_failed", "{query}: {}", failure.message);
        assert!(
            failure.message.contains("`sum(t.n)`"),
            "{query}: {}",
            failure.message
        );
    }
}

#[test]
fn decimals_keep_their_digits_or_are_refused() {
    const MOST: &str = "999999999999999999999999999999999999.99";
    let sources = decimals(
        "decimal(38,2)",
        &[MOST, MOST, "-999999999999999999999999999999999999.99"],
    );
    refused(
        &sources,
        &[
            "SELECT sum(n) AS s FROM t WHERE id < 2",
            "SELECT sum(n) AS s FROM t WHERE id < 2 GROUP BY id < 2",
            "SELECT sum(n) OVER (ORDER BY id ROWS 1 PRECEDING) AS s FROM t",
        ],
        &[
            "`sum(t.n)",
            "more than decimal(38,2) can hold",
            "CAST(… AS decimal(60,2))",
        ],
    );
    refused(
        &sources,
        &[
            "SELECT avg(n) AS a FROM t",
            "SELECT avg(n) AS a FROM t GROUP BY id < 9",
        ],
        &["average", "CAST(… AS decimal(60,2))"],
    );
    refused(
        &sources,
        &["SELECT n * n AS p FROM t"],
        &["outgrows its type"],
    );
    right(
        &sources,
        &[
            ("SELECT CAST(sum(n) AS text) AS s FROM t", json!([[MOST]])),
            (
                "SELECT sum(CAST(n AS decimal(60,2))) AS s FROM t WHERE id < 2",
                json!([["1999999999999999999999999999999999999.98"]]),
            ),
            (
                "SELECT avg(CAST(n AS decimal(60,2))) AS a FROM t",
                json!([["333333333333333333333333333333333333.330000"]]),
            ),
            (
                "SELECT sum(DISTINCT n) AS s, count(DISTINCT id) AS c FROM t WHERE id > 0",
                json!([[0.0, 2]]),
            ),
        ],
    );
    right(
        &decimals("decimal(12,2)", &["19.99", "-0.01", "9999999999.99"]),
        &[
            (
                "SELECT sum(n) AS s, sum(n) FILTER (WHERE n < 20) AS f FROM t",
                json!([[10_000_000_019.97, 19.98]]),
            ),
            (
                "SELECT sum(n) OVER (ORDER BY id ROWS 1 PRECEDING) AS s FROM t ORDER BY id",
                json!([[19.99], [19.98], [9_999_999_999.98]]),
            ),
            (
                "SELECT sum(DISTINCT n) OVER (ORDER BY id ROWS 1 PRECEDING) AS s FROM t ORDER BY id",
                json!([[19.99], [19.98], [9_999_999_999.98]]),
            ),
        ],
    );
    let failure = Bench::new().failure(json!({
        "sources": sources,
        "query": "SELECT sum(CAST(n AS decimal(76,2))) AS s FROM t",
    }));
    assert_eq!(failure.kind, "invalid_query", "{}", failure.message);
    assert!(failure.message.contains("63 digits"), "{}", failure.message);
}

#[test]
fn arithmetic_that_integers_cannot_hold_is_refused() {
    let sources = integers(&[MAX, i64::MIN, 3]);
    refused(
        &sources,
        &[
            "SELECT 9223372036854775807 + 1 AS x",
            "SELECT -9223372036854775807 - 2 AS x",
            "SELECT 9223372036854775807 * 9223372036854775807 AS x",
            "SELECT n + 1 AS x FROM t",
            "SELECT 1 + n AS x FROM t",
            "SELECT n - 1 AS x FROM t",
            "SELECT n * -1 AS x FROM t",
            "SELECT -n AS x FROM t",
            "SELECT n * n AS x FROM t WHERE n + 1 > 0",
            "SELECT id FROM t WHERE n + n > 0",
            "SELECT id FROM t ORDER BY n - 3",
            "SELECT sum(n + 1) AS x FROM t",
            "SELECT count(*) AS x FROM t GROUP BY GROUPING SETS ((n + 1), (id))",
            "SELECT id FROM t a WHERE EXISTS (SELECT 1 FROM t b WHERE b.n + 1 = a.id)",
            "SELECT id, (SELECT max(n + 1) FROM t) AS x FROM t",
            "SELECT CAST(2147483647 AS int) + CAST(1 AS int) AS x",
            "SELECT CAST(1 AS bigint unsigned) - CAST(2 AS bigint unsigned) AS x",
            "SELECT CASE WHEN id = 0 THEN n + 1 ELSE 0 END AS x FROM t",
            "SELECT n / 1 * 2 AS x FROM t",
            "SELECT id + n - 3 + id + 5 - (n - 1 - 2) + n AS x FROM t",
        ],
        &["outgrows its type", "CAST(… AS decimal(38,0))"],
    );
    right(
        &sources,
        &[
            (
                "SELECT n + 1, n * 2, -n, n - id FROM t WHERE id = 2",
                json!([[4, 6, -3, 1]]),
            ),
            (
                "SELECT CAST(CAST(n AS decimal(38,0)) * n AS text) AS x FROM t WHERE id = 0",
                json!([["85070591730234615847396907784232501249"]]),
            ),
            (
                "SELECT n + NULL AS x, NULL * 1 AS y, NULL + NULL AS z FROM t WHERE id = 0",
                json!([[null, null, null]]),
            ),
            // Only for the rows that get there.
            (
                "SELECT CASE WHEN id = 0 THEN 0 ELSE n + 1 END AS x FROM t WHERE id <> 1 ORDER BY id",
                json!([[0], [4]]),
            ),
            (
                "SELECT id + 1 AS a, count(*) AS c FROM t GROUP BY id + 1 ORDER BY id + 1",
                json!([[1, 1], [2, 1], [3, 1]]),
            ),
            (
                "SELECT id * 2, g - 1, count(*) FROM t GROUP BY ROLLUP (id * 2, g - 1) HAVING id * 2 = 4 ORDER BY g - 1",
                json!([[4, -1, 1], [4, null, 1]]),
            ),
            (
                "SELECT a.id FROM t a JOIN t b ON a.id + 1 = b.id * 1 ORDER BY -a.id LIMIT 1 + 1",
                json!([[1], [0]]),
            ),
            (
                "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n * 2 FROM r WHERE n < 100) SELECT max(n) + 1 AS m FROM r",
                json!([[129]]),
            ),
            (
                "SELECT sum(id * 2 + 1) + 1 AS s, lag(id + 1) OVER (ORDER BY max(id)) AS l FROM t GROUP BY id ORDER BY id",
                json!([[2, null], [4, 1], [6, 2]]),
            ),
            (
                "SELECT CAST('2026-03-01' AS date) - CAST('2026-02-01' AS date) + 1 AS days, 7 / 2 * 2 AS six",
                json!([[29, 6]]),
            ),
            // From left to right, but for what is in brackets.
            (
                "SELECT 20 - 5 - 3 + (4 - 1) - -2 AS a, 100 / 7 % 4 * (9 / 2 * 2) - 17 % 5 * 2 AS b, n * 2 + 1 - id * 3 AS c FROM t WHERE id = 2",
                json!([[17, 12, 1]]),
            ),
        ],
    );
}

#[test]
fn long_chains_of_operators_are_planned_like_short_ones() {
    let terms: Vec<String> = (1..=400).map(|number| format!("id * {number}")).collect();
    right(
        &integers(&[0, 0]),
        &[
            (
                &format!("SELECT {} AS x FROM t ORDER BY id", terms.join(" + ")),
                json!([[0], [80_200]]),
            ),
            (
                &format!("SELECT {} AS x FROM t ORDER BY id", terms.join(" - ")),
                json!([[0], [-80_198]]),
            ),
        ],
    );
}

#[test]
fn durations_and_intervals() {
    let bench = Bench::new();
    // A hundred years each, in nanoseconds.
    let ask = |what: &str, rows: u32| {
        let from = "CAST('2000-01-01' AS timestamp) - CAST('1900-01-01' AS timestamp)";
        let what = what.replace("AGE", from);
        json!({"query": format!("SELECT {what} AS x FROM generate_series(1, {rows})")})
    };
    for what in [
        "sum(AGE)",
        "sum(CAST('1000000 hours' AS interval))",
        "sum(interval '100 years' + interval '1000000 hours')",
    ] {
        let failure = bench.failure(ask(what, 1_000_000));
        assert_eq!(failure.kind, "query_failed", "{what}: {}", failure.message);
        assert!(
            failure.message.contains("date_part('epoch'"),
            "{what}: {}",
            failure.message
        );
    }
    for (what, expected) in [
        ("avg(AGE)", "PT3155673600S"),
        ("sum(interval '2 hours')", "2000000 hours"),
    ] {
        let found = bench.arrays(ask(what, 1_000_000));
        assert_eq!(found, json!([[expected]]), "{what}");
    }
}
