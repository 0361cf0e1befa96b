//! Files as their writers made them: lines that are no rows, markers for no value, amounts, days in other patterns,
//! encodings. What is right was found by Python: `csv`, `codecs`, `datetime.strptime`, and `decimal` on the digits alone.

use std::fmt::Write as _;

use plugin_api::serde_json::{Value, json};

use crate::bench::Bench;

fn source(mut more: Value) -> Value {
    more["csv"] = json!("a.csv");
    json!({"sources": {"a": more}})
}

/// The rows of a file read like this, a list each.
fn read(content: impl AsRef<[u8]>, more: Value) -> Value {
    let bench = Bench::new();
    bench.file("a.csv", content);
    bench.arrays(source(more))
}

/// The kind of the error, and its message.
fn refused(content: impl AsRef<[u8]>, more: Value) -> (String, String) {
    let bench = Bench::new();
    bench.file("a.csv", content);
    let failure = bench.failure(source(more));
    assert!(!failure.is_retryable);
    (failure.kind, failure.message)
}

fn kinds(content: &str, more: Value) -> Vec<String> {
    let bench = Bench::new();
    bench.file("a.csv", content);
    let columns = bench.columns(source(more));
    columns.into_iter().map(|(_, kind)| kind).collect()
}

#[test]
fn lines_before_the_header_and_comments_are_left_out() {
    let rows = json!([[1, "x"], [2, "#y"]]);
    for (content, more) in [
        (
            "Report of 3\" pipes; \"all\n\nmade, today\nn,t\n1,x\n2,#y\n",
            json!({"skip_rows": 3}),
        ),
        (
            "# it's \"all\n#,,,\nn,t\n1,x\n# a,\"b\n2,#y\n#",
            json!({"comment": "#"}),
        ),
        (
            "-- by hand\r\nx\r\n-- \"\r\nn,t\r\n1,x\r\n--\r\n2,#y",
            json!({"skip_rows": 2, "comment": "--", "delimiter": ","}),
        ),
        ("old\rmac\rn,t\r1,x\r2,#y\r", json!({"skip_rows": 2})),
    ] {
        assert_eq!(read(content, more), rows, "{content:?}");
    }
    // In quotes it is text, and lines keep their numbers.
    assert_eq!(
        read("t,n\n\"a\n#b\",1\n", json!({"comment": "#"})),
        json!([["a\n#b", 1]])
    );
    let (kind, message) = refused(
        "a title\n# a comment\nn,t\n1,x\n# another\n2\n",
        json!({"skip_rows": 1, "comment": "#"}),
    );
    assert_eq!(kind, "invalid_csv");
    assert!(message.contains("line 6"), "{message}");
    assert_eq!(
        read("t\n1\n", json!({"skip_rows": 1, "header": false})),
        json!([[1]])
    );
    let (kind, _) = refused("t\n1\n", json!({"skip_rows": 9}));
    assert_eq!(kind, "empty_source");
}

#[test]
fn the_header_is_the_first_line_that_is_not_empty_however_far_it_is() {
    // Each part is longer than what is read at once.
    let empty = "\n".repeat(1_100_000);
    let crlf = "\r\n".repeat(700_000);
    let comments = "# nothing here, \"really\n".repeat(60_000);
    for (before, more) in [
        (&empty, json!({})),
        (&crlf, json!({})),
        (&comments, json!({"comment": "#"})),
        (&comments, json!({"skip_rows": 60_000})),
    ] {
        let content = format!("{before}n;t\n1;x\n{before}2;y\n");
        let more = match more.get("skip_rows") {
            Some(_) => json!({"skip_rows": 60_000, "comment": "#"}),
            None => more,
        };
        assert_eq!(read(&content, more), json!([[1, "x"], [2, "y"]]));
    }
}

#[test]
fn markers_of_no_value_are_null() {
    let content = "n,t,d\n1,NA,2026-01-31\nNA,x,-\n -,\"NA\",NA\n2,-,2026-02-01\n";
    let nulls = json!({"null_values": ["NA", "-"]});
    assert_eq!(
        read(content, nulls.clone()),
        json!([
            [1, null, "2026-01-31"],
            [null, "x", null],
            [null, null, null],
            [2, null, "2026-02-01"],
        ])
    );
    assert_eq!(kinds(content, nulls), ["integer", "text", "date"]);
    assert_eq!(kinds(content, json!({})), ["text", "text", "text"]);

    let bench = Bench::new();
    let rows = json!([{"n": 1, "t": "n/a"}, {"n": -999, "t": "n\u{2f}a"}, {"n": "n/a", "t": "y"}]);
    let source = json!({"sources": {"a": {"rows": rows, "null_values": ["n/a", "-999"]}}});
    assert_eq!(
        bench.arrays(source.clone()),
        json!([[1, null], [null, null], [null, "y"]])
    );
    bench.file(
        "a.jsonl",
        "{\"n\":1.5,\"t\":\"NULL\"}\n{\"n\":\"NU\\u004cL\",\"t\":\"x\"}\n",
    );
    let lines = json!({"sources": {"a": {"jsonl": "a.jsonl", "null_values": ["NULL"]}}});
    assert_eq!(bench.arrays(lines), json!([[1.5, null], [null, "x"]]));
}

#[test]
fn amounts_are_numbers_where_nothing_else_can_be_meant() {
    for (content, expected) in [
        (
            "a;b\n1,234.50;$1,000\n7;-$12.5\n",
            json!([[1234.5, 1000], [7, -12.5]]),
        ),
        (
            "a;b\n1.234,50;12,50 €\n0,99;1.000 €\n",
            json!([[1234.5, 12.5], [0.99, 1000]]),
        ),
        ("a;b\n1 234,50;£5\n12;£7\n", json!([[1234.5, 5], [12, 7]])),
        (
            "a;b\n1'234.50;1\u{a0}234,5\n1;2\n",
            json!([[1234.5, 1234.5], [1, 2]]),
        ),
        // An empty field is no value, and no doubt.
        ("a;b\n1,234.50;\n;x\n", json!([[1234.5, null], [null, "x"]])),
    ] {
        assert_eq!(
            read(content, json!({"delimiter": ";"})),
            expected,
            "{content:?}"
        );
    }
    // What may be something else stays what it is.
    for text in [
        "1,234",
        "$1,234",
        "100,200,300",
        "800 123 456",
        "192.168.100.200",
        "SEK 100",
        "1,23.50",
        "12,34,567.00",
        "+1,234.50",
        "0123,456.7",
        "1,234.50 USD",
        "1,234.5.6",
    ] {
        let content = format!("a;b\n{text};1\n");
        assert_eq!(
            read(&content, json!({"delimiter": ";"})),
            json!([[text, 1]])
        );
    }
    assert_eq!(
        read("a;b\n$5;1\n€5;2\n5;3\n", json!({})),
        json!([["$5", 1], ["€5", 2], ["5", 3]])
    );
    // More digits than a number holds.
    assert_eq!(
        read(
            "a;b\n1,234,567,890,123,456.78;1\n",
            json!({"delimiter": ";"})
        ),
        json!([["1,234,567,890,123,456.78", 1]])
    );
}

#[test]
fn amounts_may_be_asked_for() {
    for (content, more, expected) in [
        (
            "a;b\n1,234;x\n5;y\n",
            json!({"thousands": ","}),
            json!([[1234, "x"], [5, "y"]]),
        ),
        (
            "a;b\n12,34,567.5;x\n",
            json!({"thousands": ","}),
            json!([[1_234_567.5, "x"]]),
        ),
        (
            "a;b\nEUR 1.234,5;x\n7;y\n",
            json!({"decimal_comma": true, "currency": "EUR"}),
            json!([[1234.5, "x"], [7, "y"]]),
        ),
        (
            "a;b\n1 234,5 kr;x\n",
            json!({"decimal_comma": true, "thousands": " ", "currency": "kr"}),
            json!([[1234.5, "x"]]),
        ),
        (
            "a;b\n1_234;x\n",
            json!({"thousands": "_"}),
            json!([[1234, "x"]]),
        ),
        // Exact, as the type says.
        (
            "a;b\n$12,345,678,901,234,567.89;x\n",
            json!({"thousands": ",", "currency": "$", "types": {"a": "decimal(20,2)"}}),
            json!([[
                serde_json::from_str::<Value>("12345678901234567.89").unwrap(),
                "x"
            ]]),
        ),
        // A column in another writing stays text.
        (
            "a;b\n1,23;x\n",
            json!({"thousands": ","}),
            json!([["1,23", "x"]]),
        ),
    ] {
        assert_eq!(read(content, more), expected, "{content:?}");
    }
    let content = "a;b\n1,234;x\n1,23;y\n";
    let more = json!({"thousands": ",", "types": {"a": "integer"}});
    let (kind, message) = refused(content, more);
    assert_eq!(kind, "type_mismatch");
    assert!(
        message.contains("line 3") && message.contains("1,23"),
        "{message}"
    );
    for (more, told) in [
        (json!({"thousands": "."}), "decimal_comma"),
        (
            json!({"thousands": ",", "decimal_comma": true}),
            "decimal_comma",
        ),
        (json!({"thousands": "0"}), "one character"),
        (json!({"thousands": ",."}), "one character"),
        (json!({"thousands": "-"}), "one character"),
        (json!({"currency": "5"}), "currency"),
        (json!({"currency": ""}), "currency"),
        (json!({"comment": "\"x"}), "comment"),
        (json!({"comment": ""}), "comment"),
        (json!({"date_formats": {"a": "%Q"}}), "date_formats"),
        (json!({"date_formats": {"a": "%H:%M"}}), "whole day"),
        (
            json!({"date_formats": {"a": "%d.%m.%Y"}, "types": {"a": "text"}}),
            "date_formats",
        ),
    ] {
        let (kind, message) = refused("a;b\n1;2\n", more);
        assert_eq!(kind, "invalid_report", "{message}");
        assert!(message.contains(told), "{message}");
    }
}

#[test]
fn a_later_value_in_another_writing_is_an_error() {
    let mut content = String::from("id;amount\n");
    for id in 0..10_001 {
        writeln!(content, "{id};$1,{:03}.50", id % 1000).unwrap();
    }
    let query = |content: &str| {
        let bench = Bench::new();
        bench.file("a.csv", content);
        let mut args = source(json!({}));
        args["query"] = json!("SELECT sum(amount) AS s, count(*) AS n FROM a");
        bench.prepare(args).run().result
    };
    let sum = crate::bench::rows(&query(&content).unwrap());
    assert_eq!(sum, json!([{"s": 15_001_000.5, "n": 10_001}]));
    for last in ["1,23", "€1,234.50", "1,234.50", "$1.234,50"] {
        let failure = crate::bench::failure(query(&format!("{content}9;{last}\n")), last);
        assert_eq!(failure.kind, "type_mismatch", "{last}");
        assert_eq!(failure.data["value"], last);
        assert!(
            failure.message.contains("`currency`"),
            "{}",
            failure.message
        );
    }
}

#[test]
fn days_are_read_by_their_column_s_pattern() {
    let content = "d;t;z;m\n\
                   31.01.2026;01/31/2026 07:05 PM;2026-01-31 00:05:09+0200;5-Mar-26\n\
                   1.2.2026;2/1/2026 12:00 AM;2026-02-01 00:05:09-0330;29-Feb-24\n";
    let formats = json!({"date_formats": {
        "d": "%d.%m.%Y", "t": "%m/%d/%Y %I:%M %p", "z": "%Y-%m-%d %H:%M:%S%z", "m": "%d-%b-%y",
    }});
    assert_eq!(
        kinds(content, formats.clone()),
        ["date", "timestamp", "timestamp", "date"]
    );
    assert_eq!(
        read(content, formats),
        json!([
            [
                "2026-01-31",
                "2026-01-31T19:05:00",
                "2026-01-30T22:05:09Z",
                "2026-03-05"
            ],
            [
                "2026-02-01",
                "2026-02-01T00:00:00",
                "2026-02-01T03:35:09Z",
                "2024-02-29"
            ],
        ])
    );
    // A day that isn't there is an error, and not another day.
    let (kind, message) = refused(
        "d\n31.04.2026\n",
        json!({"date_formats": {"d": "%d.%m.%Y"}}),
    );
    assert_eq!(kind, "type_mismatch");
    assert!(message.contains("date_formats"), "{message}");
    let (kind, _) = refused(
        "d\n31.01.2026\n",
        json!({"date_formats": {"day": "%d.%m.%Y"}}),
    );
    assert_eq!(kind, "unknown_column");
    // A clock without a zone is read by that of the report.
    let bench = Bench::new();
    bench.file("a.jsonl", "{\"t\":\"31.07.2026 00:30\"}\n");
    let mut args = json!({"sources": {"a": {"jsonl": "a.jsonl", "types": {"t": "timestamptz"},
        "date_formats": {"t": "%d.%m.%Y %H:%M"}}}});
    args["time_zone"] = json!("Europe/Berlin");
    assert_eq!(bench.arrays(args), json!([["2026-07-31T00:30:00+02:00"]]));
}

fn utf16(text: &str, is_big: bool, has_mark: bool) -> Vec<u8> {
    let mark = has_mark.then_some(0xfeff);
    let units = mark.into_iter().chain(text.encode_utf16());
    units
        .flat_map(|unit| {
            if is_big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        })
        .collect()
}

#[test]
fn utf_16_is_read_by_its_mark_or_as_it_was_asked_for() {
    // By Python: codecs.encode("ü,n\n😀,1\n", "utf-16-le") behind its mark.
    let known = b"\xff\xfe\xfc\0,\0n\0\n\0\x3d\xd8\0\xde,\x001\0\n\0";
    assert_eq!(utf16("ü,n\n😀,1\n", false, true), known);
    let bench = Bench::new();
    let expected = json!([{"ü": "😀", "n": 1}]);
    for (is_big, has_mark, encoding) in [
        (false, true, None),
        (true, true, None),
        (false, true, Some("utf-16")),
        (true, true, Some("utf-16")),
        (false, false, Some("utf-16")),
        (false, false, Some("utf-16le")),
        (true, false, Some("utf-16be")),
    ] {
        bench.file("a.csv", utf16("ü,n\n😀,1\n", is_big, has_mark));
        let more = encoding.map_or(json!({}), |encoding| json!({"encoding": encoding}));
        assert_eq!(
            bench.rows(source(more)),
            expected,
            "{is_big} {has_mark} {encoding:?}"
        );
    }
    // Of many chunks, and with characters that are cut where these end.
    let mut text = String::from("n,t\n");
    for n in 0..60_000 {
        writeln!(text, "{n},\"😀\r\nü {n}\"").unwrap();
    }
    bench.file("a.csv", utf16(&text, true, true));
    let mut args = source(json!({}));
    args["query"] =
        json!("SELECT count(*) AS c, sum(n) AS s, sum(character_length(t)) AS l FROM a");
    assert_eq!(
        bench.arrays(args),
        json!([[60_000, 1_799_970_000, 588_890]])
    );
    bench.file("a.jsonl", utf16("{\"a\":\"ü\"}\n", false, true));
    let lines = json!({"sources": {"a": {"jsonl": "a.jsonl"}}});
    assert_eq!(bench.arrays(lines), json!([["ü"]]));

    let mut broken = utf16("a,b\n1,2\n3,x", false, true);
    broken.extend([0x3d, 0xd8, b'a', 0]);
    let (kind, message) = refused(&broken, json!({}));
    assert_eq!(kind, "wrong_encoding");
    assert!(
        message.contains("line 3") && message.contains("half of a character"),
        "{message}"
    );
    for (content, more) in [
        (
            utf16("a\n1\n", false, true),
            json!({"encoding": "windows-1252"}),
        ),
        (
            utf16("a\n1\n", false, true),
            json!({"encoding": "utf-16be"}),
        ),
        (b"\xff\xfe\0\0a\0\0\0".to_vec(), json!({})),
        ("\u{feff}a\n1\n".into(), json!({"encoding": "utf-16"})),
        (b"\xff\xfea\0\n".to_vec(), json!({})),
    ] {
        assert_eq!(refused(&content, more).0, "wrong_encoding", "{content:?}");
    }
}

#[test]
fn a_file_of_excel_in_japan_is_read() {
    // By Python: rows through `csv.writer(lineterminator="\r\n")`, encoded and decoded as cp932. Characters have bytes in
    // them that alone are `\` and `|`; the yen sign is a backslash there.
    let header =
        b"\x93\xfa\x95t,\x8f\xa4\x95i\x96\xbc,\x90\x94\x97\xca,\x8b\xe0\x8az,\x94\xf5\x8dl\r\n";
    let first = b"2026/1/31,\x83\\\x81[\x83X\x83|\x83b\x83g\x87@,3,\"\\1,234\",\"\x95\\\x8e\xa6\r\n\x81u\x94\\\x97\xcd\x81v, \x81`\x81[\"\r\n";
    let second = b"2026/2/1,\xb6\xc0\xb6\xc5\xee\xe0\xed\x95,12,\\980,\r\n";
    let content = [&header[..], first, second].concat();
    let bench = Bench::new();
    bench.file("a.csv", &content);
    for name in ["shift_jis", "Shift_JIS", "cp932", "windows-31j"] {
        let more = json!({"encoding": name, "currency": "\\", "thousands": ",",
            "date_formats": {"日付": "%Y/%m/%d"}});
        assert_eq!(
            bench.rows(source(more)),
            json!([
                {"日付": "2026-01-31", "商品名": "ソースポット①", "数量": 3, "金額": 1234,
                    "備考": "表示\r\n「能力」, ～ー"},
                {"日付": "2026-02-01", "商品名": "ｶﾀｶﾅ髙﨑", "数量": 12, "金額": 980, "備考": null},
            ]),
            "{name}"
        );
    }
    let (kind, message) = refused(&content, json!({}));
    assert_eq!(kind, "wrong_encoding");
    assert!(message.contains("shift_jis"), "{message}");
    let (kind, message) = refused(&content, json!({"encoding": "euc-jp"}));
    assert_eq!(kind, "wrong_encoding");
    assert!(
        message.contains("line 1") && message.contains("EUC-JP"),
        "{message}"
    );

    // Of many chunks, whose ends part characters.
    let mut long = b"n,t\n".to_vec();
    for n in 0..60_000 {
        long.extend_from_slice(format!("{n},\"").as_bytes());
        long.extend_from_slice(b"\x95\\\r\n\x83|\"\n");
    }
    bench.file("a.csv", &long);
    let mut args = source(json!({"encoding": "shift_jis"}));
    args["query"] =
        json!("SELECT count(*) AS c, count(DISTINCT t) AS d, min(t) AS t, sum(n) AS s FROM a");
    assert_eq!(
        bench.arrays(args),
        json!([[60_000, 1, "表\r\nポ", 1_799_970_000]])
    );
    long.extend_from_slice(b"1,x\n2,\x83");
    let (kind, message) = refused(&long, json!({"encoding": "shift_jis"}));
    assert_eq!(kind, "wrong_encoding");
    assert!(
        message.contains("line 120003") && message.contains("within a character"),
        "{message}"
    );
}

#[test]
fn rows_at_the_end_may_be_left_out() {
    // As `csv.reader` of Python parts the rows, empty ones left out.
    let rows = json!([["x", 1], ["y", 2]]);
    for (content, last) in [
        ("a,n\nx,1\ny,2\nTotal,3\n", 1),
        ("a,n\r\nx,1\r\ny,2\r\nTotal,3\r\nmade by hand", 2),
        ("a,n\rx,1\ry,2\rTotal;3;4\r\r\r", 1),
        ("a,n\nx,1\ny,2\n\n\"Total,\nof all\"\n", 1),
        ("a,n\nx,1\n# no row\ny,2\nTotal,,3\n# the end\n\n", 1),
        ("a,n\nx,1\ny,2\n", 0),
    ] {
        let more = json!({"skip_last_rows": last, "comment": "#"});
        assert_eq!(read(content, more), rows, "{content:?}");
    }
    // Their texts have no say in types, nor in what separates values.
    assert_eq!(
        kinds(
            "a;n\nx;1\nTotal, all of it: 3\n",
            json!({"skip_last_rows": 1})
        ),
        ["text", "integer"]
    );
    let (kind, _) = refused("a,n\nTotal,1\n", json!({"skip_last_rows": 2}));
    assert_eq!(kind, "empty_source");
    assert_eq!(
        read("a,n\nTotal,1\n", json!({"skip_last_rows": 1})),
        json!([])
    );
    let (kind, message) = refused("a\n1\n", json!({"skip_last_rows": 1001}));
    assert_eq!(kind, "invalid_report");
    assert!(message.contains("skip_last_rows"), "{message}");

    // Rows of many chunks, and a footer that begins in one and ends in another.
    let bench = Bench::new();
    let mut text = String::from("n,t\n");
    for n in 0..100_000 {
        writeln!(text, "{n},\"row\n{n}\"").unwrap();
    }
    let footer = format!("Total,{}\n", "x".repeat(40_000)).repeat(60);
    bench.file("a.csv", format!("{text}{footer}"));
    let mut args = source(json!({"skip_last_rows": 60}));
    args["query"] = json!("SELECT count(*) AS c, sum(n) AS s FROM a");
    assert_eq!(bench.arrays(args), json!([[100_000, 4_999_950_000_u64]]));
}
