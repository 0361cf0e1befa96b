//! What becomes of tasks that fail.

use rustix::process::Signal;
use serde_json::json;
use tests::{Host, Plugin, Setup, wait_until};

use super::{end_of, expect_state, good, hand_over, look};

#[test]
fn what_fails_is_tried_again_after_a_wait_and_given_up_in_the_end() {
    let host = good();
    let mut client = host.client();
    let args = json!({"kind": "weather", "message": "rain", "retryable": true});
    let retry = json!({"max": 2, "base_ms": 40, "cap_ms": 1000});
    let task = hand_over(&mut client, "fail", args, json!({"retry": retry}));
    let looked = expect_state(&mut client, &task, "discarded");
    assert_eq!(looked["attempts"], 3, "{looked}");
    assert_eq!(looked["error"]["code"], "handler_failed");
    assert_eq!(looked["error"]["data"]["kind"], "weather");
    let history = looked["history"].as_array().unwrap();
    let times: Vec<(i64, i64)> = history
        .iter()
        .map(|attempt| {
            let time = |name: &str| attempt[name].as_i64().unwrap();
            (time("started_at_ms"), time("ended_at_ms"))
        })
        .collect();
    // Half of 40 ms, and of 80 ms, at least.
    assert!(times[1].0 - times[0].1 >= 20, "{looked}");
    assert!(times[2].0 - times[1].1 >= 40, "{looked}");
    assert_eq!(
        looked["forget_at_ms"].as_i64().unwrap() - looked["ended_at_ms"].as_i64().unwrap(),
        14 * 24 * 3600 * 1000,
        "what was given up is kept for 14 days"
    );
}

#[test]
fn a_failure_says_itself_whether_it_is_worth_another_attempt() {
    let host = good();
    let mut client = host.client();
    let retry = json!({"max": 3, "base_ms": 0, "cap_ms": 0, "on": "retryable"});
    let fail = |retryable| json!({"kind": "k", "message": "m", "retryable": retryable});
    for (function, args, attempts, code) in [
        ("fail", fail(false), 1, "handler_failed"),
        ("fail", fail(true), 4, "handler_failed"),
        // The same arguments fail the same way.
        ("sleep", json!({"ms": "x"}), 1, "invalid_args"),
    ] {
        let task = hand_over(&mut client, function, args, json!({"retry": retry}));
        let looked = expect_state(&mut client, &task, "discarded");
        assert_eq!(looked["attempts"], attempts, "{looked}");
        assert_eq!(looked["error"]["code"], code, "{looked}");
    }
    let task = hand_over(
        &mut client,
        "sleep",
        json!({"ms": 600_000}),
        json!({"timeout_ms": 50, "retry": {"max": 1, "base_ms": 0, "cap_ms": 0}}),
    );
    let looked = expect_state(&mut client, &task, "discarded");
    assert_eq!(
        (&looked["attempts"], &looked["error"]["code"]),
        (&json!(2), &json!("timeout"))
    );
}

#[test]
fn a_dead_worker_is_an_attempt_and_the_next_one_follows_at_once() {
    let host = Host::with(&[Plugin::Evil]);
    let mut client = host.client();
    let retry = json!({"max": 1, "base_ms": 0, "cap_ms": 0});
    let task = hand_over(&mut client, "abort", json!({}), json!({"retry": retry}));
    let looked = expect_state(&mut client, &task, "discarded");
    assert_eq!(looked["attempts"], 2, "{looked}");
    assert_eq!(looked["error"]["code"], "worker_crashed");
}

#[test]
fn a_crash_of_another_task_costs_no_attempt_of_one_that_waits() {
    let config = "[plugins.good]\nworkers = 1";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut client = host.client();
    let retry = json!({"retry": {"base_ms": 0, "cap_ms": 0}});
    let killed = hand_over(&mut client, "sleep", json!({"ms": 600_000}), retry.clone());
    wait_until("it to run", || {
        look(&mut client, &killed)["state"] == "running"
    });
    let waiting = hand_over(&mut client, "echo", json!(1), retry);
    let worker = host.workers_of(Plugin::Good)[0];
    worker.signal(Signal::KILL);
    wait_until("the attempt to be counted", || {
        look(&mut client, &killed)["attempts"] == 1
    });
    client.result("host.cancel", json!({"task": killed}));
    let looked = expect_state(&mut client, &waiting, "completed");
    assert_eq!(looked["attempts"], 1, "{looked}");
}

#[test]
fn requests_whose_clients_wait_go_first() {
    let config = "[plugins.good]\nworkers = 4";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut client = host.client();
    let tasks: Vec<String> = (0..12)
        .map(|_| hand_over(&mut client, "sleep", json!({"ms": 300}), json!({})))
        .collect();
    wait_until("as many to run as may", || {
        let running = tasks
            .iter()
            .filter(|task| look(&mut client, task)["state"] == "running");
        running.count() >= 3
    });
    // The fourth worker is for others.
    client.result("echo", json!(1));
    let last = tasks.last().unwrap();
    let why = look(&mut client, last)["why"].clone();
    assert!(
        why == "workers_busy" || why == "next" || why.is_null(),
        "{why}"
    );
    for task in &tasks {
        expect_state(&mut client, task, "completed");
    }
}

#[test]
fn an_operator_says_for_how_long_tasks_are_kept() {
    const HOUR_MS: i64 = 3_600_000;
    let config = "[ledger]\nresult_ttl = \"2h\"\ndiscarded_ttl = \"5h\"";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut client = host.client();
    let failing = json!({"kind": "k", "message": "m", "retryable": false});
    let once = json!({"retry": {"max": 0}});
    for (function, args, fields, kept_ms) in [
        ("echo", json!(1), json!({}), 2 * HOUR_MS),
        ("echo", json!(1), json!({"result_ttl_ms": 7}), 7),
        ("fail", failing, once, 5 * HOUR_MS),
    ] {
        let task = hand_over(&mut client, function, args, fields);
        let looked = end_of(&mut client, &task);
        let time = |name: &str| looked[name].as_i64().unwrap();
        let kept = time("forget_at_ms") - time("ended_at_ms");
        assert_eq!(kept, kept_ms, "{looked}");
    }
}
