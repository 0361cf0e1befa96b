//! Background tasks are the same wherever one asks.

use std::time::{SystemTime, UNIX_EPOCH};

use databases::Postgres;
use serde_json::{Value, json};
use tests::{Clock, Plugin, wait_for, wait_until};

use super::{end_of, good, hand_over, look, setup};

#[test]
fn what_one_host_takes_in_every_host_knows() {
    let server = Postgres::start(&[]);
    let hosts = [good(&server), good(&server)];
    let [mut one, mut other] = hosts.each_ref().map(tests::Host::client);
    let request = json!({"function": "echo", "args": "x", "background": true});
    let accepted = one.request(request).unwrap();
    // What a database without `fsync` commits, a power failure may take.
    assert_eq!(accepted["durable"], "write", "{accepted}");
    let task = accepted["task"].as_str().unwrap().to_owned();
    let looked = end_of(&mut other, &task);
    assert_eq!(looked["state"], "completed", "{looked}");
    assert_eq!(looked["result"], "x", "{looked}");
    assert_eq!(end_of(&mut one, &task)["result"], "x");

    // A key is had once, whoever asks.
    let keyed = |args: &str| json!({"function": "sleep", "args": {"ms": 1, "note": args}, "background": true, "key": "k", "unique_ms": 60_000});
    let first = one.request(keyed("a")).unwrap();
    let second = other.request(keyed("a")).unwrap();
    assert_eq!(second["task"], first["task"]);
    assert_eq!(second["duplicate"], true);
    let conflict = other.request(keyed("b")).unwrap_err();
    assert_eq!(conflict.code, "key_conflict");

    let listed = other.result("host.tasks", json!({}));
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 2, "{listed}");
}

#[test]
fn times_go_by_the_databases_clock_whatever_the_hosts_show() {
    const HOUR_MS: i64 = 3_600_000;
    let server = Postgres::start(&[]);
    let hosts = ["+2h", "-1d"].map(|off_by| {
        let (clock, setup) = Clock::of(setup(&server).plugin(Plugin::Good));
        clock.set(off_by);
        (clock, setup.start())
    });
    let mut last = String::new();
    for (at, off_by) in [(0, "+2h"), (1, "-1d"), (0, "-3h"), (1, "+1d")] {
        let (clock, host) = &hosts[at];
        clock.set(off_by);
        let mut client = host.client();
        let mut hand_over = |fields: Value| {
            let mut request = json!({"function": "echo", "args": 1, "background": true});
            let fields = fields.as_object().unwrap().clone();
            request.as_object_mut().unwrap().extend(fields);
            let accepted = client.request(request).unwrap();
            accepted["task"].as_str().unwrap().to_owned()
        };
        let soon = hand_over(json!({"delay_ms": 300, "deadline_ms": 60_000}));
        let later = hand_over(json!({"delay_ms": HOUR_MS}));
        // They begin with the time, and say which of two came first.
        assert!(last < soon && soon < later, "{last} {soon} {later}");
        last.clone_from(&later);
        let looked = end_of(&mut client, &soon);
        assert_eq!(looked["state"], "completed", "{looked}");
        let later = look(&mut client, &later);
        assert_eq!(later["state"], "scheduled", "{later}");
        // This process has the database's clock.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = i64::try_from(now.as_millis()).unwrap();
        for (shown, aim) in [
            (&looked["ended_at_ms"], now),
            (&later["available_at_ms"], now + HOUR_MS),
        ] {
            let off = (shown.as_i64().unwrap() - aim).abs();
            assert!(off < HOUR_MS / 2, "{looked} {later}");
        }
    }
}

#[test]
fn a_pause_holds_everywhere() {
    let server = Postgres::start(&[]);
    let hosts = [good(&server), good(&server)];
    let [mut one, mut other] = hosts.each_ref().map(tests::Host::client);
    one.result("host.pause", json!({"function": "echo"}));
    let tasks = [
        hand_over(&mut one, "echo", json!(1)),
        hand_over(&mut other, "echo", json!(2)),
    ];
    // Another function's tasks pass them.
    let passing = hand_over(&mut other, "sleep", json!({"ms": 1}));
    end_of(&mut one, &passing);
    for task in &tasks {
        let looked = look(&mut one, task);
        assert_eq!(looked["state"], "available", "{looked}");
        assert_eq!(looked["why"], "paused", "{looked}");
    }
    other.result("host.resume", json!({"function": "echo"}));
    for task in &tasks {
        assert_eq!(end_of(&mut one, task)["state"], "completed");
    }
}

#[test]
fn tasks_run_only_where_their_function_is_live_and_are_called_off_from_anywhere() {
    let server = Postgres::start(&[]);
    let (with, without) = (good(&server), setup(&server).start());
    let (mut with_client, mut without_client) = (with.client(), without.client());
    let done = hand_over(&mut with_client, "echo", json!("x"));
    assert_eq!(end_of(&mut without_client, &done)["state"], "completed");
    // Known to the ledger, it can be handed over where it isn't.
    let elsewhere = wait_for("the host to know what others have", || {
        let request = json!({"function": "echo", "args": "y", "background": true});
        let taken = without_client.request(request).ok()?;
        taken["task"].as_str().map(str::to_owned)
    });
    assert_eq!(end_of(&mut without_client, &elsewhere)["result"], "y");

    let long = hand_over(&mut with_client, "sleep", json!({"ms": 600_000}));
    wait_until("it to run", || {
        look(&mut without_client, &long)["state"] == "running"
    });
    let called_off = without_client.result("host.cancel", json!({"task": long}));
    assert_eq!(called_off["count"], 1);
    let looked = end_of(&mut without_client, &long);
    assert_eq!(looked["state"], "cancelled", "{looked}");
}

#[test]
fn each_host_shows_all_hosts() {
    let server = Postgres::start(&[]);
    let hosts = [good(&server), setup(&server).plugin(Plugin::Evil).start()];
    for (number, host) in hosts.iter().enumerate() {
        let mut client = host.client();
        let pids = hosts.each_ref().map(|host| u64::from(host.process().pid()));
        let nodes = wait_for("both to have said what they have", || {
            let answer = client.result("host.nodes", json!({}));
            let nodes = answer["nodes"].as_array().unwrap().clone();
            nodes
                .iter()
                .all(|node| {
                    !node["about"]["plugins"]
                        .as_object()
                        .is_none_or(serde_json::Map::is_empty)
                })
                .then_some(nodes)
        });
        assert_eq!(nodes.len(), 2, "{nodes:?}");
        for node in nodes {
            assert_eq!(node["state"], "alive", "{node}");
            let is_here = node["about"]["pid"] == pids[number];
            assert_eq!(node["is_here"], is_here, "{node}");
            let name = if node["about"]["pid"] == pids[0] {
                "good"
            } else {
                "evil"
            };
            let functions = &node["about"]["plugins"][name]["functions"];
            assert!(
                functions.as_array().is_some_and(|all| all.len() > 3),
                "{node}"
            );
        }
    }
}

#[test]
fn a_host_shows_in_what_condition_its_database_is() {
    let server = Postgres::start(&[]);
    let host = setup(&server)
        .plugin(Plugin::Good)
        .arg("--http")
        .arg("127.0.0.1:0")
        .start();
    let task = hand_over(&mut host.client(), "echo", json!("x"));
    end_of(&mut host.client(), &task);
    let page = wait_for("it to have looked", || {
        let (_, page) = host.page("/metrics");
        page.contains("host_background_dead_rows").then_some(page)
    });
    for part in [
        "host_background_dead_rows{table=\"live\"} ",
        "host_background_dead_rows{table=\"tally\"} ",
        "host_background_oldest_snapshot_seconds ",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    // Nothing is amiss.
    let status = host.client().result("host.status", json!({}));
    assert!(status["background"]["warnings"].is_null(), "{status}");
}

#[test]
fn an_application_hands_a_task_over_in_its_own_transaction() {
    let server = Postgres::start(&[]);
    let host = good(&server);
    let mut client = host.client();
    let enqueue = "SELECT task_server.host_enqueue('echo', '{\"a\": 1}', key => 'order 7')";
    let rolled_back = server.sql(&format!("BEGIN; {enqueue}; ROLLBACK"));
    assert!(!rolled_back.is_empty());
    let task = server.sql(enqueue).trim().to_owned();
    let looked = end_of(&mut client, &task);
    assert_eq!(looked["state"], "completed", "{looked}");
    assert_eq!(looked["result"], json!({"a": 1}), "{looked}");
    let listed: Value = client.result("host.tasks", json!({}));
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1, "{listed}");
}
