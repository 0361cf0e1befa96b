//! A day without rows: the report is there, and empty. And no error of the engine's own is anybody else's.

use plugin_api::serde_json::{Value, json};

use crate::bench::Bench;

/// Queries of every kind over a table whose columns never had a value.
const QUERIES: [&str; 22] = [
    "SELECT * FROM t",
    "SELECT sum(amount) AS s, avg(amount) AS a, min(amount) AS l, max(day) AS m, count(*) AS n FROM t",
    "SELECT region, sum(amount) AS total FROM t GROUP BY region ORDER BY total DESC",
    "SELECT region, amount * 1.19 AS gross, amount / 2 AS half, -amount AS minus FROM t",
    "SELECT * FROM t WHERE amount > 5 AND region = 'x' AND day >= '2026-01-01'",
    "SELECT date_trunc('month', day) AS m, sum(amount) AS s FROM t GROUP BY 1 ORDER BY 1",
    "SELECT date_part('year', day) AS y, extract(month FROM day) AS m FROM t",
    "SELECT to_char(day, 'YYYY-MM') AS m FROM t",
    "SELECT upper(region) AS u, region || '-' || amount AS j, length(region) AS l FROM t",
    "SELECT round(amount, 2) AS r, abs(amount) AS a, coalesce(amount, 0) AS c FROM t",
    "SELECT CASE WHEN amount > 0 THEN 'in' ELSE 'out' END AS c FROM t",
    "SELECT a.region, b.amount FROM t a JOIN t b ON a.region = b.region",
    "SELECT a.region FROM t a LEFT JOIN t b USING (region)",
    "SELECT region FROM t UNION ALL SELECT region FROM t",
    "SELECT DISTINCT region, day FROM t ORDER BY region",
    "SELECT region, row_number() OVER (PARTITION BY region ORDER BY amount DESC) AS n, sum(amount) OVER () AS s FROM t",
    "WITH x AS (SELECT region, sum(amount) AS s FROM t GROUP BY region) SELECT * FROM x WHERE s > 10",
    "SELECT * FROM t WHERE region IN ('a', 'b') OR region LIKE 'x%' OR amount BETWEEN 1 AND 2.5",
    "SELECT CAST(amount AS double) AS d, CAST(day AS date) AS e, CAST(amount AS decimal(12,2)) AS f FROM t",
    "SELECT region, count(DISTINCT day) AS d, string_agg(region, ',') AS s, median(amount) AS m FROM t GROUP BY region",
    "SELECT nullif(amount, 0) AS n, greatest(amount, 1) AS g, day + INTERVAL '1 day' AS d FROM t",
    "SELECT sum(amount) FILTER (WHERE region = 'x') AS s, stddev(amount) AS d FROM t",
];

#[test]
fn a_file_with_a_header_alone_answers_every_query() {
    let bench = Bench::new();
    bench.file("t.csv", "region,amount,day\n");
    bench.file("t.jsonl", "");
    bench.file(
        "e.jsonl",
        "{\"region\":null,\"amount\":null,\"day\":null}\n",
    );
    for source in [
        json!({"csv": "t.csv"}),
        json!({"jsonl": "t.jsonl"}),
        json!({"rows": []}),
        json!({"jsonl": "e.jsonl"}),
    ] {
        let is_null_row = source["jsonl"] == "e.jsonl";
        for query in QUERIES {
            let result = bench.result(json!({"sources": {"t": source}, "query": query}));
            let rows = crate::bench::rows(&result);
            let rows = rows.as_array().unwrap();
            let is_total = query.starts_with("SELECT sum(");
            if is_total {
                assert_eq!(rows.len(), 1, "{source} {query}");
                assert_eq!(rows[0]["s"], Value::Null, "{source} {query}");
            } else if !is_null_row {
                assert_eq!(rows.len(), 0, "{source} {query}");
            }
        }
    }
}

#[test]
fn an_empty_report_is_written_in_every_format() {
    let bench = Bench::new();
    bench.file("t.csv", "region,amount,day\n");
    for source in [json!({"csv": "t.csv"}), json!({"rows": []})] {
        let args = json!({
            "sources": {"t": source},
            "sections": [
                {"table": {"title": "All", "group_by": "region", "columns": {
                    "amount": {"format": {"kind": "currency", "code": "EUR"}, "total": "sum"},
                    "day": {"format": {"kind": "date", "style": "long"}, "total": "max"}}}},
                {"chart": {"kind": "bar", "x": "region", "series": ["amount"]}},
                {"figures": {"columns": {"total": {"format": "percent"}}}, "query": "SELECT sum(amount) AS total FROM result"},
            ],
            "output": ["json", "csv", "html", {"path": "o.xlsx"}, {"path": "o.pdf"}],
        });
        let result = bench.result(args);
        assert_eq!(result["rows"], 0, "{source}");
        let sections = &result["outputs"][0]["json"]["sections"];
        assert_eq!(sections[0]["row_count"], 0);
        assert_eq!(sections[2]["figures"][0]["value"], Value::Null);
        assert_eq!(result["outputs"].as_array().unwrap().len(), 5);
    }
    // Nothing is known of it at all.
    let all = json!(["json", "csv", "html", "xlsx", "pdf"]);
    let result = bench.result(json!({"rows": [], "output": all}));
    assert_eq!(crate::bench::rows(&result), json!([]));
    assert_eq!(result["rows"], 0);
}

#[test]
fn columns_of_nothing_are_joined_with_others() {
    let bench = Bench::new();
    let sources =
        json!({"sales": {"rows": []}, "shops": {"rows": [{"Region": "North", "boss": "Ada"}]}});
    let query = "SELECT shops.region, boss, coalesce(sum(amount), 0) AS total FROM shops LEFT JOIN sales ON area = shops.region GROUP BY 1, 2";
    let found = bench.arrays(json!({"sources": sources, "query": query}));
    assert_eq!(found, json!([["North", "Ada", 0]]));
}

#[test]
fn no_error_is_the_engines_own() {
    let bench = Bench::new();
    bench.file("t.csv", "region,amount\nNorth,\"1,5\"\n");
    for (query, kind, told) in [
        (
            "SELECT sum(amount) FROM t",
            "invalid_query",
            "`sum` doesn't take text",
        ),
        (
            "SELECT avg(region) FROM t",
            "invalid_query",
            "`avg` doesn't take text",
        ),
        (
            "SELECT sum(amount) OVER () FROM t",
            "invalid_query",
            "`sum` doesn't take text",
        ),
        ("SELECT round(region, 2) FROM t", "", "round"),
        ("SELECT date_trunc('month', true) FROM t", "", "date_trunc"),
        ("SELECT stddev(region) FROM t", "", ""),
        ("SELECT region + 1 FROM t", "", ""),
        ("SELECT -region FROM t", "", ""),
        ("SELECT region AND true FROM t", "", ""),
        (
            "SELECT * FROM t PIVOT (sum(amount) FOR region IN ('x'))",
            "",
            "",
        ),
        (
            "SELECT * FROM t MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS true)",
            "",
            "",
        ),
        ("SELECT * FROM t FOR UPDATE", "", ""),
        ("SELECT TOP 5 * FROM t", "", ""),
        (
            "SELECT * FROM t, LATERAL (SELECT 1) WHERE ROWNUM < 3",
            "",
            "",
        ),
        ("SELECT GROUP_CONCAT(region SEPARATOR ',') FROM t", "", ""),
        ("SELECT region FROM t LIMIT 'x'", "", ""),
        ("SELECT t.* EXCEPT (nothing) FROM t", "", ""),
        ("SELECT CAST(region AS geometry) FROM t", "", ""),
        ("SELECT region COLLATE \"de_DE\" FROM t", "", ""),
        ("SELECT (SELECT region, amount FROM t) FROM t", "", ""),
        ("SELECT sum(sum(1)) FROM t", "", ""),
        ("SELECT amount FROM t GROUP BY sum(1)", "", ""),
        ("SELECT region FROM t HAVING region > 1", "", ""),
        ("SELECT $1::int[][1]", "", ""),
        ("SELECT {'a': 1}", "", ""),
        ("SELECT interval '1 apple'", "", ""),
        ("SELECT nth_value(region, 'x') OVER () FROM t", "", ""),
        ("SELECT row_number() FROM t", "", ""),
        ("SELECT lag(region, -1000000000000) OVER () FROM t", "", ""),
        ("SELECT to_timestamp('x')", "", ""),
        ("SELECT substr(region, 'x') FROM t", "", ""),
        ("SELECT regexp_replace(region, '(', '') FROM t", "", ""),
    ] {
        let args = json!({"sources": {"t": {"csv": "t.csv"}}, "query": query});
        let Err(error) = bench.prepare(args).run().result else {
            assert!(kind.is_empty(), "{query}");
            continue;
        };
        let shown = format!("{error:?}");
        if !kind.is_empty() {
            assert_eq!(error.kind(), Some(kind), "{query}: {shown}");
        }
        assert_ne!(error.kind(), Some("internal"), "{query}: {shown}");
        assert!(shown.contains(told), "{query}: {shown}");
        for own in [
            "Internal error",
            "This issue was likely",
            "This was likely",
            "quote_style",
            "span:",
            "Candidate functions",
            "Utf8",
        ] {
            assert!(!shown.contains(own), "{query}: {shown}");
        }
    }
}
