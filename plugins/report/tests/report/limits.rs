//! Memory that stays within its bound, and disk in its place.

use std::{
    fs,
    io::{BufWriter, Write},
};

use plugin_api::serde_json::json;

use crate::bench::Bench;

/// Rows with an id that is different in each, a text and a number.
fn write_rows(bench: &Bench, rows: u64) {
    let mut file = BufWriter::new(fs::File::create(bench.path("big.csv")).unwrap());
    writeln!(file, "id,name,amount").unwrap();
    for row in 0..rows {
        let id = row.wrapping_mul(2_654_435_761) % 4_294_967_291;
        writeln!(
            file,
            "{id},name of the customer {id},{}.{:02}",
            id % 1000,
            id % 100
        )
        .unwrap();
    }
    file.flush().unwrap();
}

/// The most memory that this process had since the last call.
fn peak_after(work: impl FnOnce()) -> u64 {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    work();
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1024
}

#[test]
fn sorting_and_grouping_more_than_fits_goes_to_disk() {
    let bench = Bench::with(json!({"memory_max": "48MiB"}));
    write_rows(&bench, 2_000_000);
    let sources = json!({"big": {"csv": "big.csv"}});
    // 2 million rows of some 60 bytes are 120 MB, and more as rows of the engine.
    let sorted = json!({"sources": sources, "query": "SELECT * FROM big ORDER BY name DESC, id", "output": {"path": "sorted.csv"}});
    let peak = peak_after(|| assert_eq!(bench.result(sorted)["rows"], 2_000_000));
    assert!(peak < 400, "{peak} MB");
    let text = fs::read_to_string(bench.path("sorted.csv")).unwrap();
    let names: Vec<&str> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').nth(1).unwrap())
        .collect();
    assert_eq!(names.len(), 2_000_000);
    assert!(names.windows(2).all(|pair| pair[0] >= pair[1]));
    drop(text);

    let grouped = json!({"sources": sources, "query": "SELECT count(*) AS n, sum(c) AS c FROM (SELECT name, count(*) AS c FROM big GROUP BY name) t"});
    let found = bench.rows(grouped);
    assert_eq!(found[0]["c"], 2_000_000);
    assert_eq!(bench.files(), ["big.csv", "sorted.csv"]);
}

#[test]
fn what_can_neither_stay_in_memory_nor_go_to_disk_is_told() {
    let bench = Bench::with(json!({"memory_max": "32MiB", "spill_max": "1MiB"}));
    write_rows(&bench, 800_000);
    let sources = json!({"big": {"csv": "big.csv"}});
    let sorted = json!({"sources": sources, "query": "SELECT * FROM big ORDER BY name", "output": {"path": "sorted.csv"}});
    let failure = bench.failure(sorted);
    assert_eq!(
        (failure.kind.as_str(), failure.is_retryable),
        ("spill_limit", false),
        "{}",
        failure.message
    );
    assert!(
        failure.message.contains("`spill_max`"),
        "{}",
        failure.message
    );
    let gathered = json!({"sources": sources, "query": "SELECT length(string_agg(name, ',')) AS n FROM big GROUP BY id % 2"});
    let failure = bench.failure(gathered);
    assert!(
        ["memory_limit", "spill_limit"].contains(&failure.kind.as_str()),
        "{failure:?}"
    );
    assert_eq!(bench.files(), ["big.csv"]);
}

#[test]
fn texts_that_a_query_makes_have_a_bound() {
    let bench = Bench::with(json!({"memory_max": "64MiB"}));
    for query in [
        "SELECT length(repeat('x', 2147483647)) AS n",
        "SELECT length(lpad('x', 2147483647, 'y')) AS n",
        "SELECT length(rpad('x', 1000000000)) AS n",
        "SELECT length(repeat('x', v * 100000000)) AS n FROM generate_series(1, 3) AS t(v)",
        "SELECT max(length(repeat('x', 100000 + v))) AS n FROM generate_series(1, 8192) AS t(v)",
        "WITH a AS (SELECT repeat('x', 10000000) AS s) SELECT length(s || s || s || s) AS n FROM a",
        "WITH a AS (SELECT repeat('x', 10000000) AS s) SELECT length(concat(s, s, s, s)) AS n FROM a",
        "WITH a AS (SELECT repeat('x', 10000000) AS s) SELECT length(concat_ws('-', s, s, s, s)) AS n FROM a",
        "WITH a AS (SELECT repeat('x', 1000000) AS s) SELECT length(replace(s, 'x', s)) AS n FROM a",
        "WITH a AS (SELECT repeat('x', 1000000) AS s) SELECT length(regexp_replace(s, 'x', s, 'g')) AS n FROM a",
        "SELECT max(length(encode(encode(repeat('x', 5000000 + v), 'hex'), 'hex'))) AS n FROM generate_series(1, 2) AS t(v)",
        "SELECT max(length(overlay(repeat('x', 9000000 + v) placing repeat('y', 9000000 + v) from 3))) AS n FROM generate_series(1, 2) AS t(v)",
        "SELECT string_agg(repeat('x', 1000 + v), '') AS s FROM generate_series(1, 100000) AS t(v)",
    ] {
        let failure = bench.failure(json!({"query": query}));
        assert!(
            ["query_failed", "memory_limit"].contains(&failure.kind.as_str()),
            "{query}: {failure:?}"
        );
        assert!(!failure.is_retryable, "{query}: {failure:?}");
    }
    // What is within it stays what it is; by Python.
    for (query, expected) in [
        ("SELECT repeat('ab', 3) AS t", json!("ababab")),
        ("SELECT repeat('ab', -1) AS t", json!("")),
        ("SELECT lpad('ü', 3, 'xy') AS t", json!("xyü")),
        ("SELECT rpad('abc', 2) AS t", json!("ab")),
        ("SELECT concat('a', NULL, 1, 2.5) AS t", json!("a12.5")),
        ("SELECT 'a' || NULL AS t", json!(null)),
        ("SELECT 'a' || 1 || 'b' AS t", json!("a1b")),
        ("SELECT concat_ws('-', 'a', NULL, 'b') AS t", json!("a-b")),
        ("SELECT replace('aXbX', 'X', '--') AS t", json!("a--b--")),
        ("SELECT encode('aü', 'hex') AS t", json!("61c3bc")),
        (
            "SELECT overlay('abcdef' placing 'XY' from 3) AS t",
            json!("abXYef"),
        ),
        (
            "SELECT regexp_replace('a1b22', '[0-9]+', '<\\0>', 'g') AS t",
            json!("a<1>b<22>"),
        ),
        (
            "SELECT max(length(repeat('x', 1000 + v % 2))) AS t FROM generate_series(1, 20000) AS t(v)",
            json!(1001),
        ),
        (
            "SELECT max(length(replace(repeat('xy', 100 + v % 1), 'x', repeat('z', 10)))) AS t FROM generate_series(1, 20000) AS t(v)",
            json!(1_100),
        ),
        (
            "SELECT length(regexp_replace(repeat('x', 100000), 'x', 'yy', 'g')) AS t",
            json!(200_000),
        ),
    ] {
        let rows = bench.rows(json!({"query": query}));
        assert_eq!(rows, json!([{"t": expected}]), "{query}");
    }
}

#[test]
fn batches_of_long_texts_have_few_rows() {
    let bench = Bench::with(json!({"memory_max": "64MiB"}));
    let of = |query: &str| bench.rows(json!({"query": query}))[0]["n"].clone();
    let peak = peak_after(|| {
        // A gigabyte each, if all rows of a batch had their text at once.
        assert_eq!(
            of(
                "SELECT max(length(t)) AS n FROM (SELECT CASE WHEN v % 2 = 0 THEN repeat('x', 150000) ELSE repeat('y', 150000) END AS t FROM generate_series(1, 8192) AS g(v))"
            ),
            150_000
        );
        assert_eq!(
            of(
                "SELECT max(length(t)) AS n FROM (SELECT repeat('x', 150000) AS t FROM generate_series(1, 8192))"
            ),
            150_000
        );
        // The sum is PostgreSQL's, of names without padding.
        assert_eq!(
            of(
                "SELECT sum(length(to_char(date '2026-01-01' + CAST(v AS int), repeat('%B', 20000)))) AS n FROM generate_series(1, 8000) AS g(v)"
            ),
            982_580_000
        );
    });
    assert!(peak < 400, "{peak} MB");
}

#[test]
fn long_rows_of_a_file_come_a_few_at_once() {
    let bench = Bench::with(json!({"memory_max": "64MiB"}));
    let file = fs::File::create(bench.path("long.csv")).unwrap();
    let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    file.write_all(b"n,t\n").unwrap();
    let text = "x".repeat(1_000_000);
    for n in 0..600 {
        writeln!(file, "{n},{text}").unwrap();
    }
    file.finish().unwrap();
    let args = json!({"sources": {"long": {"csv": "long.csv"}}, "query": "SELECT count(*) AS c, sum(n) AS s, sum(length(t)) AS l FROM long"});
    let peak = peak_after(|| {
        assert_eq!(
            bench.rows(args),
            json!([{"c": 600, "s": 179_700, "l": 600_000_000}])
        );
    });
    assert!(peak < 400, "{peak} MB");
}
