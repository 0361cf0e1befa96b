//! Names: what people write is found, in any case and by scope, and no two columns of a report have one name. What is right
//! is what `PostgreSQL` does, whose names have no case either.

use plugin_api::serde_json::{Value, json};

use crate::bench::Bench;

fn sources() -> Value {
    json!({
        "sales": {"rows": [{"Region": "North", "amount": 10}, {"Region": "South", "amount": 20}, {"Region": null, "amount": 1}]},
        "shops": {"rows": [{"region": "North", "Boss": "Ada"}, {"region": "East", "Boss": "Bob"}]},
        "rows": {"rows": [{"v": 1}, {"v": 2}]},
    })
}

#[test]
fn queries_as_people_write_them() {
    let bench = Bench::new();
    for (query, expected) in [
        ("SELECT count(*) AS rows FROM rows", json!([[2]])),
        (
            "SELECT v AS rows, sum(v) OVER () AS sales FROM rows ORDER BY rows",
            json!([[1, 3], [2, 3]]),
        ),
        (
            "WITH sales AS (SELECT * FROM sales WHERE amount > 5) SELECT count(*) AS n FROM sales",
            json!([[2]]),
        ),
        (
            "WITH Sales AS (SELECT amount * 2 AS Twice FROM sales) SELECT sum(twice) AS s FROM SALES",
            json!([[62]]),
        ),
        (
            "SELECT coalesce(region, '?') AS region, sum(amount) AS amount FROM sales GROUP BY region ORDER BY region",
            json!([["?", 1], ["North", 10], ["South", 20]]),
        ),
        (
            "SELECT upper(region) AS region FROM sales ORDER BY region DESC NULLS LAST LIMIT 1",
            json!([["SOUTH"]]),
        ),
        (
            "SELECT region, amount, boss FROM sales JOIN shops USING (region)",
            json!([["North", 10, "Ada"]]),
        ),
        (
            "SELECT region, boss FROM sales LEFT JOIN shops USING (REGION) ORDER BY region NULLS LAST",
            json!([["North", "Ada"], ["South", null], [null, null]]),
        ),
        (
            "SELECT coalesce(a.region, b.region) AS region, boss FROM sales a FULL JOIN shops b ON a.region = b.region ORDER BY region NULLS LAST",
            json!([
                ["East", "Bob"],
                ["North", "Ada"],
                ["South", null],
                [null, null]
            ]),
        ),
        (
            "SELECT count(*) AS n FROM sales NATURAL JOIN shops",
            json!([[1]]),
        ),
        (
            "SELECT s.REGION FROM sales AS S WHERE EXISTS (SELECT 1 FROM SHOPS WHERE shops.Region = s.region)",
            json!([["North"]]),
        ),
        (
            "SELECT AMOUNT FROM (SELECT Region, Amount FROM sales) AS t WHERE T.REGION = 'South'",
            json!([[20]]),
        ),
        (
            "SELECT Total FROM (SELECT sum(amount) AS total FROM sales) x",
            json!([[31]]),
        ),
        (
            "SELECT DISTINCT upper(region) AS REGION FROM sales WHERE region IS NOT NULL ORDER BY region",
            json!([["NORTH"], ["SOUTH"]]),
        ),
        (
            "WITH RECURSIVE n(I) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT sum(I) AS s FROM N",
            json!([[6]]),
        ),
        (
            "SELECT VALUE FROM generate_series(1, 2) ORDER BY value",
            json!([[1], [2]]),
        ),
    ] {
        let found = bench.arrays(json!({"sources": sources(), "query": query}));
        assert_eq!(found, expected, "{query}");
    }
    // What either side has is not what the engine makes of it.
    for query in [
        "SELECT region, boss FROM sales FULL JOIN shops USING (region)",
        "SELECT * FROM sales RIGHT JOIN shops USING (region)",
        "SELECT boss FROM sales NATURAL FULL JOIN shops ORDER BY REGION",
    ] {
        let failure = bench.failure(json!({"sources": sources(), "query": query}));
        assert_eq!(failure.kind, "invalid_query", "{query}");
        assert!(failure.message.contains("coalesce("), "{}", failure.message);
    }
    // One spelling is meant, where both are there.
    let both = json!({"t": {"rows": [{"Name": 1, "name": 2}]}});
    let found = bench.arrays(json!({"sources": both, "query": "SELECT name, Name FROM t"}));
    assert_eq!(found, json!([[2, 1]]));
    let failure = bench.failure(json!({"sources": both, "query": "SELECT NAME FROM t"}));
    assert_eq!(failure.kind, "unknown_column", "{}", failure.message);
    let failure =
        bench.failure(json!({"sources": sources(), "query": "SELECT \"REGION\" FROM sales"}));
    assert_eq!(failure.kind, "unknown_column");
}

#[test]
fn columns_have_names_of_their_own() {
    let bench = Bench::new();
    let sources = json!({"a": {"rows": [{"k": 1, "v": 2}]}, "b": {"rows": [{"k": 1, "v": 3}]}});
    for query in [
        "SELECT a.v, b.v FROM a JOIN b ON a.k = b.k",
        "SELECT a.v, b.v FROM a JOIN b ON a.k = b.k ORDER BY a.v",
        "SELECT a.v, b.v FROM a JOIN b ON a.k = b.k LIMIT 5",
    ] {
        let result = bench.result(json!({"sources": sources, "query": query}));
        let text = crate::bench::rows(&result).to_string();
        assert_eq!(text, "[{\"v\":2,\"v_2\":3}]", "{query}");
        let warnings = &result["warnings"];
        assert_eq!(
            warnings[0]["kind"], "duplicate_columns",
            "{query}: {warnings}"
        );
        assert!(
            warnings[0]["message"].as_str().unwrap().contains("`v_2`"),
            "{warnings}"
        );
    }
    // The new names are those of options, and of the table `result`.
    let result = bench.result(json!({
        "sources": sources,
        "query": "SELECT * FROM a JOIN b ON a.k = b.k",
        "sections": [
            {"table": {"columns": {"v_2": {"total": "sum"}}}},
            {"table": {}, "query": "SELECT v + v_2 AS s FROM result"},
        ],
    }));
    let sections = &result["outputs"][0]["json"]["sections"];
    assert_eq!(
        sections[0]["rows"],
        json!([{"k": 1, "v": 2, "k_2": 1, "v_2": 3}])
    );
    assert_eq!(sections[0]["totals"], json!({"v_2": 3}));
    assert_eq!(sections[1]["rows"], json!([{"s": 5}]));
    // And those of a file.
    bench.file("t.csv", "v,w,v\n1,2,3\n");
    let result = bench.result(json!({"sources": {"t": {"csv": "t.csv"}}}));
    assert_eq!(result["warnings"][0]["kind"], "duplicate_columns");
    assert_eq!(
        crate::bench::rows(&result),
        json!([{"v": 1, "w": 2, "v_2": 3}])
    );
}

#[test]
fn columns_without_a_name_are_called_what_they_are() {
    let bench = Bench::new();
    for (query, expected) in [
        (
            "SELECT 1 + 1, sum(v), count(*), max(v) * 1.5 FROM rows",
            "[{\"1 + 1\":2,\"sum(v)\":3,\"count(*)\":2,\"max(v) * 1.5\":3}]",
        ),
        (
            "SELECT *, v * 2 FROM rows LIMIT 1",
            "[{\"v\":1,\"v * 2\":2}]",
        ),
        (
            "SELECT v + 1, r.* FROM rows r LIMIT 1",
            "[{\"v + 1\":2,\"v\":1}]",
        ),
        (
            "SELECT 1 + 1, 1 + 1.0 + 0",
            "[{\"1 + 1\":2,\"1 + 1.0 + 0\":2}]",
        ),
        ("SELECT 'x' UNION SELECT 'x'", "[{\"'x'\":\"x\"}]"),
        // Those of queries within, too.
        (
            "SELECT * FROM (SELECT 1 + 1, max(v), count(*) FROM rows) t",
            "[{\"1 + 1\":2,\"max(v)\":2,\"count(*)\":2}]",
        ),
        (
            "WITH t AS (SELECT upper('a'), v * 2 FROM rows) SELECT * FROM t LIMIT 1",
            "[{\"upper('a')\":\"A\",\"v * 2\":2}]",
        ),
        (
            "SELECT * FROM rows, LATERAL (SELECT 1) LIMIT 1",
            "[{\"v\":1,\"1\":1}]",
        ),
    ] {
        let mut args = json!({"sources": sources(), "query": query});
        args["output"] = json!({"format": "json"});
        let found = bench
            .rows(args)
            .to_string()
            .replace(".0}", "}")
            .replace(".0,", ",");
        assert_eq!(found, expected, "{query}");
    }
}

#[test]
fn a_list_of_nothing_excludes_nothing() {
    let bench = Bench::new();
    let ask = |query: &str| json!({"sources": sources(), "query": query, "parameters": {"v": []}});
    // As PostgreSQL's `<> ALL ('{}')`, also for null.
    let found = bench.arrays(ask("SELECT amount FROM sales WHERE region NOT IN ($v)"));
    assert_eq!(found, json!([[10], [20], [1]]));
    let found = bench.arrays(ask("SELECT amount FROM sales WHERE region IN ($v)"));
    assert_eq!(found, json!([]));
    let found = bench.arrays(ask(
        "SELECT amount FROM sales WHERE NOT region IN ($v) AND amount > 5",
    ));
    assert_eq!(found, json!([[10], [20]]));
    assert_eq!(
        bench.result(ask("SELECT 1 AS one WHERE 1 NOT IN ($v)"))["warnings"][0]["kind"],
        "unused_source"
    );
}

#[test]
fn one_select_may_give_a_name_twice() {
    let bench = Bench::new();
    let rows = json!([{"a": 1, "b": "x"}]);
    // As PostgreSQL has them, but for the names of all but the first.
    for (query, expected) in [
        ("SELECT a, a FROM rows", "[{\"a\":1,\"a_2\":1}]"),
        (
            "SELECT a, r.a FROM rows r ORDER BY a",
            "[{\"a\":1,\"a_2\":1}]",
        ),
        (
            "SELECT 1 AS v, 2 AS v, 3 AS v",
            "[{\"v\":1,\"v_2\":2,\"v_3\":3}]",
        ),
        (
            "SELECT a AS v, b AS v FROM rows",
            "[{\"v\":1,\"v_2\":\"x\"}]",
        ),
        (
            "SELECT count(*), count(*) FROM rows",
            "[{\"count(*)\":1,\"count(*)_2\":1}]",
        ),
        (
            "SELECT sum(a) AS s, b, b FROM rows GROUP BY b",
            "[{\"s\":1,\"b\":\"x\",\"b_2\":\"x\"}]",
        ),
        ("SELECT *, a FROM rows", "[{\"a\":1,\"b\":\"x\",\"a_2\":1}]"),
        ("SELECT a, * FROM rows", "[{\"a\":1,\"a_2\":1,\"b\":\"x\"}]"),
        (
            "SELECT *, upper(b) AS b FROM rows",
            "[{\"a\":1,\"b\":\"x\",\"b_2\":\"X\"}]",
        ),
        (
            "SELECT * FROM (SELECT a, a FROM rows) t",
            "[{\"a\":1,\"a_2\":1}]",
        ),
        (
            "SELECT a, a FROM rows UNION ALL SELECT a, a + 1 FROM rows WHERE false",
            "[{\"a\":1,\"a_2\":1}]",
        ),
    ] {
        let sources = match query.contains("rows") {
            true => json!({"rows": {"rows": rows}}),
            false => json!({}),
        };
        let result = bench.result(json!({"sources": sources, "query": query}));
        let text = crate::bench::rows(&result).to_string();
        assert_eq!(text, expected, "{query}");
        let warnings = &result["warnings"];
        assert_eq!(
            warnings[0]["kind"], "duplicate_columns",
            "{query}: {warnings}"
        );
    }
    for (query, kind) in [
        (
            "SELECT v FROM (SELECT a AS v, b AS v FROM rows) t",
            "ambiguous_column",
        ),
        (
            "WITH t AS (SELECT a AS v, b AS v FROM rows) SELECT t.v FROM t",
            "ambiguous_column",
        ),
        ("SELECT *, * FROM rows", "invalid_query"),
    ] {
        let failure = bench.failure(json!({"rows": rows, "query": query}));
        assert_eq!(failure.kind, kind, "{query}: {}", failure.message);
        assert!(failure.message.contains("AS"), "{}", failure.message);
        assert!(!failure.message.contains('\u{fdd0}'), "{}", failure.message);
    }
}
