//! Inline rows, CSV and JSON Lines: what is read, as what, and what is refused.

use plugin_api::serde_json::{Value, json, value::RawValue};

use crate::bench::Bench;

fn pairs(columns: &[(String, String)]) -> Vec<(&str, &str)> {
    columns
        .iter()
        .map(|(name, kind)| (name.as_str(), kind.as_str()))
        .collect()
}

#[test]
fn rows_alone_are_a_report() {
    let bench = Bench::new();
    let result = bench.result(json!({"rows": [{"b": 1, "a": "x"}, {"a": "y", "c": null}]}));
    assert_eq!(result["rows"], 2);
    assert_eq!(result["warnings"], json!([]));
    let output = &result["outputs"][0];
    assert_eq!(output["format"], "json");
    assert!(output["bytes"].as_u64().unwrap() > 0);
    let expected = json!([{"b": 1, "a": "x", "c": null}, {"b": null, "a": "y", "c": null}]);
    assert_eq!(crate::bench::rows(&result), expected);
}

#[test]
fn types_of_rows_are_found() {
    let bench = Bench::new();
    let rows = json!([
        {"i": 1, "n": 1, "s": "1", "d": "2026-01-31", "t": "2026-01-31T10:00:00Z", "b": true, "mixed": 1, "o": {"k": [1, 2]}, "big": 123456789012345678901234567890u128.to_string()},
        {"i": -2, "n": 0.5, "s": "x\n\"\u{1F600}", "d": null, "t": "2026-01-31", "b": false, "mixed": "x", "o": null, "big": "1"},
    ]);
    let columns = bench.columns(json!({"rows": rows}));
    let mut columns = pairs(&columns);
    columns.sort_unstable();
    let expected = [
        ("b", "boolean"),
        ("big", "text"),
        ("d", "date"),
        ("i", "integer"),
        ("mixed", "text"),
        ("n", "number"),
        ("o", "text"),
        ("s", "text"),
        ("t", "timestamp"),
    ];
    assert_eq!(columns, expected);
    let found = bench.rows(json!({"rows": rows, "query": "SELECT s, o, mixed, t FROM rows"}));
    assert_eq!(found[1]["s"], "x\n\"\u{1F600}");
    assert_eq!(found[0]["o"], "{\"k\":[1,2]}");
    assert_eq!(found[0]["mixed"], "1");
    assert!(
        found[0]["t"].as_str().unwrap().starts_with("2026-01-31"),
        "{found}"
    );
}

#[test]
fn csv_with_everything_that_csv_may_have() {
    let bench = Bench::new();
    let csv = "\u{feff}name,amount,zip,day,note,name\r\n\
               \"Müller, \"\"Max\"\"\",12.50,01234,2026-01-31,\"two\r\nlines\",a\r\n\
               \r\n\
               5\" pipe,,98765,,\"\",b";
    bench.file("a.csv", csv);
    let source = json!({"sources": {"a": {"csv": "a.csv"}}});
    assert_eq!(
        bench.rows(source.clone()),
        json!([
            {"name": "Müller, \"Max\"", "amount": 12.5, "zip": "01234", "day": "2026-01-31", "note": "two\r\nlines", "name_2": "a"},
            {"name": "5\" pipe", "amount": null, "zip": "98765", "day": null, "note": "", "name_2": "b"},
        ])
    );
    let columns = bench.columns(source);
    assert_eq!(
        pairs(&columns),
        [
            ("name", "text"),
            ("amount", "number"),
            ("zip", "text"),
            ("day", "date"),
            ("note", "text"),
            ("name_2", "text")
        ]
    );
}

#[test]
fn delimiters_are_found_or_given() {
    let bench = Bench::new();
    for (delimiter, text) in [
        (";", "a;b\n1;2\n"),
        ("\t", "a\tb\n1\t2\n"),
        ("|", "a|b\n1|2\n"),
        (",", "a,b\n1,2\n"),
    ] {
        bench.file("a.csv", text);
        let expected = json!([{"a": 1, "b": 2}]);
        assert_eq!(
            bench.rows(json!({"sources": {"a": {"csv": "a.csv"}}})),
            expected
        );
        let given = json!({"sources": {"a": {"csv": "a.csv", "delimiter": delimiter}}});
        assert_eq!(bench.rows(given), expected);
    }
    // In quotes they count for nothing.
    bench.file("a.csv", "\"a,b,c,d\";e\n1;2\n");
    assert_eq!(
        bench.rows(json!({"sources": {"a": {"csv": "a.csv"}}})),
        json!([{"a,b,c,d": 1, "e": 2}])
    );
}

#[test]
fn german_numbers_headers_and_encodings() {
    let bench = Bench::new();
    bench.file(
        "a.csv",
        b"Stra\xdfe;Betrag \x80\nM\xfcnchen;1.234,56\n;-0,5\n",
    );
    let source = |more: Value| {
        let mut source = json!({"csv": "a.csv", "decimal_comma": true});
        source
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!({"sources": {"a": source}})
    };
    let failure = bench.failure(source(json!({})));
    assert_eq!(
        (failure.kind.as_str(), failure.is_retryable),
        ("wrong_encoding", false)
    );
    assert!(
        failure.message.contains("line 1") && failure.message.contains("windows-1252"),
        "{}",
        failure.message
    );
    let rows = bench.rows(source(json!({"encoding": "windows-1252"})));
    assert_eq!(
        rows,
        json!([{"Straße": "München", "Betrag €": 1234.56}, {"Straße": null, "Betrag €": -0.5}])
    );

    bench.file("b.csv", "x,1\ny,2\n");
    let rows = bench.rows(json!({"sources": {"b": {"csv": "b.csv", "header": false}}}));
    assert_eq!(
        rows,
        json!([{"column_1": "x", "column_2": 1}, {"column_1": "y", "column_2": 2}])
    );
    let named = json!({"sources": {"b": {"csv": "b.csv", "header": false, "columns": ["k", "v"]}}});
    assert_eq!(bench.rows(named)[1], json!({"k": "y", "v": 2}));
    let wrong = json!({"sources": {"b": {"csv": "b.csv", "columns": ["k"]}}});
    assert_eq!(bench.failure(wrong).kind, "invalid_report");

    bench.file("c.csv", [0xff, 0xfe, 0, 0, b'a', 0, 0, 0]);
    let failure = bench.failure(json!({"sources": {"c": {"csv": "c.csv"}}}));
    assert_eq!(failure.kind, "wrong_encoding");
    assert!(failure.message.contains("UTF-32"), "{}", failure.message);
}

#[test]
fn types_can_be_given() {
    let bench = Bench::new();
    bench.file(
        "a.csv",
        "id,amount,flag,at\n1,12.50,yes,2026-01-01\n2,7,0,2026-01-01 10:30\n",
    );
    let types =
        json!({"id": "text", "amount": "decimal(12,2)", "flag": "boolean", "at": "timestamp"});
    let args = json!({"sources": {"a": {"csv": "a.csv", "types": types}}});
    let columns = bench.columns(args.clone());
    assert_eq!(
        pairs(&columns),
        [
            ("id", "text"),
            ("amount", "decimal"),
            ("flag", "boolean"),
            ("at", "timestamp")
        ]
    );
    let rows = bench.rows(args);
    assert_eq!(rows[0]["id"], "1");
    assert_eq!(rows[0]["amount"].to_string(), "12.5");
    assert_eq!(rows[1]["flag"], false);

    let unknown = json!({"sources": {"a": {"csv": "a.csv", "types": {"ammount": "text"}}}});
    let failure = bench.failure(unknown);
    assert_eq!(failure.kind, "unknown_column");
    assert_eq!(failure.data["near_misses"], json!(["amount"]));
    let wrong = json!({"sources": {"a": {"csv": "a.csv", "types": {"id": "money"}}}});
    let failure = bench.failure(wrong);
    assert_eq!(failure.kind, "invalid_report");
    assert!(failure.message.contains("\"money\""), "{}", failure.message);
}

#[test]
fn a_value_of_another_type_is_named_with_its_place() {
    let bench = Bench::new();
    // After all of the rows that types are found in, and after a value with a line break.
    let mut text = "id,amount\n\"1\n\",1\n".replace("\"1\n\"", "1");
    for row in 0..20_000 {
        text.push_str(&format!("{row},{row}.5\n"));
    }
    text.push_str("7,n/a\n8,9\n");
    bench.file("a.csv", &text);
    for query in [
        "SELECT * FROM a",
        "SELECT sum(amount) FROM a",
        "SELECT id, sum(amount) FROM a GROUP BY id",
    ] {
        let failure = bench.failure(json!({"sources": {"a": {"csv": "a.csv"}}, "query": query}));
        assert_eq!(
            (failure.kind.as_str(), failure.is_retryable),
            ("type_mismatch", false)
        );
        assert_eq!(
            failure.data,
            json!({"source": "a", "line": 20_003, "column": "amount", "value": "n/a", "type": "number"})
        );
        assert!(
            failure
                .message
                .contains("line 20003, column `amount`: \"n/a\" is not of the type number"),
            "{}",
            failure.message
        );
    }
    // A column that nobody asks for is not looked at.
    let rows = bench.rows(json!({"sources": {"a": {"csv": "a.csv"}}, "query": "SELECT count(*) AS n, max(id) AS m FROM a"}));
    assert_eq!(rows, json!([{"n": 20_003, "m": 19_999}]));

    let failure = bench.failure(
        json!({"sources": {"a": {"rows": [{"a": 1}, {"a": "x"}], "types": {"a": "integer"}}}}),
    );
    assert_eq!(failure.kind, "type_mismatch");
    assert_eq!(failure.data["row"], 2);
}

#[test]
fn broken_csv_is_refused_with_its_line() {
    let bench = Bench::new();
    for (text, line, told) in [
        ("a,b\n1,2\n3\n", 3, "1 fields, but there are 2 columns"),
        ("a,b\n1,2\n3,4,5\n", 3, "3 fields, but there are 2 columns"),
        ("a,b\n1,\"x\n", 2, "never closed"),
        ("a,b\n\"x\ny\"z,2\n", 3, "behind the closing quote"),
    ] {
        bench.file("a.csv", text);
        let failure = bench.failure(json!({"sources": {"a": {"csv": "a.csv"}}}));
        assert_eq!(failure.kind, "invalid_csv", "{text:?}: {}", failure.message);
        assert_eq!(failure.data["line"], line, "{text:?}: {}", failure.message);
        assert!(failure.message.contains(told), "{}", failure.message);
    }
    for text in ["", "\u{feff}", "\n\n"] {
        bench.file("a.csv", text);
        assert_eq!(
            bench
                .failure(json!({"sources": {"a": {"csv": "a.csv"}}}))
                .kind,
            "empty_source",
            "{text:?}"
        );
    }
    // A header without rows is a table without rows.
    bench.file("a.csv", "a,b\n");
    assert_eq!(
        bench.rows(json!({"sources": {"a": {"csv": "a.csv"}}})),
        json!([])
    );
    // Without quotes, a quote is a character.
    bench.file("a.csv", "a,b\n\"x,y\n");
    let rows = bench.rows(json!({"sources": {"a": {"csv": "a.csv", "quote": ""}}}));
    assert_eq!(rows, json!([{"a": "\"x", "b": "y"}]));
}

#[test]
fn lines_end_with_line_feeds_returns_or_both() {
    let bench = Bench::new();
    let expected = json!([{"a": 1, "b": "x\ry"}, {"a": 2, "b": "z"}]);
    bench.file("a.csv", "a,b\r1,2\r3,4\r");
    let rows = bench.arrays(json!({"sources": {"a": {"csv": "a.csv"}}}));
    assert_eq!(rows, json!([[1, 2], [3, 4]]));
    for (name, text) in [
        ("a classic Mac's", "a,b\r1,\"x\ry\"\r2,z\r"),
        ("without an end", "a,b\r1,\"x\ry\"\r2,z"),
        ("mixed", "a,b\r\n1,\"x\ry\"\r2,z\n"),
        ("doubled", "\r\ra,b\r\r\n1,\"x\ry\"\r\r\n2,z\r\r\n"),
        ("other delimiter", "a;b\r1;\"x\ry\"\r2;z\r"),
    ] {
        bench.file("a.csv", text);
        let rows = bench.rows(json!({"sources": {"a": {"csv": "a.csv"}}}));
        assert_eq!(rows, expected, "{name}");
    }
    let failure = {
        bench.file("a.csv", "a,b\r1,\"x\ry\"\r2\r");
        bench.failure(json!({"sources": {"a": {"csv": "a.csv"}}}))
    };
    assert_eq!(
        (failure.kind.as_str(), &failure.data["line"]),
        ("invalid_csv", &json!(4)),
        "{}",
        failure.message
    );
    bench.file("a.csv", "\"a,\rb\";c\r\n1;2\r\n");
    let rows = bench.rows(json!({"sources": {"a": {"csv": "a.csv"}}}));
    assert_eq!(rows, json!([{"a,\rb": 1, "c": 2}]), "a return in quotes");

    bench.file("a.jsonl", "{\"a\":1}\r{\"a\":2}\r\r\n{\"a\":3}\n{\"a\":4}");
    let rows = bench.arrays(json!({"sources": {"a": {"jsonl": "a.jsonl"}}}));
    assert_eq!(rows, json!([[1], [2], [3], [4]]));
    // In a request a return is nothing but white space between parts of a row.
    let text = String::from("{\"rows\":[{\"a\":1,\r\"b\":\r2}]}");
    let plugin = plugin_api::testing::open::<report::Report>(json!({})).unwrap();
    let args = RawValue::from_string(text).unwrap();
    let result = plugin.call("report", args).unwrap();
    assert_eq!(crate::bench::rows(&result), json!([{"a": 1, "b": 2}]));
}

#[test]
fn large_files_of_a_classic_mac_are_read_by_two_threads() {
    let bench = Bench::new();
    let mut text = String::from("id,text\r");
    for row in 0..150_000 {
        text.push_str(&format!("{row},\"line {row}\rand \"\"another\"\"\"\r"));
    }
    bench.file("a.csv", &text);
    bench.gzipped("a.csv.gz", &text);
    for file in ["a.csv", "a.csv.gz"] {
        let query = "SELECT count(*) AS n, sum(id) AS s, count(DISTINCT text) AS d FROM a";
        let rows = bench.rows(json!({"sources": {"a": {"csv": file}}, "query": query}));
        assert_eq!(
            rows,
            json!([{"n": 150_000, "s": 11_249_925_000u64, "d": 150_000}]),
            "{file}"
        );
    }
}

#[test]
fn a_header_that_is_all_of_a_file_is_told_of() {
    let bench = Bench::new();
    for (text, told) in [
        ("a,b\u{2028}1,2\u{2028}3,4", "control characters"),
        ("a,b\u{85}1,2\u{85}3,4", "control characters"),
        ("a,b\u{1e}1,2\u{1e}3,4\n", "control characters"),
        ("a,b\0\x001,2\0\x003,4", "control characters"),
        ("[{\"a\":1}]", "JSON"),
        ("{\"a\":1}\n", "JSON"),
        ("<?xml version=\"1.0\"?><rows/>", "XML"),
        ("\"a,b\n1,2\n3,4\"\n", "in quotes"),
    ] {
        bench.file("a.csv", text);
        let failure = bench.failure(json!({"sources": {"a": {"csv": "a.csv"}}}));
        assert_eq!(failure.kind, "invalid_csv", "{text:?}: {}", failure.message);
        assert!(
            failure.message.contains(told),
            "{text:?}: {}",
            failure.message
        );
    }
    // A day without rows.
    for text in [
        "a,b",
        "a,b\r\n",
        "\"a\n(EUR)\",b\n",
        "[a].[b],[a].[c]\n",
        "a\tb\n",
    ] {
        bench.file("a.csv", text);
        let result = bench.result(json!({"sources": {"a": {"csv": "a.csv"}}}));
        assert_eq!(result["rows"], 0, "{text:?}");
    }
}

#[test]
fn large_files_are_read_whole_and_in_order_by_two_threads() {
    let bench = Bench::new();
    let mut text = String::from("id,text\n");
    for row in 0..150_000 {
        text.push_str(&format!("{row},\"line {row}\nand \"\"another\"\"\"\n"));
    }
    bench.file("a.csv", &text);
    bench.gzipped("a.csv.gz", &text);
    for file in ["a.csv", "a.csv.gz"] {
        let source = json!({"a": {"csv": file}});
        let query = "SELECT count(*) AS n, sum(id) AS s, count(DISTINCT text) AS d FROM a";
        let rows = bench.rows(json!({"sources": source, "query": query}));
        assert_eq!(
            rows,
            json!([{"n": 150_000, "s": 11_249_925_000u64, "d": 150_000}]),
            "{file}"
        );
        let rows = bench
            .rows(json!({"sources": source, "query": "SELECT id FROM a WHERE id % 10000 = 9999"}));
        let ids: Vec<u64> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_u64().unwrap())
            .collect();
        assert_eq!(
            ids,
            (0..15)
                .map(|number| number * 10_000 + 9999)
                .collect::<Vec<_>>(),
            "{file}"
        );
    }
    // A gzip file that was cut off.
    let mut cut = std::fs::read(bench.path("a.csv.gz")).unwrap();
    cut.truncate(cut.len() / 2);
    bench.file("cut.csv.gz", cut);
    let failure = bench.failure(
        json!({"sources": {"a": {"csv": "cut.csv.gz"}}, "query": "SELECT count(*) FROM a"}),
    );
    assert_eq!(failure.kind, "unreadable_file", "{}", failure.message);
}

#[test]
fn json_lines() {
    let bench = Bench::new();
    bench.file(
        "a.jsonl",
        "{\"a\":1,\"b\":\"x\"}\n\n  {\"b\":\"\\u00fc\",\"a\":2,\"a\":3} \r\n{\"c\":[1]}",
    );
    let args = json!({"sources": {"a": {"jsonl": "a.jsonl"}}});
    assert_eq!(
        bench.rows(args),
        json!([{"a": 1, "b": "x", "c": null}, {"a": 2, "b": "ü", "c": null}, {"a": null, "b": null, "c": "[1]"}])
    );
    for (text, line, kind) in [
        ("{\"a\":1}\n{\"a\":\n", 2, "invalid_json"),
        ("{\"a\":1}\n[1]\n", 2, "invalid_json"),
        ("{\"a\":1} {\"a\":2}\n", 1, "invalid_json"),
        ("1\n", 1, "invalid_json"),
    ] {
        bench.file("a.jsonl", text);
        let failure = bench.failure(json!({"sources": {"a": {"jsonl": "a.jsonl"}}}));
        assert_eq!(
            (failure.kind.as_str(), &failure.data["line"]),
            (kind, &json!(line)),
            "{}",
            failure.message
        );
    }
    bench.file("a.jsonl", b"{\"a\":\"\xff\"}\n");
    assert_eq!(
        bench
            .failure(json!({"sources": {"a": {"jsonl": "a.jsonl"}}}))
            .kind,
        "wrong_encoding"
    );
    // However deep a value is, it is a text.
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    bench.file("a.jsonl", format!("{{\"a\":{deep}}}\n"));
    let rows = bench.rows(json!({"sources": {"a": {"jsonl": "a.jsonl"}}}));
    assert_eq!(rows[0]["a"], deep);
}

#[test]
fn keys_that_come_late_are_told_of() {
    let bench = Bench::new();
    let mut text = "{\"a\":1}\n".repeat(10_000);
    text.push_str("{\"a\":2,\"b\":3}\n");
    bench.file("a.jsonl", text);
    let result = bench.result(
        json!({"sources": {"a": {"jsonl": "a.jsonl"}}, "query": "SELECT sum(a) AS s FROM a"}),
    );
    assert_eq!(crate::bench::rows(&result), json!([{"s": 10_002}]));
    assert_eq!(result["warnings"][0]["kind"], "unknown_keys");
}

#[test]
fn rows_that_are_none() {
    let bench = Bench::new();
    assert_eq!(bench.rows(json!({"rows": []})), json!([]));
    assert_eq!(bench.failure(json!({"rows": [1]})).kind, "invalid_json");
    assert_eq!(bench.failure(json!({"rows": [{}]})).kind, "empty_source");
}

#[test]
fn paths_stay_in_their_folders() {
    let bench = Bench::new();
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(outside.path(), bench.path("link.csv")).unwrap();
    for path in ["/etc/passwd", "../x.csv", "link.csv"] {
        for key in ["csv", "jsonl", "sqlite"] {
            let args =
                json!({"sources": {"a": {key: path, "types": {}}}, "query": "SELECT 1 FROM a"});
            let mut args = args;
            if key == "sqlite" {
                args["sources"]["a"]["table"] = json!("t");
            }
            assert_eq!(bench.failure(args).kind, "path_not_allowed", "{key} {path}");
        }
    }
    let failure = bench.failure(json!({"sources": {"a": {"csv": "nothing.csv"}}}));
    assert_eq!(failure.kind, "not_found");
    assert!(
        failure.message.contains("source `a`"),
        "{}",
        failure.message
    );
}

#[test]
fn sources_that_contradict_themselves() {
    let bench = Bench::new();
    for (source, told) in [
        (json!({}), "one of `csv`, `jsonl`"),
        (
            json!({"csv": "a.csv", "jsonl": "b"}),
            "one of `csv`, `jsonl`",
        ),
        (
            json!({"csv": "a.csv", "table": "t"}),
            "`table` means nothing beside `csv`",
        ),
        (
            json!({"jsonl": "a", "delimiter": ";"}),
            "`delimiter` means nothing beside `jsonl`",
        ),
        (
            json!({"csv": "a", "delimiter": "::"}),
            "`delimiter` has to be one ASCII character",
        ),
        (json!({"csv": "a", "delimiter": "\""}), "the same"),
        (json!({"sqlite": "a.db"}), ""),
    ] {
        bench.file("a.db", "");
        let failure = bench.failure(json!({"sources": {"a": source}}));
        assert_eq!(
            failure.kind, "invalid_report",
            "{source}: {}",
            failure.message
        );
        assert!(
            failure.message.contains(told),
            "{source}: {}",
            failure.message
        );
    }
}
