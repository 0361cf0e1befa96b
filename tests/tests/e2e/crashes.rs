//! What a crash means to those beside it, behind it and after it.

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Host, Plugin, Setup, wait_for, wait_until};

fn host_with(config: &str) -> Host {
    Setup::new()
        .plugin(Plugin::Good)
        .plugin(Plugin::Evil)
        .config(config)
        .start()
}

#[test]
fn a_worker_killed_from_outside_fails_its_task_and_no_other() {
    let host = host_with("[plugins.good]\nworkers = 1");
    let mut client = host.client();
    let worker = client.result("pid", json!({}));
    client.start_long_task("runs");
    for id in 0..20 {
        client.send(json!({"id": id, "function": "pid"}));
    }
    let mut observer = host.client();
    wait_until("one to run and twenty to wait", || {
        observer.status()["in_flight"] == 22
    });
    let process = tests::Process::find(u32::try_from(worker.as_u64().unwrap()).unwrap()).unwrap();
    process.signal(Signal::KILL);
    for _ in 0..21 {
        let reply = client.reply();
        if reply.id == "runs" {
            reply
                .outcome
                .unwrap_err()
                .expect("worker_crashed", &["SIGKILL"]);
        } else {
            assert_ne!(reply.outcome.unwrap(), worker);
        }
    }
    wait_until("its remains to be cleared away", || {
        tests::Process::find(process.pid()) != Some(process)
    });
}

#[test]
fn a_worker_that_takes_nothing_is_replaced() {
    let host = host_with(
        "[plugins.good]\nworkers = 1\ntimeout = \"1s\"\n[worker]\ncancel_grace = \"200ms\"",
    );
    let mut client = host.client();
    let pid = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
    let stopped = tests::Process::find(pid(&client.result("pid", json!({})))).unwrap();
    stopped.stop();
    // It has taken nothing, so that another worker can do it.
    let next = client.result("pid", json!({}));
    assert_ne!(pid(&next), stopped.pid());
    wait_until("the stopped one to be gone", || !stopped.is_alive());
}

#[test]
fn of_quick_tasks_in_a_worker_that_is_killed_each_is_answered_once() {
    let host = host_with("[plugins.good]\nworkers = 2");
    let mut client = host.client();
    for round in 0..10 {
        let pid = client.result("pid", json!({})).as_u64().unwrap();
        let process = tests::Process::find(u32::try_from(pid).unwrap()).unwrap();
        for id in 0..500 {
            client.send(json!({"id": id, "function": "echo", "args": id}));
            if id == 250 {
                process.signal(Signal::KILL);
            }
        }
        let mut running = 0;
        let mut answered = vec![false; 500];
        for _ in 0..500 {
            let reply = client.reply();
            let id = usize::try_from(reply.id.as_u64().unwrap()).unwrap();
            assert!(
                !std::mem::replace(&mut answered[id], true),
                "{id} was answered twice"
            );
            match reply.outcome {
                Ok(result) => assert_eq!(result, id),
                Err(failure) => {
                    running += usize::from(!failure.message.contains("had finished"));
                    failure.expect("worker_crashed", &["SIGKILL"]);
                }
            }
        }
        // Results of quick tasks leave in batches, and a batch may be lost with the worker. But of those that had not
        // finished only the one in the one slot had begun; all others ran elsewhere.
        assert!(
            running <= 1,
            "{running} unfinished tasks failed in round {round}"
        );
    }
}

#[test]
fn tasks_that_ran_beside_the_culprit_are_told_so() {
    let host = host_with("[plugins.evil]\nworkers = 1\nslots = 3");
    let mut client = host.client();
    client.send(json!({"id": "beside", "function": "endless"}));
    host.workers_of(Plugin::Evil)[0].wait_until_busy();
    client.send(json!({"id": "culprit", "function": "segfault"}));
    for _ in 0..2 {
        let reply = client.reply();
        let text = if reply.id == "culprit" {
            "in this task"
        } else {
            "in another task"
        };
        reply
            .outcome
            .unwrap_err()
            .expect("worker_crashed", &["SIGSEGV", text]);
    }
}

#[test]
fn many_crashes_at_once_are_each_told() {
    let host = host_with("[plugins.evil]\nworkers = 8");
    let mut client = host.client();
    for id in 0..8 {
        client.send(json!({"id": id, "function": "segfault"}));
    }
    let mut ids: Vec<Value> = (0..8)
        .map(|_| {
            let reply = client.reply();
            reply
                .outcome
                .unwrap_err()
                .expect("worker_crashed", &["SIGSEGV"]);
            reply.id
        })
        .collect();
    ids.sort_by_key(Value::as_u64);
    assert_eq!(ids, (0..8).map(Value::from).collect::<Vec<_>>());
    assert_eq!(client.result("ok", json!({})), "ok");
}

#[test]
fn a_plugin_that_crashes_over_and_over_is_quarantined_and_comes_back() {
    let host = host_with("[plugins.evil]\nworkers = 1");
    let (mut client, mut neighbour) = (host.client(), host.client());
    let mut crashes = 0;
    let failure = wait_for("the quarantine", || {
        assert_eq!(
            neighbour.result("echo", json!(1)),
            1,
            "the other plugin goes on"
        );
        let failure = client.failure("segfault", json!({}));
        crashes += u64::from(failure.code == "worker_crashed");
        (failure.code == "unavailable").then_some(failure)
    });
    failure.expect("unavailable", &["SIGSEGV"]);
    let retry_after_ms = failure.data["retry_after_ms"]
        .as_u64()
        .expect("it says when to come back");
    assert!((1..=60_000).contains(&retry_after_ms), "{failure:?}");
    assert_eq!(crashes, 10);
    let listed = client.result("host.plugins", json!({}));
    let entry = listed["plugins"]
        .as_array()
        .unwrap()
        .iter()
        .find(|plugin| plugin["name"] == "evil")
        .unwrap();
    assert_eq!(entry["state"], "quarantined", "{entry}");
    assert!(
        entry["reason"].as_str().unwrap().contains("SIGSEGV"),
        "{entry}"
    );
    // As long as it lasts nothing of it runs; then it is tried again, and one good task ends it.
    wait_until("the end of the quarantine", || {
        match client.call("ok", json!({})) {
            Ok(result) => result == "ok",
            Err(failure) => {
                failure.expect("unavailable", &[]);
                false
            }
        }
    });
    assert_eq!(client.status()["plugins"]["evil"]["quarantined"], false);
    client
        .failure("segfault", json!({}))
        .expect("worker_crashed", &[]);
    assert_eq!(client.result("ok", json!({})), "ok");
}
