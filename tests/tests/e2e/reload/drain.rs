//! What the old generation has begun it ends; what it has not is the new one's.

use serde_json::{Value, json};
use tests::{Client, PluginWatch, Versioned, wait_until};

use super::{put, serving_version_1, version};

/// Starts a task and waits until its handler runs.
#[track_caller]
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is always made for the call"
)]
fn start(client: &mut Client, id: &str, args: Value) {
    let request = json!({"id": id, "function": "version", "args": args, "progress": true, "timeout_ms": 600_000});
    client.send(request);
    let line = client.recv();
    assert!(line["id"] == id && line["event"] == "progress", "{line}");
}

#[test]
fn a_task_that_runs_ends_where_it_began_while_the_new_code_serves() {
    let host = serving_version_1("");
    let mut watch = PluginWatch::start(&host);
    let mut slow = host.client();
    start(&mut slow, "slow", json!({"ms": 3000}));
    let mut client = host.client();
    put(&host, &Versioned::new(2));
    let live = watch.wait_for_state("live");
    assert_eq!(version(&mut client), 2);
    let draining = watch.wait_for_state("draining");
    assert!(draining["generation"].as_u64() < live["generation"].as_u64());
    assert_eq!(slow.reply().outcome.unwrap()["version"], 1);
    assert_eq!(
        watch.wait_for_state("retired")["generation"],
        draining["generation"]
    );
    wait_until("its workers to be gone", || host.workers().len() == 1);
}

#[test]
fn what_has_not_begun_runs_on_the_new_code() {
    let host = serving_version_1("[plugins.versioned]\nworkers = 1");
    let mut watch = PluginWatch::start(&host);
    let mut client = host.client();
    start(&mut client, "first", json!({"ms": 3000}));
    for id in 1..=20 {
        client.send(json!({"id": id, "function": "version", "args": {"ms": 1}}));
    }
    let mut observer = host.client();
    wait_until("all of them to be there", || {
        observer.status()["plugins"]["versioned"]["queued"] == 20
    });
    put(&host, &Versioned::new(2));
    watch.wait_for_state("live");
    for _ in 0..21 {
        let reply = client.reply();
        let expected = if reply.id == "first" { 1 } else { 2 };
        assert_eq!(reply.outcome.unwrap()["version"], expected, "{}", reply.id);
    }
}

#[test]
fn past_the_grace_the_old_code_is_told_to_stop_and_then_killed() {
    let host = serving_version_1("[drain]\ngrace = \"200ms\"\n[worker]\ncancel_grace = \"200ms\"");
    let mut watch = PluginWatch::start(&host);
    let mut client = host.client();
    let mut stubborn = host.client();
    start(&mut client, "obeys", json!({"ms": 600_000}));
    start(
        &mut stubborn,
        "stays",
        json!({"ms": 600_000, "stubborn": true}),
    );
    put(&host, &Versioned::new(2));
    watch.wait_for_state("live");
    for client in [&mut client, &mut stubborn] {
        let failure = client.reply().outcome.unwrap_err();
        failure.expect("worker_crashed", &["the grace of a drain was over"]);
        assert!(failure.started, "{failure:?}");
    }
    watch.wait_for_state("retired");
    assert_eq!(version(&mut client), 2);
}

#[test]
fn what_a_removed_plugin_has_not_begun_past_the_grace_is_whoever_s_its_function_is() {
    let config = "[drain]\ngrace = \"200ms\"\n[plugins.versioned]\nworkers = 1";
    let host = serving_version_1(config);
    let mut watch = PluginWatch::start(&host);
    let mut client = host.client();
    start(&mut client, "runs", json!({"ms": 600_000}));
    for id in 1..=3 {
        client.send(json!({"id": id, "function": "version"}));
    }
    let mut observer = host.client();
    wait_until("all of them to be there", || {
        observer.status()["plugins"]["versioned"]["queued"] == 3
    });
    std::fs::remove_file(host.plugins_dir().join(Versioned::FILE_NAME)).unwrap();
    watch.wait_for_state("retired");
    for _ in 0..4 {
        let reply = client.reply();
        let failure = reply.outcome.unwrap_err();
        if reply.id == "runs" {
            failure.expect("worker_crashed", &["the grace of a drain was over"]);
        } else {
            failure.expect("unknown_function", &["version"]);
            assert!(!failure.started, "{failure:?}");
        }
    }
    client.ping();
}

#[test]
fn a_slow_close_holds_nobody_up() {
    let host = serving_version_1("");
    let mut watch = PluginWatch::start(&host);
    let mut client = host.client();
    put(&host, &Versioned::new(2).mode("slow_close"));
    watch.wait_for_state("live");
    put(&host, &Versioned::new(3));
    let live = watch.wait_for_state("live");
    assert_eq!(version(&mut client), 3);
    watch.wait_for(|event| {
        event["state"] == "retired"
            && event["generation"].as_u64() == live["generation"].as_u64().map(|number| number - 1)
    });
}
