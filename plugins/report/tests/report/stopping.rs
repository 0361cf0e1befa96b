//! Reports that are stopped, by their client or by the clock, in every phase: within a second, and without a trace.

use std::time::{Duration, Instant};

use plugin_api::{
    serde_json::{Value, json},
    testing::CallError,
};

use crate::bench::Bench;

/// Longer than any of these takes to notice, even where others are at work too.
const NOTICE_MAX: Duration = Duration::from_secs(2);

fn big_csv(bench: &Bench, rows: u64) {
    let mut text = String::from("id,text\n");
    for row in 0..rows {
        text.push_str(&format!(
            "{},text number {row}\n",
            row.wrapping_mul(7919) % rows
        ));
    }
    bench.file("big.csv", text);
}

/// Cancels once there was any progress.
fn cancel(bench: &Bench, args: Value) {
    let running = bench.prepare(args.clone()).start();
    running.wait_for_progress(0);
    let at = Instant::now();
    running.cancel();
    let finished = running.wait();
    let took = at.elapsed();
    match finished.result {
        Err(CallError::Cancelled(_)) => {}
        other => panic!("{other:?}: {args}"),
    }
    assert!(took < NOTICE_MAX, "{took:?}: {args}");
}

#[test]
fn queries_that_would_take_for_ever() {
    let bench = Bench::new();
    big_csv(&bench, 1_000_000);
    let sources = json!({"big": {"csv": "big.csv"}});
    for query in [
        // A cross join.
        "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = 3",
        // Many rows that nobody keeps.
        "SELECT sum(value) FROM generate_series(1, 10000000000000)",
        // A recursion without an end.
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t",
        // A nested loop over a file.
        "SELECT count(*) FROM big a JOIN big b ON a.id + b.id < 0",
        // An expensive expression.
        "SELECT count(*) FROM generate_series(1, 1000000000) WHERE regexp_replace(repeat('ab', 1000), 'a(.)', value || 'x') = 'y'",
    ] {
        cancel(&bench, json!({"sources": sources, "query": query}));
    }
}

#[test]
fn while_rows_are_sorted_and_written() {
    let bench = Bench::new();
    big_csv(&bench, 3_000_000);
    let sources = json!({"big": {"csv": "big.csv"}});
    cancel(
        &bench,
        json!({"sources": sources, "query": "SELECT * FROM big ORDER BY text, id", "output": {"path": "a.csv"}}),
    );
    for path in ["a.csv", "a.json", "a.xlsx", "a.html"] {
        let endless = "SELECT value, 'text ' || value AS text FROM generate_series(1, 9000000)";
        let running = bench
            .prepare(json!({"query": endless, "output": {"path": path}}))
            .start();
        // Rows are on their way to the file.
        running.wait_for_progress(8192);
        running.cancel();
        let at = Instant::now();
        let finished = running.wait();
        assert!(at.elapsed() < NOTICE_MAX, "{path}: {:?}", at.elapsed());
        assert!(
            matches!(finished.result, Err(CallError::Cancelled(_))),
            "{path}: {:?}",
            finished.result
        );
    }
    assert_eq!(bench.files(), ["big.csv"]);
}

#[test]
fn the_clock_stops_queries_and_tasks() {
    let bench = Bench::new();
    let endless = "SELECT count(*) FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b WHERE a.value + b.value = 3";
    let failure = bench.failure(json!({"query": endless, "query_timeout": 0.2}));
    assert_eq!(
        (failure.kind.as_str(), failure.is_retryable),
        ("query_timeout", true)
    );
    assert!(
        failure.message.contains("query_timeout"),
        "{}",
        failure.message
    );

    let at = Instant::now();
    let task = bench
        .prepare(json!({"query": endless}))
        .timeout(Duration::from_millis(200));
    let finished = task.run();
    assert!(at.elapsed() < NOTICE_MAX + Duration::from_millis(200));
    assert!(
        matches!(finished.result, Err(CallError::Timeout(_))),
        "{:?}",
        finished.result
    );

    for wrong in [json!(0), json!(-1), json!(1e300)] {
        assert_eq!(
            bench
                .failure(json!({"query": "SELECT 1", "query_timeout": wrong}))
                .kind,
            "invalid_report",
            "{wrong}"
        );
    }
    let limited = Bench::with(json!({"query_timeout": "100ms"}));
    // A request may ask for less, not for more.
    assert_eq!(
        limited
            .failure(json!({"query": endless, "query_timeout": 60}))
            .kind,
        "query_timeout"
    );
}

#[test]
fn progress_tells_bytes_and_rows() {
    let bench = Bench::new();
    big_csv(&bench, 500_000);
    let args = json!({"sources": {"big": {"csv": "big.csv"}}, "query": "SELECT * FROM big", "output": {"path": "a.csv"}});
    let finished = bench.prepare(args).run();
    assert_eq!(finished.result.unwrap()["rows"], 500_000);
    let len = std::fs::metadata(bench.path("big.csv")).unwrap().len();
    let last = finished.progress.last().unwrap();
    assert_eq!((last.done, last.total), (len, len));
    assert!(
        last.message.contains("500000 rows read, 500000 written"),
        "{}",
        last.message
    );
    let done: Vec<u64> = finished
        .progress
        .iter()
        .map(|progress| progress.done)
        .collect();
    assert!(done.is_sorted() && done.len() > 10, "{done:?}");
}
