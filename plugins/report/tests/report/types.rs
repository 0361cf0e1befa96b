//! What a column is taken for: what isn't the same text when it is written again stays text. What is right was found by
//! Python: `csv` for the texts, `decimal` and `float` for what a number holds.

use plugin_api::serde_json::{Value, json};

use crate::bench::Bench;

fn rows(bench: &Bench, text: &str, more: Value) -> Value {
    bench.file("a.csv", text);
    let mut source = json!({"csv": "a.csv"});
    if let (Some(source), Some(more)) = (source.as_object_mut(), more.as_object()) {
        source.extend(more.clone());
    }
    bench.rows(json!({"sources": {"a": source}}))
}

#[test]
fn what_would_be_another_text_stays_text() {
    let bench = Bench::new();
    for text in [
        "12345678901234567.89",
        "9007199254740993.5",
        "1E5",
        "2e3",
        "007",
        "+49301234",
        "99999999999999999999",
        "1.",
    ] {
        let found = rows(&bench, &format!("v\n{text}\n"), json!({}));
        assert_eq!(found, json!([{"v": text}]));
    }
    let found = rows(&bench, "sku\n1E5\n2E3\n", json!({}));
    assert_eq!(found, json!([{"sku": "1E5"}, {"sku": "2E3"}]));
    // Together they would be rounded.
    let found = rows(&bench, "v\n9007199254740993\n0.5\n", json!({}));
    assert_eq!(found, json!([{"v": "9007199254740993"}, {"v": "0.5"}]));
    let found = rows(
        &bench,
        "host;v\n192.168.100.200;1.234\n",
        json!({"decimal_comma": true}),
    );
    assert_eq!(found, json!([{"host": "192.168.100.200", "v": 1234}]));
    for (text, value) in [
        ("12.50", 12.5),
        (" 12.5 ", 12.5),
        ("0.30000000000000004", 0.300_000_000_000_000_04),
        ("1e-05", 1e-5),
        ("1.5E3", 1500.0),
        ("0.10000000000000001", 0.1),
    ] {
        let found = rows(&bench, &format!("v,w\n{text},\"x\"\n"), json!({}));
        assert_eq!(found[0]["v"].as_f64(), Some(value), "{text}");
    }
    // Whoever says what it is, means it.
    let number = json!({"types": {"v": "number"}});
    assert_eq!(rows(&bench, "v\n1E5\n", number), json!([{"v": 100_000}]));
    let decimal = json!({"types": {"v": "decimal(20,2)"}});
    bench.file("a.csv", "v\n12345678901234567.89\n");
    let exact = json!({"sources": {"a": {"csv": "a.csv", "types": decimal["types"]}}, "output": {"format": "json", "json": {"exact": "string"}}});
    assert_eq!(bench.rows(exact), json!([{"v": "12345678901234567.89"}]));
}

#[test]
fn later_values_that_would_change_are_told_of() {
    let bench = Bench::new();
    for (first, later, kind) in [
        ("1.5", "12345678901234567.89", "number"),
        ("1.5", "1E5", "number"),
        ("15", "007", "integer"),
        ("15", "+7", "integer"),
        ("true", "1", "boolean"),
        ("2026-01-01 10:00", "2026-01-01 10:00+02:00", "timestamp"),
    ] {
        let mut text = String::from("v\n");
        text.push_str(&format!("{first}\n").repeat(10_000));
        text.push_str(&format!("{later}\n"));
        bench.file("a.csv", &text);
        let source = |types: Value| json!({"sources": {"a": {"csv": "a.csv", "types": types}}, "query": "SELECT count(v) AS n FROM a"});
        let failure = bench.failure(source(json!({})));
        assert_eq!(
            failure.kind, "type_mismatch",
            "{later}: {}",
            failure.message
        );
        assert_eq!(
            (
                &failure.data["value"],
                &failure.data["type"],
                &failure.data["line"]
            ),
            (&json!(later), &json!(kind), &json!(10_002)),
            "{}",
            failure.message
        );
        assert!(failure.message.contains("text"), "{}", failure.message);
        if kind != "timestamp" {
            let given = bench.rows(source(json!({"v": kind})));
            assert_eq!(given, json!([{"n": 10_001}]), "{later}");
        }
        let text = bench.rows(source(json!({"v": "text"})));
        assert_eq!(text, json!([{"n": 10_001}]), "{later}");
    }
}

#[test]
fn numbers_of_json_are_held_or_stay_text() {
    let bench = Bench::new();
    bench.file(
        "a.jsonl",
        "{\"a\":1e5,\"b\":12345678901234567.89,\"c\":9007199254740993,\"d\":\"1.5\"}\n{\"c\":0.5}\n",
    );
    let found = bench.rows(json!({"sources": {"a": {"jsonl": "a.jsonl"}}}));
    assert_eq!(
        found[0],
        json!({"a": 100_000, "b": "12345678901234567.89", "c": "9007199254740993", "d": "1.5"})
    );
    let mut text = "{\"a\":1,\"b\":true}\n".repeat(10_000);
    text.push_str("{\"a\":\"2\",\"b\":1}\n");
    bench.file("a.jsonl", text);
    for (column, value) in [("a", "\"2\""), ("b", "1")] {
        let query = format!("SELECT count({column}) AS n FROM a");
        let failure =
            bench.failure(json!({"sources": {"a": {"jsonl": "a.jsonl"}}, "query": query}));
        assert_eq!(
            failure.kind, "type_mismatch",
            "{column}: {}",
            failure.message
        );
        assert_eq!(failure.data["value"], value);
    }
}

#[test]
fn nothing_and_an_empty_text_are_two_in_csv() {
    let bench = Bench::new();
    let args = json!({"rows": [{"a": null, "b": "x"}, {"a": "", "b": "y"}], "output": "csv"});
    let result = bench.result(args);
    let text = result["outputs"][0]["text"].as_str().unwrap();
    assert_eq!(text, "a,b\r\n,x\r\n\"\",y\r\n");
    bench.file("b.csv", text);
    let again = bench.rows(json!({"sources": {"b": {"csv": "b.csv"}}}));
    assert_eq!(again, json!([{"a": null, "b": "x"}, {"a": "", "b": "y"}]));
}
