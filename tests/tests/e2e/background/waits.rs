//! What waits begins when it may, whatever it waited for.

use serde_json::{Value, json};
use tests::{Clock, Host, Plugin, Setup, Versioned, wait_until};

use super::{expect_state, hand_over, look};

/// Nothing waits for so long that may begin: a minute is how often it is looked anyway.
const BEGINS_WITHIN_MS: i64 = 30_000;

#[test]
fn a_slot_that_requests_give_up_is_found() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.good]\nworkers = 1")
        .start();
    let mut busy = host.client();
    busy.send(json!({"id": "busy", "function": "sleep", "args": {"ms": 600_000}}));
    let mut client = host.client();
    wait_until("the only slot to be taken", || {
        client.status()["plugins"]["good"]["workers_busy"] == 1
    });
    let task = hand_over(&mut client, "echo", json!(1), json!({}));
    assert_eq!(look(&mut client, &task)["state"], "available");
    busy.send(json!({"function": "host.cancel", "args": {"id": "busy"}}));
    let looked = expect_state(&mut client, &task, "completed");
    let time = |name: &str| looked[name].as_i64().unwrap();
    let waited = time("claimed_at_ms") - time("created_at_ms");
    assert!(waited < BEGINS_WITHIN_MS, "{looked}");
}

#[test]
fn a_task_with_a_delay_begins_though_the_clock_was_set_back() {
    let (clock, setup) = Clock::of(Setup::new().plugin(Plugin::Good));
    let host = setup.start();
    let mut client = host.client();
    let task = hand_over(&mut client, "echo", json!(1), json!({"delay_ms": 3_000}));
    clock.set("-1h");
    let looked = expect_state(&mut client, &task, "completed");
    assert_eq!(looked["attempts"], 1, "{looked}");
}

/// The plugin, with this as the version of its package.
fn put(host: &Host, version: &str) {
    let library = Versioned::new(1).with(Versioned::PACKAGE.as_bytes(), version.as_bytes());
    host.put(Versioned::FILE_NAME, library.bytes());
}

#[test]
fn a_task_is_run_by_the_version_that_it_asks_for_and_by_no_other() {
    let host = Setup::new()
        .config("[plugins.versioned]\nworkers = 1")
        .start();
    let version = Versioned::PACKAGE;
    let other = version.replacen('1', "2", 1);
    let mut client = host.client();
    let live = |client: &mut tests::Client, version: &str| {
        put(&host, version);
        wait_until("this version to be live", || {
            let plugins = client.result("host.plugins", json!({}));
            let plugins = plugins["plugins"].as_array().unwrap();
            let is_it = |one: &Value| one["state"] == "live" && one["version"] == version;
            plugins.iter().any(is_it)
        });
    };
    live(&mut client, version);
    let mut pinned = |args: Value| {
        let fields = json!({"version": version});
        hand_over(&mut client, "version", args, fields)
    };
    let running = pinned(json!({"ms": 3_000}));
    let waiting: Vec<String> = (0..10).map(|_| pinned(json!({"ms": 1}))).collect();
    wait_until("it runs", || {
        look(&mut client, &running)["state"] == "running"
    });
    live(&mut client, &other);
    expect_state(&mut client, &running, "completed");
    for task in &waiting {
        wait_until("it waits for its version", || {
            look(&mut client, task)["why"] == "version_away"
        });
    }
    live(&mut client, version);
    for task in waiting.iter().chain([&running]) {
        let looked = expect_state(&mut client, task, "completed");
        let history = looked["history"].as_array().unwrap();
        assert_eq!(history.len(), 1, "{looked}");
        assert_eq!(history[0]["version"], version, "{looked}");
    }
}
