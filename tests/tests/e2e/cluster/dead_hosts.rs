//! Hosts that die, or stand still: what they ran goes on elsewhere.

use std::time::SystemTime;

use databases::Postgres;
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, Host, wait_until};

use super::{end_of, good, hand_over, look};

/// In so long, in milliseconds, what a dead host ran begins elsewhere.
const TAKEN_OVER_MS: u64 = 25_000;

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.expect("it is later").as_millis()).expect("it fits")
}

/// A task that this host runs, while another one looks on.
fn running(host: &Host, observer: &mut Client) -> String {
    let mut client = host.client();
    let task = hand_over(&mut client, "sleep", json!({"ms": 2_000}));
    wait_until("it to run", || look(observer, &task)["state"] == "running");
    task
}

/// Its attempts: one that was lost, and one that was not.
#[track_caller]
fn expect_taken_over(looked: &Value) -> u64 {
    assert_eq!(looked["state"], "completed", "{looked}");
    let history = looked["history"].as_array().expect("a list");
    assert_eq!(history.len(), 2, "{looked}");
    assert_eq!(history[0]["error"]["code"], "worker_crashed", "{looked}");
    assert!(history[1]["error"].is_null(), "{looked}");
    history[1]["started_at_ms"].as_u64().expect("a time")
}

#[test]
fn what_a_dead_host_ran_goes_on_elsewhere() {
    let server = Postgres::start(&[]);
    let mut dead = good(&server);
    // The only one, when it is handed over.
    let mut client = dead.client();
    let task = running(&dead, &mut client);
    let other = good(&server);
    let mut client = other.client();
    dead.signal(Signal::KILL);
    let killed_at = now_ms();
    dead.wait();
    let started_at = expect_taken_over(&end_of(&mut client, &task));
    assert!(
        started_at - killed_at <= TAKEN_OVER_MS,
        "{} ms",
        started_at - killed_at
    );
    let nodes = client.result("host.nodes", json!({}));
    let mut states: Vec<&str> = nodes["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|node| node["state"].as_str())
        .collect();
    states.sort_unstable();
    assert_eq!(states, ["alive", "dead"], "{nodes}");
}

#[test]
fn a_host_that_stood_still_reports_no_end_of_what_others_took_over() {
    let server = Postgres::start(&[]);
    let still = good(&server);
    let mut client = still.client();
    let task = running(&still, &mut client);
    let other = good(&server);
    let mut client = other.client();
    let workers = still.workers();
    still.signal(Signal::STOP);
    for worker in &workers {
        worker.signal(Signal::STOP);
    }
    let looked = end_of(&mut client, &task);
    expect_taken_over(&looked);
    still.signal(Signal::CONT);
    for worker in &workers {
        worker.signal(Signal::CONT);
    }
    // It is heard again, and takes tasks.
    let mut again = still.client();
    wait_until("it to be alive", || {
        let nodes = again.result("host.nodes", json!({}));
        let nodes = nodes["nodes"].as_array().unwrap();
        nodes.iter().all(|node| node["state"] == "alive")
    });
    still.wait_for_log(&["no longer this host's"]);
    assert_eq!(look(&mut client, &task)["history"], looked["history"]);
    for _ in 0..10 {
        let task = hand_over(&mut again, "echo", json!(1));
        assert_eq!(end_of(&mut again, &task)["state"], "completed");
    }
}
