//! Time limits: in the queue, in the handler, and for handlers that don't listen.

use serde_json::json;
use tests::{Host, Plugin, Setup, wait_until};

#[test]
fn a_request_limits_its_own_time() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    for function in ["sleep", "async_sleep"] {
        let request = json!({"function": function, "args": {"ms": 600_000}, "timeout_ms": 1000});
        let failure = client.request(request).unwrap_err();
        failure.expect("timeout", &[]);
        assert!(failure.started, "{failure:?}");
    }
    let request = json!({"function": "sleep", "args": {"ms": 1}, "timeout_ms": 50_000});
    assert!(client.request(request).is_ok());
}

#[test]
fn a_task_whose_time_ends_in_the_queue_never_starts() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.good]\nworkers = 1")
        .start();
    let mut client = host.client();
    client.send(json!({"id": "slow", "function": "sleep", "args": {"ms": 600_000}}));
    let failure = client
        .request(json!({"id": 1, "function": "count", "timeout_ms": 50}))
        .unwrap_err();
    failure.expect("timeout", &["before it began"]);
    assert!(!failure.started, "{failure:?}");
    client.send(json!({"id": 2, "function": "host.cancel", "args": {"id": "slow"}}));
    client.reply();
    client.reply();
    assert_eq!(client.result("count", json!({}))["count"], 1);
}

#[test]
fn the_operators_limit_holds_and_the_shorter_one_counts() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.good]\ntimeout = \"50ms\"")
        .start();
    let mut client = host.client();
    let endless = json!({"ms": 600_000});
    client
        .failure("sleep", endless.clone())
        .expect("timeout", &[]);
    let request = json!({"function": "sleep", "args": endless, "timeout_ms": 600_000});
    client.request(request).unwrap_err().expect("timeout", &[]);
}

#[test]
fn the_default_limit_is_for_all_who_say_none() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("timeout = \"1s\"")
        .start();
    let mut client = host.client();
    client
        .failure("sleep", json!({"ms": 600_000}))
        .expect("timeout", &[]);
    assert_eq!(client.result("echo", json!(1)), 1);
}

#[test]
fn a_handler_that_does_not_listen_is_killed() {
    let config = "[plugins.evil]\nworkers = 1\ncancel_grace = \"100ms\"";
    let host = Setup::new().plugin(Plugin::Evil).config(config).start();
    let mut client = host.client();
    assert_eq!(client.result("ok", json!({})), "ok");
    let worker = host.workers()[0];
    let failure = client
        .request(json!({"function": "endless", "timeout_ms": 1000}))
        .unwrap_err();
    failure.expect("timeout", &[]);
    assert!(failure.started, "{failure:?}");
    wait_until("its worker to be killed", || !worker.is_alive());
    assert_eq!(client.result("ok", json!({})), "ok");
    // A kill by the host is no crash of the plugin's.
    assert_eq!(client.status()["plugins"]["evil"]["quarantined"], false);
}

#[test]
fn the_answer_does_not_wait_for_the_kill() {
    let config = "[plugins.evil]\nworkers = 1\ncancel_grace = \"1h\"";
    let host = Setup::new().plugin(Plugin::Evil).config(config).start();
    let failure = host
        .client()
        .request(json!({"function": "endless", "timeout_ms": 1000}))
        .unwrap_err();
    failure.expect("timeout", &[]);
}

#[test]
fn beside_a_stuck_task_the_others_finish() {
    let config = "[plugins.evil]\nworkers = 1\nslots = 2\ncancel_grace = \"100ms\"";
    let host = Setup::new().plugin(Plugin::Evil).config(config).start();
    let mut client = host.client();
    // Both run in one worker; the second goes on after the first has run out of time and grace.
    client.send(json!({"id": "stuck", "function": "endless", "timeout_ms": 100}));
    client.send(json!({"id": "other", "function": "endless", "args": {"ms": 1500}}));
    let first = client.reply();
    assert_eq!(first.id, "stuck");
    first.outcome.unwrap_err().expect("timeout", &[]);
    let second = client.reply();
    assert_eq!(second.id, "other");
    assert_eq!(
        second.outcome,
        Ok(json!(null)),
        "a neighbour is not killed with a stuck task"
    );
    assert_eq!(client.result("ok", json!({})), "ok");
}
