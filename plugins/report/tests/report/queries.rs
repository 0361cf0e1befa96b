//! SQL: what it may be, what its parameters are, and what its errors say.

use plugin_api::serde_json::{Value, json};

use crate::bench::Bench;

fn sales() -> Value {
    json!({"sales": {"rows": [
        {"Region": "North", "amount": 10, "day": "2026-01-01"},
        {"Region": "South", "amount": 20, "day": "2026-02-01"},
        {"Region": "North", "amount": 5, "day": "2026-03-01"},
    ]}})
}

fn ask(query: &str) -> Value {
    json!({"sources": sales(), "query": query})
}

#[test]
fn groups_joins_windows_and_ctes() {
    let bench = Bench::new();
    let mut args = ask(
        "WITH t AS (SELECT region, sum(amount) AS total FROM sales GROUP BY region) \
         SELECT t.region, total, boss, row_number() OVER (ORDER BY total DESC) AS place \
         FROM t JOIN bosses b ON b.area = t.region ORDER BY total",
    );
    args["sources"]["bosses"] =
        json!({"rows": [{"area": "North", "boss": "Ada"}, {"area": "South", "boss": "Bob"}]});
    assert_eq!(
        bench.arrays(args),
        json!([["North", 15, "Ada", 2], ["South", 20, "Bob", 1]])
    );
}

#[test]
fn names_may_be_written_in_any_case() {
    let bench = Bench::new();
    let rows = bench.rows(ask(
        "SELECT region, SUM(Amount) AS Total FROM Sales WHERE REGION = 'North' GROUP BY region",
    ));
    assert_eq!(rows, json!([{"Region": "North", "Total": 15}]));
    assert_eq!(
        bench.failure(ask("SELECT \"region\" FROM sales")).kind,
        "unknown_column"
    );
}

#[test]
fn parameters_are_bound_by_name_by_number_and_in_lists() {
    let bench = Bench::new();
    let bound = |query: &str, parameters: Value| {
        let mut args = ask(query);
        args["parameters"] = parameters;
        bench.arrays(args)
    };
    assert_eq!(
        bound(
            "SELECT amount FROM sales WHERE region = $r",
            json!({"r": "South"})
        ),
        json!([[20]])
    );
    assert_eq!(
        bound(
            "SELECT amount FROM sales WHERE amount > $1 ORDER BY 1",
            json!([5])
        ),
        json!([[10], [20]])
    );
    assert_eq!(
        bound(
            "SELECT amount FROM sales WHERE day >= $d ORDER BY 1",
            json!({"d": "2026-02-01"})
        ),
        json!([[5], [20]])
    );
    assert_eq!(
        bound(
            "SELECT amount FROM sales WHERE amount IN ($l) ORDER BY 1",
            json!({"l": [5, 20, 99]})
        ),
        json!([[5], [20]])
    );
    assert_eq!(
        bound(
            "SELECT amount FROM sales WHERE amount IN ($l)",
            json!({"l": []})
        ),
        json!([])
    );
    assert_eq!(
        bound(
            "SELECT amount FROM sales ORDER BY 1 LIMIT $n",
            json!({"n": 1})
        ),
        json!([[5]])
    );
    assert_eq!(
        bound(
            "SELECT $x AS x, $y AS y, $z AS z",
            json!({"x": -1.5, "y": null, "z": true})
        ),
        json!([[-1.5, null, true]])
    );
    // Whatever is in it, it stays a value.
    let attack = "' OR 1=1; DROP TABLE sales; --";
    assert_eq!(
        bound(
            "SELECT amount FROM sales WHERE region = $r",
            json!({"r": attack})
        ),
        json!([])
    );
    assert_eq!(
        bound("SELECT $r AS r", json!({"r": attack})),
        json!([[attack]])
    );
}

#[test]
fn parameters_that_are_missing_wrong_or_too_many() {
    let bench = Bench::new();
    let mut args = ask("SELECT amount\nFROM sales WHERE region = $regin");
    args["parameters"] = json!({"region": "North"});
    let failure = bench.failure(args);
    assert_eq!(failure.kind, "missing_parameter");
    assert_eq!(failure.data["near_misses"], json!(["region"]));
    assert_eq!(
        (&failure.data["line"], &failure.data["column_number"]),
        (&json!(2), &json!(27))
    );
    let mut args = ask("SELECT amount FROM sales WHERE region = $r");
    args["parameters"] = json!({"r": ["a"]});
    assert_eq!(bench.failure(args).kind, "invalid_parameter");
    let mut args = ask("SELECT 1 AS one FROM sales");
    args["parameters"] = json!({"r": 1});
    let result = bench.result(args);
    assert_eq!(result["warnings"][0]["kind"], "unused_parameter");
}

#[test]
fn nothing_but_reading_is_allowed() {
    let bench = Bench::new();
    bench.file("secret.csv", "a\n1\n");
    let secret = bench.path("secret.csv").display().to_string();
    let statements = [
        "CREATE TABLE t AS SELECT 1".to_owned(),
        "CREATE TABLE t (a INT)".to_owned(),
        "CREATE VIEW v AS SELECT 1".to_owned(),
        "CREATE SCHEMA s".to_owned(),
        "CREATE DATABASE d".to_owned(),
        "CREATE FUNCTION f() RETURNS INT RETURN 1".to_owned(),
        format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{secret}'"),
        "DROP TABLE sales".to_owned(),
        "DROP VIEW sales".to_owned(),
        "INSERT INTO sales VALUES ('x', 1, NULL)".to_owned(),
        "UPDATE sales SET amount = 0".to_owned(),
        "DELETE FROM sales".to_owned(),
        "MERGE INTO sales USING sales s ON true WHEN MATCHED THEN DELETE".to_owned(),
        "TRUNCATE TABLE sales".to_owned(),
        format!("COPY (SELECT 1) TO '{secret}' STORED AS CSV"),
        "SET datafusion.execution.target_partitions = 9".to_owned(),
        "RESET datafusion.execution.target_partitions".to_owned(),
        "SHOW ALL".to_owned(),
        "SHOW TABLES".to_owned(),
        "DESCRIBE sales".to_owned(),
        "EXPLAIN SELECT 1".to_owned(),
        "EXPLAIN ANALYZE SELECT * FROM sales".to_owned(),
        "BEGIN".to_owned(),
        "COMMIT".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
        "EXECUTE p".to_owned(),
        "SELECT 1; SELECT 2".to_owned(),
    ];
    for statement in statements {
        let failure = bench.failure(ask(&statement));
        assert_eq!(
            failure.kind, "statement_refused",
            "{statement}: {}",
            failure.message
        );
        assert!(!failure.is_retryable);
    }
    // Files and what the engine knows of itself are no tables.
    for query in [
        format!("SELECT * FROM '{secret}'"),
        format!("SELECT * FROM \"{secret}\""),
        "SELECT * FROM information_schema.tables".to_owned(),
        "SELECT * FROM read_csv('secret.csv')".to_owned(),
    ] {
        let failure = bench.failure(ask(&query));
        let kinds = [
            "unknown_table",
            "unknown_function",
            "sql_syntax",
            "invalid_query",
        ];
        assert!(
            kinds.contains(&failure.kind.as_str()),
            "{query}: {failure:?}"
        );
    }
    for query in [
        "WITH x AS (INSERT INTO sales VALUES ('x', 1, NULL) RETURNING *) SELECT * FROM x",
        "SELECT * INTO t FROM sales",
    ] {
        let failure = bench.failure(ask(query));
        let kinds = ["statement_refused", "sql_syntax", "invalid_query"];
        assert!(
            kinds.contains(&failure.kind.as_str()),
            "{query}: {failure:?}"
        );
    }
}

#[test]
fn names_that_are_unknown_come_with_those_that_may_be_meant() {
    let bench = Bench::new();
    for (query, kind, name, near, line, column) in [
        (
            "SELECT amuont FROM sales",
            "unknown_column",
            "amuont",
            "amount",
            1,
            8,
        ),
        (
            "SELECT amount\nFROM sales\nWHERE regoin = 'x'",
            "unknown_column",
            "regoin",
            "Region",
            3,
            7,
        ),
        (
            "SELECT *\nFROM slaes",
            "unknown_table",
            "slaes",
            "sales",
            2,
            6,
        ),
        (
            "SELECT summ(amount) FROM sales",
            "unknown_function",
            "summ",
            "sum",
            1,
            8,
        ),
    ] {
        let failure = bench.failure(ask(query));
        assert_eq!(failure.kind, kind, "{query}: {}", failure.message);
        assert_eq!(failure.data["name"], name, "{query}");
        let misses = failure.data["near_misses"].as_array().unwrap();
        assert!(misses.contains(&json!(near)), "{query}: {misses:?}");
        assert!(
            failure.message.contains(&format!("`{near}`")),
            "{}",
            failure.message
        );
        let place = (&failure.data["line"], &failure.data["column_number"]);
        assert_eq!(
            place,
            (&json!(line), &json!(column)),
            "{query}: {}",
            failure.message
        );
        let shown = query.lines().nth(line - 1).unwrap();
        let caret = format!("{shown}\n{}^", " ".repeat(column - 1));
        assert!(failure.message.ends_with(&caret), "{}", failure.message);
    }
}

#[test]
fn syntax_errors_show_their_place() {
    let bench = Bench::new();
    let failure = bench.failure(ask("SELECT amount\nFORM sales x y"));
    assert_eq!(failure.kind, "sql_syntax");
    assert_eq!(failure.data["line"], 2);
    assert!(
        failure.message.contains("\nFORM sales x y\n"),
        "{}",
        failure.message
    );
    for query in [
        "SELECT",
        "SELECT 'x",
        "SELECT (1",
        "SELEKT 1",
        "SELECT * FROM sales WHERE",
    ] {
        let failure = bench.failure(ask(query));
        assert_eq!(failure.kind, "sql_syntax", "{query}: {}", failure.message);
    }
}

#[test]
fn what_cannot_be_computed() {
    let bench = Bench::new();
    for (query, kind) in [
        ("SELECT amount / 0 FROM sales", "query_failed"),
        ("SELECT CAST(region AS INT) FROM sales", "query_failed"),
        (
            "SELECT region, amount FROM sales GROUP BY region",
            "invalid_query",
        ),
        ("SELECT sum(region) FROM sales", "invalid_query"),
        (
            "SELECT a.region FROM sales a JOIN sales b ON region = region",
            "ambiguous_column",
        ),
        ("SELECT amount FROM sales WHERE region LIKE 1 + 'x'", ""),
        ("SELECT (SELECT amount FROM sales)", "query_failed"),
        ("", "invalid_query"),
    ] {
        let failure = bench.failure(ask(query));
        if !kind.is_empty() {
            assert_eq!(failure.kind, kind, "{query}: {}", failure.message);
        }
        assert_ne!(failure.kind, "internal", "{query}: {}", failure.message);
    }
}

#[test]
fn hostile_queries_are_only_errors() {
    let bench = Bench::new();
    let deep = format!("SELECT {}1{}", "(".repeat(5000), ")".repeat(5000));
    let wide = format!(
        "SELECT {} FROM sales",
        (0..3000)
            .map(|_| "amount + 1")
            .collect::<Vec<_>>()
            .join(" + ")
    );
    let long = format!("SELECT '{}'", "x".repeat(200_000));
    let not = format!("SELECT {} true", "NOT ".repeat(3000));
    for query in [
        deep,
        wide,
        long,
        not,
        "SELECT \0".to_owned(),
        "\u{202e}".to_owned(),
    ] {
        // Either is an answer.
        let result = bench.prepare(ask(&query)).run().result;
        if let Err(error) = result {
            assert_ne!(
                error.kind(),
                Some("internal"),
                "{}: {error:?}",
                &query[..query.len().min(80)]
            );
            assert!(error.kind().is_some(), "{error:?}");
        }
    }
}

#[test]
fn sections_have_queries_of_their_own_and_the_reports_rows() {
    let bench = Bench::new();
    let mut args =
        ask("SELECT region, sum(amount) AS total FROM sales GROUP BY region ORDER BY region");
    args["title"] = json!("Sales");
    args["sections"] = json!([
        {"text": "Hello"},
        {"figures": {"columns": {"revenue": {"title": "Revenue"}}}, "query": "SELECT sum(total) AS revenue FROM result"},
        {"chart": {"kind": "bar", "x": "Region", "series": ["total"]}},
        {"table": {"title": "All", "columns": {"total": {"total": "sum"}}}},
    ]);
    let result = bench.result(args);
    let sections = &result["outputs"][0]["json"]["sections"];
    assert_eq!(sections[0]["text"], "Hello");
    assert_eq!(sections[1]["figures"][0]["value"], 35);
    assert_eq!(sections[2]["series"][0]["values"], json!([15, 20]));
    assert_eq!(
        sections[3]["rows"],
        json!([{"Region": "North", "total": 15}, {"Region": "South", "total": 20}])
    );
    assert_eq!(sections[3]["totals"], json!({"total": 35}));
    assert_eq!(result["rows"], 2);
}

#[test]
fn sections_that_are_wrong_are_named() {
    let bench = Bench::new();
    for (section, kind) in [
        (json!({}), "invalid_report"),
        (json!({"text": "x", "table": {}}), "invalid_report"),
        (json!({"text": "x", "query": "SELECT 1"}), "invalid_report"),
        (
            json!({"table": {}, "query": "SELECT x FROM sales"}),
            "unknown_column",
        ),
        (
            json!({"table": {"columns": {"amuont": {}}}}),
            "unknown_column",
        ),
        (
            json!({"chart": {"kind": "bar", "x": "nothing", "series": ["amount"]}}),
            "unknown_column",
        ),
        (
            json!({"chart": {"kind": "bar", "x": "amount", "series": ["Region"]}}),
            "invalid_chart",
        ),
    ] {
        let mut args = ask("SELECT * FROM sales");
        args["sections"] = json!([{"text": "x"}, section]);
        let failure = bench.failure(args);
        assert_eq!(failure.kind, kind, "{section}: {}", failure.message);
        assert!(
            failure.message.contains("section 2"),
            "{section}: {}",
            failure.message
        );
    }
}

#[test]
fn sources_that_nobody_uses_are_not_opened() {
    let bench = Bench::new();
    let mut args = ask("SELECT count(*) AS n FROM sales");
    args["sources"]["other"] = json!({"csv": "is_not_there.csv"});
    let result = bench.result(args);
    assert_eq!(result["warnings"][0]["kind"], "unused_source");
}

#[test]
fn what_is_no_report() {
    let bench = Bench::new();
    assert_eq!(bench.failure(json!({})).kind, "invalid_report");
    let mut two = json!({"sources": sales()});
    two["sources"]["b"] = json!({"rows": [{"a": 1}]});
    assert_eq!(bench.failure(two).kind, "invalid_report");
    let named = json!({"sources": {"result": {"rows": [{"a": 1}]}}});
    assert_eq!(bench.failure(named).kind, "invalid_report");
    assert_eq!(
        bench.rows(json!({"query": "SELECT 1 AS one"})),
        json!([{"one": 1}])
    );
    let odd = json!({"sources": {"odd.\"name": {"rows": [{"a": 1}]}}});
    assert_eq!(bench.rows(odd), json!([{"a": 1}]));
}

/// What comes out is what `PostgreSQL` makes of them.
#[test]
fn recursive_queries_may_make_texts() {
    let bench = Bench::new();
    let texts = |query: &str| bench.arrays(json!({"query": query}));
    assert_eq!(
        texts(
            "WITH RECURSIVE r AS (SELECT 'a' AS t UNION ALL SELECT t || 'b' FROM r WHERE length(t) < 4) SELECT t FROM r ORDER BY t"
        ),
        json!([["a"], ["ab"], ["abb"], ["abbb"]])
    );
    assert_eq!(
        texts(
            "WITH RECURSIVE r(n, path) AS (SELECT 1, '' UNION ALL SELECT n + 1, path || '/' || n FROM r WHERE n < 4) SELECT n, path FROM r ORDER BY n"
        ),
        json!([[1, ""], [2, "/1"], [3, "/1/2"], [4, "/1/2/3"]])
    );
    let rows = json!([{"id": 1, "boss": null, "name": "x"}, {"id": 2, "boss": 1, "name": "y"}]);
    let query = "WITH RECURSIVE r AS (SELECT id, name AS path FROM rows WHERE boss IS NULL UNION ALL SELECT s.id, r.path || '/' || s.name FROM rows s JOIN r ON s.boss = r.id) SELECT * FROM r ORDER BY id";
    assert_eq!(
        bench.arrays(json!({"rows": rows, "query": query})),
        json!([[1, "x"], [2, "x/y"]])
    );
}

#[test]
fn what_the_engine_would_pass_over_is_refused() {
    let bench = Bench::new();
    for (query, told) in [
        (
            "SELECT * FROM sales TABLESAMPLE BERNOULLI (10)",
            "TABLESAMPLE",
        ),
        (
            "SELECT * FROM (SELECT * FROM sales) t TABLESAMPLE (10 ROWS)",
            "TABLESAMPLE",
        ),
        ("SELECT * FROM sales FOR UPDATE", "FOR UPDATE"),
        (
            "SELECT * FROM sales WHERE amount > 123456789012345678901234567890123456789",
            "more than 38 digits",
        ),
        (
            "SELECT 1234567890123456789.01234567890123456789 AS x",
            "more than 38 digits",
        ),
        (
            "SELECT * FROM (SELECT * FROM sales FOR SHARE) t",
            "FOR SHARE",
        ),
        ("SELECT * FROM sales PREWHERE amount > 1", "PREWHERE"),
        (
            "SELECT 1 UNION ALL SELECT amount FROM sales PREWHERE amount > 1",
            "PREWHERE",
        ),
        (
            "SELECT * FROM sales START WITH amount = 1 CONNECT BY amount = 2",
            "WITH RECURSIVE",
        ),
        ("SELECT * FROM sales FOR XML AUTO", "FOR XML"),
        ("SELECT * FROM sales WITH (NOLOCK)", "hints"),
        ("SELECT * FROM sales PARTITION (p)", "PARTITION"),
        ("SELECT * FROM sales FORMAT JSON", "FORMAT"),
        ("SELECT * FROM sales SETTINGS x = 1", "SETTINGS"),
        ("SELECT TOP 1 amount FROM sales", "TOP"),
        ("SELECT amount FROM sales FETCH FIRST 1 ROW ONLY", "FETCH"),
        ("SELECT amount FROM sales SORT BY amount", "SORT BY"),
    ] {
        let failure = bench.failure(ask(query));
        assert_eq!(
            failure.kind, "invalid_query",
            "{query}: {}",
            failure.message
        );
        assert!(
            failure.message.contains(told),
            "{query}: {}",
            failure.message
        );
    }
}

#[test]
fn errors_are_in_the_words_of_queries() {
    let bench = Bench::new();
    for (query, told) in [
        (
            "SELECT amount FROM sales GROUP BY region",
            "amount` stands neither in GROUP BY",
        ),
        (
            "SELECT amount FROM sales HAVING amount > 1",
            "neither in GROUP BY nor within an aggregate",
        ),
        ("SELECT row_number() FROM sales", "OVER ("),
        ("SELECT lag(amount) FROM sales", "OVER ("),
        (
            "SELECT abs(-9223372036854775808)",
            "a number outgrows its type: abs(-9223372036854775808)",
        ),
        ("SELECT factorial(30)", "a number outgrows its type"),
        (
            "SELECT date '2026-01-01' + interval '1000000 years'",
            "too far away",
        ),
        (
            "SELECT repeat(1, 'x')",
            "`repeat` doesn't take integer, text",
        ),
        ("SELECT sum(region) FROM sales", "cast it"),
    ] {
        let failure = bench.failure(ask(query));
        assert!(
            failure.message.contains(told),
            "{query}: {}",
            failure.message
        );
        for foreign in [
            "Int64",
            "Utf8",
            "integer(",
            "wildcard",
            "IntervalMonth",
            "Array",
        ] {
            assert!(
                !failure.message.contains(foreign),
                "{query}: {}",
                failure.message
            );
        }
    }
    let failure = bench.failure(ask("SELECT repeat(1, 'x')"));
    assert!(!failure.message.contains("cast it"), "{}", failure.message);
}
