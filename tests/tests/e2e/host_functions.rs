//! What the host tells of itself.

use serde_json::{Value, json};
use tests::{Host, Plugin, Setup};

#[track_caller]
fn entry<'a>(list: &'a Value, name: &str) -> &'a Value {
    let entries = list.as_array().unwrap();
    entries
        .iter()
        .find(|entry| entry["name"] == name)
        .unwrap_or_else(|| panic!("no {name}: {list}"))
}

#[test]
fn functions_are_listed_with_schemas_and_limits() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .plugin(Plugin::Evil)
        .config("timeout = \"45s\"")
        .start();
    let listed = host.client().result("host.functions", json!({}));
    let functions = &listed["functions"];
    let progress = entry(functions, "progress");
    assert_eq!(progress["plugin"], "good");
    assert_eq!(progress["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        progress["description"],
        "Takes steps, reports each of them, and results in their number."
    );
    assert_eq!(
        progress["args_schema"]["properties"]["ms"]["description"],
        "How long each of them takes, in milliseconds."
    );
    assert_eq!(progress["args_schema"]["required"], json!(["steps"]));
    assert_eq!(progress["result_schema"]["type"], "integer");
    assert_eq!(progress["timeout_ms"], 45_000, "the operator's default");
    assert_eq!(
        entry(functions, "pid")["timeout_ms"],
        10_000,
        "the author's own"
    );
    assert_eq!(entry(functions, "segfault")["plugin"], "evil");
}

#[test]
fn plugins_are_listed_with_what_they_are() {
    let host = Host::with(&[Plugin::Good, Plugin::Evil]);
    let listed = host.client().result("host.plugins", json!({}));
    let good = entry(&listed["plugins"], "good");
    assert_eq!(good["state"], "live");
    assert_eq!(good["version"], env!("CARGO_PKG_VERSION"));
    assert!(
        good["file"].as_str().unwrap().ends_with("libgood.so"),
        "{good}"
    );
    assert!(good["generation"].as_u64().unwrap() >= 1, "{good}");
    assert!(good["workers"].as_u64().unwrap() >= 1, "{good}");
    assert!(good["reason"].is_null(), "{good}");
    assert_eq!(entry(&listed["plugins"], "evil")["state"], "live");
}

#[test]
fn status_counts_what_happened() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    for _ in 0..3 {
        client.result("echo", json!(1));
    }
    let fail = json!({"kind": "told", "message": "to fail"});
    client
        .failure("fail", fail)
        .expect("handler_failed", &["to fail"]);
    client
        .failure("nothing", json!({}))
        .expect("unknown_function", &[]);
    let status = client.status();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], host.process().pid());
    assert_eq!(status["connections"], 1);
    // The request for the status itself.
    assert_eq!(status["in_flight"], 1);
    assert_eq!(status["queued"], 0);
    assert_eq!(status["replies_dropped"], 0);
    assert_eq!(status["requests_refused"], 1);
    assert_eq!(
        status["limits"],
        json!({"in_flight_max": 1024, "line_len_max": 10 << 20})
    );
    assert!(status["uptime_ms"].is_u64(), "{status}");
    assert!(status["oldest_waiting_ms"].is_number(), "{status}");
    let functions = &status["functions"];
    assert_eq!(functions["echo"]["ok"], 3);
    assert_eq!(functions["fail"]["failed"], json!({"handler_failed": 1}));
    for quantile in ["p50", "p90", "p99", "max"] {
        assert!(
            functions["echo"]["latency_ms"][quantile].as_f64().unwrap() > 0.0,
            "{functions}"
        );
        assert!(
            functions["echo"]["run_ms"][quantile].is_number(),
            "{functions}"
        );
    }
}

#[test]
fn status_shows_who_waits() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.good]\nworkers = 1")
        .start();
    let mut busy = host.client();
    for id in 0..3 {
        busy.send(json!({"id": id, "function": "sleep", "args": {"ms": 600_000}}));
    }
    let mut client = host.client();
    tests::wait_until("one task to run and two to wait", || {
        let status = client.status();
        status["queued"] == 2
            && status["in_flight"] == 4
            && status["oldest_waiting_ms"].as_f64().unwrap() > 0.0
    });
}

#[test]
fn args_of_the_hosts_own_functions_do_not_matter() {
    let host = Setup::new().start();
    let mut client = host.client();
    for args in [json!([]), json!(null), json!("x"), json!({"a": 1})] {
        assert_eq!(client.result("host.ping", args), "pong");
    }
}

#[test]
fn a_list_longer_than_a_line_is_an_error_that_says_what_to_raise() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[limits]\nline_len_max = 2000")
        .start();
    let mut client = host.client();
    let failure = client.failure("host.functions", json!({}));
    failure.expect("result_too_large", &["limits.line_len_max", "2000"]);
    client.ping();
}

#[test]
fn arguments_that_host_plugins_does_not_know_are_refused() {
    let host = Setup::new().start();
    let mut client = host.client();
    for args in [
        json!({"watch": "yes"}),
        json!({"watch": 1}),
        json!("watch"),
        json!([1]),
    ] {
        let failure = client.failure("host.plugins", args);
        failure.expect("invalid_args", &["{\"watch\": true}"]);
    }
    for args in [
        json!({}),
        json!([]),
        json!({"watch": false}),
        json!({"other": 1}),
    ] {
        assert!(client.result("host.plugins", args)["plugins"].is_array());
    }
}

#[test]
fn a_long_name_is_refused_before_anybody_looks_for_it() {
    let host = Setup::new().plugin(Plugin::Good).start();
    let mut client = host.client();
    let failure = client.failure(&"n".repeat(9_000_000), json!({}));
    failure.expect("bad_request", &["9000000 bytes", "at most 128"]);
    let failure = client.failure("ehco", json!({}));
    failure.expect("unknown_function", &["did you mean `echo`"]);
}
