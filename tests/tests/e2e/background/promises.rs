//! What is promised with a task's id.

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Host, Plugin, Setup, wait_until};

use super::{end_of, expect_state, good, hand_over, look, try_hand_over};

#[test]
fn a_task_is_written_down_runs_and_its_result_is_kept() {
    let host = good();
    assert!(
        !host.folder().join("data").exists(),
        "nobody has asked for it"
    );
    let mut client = host.client();
    let args = json!({"as": "it is", "numbers": [1.50, 1e300]});
    let task = hand_over(&mut client, "echo", args.clone(), json!({"priority": 1}));
    let looked = expect_state(&mut client, &task, "completed");
    assert_eq!(looked["result"], args);
    assert_eq!(looked["attempts"], 1);
    assert_eq!(looked["priority"], 1);
    assert_eq!(looked["history"].as_array().unwrap().len(), 1);
    assert_eq!(looked["history"][0]["number"], 1);
    let times = [
        "created_at_ms",
        "claimed_at_ms",
        "ended_at_ms",
        "forget_at_ms",
    ];
    let times = times.map(|name| looked[name].as_i64().unwrap());
    assert!(times.is_sorted(), "{looked}");
    assert_eq!(times[3] - times[2], 24 * 3600 * 1000, "a day");
}

#[test]
fn what_nobody_has_ever_exported_is_refused() {
    let host = good();
    let mut client = host.client();
    let failure = try_hand_over(&mut client, "ecko", json!({}), json!({})).unwrap_err();
    failure.expect("unknown_function", &["ecko", "echo"]);
}

#[test]
fn a_killed_host_goes_on_with_what_it_had_and_keeps_what_was_done() {
    let host = good();
    let mut client = host.client();
    let done = hand_over(&mut client, "echo", json!("done"), json!({}));
    expect_state(&mut client, &done, "completed");
    let retry = json!({"base_ms": 0, "cap_ms": 0});
    let running = hand_over(
        &mut client,
        "sleep",
        json!({"ms": 600_000}),
        json!({"retry": retry}),
    );
    wait_until("it to run", || {
        look(&mut client, &running)["state"] == "running"
    });
    let waiting = hand_over(&mut client, "echo", json!("later"), json!({"delay_ms": 1}));

    let host = host.again_after(Signal::KILL);
    let mut client = host.client();
    assert_eq!(look(&mut client, &done)["result"], "done");
    expect_state(&mut client, &waiting, "completed");
    wait_until("it to run again", || {
        let looked = look(&mut client, &running);
        looked["state"] == "running" && looked["attempts"] == 1
    });
    let looked = look(&mut client, &running);
    assert_eq!(
        looked["history"][0]["error"]["code"], "worker_crashed",
        "{looked}"
    );
}

#[test]
fn a_host_that_ends_in_order_finishes_what_runs_and_counts_nothing_that_has_not_begun() {
    let config = "[plugins.good]\nworkers = 1\n[drain]\ngrace = \"30s\"";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut client = host.client();
    let running = hand_over(&mut client, "sleep", json!({"ms": 500}), json!({}));
    wait_until("it to run", || {
        look(&mut client, &running)["state"] == "running"
    });
    let waiting: Vec<String> = (0..5)
        .map(|number| hand_over(&mut client, "echo", json!(number), json!({})))
        .collect();

    let host = host.again_after(Signal::TERM);
    let mut client = host.client();
    let looked = look(&mut client, &running);
    assert_eq!(
        (&looked["state"], &looked["attempts"]),
        (&json!("completed"), &json!(1)),
        "{looked}"
    );
    for task in &waiting {
        let looked = expect_state(&mut client, task, "completed");
        assert_eq!(looked["attempts"], 1, "{looked}");
    }
}

#[test]
fn a_host_that_must_end_gives_back_what_it_cut_short() {
    let config = "[drain]\ngrace = \"100ms\"";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut client = host.client();
    let task = hand_over(
        &mut client,
        "sleep",
        json!({"ms": 600_000}),
        json!({"retry": {"max": 0}}),
    );
    wait_until("it to run", || {
        look(&mut client, &task)["state"] == "running"
    });

    let host = host.again_after(Signal::TERM);
    let mut client = host.client();
    wait_until("it to run again", || {
        look(&mut client, &task)["state"] == "running"
    });
    assert_eq!(
        look(&mut client, &task)["attempts"],
        0,
        "an end in order is no attempt"
    );
}

#[test]
fn a_key_is_one_unfinished_task_and_stays_taken_as_long_as_it_is_asked_to() {
    let host = good();
    let mut client = host.client();
    let sleep = json!({"ms": 600_000});
    let task = hand_over(&mut client, "sleep", sleep.clone(), json!({"key": "k"}));
    let again = try_hand_over(&mut client, "sleep", sleep.clone(), json!({"key": "k"})).unwrap();
    assert_eq!(
        (&again["task"], &again["duplicate"]),
        (&json!(task), &json!(true))
    );
    let other = try_hand_over(&mut client, "sleep", json!({"ms": 1}), json!({"key": "k"}));
    let failure = other.unwrap_err();
    failure.expect("key_conflict", &[&task]);
    assert_eq!(failure.data["task"], json!(task));
    // A key is its function's, and its subject's.
    hand_over(&mut client, "echo", sleep.clone(), json!({"key": "k"}));
    hand_over(
        &mut client,
        "sleep",
        json!({"ms": 1}),
        json!({"key": "k", "subject": "somebody"}),
    );

    client.result("host.cancel", json!({"task": task}));
    expect_state(&mut client, &task, "cancelled");
    hand_over(&mut client, "sleep", json!({"ms": 1}), json!({"key": "k"}));

    let once = json!({"key": "once", "unique_ms": 600_000});
    let task = hand_over(&mut client, "echo", json!(1), once.clone());
    expect_state(&mut client, &task, "completed");
    let again = try_hand_over(&mut client, "echo", json!(1), once).unwrap();
    assert_eq!(
        again,
        json!({"task": task, "state": "completed", "durable": "fsync", "duplicate": true})
    );
}

#[test]
fn a_delay_is_waited_for_and_a_deadline_is_the_end() {
    let host = good();
    let mut client = host.client();
    let task = hand_over(&mut client, "echo", json!(1), json!({"delay_ms": 300}));
    let looked = look(&mut client, &task);
    assert_eq!(
        (&looked["state"], &looked["why"]),
        (&json!("scheduled"), &json!("delay"))
    );
    let looked = expect_state(&mut client, &task, "completed");
    let time = |name: &str| looked[name].as_i64().unwrap();
    assert!(
        time("claimed_at_ms") >= time("available_at_ms")
            && time("available_at_ms") > time("created_at_ms"),
        "{looked}"
    );

    let task = hand_over(
        &mut client,
        "echo",
        json!(1),
        json!({"delay_ms": 600_000, "deadline_ms": 100}),
    );
    let looked = expect_state(&mut client, &task, "discarded");
    assert_eq!(looked["attempts"], 0);
    let task = hand_over(
        &mut client,
        "sleep",
        json!({"ms": 600_000}),
        json!({"deadline_ms": 300}),
    );
    let looked = expect_state(&mut client, &task, "discarded");
    assert_eq!(looked["error"]["code"], "timeout", "{looked}");
}

#[test]
fn a_task_waits_for_its_plugin_and_for_its_version() {
    let host = good();
    let mut client = host.client();
    let task = hand_over(&mut client, "echo", json!(1), json!({"version": "9.9"}));
    wait_until("the reason", || {
        look(&mut client, &task)["why"] == "version_away"
    });

    let library = host.plugins_dir().join(Plugin::Good.file_name());
    let aside = host.folder().join("aside.so");
    std::fs::rename(&library, &aside).unwrap();
    wait_until("the plugin to go", || {
        client
            .call("echo", json!(1))
            .is_err_and(|failure| failure.code == "unknown_function")
    });
    let task = hand_over(&mut client, "echo", json!("back"), json!({}));
    assert_eq!(look(&mut client, &task)["why"], "function_away");
    // Nor does a new host forget that there was such a function.
    let host = host.again_after(Signal::KILL);
    let mut client = host.client();
    assert_eq!(look(&mut client, &task)["why"], "function_away");
    let other = hand_over(&mut client, "echo", json!("too"), json!({}));
    std::fs::rename(&aside, &library).unwrap();
    for task in [&task, &other] {
        expect_state(&mut client, task, "completed");
    }
}

#[test]
fn who_waits_for_a_task_hears_how_far_it_is_and_may_stop_waiting() {
    let host = good();
    let mut client = host.client();
    let args = json!({"steps": 1_000_000, "ms": 5});
    let task = hand_over(&mut client, "progress", args, json!({}));
    let ask = json!({"task": task, "wait_ms": 600_000});
    client.send(json!({"id": 1, "function": "host.task", "args": ask, "progress": true}));
    let line = client.recv();
    assert_eq!(
        (&line["id"], &line["event"]),
        (&json!(1), &json!("progress")),
        "{line}"
    );
    wait_until("it to be shown", || {
        look_beside(&host, &task)["progress"]["done"].as_u64() > Some(0)
    });

    client.send(json!({"id": 2, "function": "host.cancel", "args": {"id": 1}}));
    let replies = [client.reply(), client.reply()];
    let stopped = replies.into_iter().find(|reply| reply.id == 1).unwrap();
    stopped
        .outcome
        .unwrap_err()
        .expect("cancelled", &["goes on"]);
    assert_eq!(look(&mut client, &task)["state"], "running");

    let waited = client.result("host.task", json!({"task": task, "wait_ms": 50}));
    assert_eq!(
        waited["state"], "running",
        "the wait is over, the task is not"
    );
}

fn look_beside(host: &Host, task: &str) -> Value {
    look(&mut host.client(), task)
}

#[test]
fn whoever_waits_for_a_task_is_told_of_its_end_whenever_that_is() {
    let host = good();
    let mut client = host.client();
    for number in 0..200 {
        let task = hand_over(&mut client, "echo", json!(number), json!({}));
        // Longer than any line is waited for: an end that is missed fails the test.
        let wait = json!({"task": task, "wait_ms": 600_000});
        assert_eq!(client.result("host.task", wait)["state"], "completed");
    }
}

#[test]
fn many_tasks_of_many_clients_are_each_done_once() {
    let host = good();
    let mut all = Vec::new();
    let mut clients: Vec<_> = (0..8).map(|_| host.client()).collect();
    for client in &mut clients {
        for id in 0..250 {
            client.send(json!({"id": id, "function": "echo", "args": id, "background": true}));
        }
    }
    for client in &mut clients {
        for _ in 0..250 {
            let reply = client.reply();
            all.push((
                reply.id,
                reply.outcome.unwrap()["task"].as_str().unwrap().to_owned(),
            ));
        }
    }
    let mut client = host.client();
    for (number, task) in all {
        let looked = end_of(&mut client, &task);
        assert_eq!(
            (&looked["result"], &looked["attempts"]),
            (&number, &json!(1)),
            "{looked}"
        );
    }
    let status = client.status();
    assert_eq!(
        status["background"]["functions"]["echo"]["completed"], 2_000,
        "{status}"
    );
}
