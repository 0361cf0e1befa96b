//! Days and times: points in time stay what they are, and are shown by the report's clock. What is right was found by
//! Python's `zoneinfo`.

use plugin_api::serde_json::{Value, json};

use crate::bench::Bench;

const EVENTS: &str = "at,seen\n2026-07-01T00:30:00+02:00,2026-07-01 00:30\n2026-12-31T23:30:00Z,2026-12-31 23:30\n2026-03-29T02:30:00+01:00,2026-03-29 02:30\n";

fn ask(query: &str, zone: Option<&str>) -> Value {
    let mut args = json!({"sources": {"e": {"csv": "e.csv"}}, "query": query});
    if let Some(zone) = zone {
        args["time_zone"] = json!(zone);
    }
    args
}

#[test]
fn days_are_those_of_the_reports_clock() {
    let bench = Bench::new();
    bench.file("e.csv", EVENTS);
    for (zone, days, first) in [
        (
            None,
            ["2026-06-30", "2026-12-31", "2026-03-29"],
            "2026-06-30T22:30:00Z",
        ),
        (
            Some("UTC"),
            ["2026-06-30", "2026-12-31", "2026-03-29"],
            "2026-06-30T22:30:00Z",
        ),
        (
            Some("Europe/Berlin"),
            ["2026-07-01", "2027-01-01", "2026-03-29"],
            "2026-07-01T00:30:00+02:00",
        ),
        (
            Some("America/New_York"),
            ["2026-06-30", "2026-12-31", "2026-03-28"],
            "2026-06-30T18:30:00-04:00",
        ),
        (
            Some("Asia/Kolkata"),
            ["2026-07-01", "2027-01-01", "2026-03-29"],
            "2026-07-01T04:00:00+05:30",
        ),
        (
            Some("+02:00"),
            ["2026-07-01", "2027-01-01", "2026-03-29"],
            "2026-07-01T00:30:00+02:00",
        ),
    ] {
        let found = bench.arrays(ask("SELECT CAST(at AS date) AS day FROM e", zone));
        assert_eq!(found, json!(days.map(|day| [day])), "{zone:?}");
        let found = bench.arrays(ask("SELECT at FROM e LIMIT 1", zone));
        assert_eq!(found, json!([[first]]), "{zone:?}");
        // What a clock on the wall showed has no zone, and stays what it is.
        let found = bench.arrays(ask(
            "SELECT seen, CAST(seen AS date) AS day FROM e LIMIT 1",
            zone,
        ));
        assert_eq!(
            found,
            json!([["2026-07-01T00:30:00", "2026-07-01"]]),
            "{zone:?}"
        );
    }
}

#[test]
fn clocks_that_change_are_followed() {
    let bench = Bench::new();
    bench.file("e.csv", EVENTS);
    let berlin = Some("Europe/Berlin");
    let found = bench.arrays(ask(
        "SELECT date_trunc('month', at) AS month, date_part('hour', at) AS hour, to_char(at, 'YYYY-MM-DD HH24:MI') AS text FROM e",
        berlin,
    ));
    assert_eq!(
        found,
        json!([
            ["2026-07-01T00:00:00+02:00", 0, "2026-07-01 00:30"],
            ["2027-01-01T00:00:00+01:00", 0, "2027-01-01 00:30"],
            ["2026-03-01T00:00:00+01:00", 3, "2026-03-29 03:30"],
        ])
    );
    // What is written without a zone is meant by the report's clock.
    let found = bench.arrays(ask(
        "SELECT at FROM e WHERE at >= '2026-07-01' AND at < '2026-07-02'",
        berlin,
    ));
    assert_eq!(found, json!([["2026-07-01T00:30:00+02:00"]]));
    let found = bench.arrays(ask(
        "SELECT at FROM e WHERE at >= '2026-07-01' AND at < '2026-07-02'",
        None,
    ));
    assert_eq!(found, json!([]));
    // Both kinds in one column.
    let rows =
        json!([{"t": "2026-07-01T00:30:00Z"}, {"t": "2026-07-01 00:30:00"}, {"t": "2026-07-01"}]);
    let found = bench.arrays(json!({"rows": rows, "time_zone": "Asia/Tokyo"}));
    assert_eq!(
        found,
        json!([
            ["2026-07-01T09:30:00+09:00"],
            ["2026-07-01T00:30:00+09:00"],
            ["2026-07-01T00:00:00+09:00"],
        ])
    );
}

#[test]
fn what_is_written_says_whose_clock_it_is() {
    let bench = Bench::new();
    bench.file("e.csv", EVENTS);
    let mut args = ask("SELECT at, seen FROM e LIMIT 1", Some("Europe/Berlin"));
    args["locale"] = json!("de");
    args["output"] = json!(["csv", "html", {"format": "csv", "csv": {"localized": true}}]);
    let result = bench.result(args);
    let text = |index: usize| {
        result["outputs"][index]["text"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        text(0),
        "at,seen\r\n2026-07-01T00:30:00+02:00,2026-07-01T00:30:00\r\n"
    );
    assert!(text(1).contains("01.07.2026, 00:30 +02:00"), "{}", text(1));
    assert!(text(2).contains("01.07.2026, 00:30 +02:00"), "{}", text(2));
}

#[test]
fn types_and_names_of_zones() {
    let bench = Bench::new();
    bench.file("e.csv", EVENTS);
    let source = |kind: &str| json!({"sources": {"e": {"csv": "e.csv", "types": {"seen": kind}}}, "time_zone": "Europe/Berlin", "query": "SELECT seen FROM e LIMIT 1"});
    assert_eq!(
        bench.arrays(source("timestamptz")),
        json!([["2026-07-01T00:30:00+02:00"]])
    );
    assert_eq!(
        bench.arrays(source("timestamp")),
        json!([["2026-07-01T00:30:00"]])
    );
    let columns = bench.columns(ask("SELECT at, seen FROM e", None));
    assert!(
        columns.iter().all(|(_, kind)| kind == "timestamp"),
        "{columns:?}"
    );
    for wrong in ["Berlin", "", "Europe/Nowhere", "'; SELECT 1"] {
        let failure = bench.failure(ask("SELECT at FROM e", Some(wrong)));
        assert_eq!(
            failure.kind, "invalid_report",
            "{wrong}: {}",
            failure.message
        );
        assert!(
            failure.message.contains("`time_zone`"),
            "{}",
            failure.message
        );
    }
}

#[test]
fn a_month_of_days_is_a_day() {
    let bench = Bench::new();
    let rows = json!([{"d": "2026-02-20"}, {"d": "2026-03-03"}]);
    let query = "SELECT date_trunc('month', d) AS m, date_trunc('week', d) AS w, to_char(d, 'YYYY-MM') AS t, to_char(d, '%d.%m.') AS p FROM rows";
    let found = bench.arrays(json!({"rows": rows, "query": query}));
    assert_eq!(
        found,
        json!([
            ["2026-02-01", "2026-02-16", "2026-02", "20.02."],
            ["2026-03-01", "2026-03-02", "2026-03", "03.03."],
        ])
    );
    let grouped = bench.arrays(json!({"rows": rows, "query": "SELECT date_trunc('month', d) AS m, count(*) AS n FROM rows GROUP BY 1 ORDER BY m"}));
    assert_eq!(grouped, json!([["2026-02-01", 1], ["2026-03-01", 1]]));
    let failure =
        bench.failure(json!({"rows": rows, "query": "SELECT to_char(d, 'YYYY of MM') FROM rows"}));
    assert_eq!(failure.kind, "invalid_query", "{}", failure.message);
}
