//! What a host tells its operators: pages by HTTP, and a log whose level changes while it runs.

use std::fs;

use rustix::process::Signal;
use serde_json::json;
use tests::{Client, Host, Plugin, Setup, run, wait_until};

fn with_pages() -> Setup {
    Setup::new()
        .plugin(Plugin::Good)
        .arg("--http")
        .arg("127.0.0.1:0")
}

/// The value of a metric, named with its labels.
#[track_caller]
fn metric(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(' ')?;
        value.parse().ok()
    });
    line.unwrap_or_else(|| panic!("no {name} in {page}"))
}

#[test]
fn metrics_count_what_has_happened() {
    let host = with_pages().start();
    let mut client = host.client();
    for _ in 0..3 {
        client.result("echo", json!("counted"));
    }
    client
        .failure("nowhere", json!({}))
        .expect("unknown_function", &[]);
    client.result("sleep", json!({"ms": 30}));
    let (status, page) = host.page("/metrics");
    assert_eq!(status, 200, "{page}");
    for (name, expected) in [
        ("host_tasks_total{function=\"echo\",outcome=\"ok\"}", 3.0),
        ("host_task_seconds_count{function=\"echo\"}", 3.0),
        (
            "host_handler_seconds_bucket{function=\"sleep\",le=\"0.025\"}",
            0.0,
        ),
        (
            "host_handler_seconds_bucket{function=\"sleep\",le=\"+Inf\"}",
            1.0,
        ),
        ("host_requests_refused_total", 1.0),
        ("host_requests_in_flight", 0.0),
        ("host_connections", 1.0),
        ("host_quarantined{plugin=\"good\"}", 0.0),
        ("host_panics_total", 0.0),
        ("host_files_refused", 0.0),
    ] {
        assert_eq!(metric(&page, name), expected, "{name} in {page}");
    }
    assert!(metric(&page, "host_handler_seconds_sum{function=\"sleep\"}") >= 0.03);
    assert!(metric(&page, "host_workers{plugin=\"good\"}") >= 1.0);
    // As Prometheus wants it: each metric is described once, before its values.
    for name in ["host_workers", "host_tasks_total", "host_task_seconds"] {
        let described = format!("# TYPE {name} ");
        assert_eq!(page.matches(&described).count(), 1, "{name} in {page}");
    }
}

#[test]
fn a_load_balancer_is_told_whether_to_send_tasks() {
    let mut host = with_pages().start();
    assert_eq!(host.page("/healthz").0, 200);
    assert_eq!(host.page("/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(host.page("/").0, 404);
    let mut client = host.client();
    client.send(json!({"id": 1, "function": "sleep", "args": {"ms": 60_000}}));
    client.ping();
    host.signal(Signal::TERM);
    wait_until("the host to drain", || {
        host.page("/readyz") == (503, "draining\n".to_owned())
    });
    assert_eq!(host.page("/healthz").0, 200);
    client.send(json!({"id": 2, "function": "host.cancel", "args": {"id": 1}}));
    assert!(host.wait().success());
}

#[test]
fn a_host_without_plugins_is_not_ready() {
    let host = Setup::new().arg("--http").arg("127.0.0.1:0").start();
    let (status, why) = host.page("/readyz");
    assert_eq!((status, why.as_str()), (503, "no plugin is live\n"));
}

#[track_caller]
fn log(client: &mut Client, level: &str, message: &str) {
    client.result("log", json!({"level": level, "message": message}));
}

#[test]
fn a_hang_up_changes_what_is_logged_by_workers_too() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("log = \"info\"")
        .start();
    let mut client = host.client();
    log(&mut client, "debug", "before");
    let write = |text: &str| fs::write(host.folder().join("host.toml"), text).unwrap();
    write("log = \"info,plugin=debug\"");
    host.signal(Signal::HUP);
    host.wait_for_log(&["the configuration was read again"]);
    wait_until("the worker to log what it is told to", || {
        log(&mut client, "debug", "between");
        host.log().contains("between")
    });
    write("log = \"plugin=loud\"");
    host.signal(Signal::HUP);
    host.wait_for_log(&["the configuration stays as it was", "log"]);
    write("log = \"warn\"");
    host.signal(Signal::HUP);
    wait_until("the worker to log less", || {
        let marker = format!("marker {}", host.log().len());
        log(&mut client, "info", &marker);
        log(&mut client, "warn", "after");
        host.wait_for_log(&["after"]);
        !host.log().contains(&marker)
    });
    assert!(!host.log().contains("before"));
}

#[test]
fn what_is_wrong_in_the_configuration_is_told_with_its_place_and_what_may_be_meant() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.toml");
    for (text, said) in [
        (
            "lisen = \"s3cret\"",
            "line 1, column 1: unknown key `lisen`; did you mean `listen`?",
        ),
        (
            "\n[limits]\nline_len = 1",
            "line 3, column 1: unknown key `line_len`; did you mean `line_len_max`?",
        ),
        ("timeout = 5", "`timeout`: expected"),
        ("http = \"nowhere\"", "`http`: can't listen on \"nowhere\""),
    ] {
        fs::write(&file, text).unwrap();
        let finished = run(Host::command().arg("--config").arg(&file));
        assert_eq!(finished.status.code(), Some(2), "{finished:?}");
        assert!(finished.stderr.contains(said), "{text}: {finished:?}");
        assert!(!finished.stderr.contains("s3cret"), "{finished:?}");
    }
}
