//! What separates the values of a CSV file, and how it is encoded: found in all of it, or an error that says what to do.

use plugin_api::serde_json::{Value, json};

use crate::bench::Bench;

fn source() -> Value {
    json!({"sources": {"a": {"csv": "a.csv"}}})
}

/// What is right is what Python's `csv` reads with the delimiter that people see.
#[test]
fn a_delimiter_parts_all_rows_alike() {
    let bench = Bench::new();
    for (text, expected) in [
        (
            "Betrag (EUR, netto);Datum\n12,50;2026-01-01\n",
            json!([{"Betrag (EUR, netto)": "12,50", "Datum": "2026-01-01"}]),
        ),
        (
            "Betrag (EUR, netto);Datum\n12;2026-01-01\n7;2026-01-02\n",
            json!([{"Betrag (EUR, netto)": 12, "Datum": "2026-01-01"}, {"Betrag (EUR, netto)": 7, "Datum": "2026-01-02"}]),
        ),
        (
            "name|note, long, very long\nx|y\n",
            json!([{"name": "x", "note, long, very long": "y"}]),
        ),
        (
            "a,b\n\"x;y;z\",\"1;2;3\"\n",
            json!([{"a": "x;y;z", "b": "1;2;3"}]),
        ),
        (
            "a;b\n\"1,5\n2,5\";x\n1;y\n",
            json!([{"a": "1,5\n2,5", "b": "x"}, {"a": "1", "b": "y"}]),
        ),
        ("one\n1\n2\n", json!([{"one": 1}, {"one": 2}])),
        ("note\nx|y\nz\n", json!([{"note": "x|y"}, {"note": "z"}])),
    ] {
        bench.file("a.csv", text);
        assert_eq!(bench.rows(source()), expected, "{text:?}");
    }
    // Far behind the first rows.
    let mut text = String::from("a;b, c\n");
    text.push_str(&"1;x, y\n".repeat(500));
    text.push_str("2;z\n");
    bench.file("a.csv", text);
    let rows = bench.rows(source());
    assert_eq!(rows[0], json!({"a": 1, "b, c": "x, y"}));
    assert_eq!(rows[500], json!({"a": 2, "b, c": "z"}));
}

#[test]
fn a_delimiter_in_doubt_is_asked_for() {
    let bench = Bench::new();
    for text in [
        "a,b;c\n1,2;3\nx,y;z\n",
        "a, b;c\nx, y;z\n",
        "a,b;c\n",
        "Sales of March\na;b\n1;2\n3;4\n",
        "a|b,c\n1|2,x\n",
    ] {
        bench.file("a.csv", text);
        let failure = bench.failure(source());
        assert_eq!(failure.kind, "invalid_csv", "{text:?}: {}", failure.message);
        assert!(
            failure.message.contains("`delimiter`"),
            "{}",
            failure.message
        );
        assert_eq!(failure.data["option"], "delimiter", "{text:?}");
    }
    bench.file("a.csv", "a,b;c\n1,2;3\n");
    let given = json!({"sources": {"a": {"csv": "a.csv", "delimiter": ";"}}});
    assert_eq!(bench.rows(given), json!([{"a,b": "1,2", "c": 3}]));
    // A row that is broken is told of where it is, and what may be the reason.
    bench.file("a.csv", "a;b,c\n1;2\n3;4,5;6\n");
    let failure = bench.failure(source());
    assert_eq!(failure.data["line"], 3, "{}", failure.message);
    assert!(
        failure.message.contains("`delimiter`"),
        "{}",
        failure.message
    );
}

#[test]
fn a_file_has_one_encoding() {
    let bench = Bench::new();
    let source =
        |encoding: Value| json!({"sources": {"a": {"csv": "a.csv", "encoding": encoding}}});
    // By Python: "Ã¼".encode("cp1252") == "ü".encode("utf-8"), and so on.
    bench.file("a.csv", b"a;b\n\xc3\xbc;\xfc\n\xe2\x82\xac;\x80\n");
    assert_eq!(
        bench.rows(source(json!("windows-1252"))),
        json!([{"a": "Ã¼", "b": "ü"}, {"a": "â‚¬", "b": "€"}])
    );
    let failure = bench.failure(source(json!("utf-8")));
    assert_eq!(failure.kind, "wrong_encoding");
    // Its mark says what it is.
    bench.file("a.csv", "\u{feff}a;b\nü;x\n");
    let failure = bench.failure(source(json!("windows-1252")));
    assert_eq!(failure.kind, "wrong_encoding", "{}", failure.message);
    assert_eq!(
        bench.rows(source(json!("utf-8"))),
        json!([{"a": "ü", "b": "x"}])
    );
}

#[test]
fn what_is_not_the_named_format_is_named() {
    let bench = Bench::new();
    bench.file("a.jsonl", "[\n{\"a\":1},\n{\"a\":2}\n]\n");
    let failure = bench.failure(json!({"sources": {"a": {"jsonl": "a.jsonl"}}}));
    assert_eq!(failure.kind, "invalid_json");
    assert!(
        failure.message.contains("JSON array"),
        "{}",
        failure.message
    );
    let zip = b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0";
    bench.file("a.xlsx", zip);
    for args in [
        json!({"sources": {"a": {"csv": "a.xlsx"}}}),
        json!({"sources": {"a": {"jsonl": "a.xlsx"}}}),
    ] {
        let failure = bench.failure(args);
        assert_eq!(failure.kind, "unreadable_file", "{}", failure.message);
        assert!(failure.message.contains("XLSX"), "{}", failure.message);
    }
    for (magic, told) in [
        (&b"%PDF-1.7\n"[..], "PDF"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"SQLite format 3\0", "SQLite"),
        (b"<!DOCTYPE html>\n<html>\n<body>\n", "HTML"),
        (b"\n<HTML lang=\"de\"><head>\n", "HTML"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "PNG"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"),
        (b"7z\xbc\xaf\x27\x1c\0\x04", "7z"),
    ] {
        bench.file("a.csv", magic);
        let failure = bench.failure(source());
        assert_eq!(failure.kind, "unreadable_file", "{}", failure.message);
        assert!(failure.message.contains(told), "{}", failure.message);
    }
}
