//! What is made: formats, files, contents, and that files appear all together or not at all.

use std::fs;

use plugin_api::serde_json::{Value, json, to_value};

use crate::bench::Bench;

fn rows() -> Value {
    json!([{"region": "North", "amount": 12.5}, {"region": "Süd", "amount": 7}])
}

#[test]
fn every_format_at_once_in_files_and_in_the_result() {
    let bench = Bench::new();
    let mut output: Vec<Value> = ["json", "csv", "xlsx", "html", "pdf"]
        .map(|format| json!({"path": format!("out/r.{format}")}))
        .to_vec();
    output.extend(["json", "csv", "xlsx", "html", "pdf"].map(Value::from));
    let result = bench.result(json!({"rows": rows(), "title": "All", "output": output}));
    let outputs = result["outputs"].as_array().unwrap();
    assert_eq!(outputs.len(), 10);
    let begins: [&[u8]; 5] = [
        b"{\"title\":",
        b"region,amount",
        b"PK\x03\x04",
        b"<!doctype html>",
        b"%PDF-",
    ];
    for (output, begin) in outputs[..5].iter().zip(begins) {
        let path = output["path"].as_str().unwrap();
        let bytes = fs::read(bench.path(path)).unwrap();
        assert_eq!(output["bytes"], bytes.len(), "{path}");
        assert!(
            bytes
                .to_ascii_lowercase()
                .starts_with(&begin.to_ascii_lowercase()),
            "{path}"
        );
        assert!(
            output.get("text").is_none()
                && output.get("json").is_none()
                && output.get("base64").is_none()
        );
    }
    assert_eq!(outputs[5]["json"]["title"], "All");
    assert_eq!(
        outputs[6]["text"],
        "region,amount\r\nNorth,12.5\r\nSüd,7\r\n"
    );
    assert!(outputs[7]["base64"].as_str().unwrap().starts_with("UEsDB"));
    assert!(outputs[8]["text"].as_str().unwrap().contains("Süd"));
    assert!(outputs[9]["base64"].as_str().unwrap().starts_with("JVBERi"));
    assert_eq!(
        bench.files(),
        [
            "out/r.csv",
            "out/r.html",
            "out/r.json",
            "out/r.pdf",
            "out/r.xlsx"
        ]
    );
}

#[test]
fn options_of_csv_and_columns_reach_the_writers() {
    let bench = Bench::new();
    let result = bench.result(json!({
        "rows": rows(),
        "columns": {"amount": {"title": "Betrag", "format": {"kind": "number", "decimals": 2}, "total": "sum"}},
        "locale": "de",
        "output": {"format": "csv", "csv": {"delimiter": ";", "localized": true, "totals": true}},
    }));
    let text = result["outputs"][0]["text"].as_str().unwrap();
    assert!(
        text.starts_with("region;Betrag\r\nNorth;12,50\r\nSüd;7,00\r\n"),
        "{text}"
    );
    assert!(text.contains("19,50"), "{text}");
}

#[test]
fn groups_have_subtotals() {
    let bench = Bench::new();
    let result = bench.result(json!({
        "rows": [{"g": "a", "n": 1}, {"g": "a", "n": 2}, {"g": "b", "n": 4}],
        "group_by": "g",
        "columns": {"n": {"total": "sum"}},
    }));
    let table = &result["outputs"][0]["json"]["sections"][0];
    assert_eq!(table["groups"][0]["subtotals"], json!({"n": 3}));
    assert_eq!(table["totals"], json!({"n": 7}));
}

#[test]
fn when_one_output_fails_there_is_none() {
    let bench = Bench::new();
    bench.file("old.csv", "old");
    fs::create_dir(bench.path("folder.csv")).unwrap();
    // A folder in place of a file; a path outside; CSV of a report without a table; an option that no writer knows.
    let good = json!([{"path": "old.csv"}, {"path": "new.json"}]);
    let with = |more: Value| {
        let mut output = good.clone();
        output.as_array_mut().unwrap().push(more);
        output
    };
    for (args, kind) in [
        (
            json!({"rows": rows(), "output": with(json!({"path": "folder.csv"}))}),
            "not_a_file",
        ),
        (
            json!({"rows": rows(), "output": with(json!({"path": "/etc/x.csv"}))}),
            "path_not_allowed",
        ),
        (
            json!({"rows": rows(), "output": with(json!({"path": "../x.csv"}))}),
            "path_not_allowed",
        ),
        (
            json!({"rows": rows(), "output": with(json!({"format": "csv", "path": "x.csv", "csv": {"delimiter": "x"}}))}),
            "invalid_option",
        ),
        (
            json!({"rows": rows(), "query": "SELECT amount / 0, 1 / 0 FROM rows", "output": good}),
            "query_failed",
        ),
        (
            json!({"rows": rows(), "sections": [{"text": "no table"}], "output": good}),
            "not_one_table",
        ),
    ] {
        let failure = bench.failure(args);
        assert_eq!(failure.kind, kind, "{}", failure.message);
        assert_eq!(bench.files(), ["old.csv"], "{kind}");
        assert_eq!(fs::read(bench.path("old.csv")).unwrap(), b"old");
    }
}

#[test]
fn a_failure_among_the_rows_leaves_nothing_behind() {
    let bench = Bench::new();
    let mut text = String::from("a\n");
    for row in 0..300_000 {
        text.push_str(&format!("{row}\n"));
    }
    text.push_str("x\n");
    bench.file("a.csv", text);
    let output = json!([{"path": "a.xlsx"}, {"path": "b.csv.gz", "format": "csv"}, {"path": "c.html"}, {"path": "deep/d.json"}]);
    let failure = bench.failure(json!({"sources": {"a": {"csv": "a.csv"}}, "output": output}));
    assert_eq!(failure.kind, "type_mismatch");
    assert_eq!(bench.files(), ["a.csv"]);
}

#[test]
fn outputs_that_are_none() {
    let bench = Bench::new();
    for (output, told) in [
        (json!({"path": "a.doc"}), "tells no format"),
        (json!({}), "needs a `format`"),
        (json!([{"path": "a.csv"}, {"path": "a.csv"}]), "two outputs"),
        (json!({"format": "xlsx", "csv": {}}), "`csv` belongs"),
        (Value::from(vec!["csv"; 21]), "21 outputs"),
    ] {
        let failure = bench.failure(json!({"rows": rows(), "output": output}));
        assert_eq!(
            failure.kind, "invalid_report",
            "{output}: {}",
            failure.message
        );
        assert!(
            failure.message.contains(told),
            "{output}: {}",
            failure.message
        );
    }
}

#[test]
fn results_and_files_have_their_limits() {
    let bench = Bench::with(
        json!({"result_len_max": "64KiB", "file_len_max": "128KiB", "rows_max": 20000}),
    );
    let args = |rows: u64, output: Value| json!({"query": format!("SELECT value, 'some text' AS text FROM generate_series(1, {rows})"), "output": output});
    for output in [json!("csv"), json!("json"), json!("html")] {
        let failure = bench.failure(args(15_000, output.clone()));
        assert_eq!(
            (failure.kind.as_str(), failure.is_retryable),
            ("output_too_large", false),
            "{output}: {}",
            failure.message
        );
    }
    // Each of them fits, both together don't.
    assert_eq!(
        bench
            .failure(args(
                2500,
                json!(["csv", {"format": "csv", "csv": {"delimiter": ";"}}])
            ))
            .kind,
        "output_too_large"
    );
    let failure = bench.failure(args(15_000, json!({"path": "a.csv"})));
    assert_eq!(failure.kind, "output_too_large");
    assert!(
        failure.message.contains("file_len_max"),
        "{}",
        failure.message
    );
    assert_eq!(
        bench.failure(args(20_001, json!({"path": "a.xlsx"}))).kind,
        "too_many_rows"
    );
    assert_eq!(
        bench.result(args(2000, json!({"path": "a.csv"})))["rows"],
        2000
    );
    assert_eq!(bench.files(), ["a.csv"]);
}

#[test]
fn without_folders_paths_are_refused_and_say_what_to_set() {
    let plugin = plugin_api::testing::open::<report::Report>(json!({})).unwrap();
    for args in [
        json!({"rows": rows(), "output": {"path": "a.csv"}}),
        json!({"sources": {"a": {"csv": "a.csv"}}}),
    ] {
        let failure = crate::bench::failure(plugin.call("report", &args), "");
        assert_eq!(failure.kind, "path_not_allowed");
        assert!(failure.message.contains("folders."), "{}", failure.message);
    }
    assert!(plugin.call("report", json!({"rows": rows()})).is_ok());
}

#[test]
fn the_schema_describes_everything() {
    let plugin = plugin_api::testing::open::<report::Report>(json!({})).unwrap();
    let manifest = to_value(plugin.manifest()).unwrap();
    let text = manifest.to_string();
    for part in [
        "DataFusion",
        "decimal_comma",
        "windows-1252",
        "query_timeout",
        "stacked_bar",
    ] {
        assert!(text.contains(part), "{part}");
    }
}
