//! Nested rows: functions that look into JSON. What is right was found by `PostgreSQL` (type `json`) and Python's `json`.

use plugin_api::serde_json::{Value, json};

use crate::bench::Bench;

fn nested() -> Bench {
    let bench = Bench::new();
    bench.file(
        "a.jsonl",
        r#"{"id":1,"o":{"city":"Köln","n":1.50,"tags":["a","b"],"deep":{"k":[{"x":7}]},"no":null,"yes":true}}
{"id":2,"o":{"city":"\u00fc\"\\","n":12345678901234567890,"tags":[],"city2":1}}
{"id":3,"o":[1,[2,3],{"city":"in a list"}]}
{"id":4,"o":null}
{"id":5,"o":{"k":1,"\u006b":2}}
"#,
    );
    bench
}

fn found(bench: &Bench, what: &str) -> Value {
    let query = format!("SELECT {what} AS v FROM a ORDER BY id");
    let args = json!({"sources": {"a": {"jsonl": "a.jsonl"}}, "query": query});
    let rows = bench.rows(args);
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["v"].clone()).collect()
}

#[test]
fn values_are_found_by_keys_and_places() {
    let bench = nested();
    for (what, expected) in [
        ("o ->> 'city'", json!(["Köln", "ü\"\\", null, null, null])),
        (
            "o -> 'city'",
            json!(["\"Köln\"", "\"\\u00fc\\\"\\\\\"", null, null, null]),
        ),
        (
            "o ->> 'n'",
            json!(["1.50", "12345678901234567890", null, null, null]),
        ),
        ("o -> 'tags' ->> 0", json!(["a", null, null, null, null])),
        ("o -> 'tags' ->> -1", json!(["b", null, null, null, null])),
        ("o -> 'tags' ->> -3", json!([null, null, null, null, null])),
        ("o -> 1", json!([null, null, "[2,3]", null, null])),
        ("o -> 1 -> 0", json!([null, null, "2", null, null])),
        (
            "o -> 2 ->> 'city'",
            json!([null, null, "in a list", null, null]),
        ),
        // null is a value of JSON, and none as a text.
        ("o -> 'no'", json!(["null", null, null, null, null])),
        ("o ->> 'no'", json!([null, null, null, null, null])),
        ("o ->> 'yes'", json!(["true", null, null, null, null])),
        // The last of equal keys.
        ("o ->> 'k'", json!([null, null, null, null, "2"])),
        (
            "json_get(o, 'deep', 'k', 0, 'x')",
            json!(["7", null, null, null, null]),
        ),
        (
            "json_as_text(o, 'deep', 'k', 0)",
            json!(["{\"x\":7}", null, null, null, null]),
        ),
        ("json_length(o)", json!([6, 4, 3, null, 2])),
        ("json_length(o, 'tags')", json!([2, 0, null, null, null])),
        (
            "CAST(o ->> 'n' AS double) * 2",
            json!([3, 24_691_357_802_469_135_780_f64, null, null, null]),
        ),
        ("o ->> NULL", json!([null, null, null, null, null])),
        (
            "CASE WHEN o ->> 'city' = 'Köln' THEN 1 ELSE 0 END",
            json!([1, 0, 0, 0, 0]),
        ),
    ] {
        assert_eq!(found(&bench, what), expected, "{what}");
    }
}

#[test]
fn nested_values_are_grouped_filtered_and_named() {
    let bench = Bench::new();
    let rows = json!([
        {"o": {"region": "North", "amount": 2}}, {"o": {"region": "North", "amount": 3}}, {"o": {"region": "South", "amount": 5}},
    ]);
    let sum = "SELECT o ->> 'region' AS region, sum(CAST(o ->> 'amount' AS int)) AS amount FROM rows WHERE o ->> 'region' <> $not GROUP BY 1 ORDER BY 1";
    let args = json!({"rows": rows, "query": sum, "parameters": {"not": "South"}});
    assert_eq!(bench.rows(args), json!([{"region": "North", "amount": 5}]));
    let unnamed = json!({"rows": rows, "query": "SELECT O->>'region' FROM rows LIMIT 1"});
    let found = bench.rows(unnamed);
    let names: Vec<&String> = found[0].as_object().unwrap().keys().collect();
    assert_eq!(names.len(), 1);
    assert!(
        names[0].contains("->>") && !names[0].contains("json_as_text"),
        "{names:?}"
    );
    let scalar = json!({"query": "SELECT '{\"a\":[1,2]}' -> 'a' ->> 1 AS v"});
    assert_eq!(bench.rows(scalar), json!([{"v": "2"}]));
}

#[test]
fn what_is_not_json_is_an_error() {
    let bench = Bench::new();
    let rows = json!([{"t": "{\"a\":1}", "n": 1}, {"t": "{a:1}", "n": 2}]);
    let failure = |query: &str| bench.failure(json!({"rows": rows, "query": query}));
    let broken = failure("SELECT t ->> 'a' AS v FROM rows");
    assert_eq!(broken.kind, "query_failed");
    assert!(broken.message.contains("{a:1}"), "{}", broken.message);
    for query in [
        "SELECT n -> 'a' AS v FROM rows",
        "SELECT json_get(t, 1.5) AS v FROM rows",
        "SELECT json_get() AS v FROM rows",
    ] {
        let wrong = failure(query);
        assert_eq!(
            (wrong.kind.as_str(), wrong.is_retryable),
            ("invalid_query", false),
            "{query}: {}",
            wrong.message
        );
        assert!(
            wrong.message.contains("json_get"),
            "{query}: {}",
            wrong.message
        );
    }
    // Deep nesting is walked, not descended into.
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let args = json!({"rows": [{"t": deep}], "query": "SELECT json_length(t -> 0) AS v FROM rows"});
    assert_eq!(bench.rows(args), json!([{"v": 1}]));
}
