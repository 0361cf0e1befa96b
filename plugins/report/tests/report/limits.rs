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
