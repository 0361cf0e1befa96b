//! What else may go wrong: the disk, the folder, another host.

use std::fs;

use rustix::process::Signal;
use serde_json::json;
use tests::{Clock, Plugin, Setup, run, wait_until};

use super::{expect_state, good, hand_over, look, try_hand_over};

#[test]
fn two_hosts_never_share_a_folder() {
    let host = good();
    let mut client = host.client();
    let task = hand_over(&mut client, "echo", json!(1), json!({}));
    let data = host.folder().join("data");
    let other = Setup::new()
        .plugin(Plugin::Good)
        .arg("--data")
        .arg(data.to_str().unwrap());
    let finished = run(&mut other.command());
    assert!(!finished.status.success());
    assert!(finished.stderr.contains("in use"), "{}", finished.stderr);
    assert!(
        finished.stderr.contains(&host.process().pid().to_string()),
        "{}",
        finished.stderr
    );
    expect_state(&mut client, &task, "completed");
}

#[test]
fn where_nothing_can_be_written_nothing_is_promised_and_requests_go_on() {
    let setup = Setup::new().plugin(Plugin::Good);
    let data = setup.folder().join("no-folder");
    fs::write(&data, "a file").unwrap();
    let host = setup.arg("--data").arg(data.to_str().unwrap()).start();
    let mut client = host.client();
    let failure = try_hand_over(&mut client, "echo", json!(1), json!({})).unwrap_err();
    failure.expect("storage_unavailable", &["no-folder"]);
    assert_eq!(client.result("echo", json!(2)), 2);
    // There may be tasks that can't be seen: it isn't said that there are none.
    let failure = client.failure("host.tasks", json!({}));
    failure.expect("storage_unavailable", &["no-folder"]);
    let status = client.status();
    let error = status["background"]["error"].as_str().unwrap_or_default();
    assert!(error.contains("no-folder"), "{status}");
    host.wait_for_log(&["ERROR", "background tasks wait", "no-folder"]);
    // As soon as it can be made, it is.
    fs::remove_file(&data).unwrap();
    wait_until("the ledger", || {
        try_hand_over(&mut client, "echo", json!(1), json!({})).is_ok()
    });
}

#[test]
fn a_damaged_ledger_is_refused_at_the_start_with_what_to_do() {
    let host = good();
    hand_over(&mut host.client(), "echo", json!(1), json!({}));
    let folder = host.folder().to_owned();
    host.signal(Signal::KILL);
    let database = folder.join("data").join("ledger.db");
    wait_until("the host's end", || !host.process().is_alive());
    let mut bytes = fs::read(&database).unwrap();
    bytes[..100].fill(0xff);
    fs::write(&database, bytes).unwrap();
    let setup = Setup::new()
        .plugin(Plugin::Good)
        .arg("--data")
        .arg(folder.join("data").to_str().unwrap());
    let finished = run(&mut setup.command());
    assert!(!finished.status.success());
    assert!(
        finished.stderr.contains("host ledger restore"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_ledger_that_is_taken_away_costs_promises_and_no_requests() {
    let host = good();
    let mut client = host.client();
    hand_over(&mut client, "echo", json!(1), json!({}));
    let (data, aside) = (host.folder().join("data"), host.folder().join("aside"));
    fs::rename(&data, &aside).unwrap();
    let failure = try_hand_over(&mut client, "echo", json!(2), json!({})).unwrap_err();
    failure.expect("storage_unavailable", &["moved"]);
    assert_eq!(client.result("echo", json!(3)), 3);
    fs::rename(&aside, &data).unwrap();
    let task = hand_over(&mut client, "echo", json!(4), json!({}));
    expect_state(&mut client, &task, "completed");
}

#[test]
fn bounds_are_kept_and_told() {
    let config = "[ledger]\nwaiting_max = 3\nstored_len_max = \"1KiB\"";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut client = host.client();
    let later = json!({"delay_ms": 600_000});
    let tasks: Vec<String> = (0..3)
        .map(|number| hand_over(&mut client, "echo", json!(number), later.clone()))
        .collect();
    let failure = try_hand_over(&mut client, "echo", json!(1), later.clone()).unwrap_err();
    failure.expect("overloaded", &["waiting_max"]);
    client.result("host.cancel", json!({"task": tasks[0]}));
    let failure = try_hand_over(&mut client, "echo", json!("x".repeat(2_000)), later).unwrap_err();
    failure.expect("overloaded", &["stored_len_max"]);
    assert_eq!(look(&mut client, &tasks[1])["state"], "scheduled");
}

#[test]
fn a_clock_that_is_set_loses_no_task_and_runs_none_twice() {
    const HOUR_MS: i64 = 3_600_000;
    let (clock, setup) = Clock::of(Setup::new().plugin(Plugin::Good));
    let host = setup.start();
    let mut client = host.client();
    let in_an_hour = json!({"delay_ms": HOUR_MS});
    let early = hand_over(&mut client, "echo", json!(1), in_an_hour.clone());
    let running = hand_over(&mut client, "sleep", json!({"ms": 1_500}), json!({}));
    wait_until("it runs", || {
        look(&mut client, &running)["state"] == "running"
    });
    assert_eq!(look(&mut client, &early)["state"], "scheduled");

    clock.set("+2h");
    let looked = expect_state(&mut client, &early, "completed");
    assert_eq!(looked["attempts"], 1, "{looked}");
    let late = hand_over(&mut client, "echo", json!(2), in_an_hour.clone());
    let looked = expect_state(&mut client, &running, "completed");
    assert_eq!(looked["attempts"], 1, "{looked}");

    clock.set("-1d");
    let now = hand_over(&mut client, "echo", json!(3), json!({}));
    let soon = hand_over(&mut client, "echo", json!(4), json!({"delay_ms": 300}));
    for task in [&now, &soon] {
        let looked = expect_state(&mut client, task, "completed");
        assert_eq!(looked["attempts"], 1, "{looked}");
    }
    // It waits for an hour from now on, and not for a day.
    let fresh = hand_over(&mut client, "echo", json!(5), in_an_hour);
    let [late, fresh] = [late, fresh].map(|task| {
        let looked = look(&mut client, &task);
        assert_eq!(looked["state"], "scheduled", "{looked}");
        looked["available_at_ms"].as_i64().unwrap()
    });
    assert!(
        (fresh - HOUR_MS / 6..=fresh).contains(&late),
        "{late} {fresh}"
    );

    clock.set("+0");
    let task = hand_over(&mut client, "echo", json!(6), json!({}));
    expect_state(&mut client, &task, "completed");
    for task in [early, running, now, soon] {
        assert_eq!(look(&mut client, &task)["attempts"], 1);
    }
}
