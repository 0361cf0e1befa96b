//! What people do to tasks, and how they look at them.

use serde_json::{Value, json};
use tests::{Client, Plugin, Setup, wait_until};

use super::{expect_state, good, hand_over, look};

fn count(client: &mut Client, function: &str, args: Value) -> Value {
    client.result(function, args)["count"].clone()
}

#[test]
fn tasks_are_cancelled_discarded_and_tried_again() {
    let host = good();
    let mut client = host.client();
    let later = json!({"delay_ms": 600_000});
    let waiting = hand_over(&mut client, "echo", json!(1), later.clone());
    assert_eq!(
        count(&mut client, "host.cancel", json!({"task": waiting})),
        1
    );
    expect_state(&mut client, &waiting, "cancelled");
    assert_eq!(
        count(&mut client, "host.cancel", json!({"task": waiting})),
        0
    );
    assert_eq!(
        count(&mut client, "host.retry", json!({"task": waiting})),
        1
    );
    let looked = expect_state(&mut client, &waiting, "completed");
    assert_eq!(looked["result"], 1);

    let running = hand_over(&mut client, "sleep", json!({"ms": 600_000}), json!({}));
    wait_until("it to run", || {
        look(&mut client, &running)["state"] == "running"
    });
    assert_eq!(
        count(&mut client, "host.cancel", json!({"task": running})),
        1
    );
    let looked = expect_state(&mut client, &running, "cancelled");
    assert_eq!(looked["error"]["code"], "cancelled", "{looked}");

    let given_up = hand_over(&mut client, "echo", json!(2), later);
    assert_eq!(
        count(&mut client, "host.discard", json!({"task": given_up})),
        1
    );
    expect_state(&mut client, &given_up, "discarded");
}

#[test]
fn a_filter_finds_many_and_says_first_how_many() {
    let host = good();
    let mut client = host.client();
    for number in 0..7 {
        let subject = if number < 3 { "ann" } else { "bob" };
        hand_over(
            &mut client,
            "echo",
            json!(number),
            json!({"delay_ms": 600_000, "subject": subject}),
        );
    }
    let filter = json!({"state": "scheduled", "subject": "ann"});
    let mut dry = filter.clone();
    dry["dry_run"] = json!(true);
    assert_eq!(count(&mut client, "host.discard", dry), 3);
    let list = client.result("host.tasks", json!({"state": "scheduled", "limit": 5}));
    assert_eq!(list["tasks"].as_array().unwrap().len(), 5);
    let next = client.result(
        "host.tasks",
        json!({"state": "scheduled", "after": list["next"]}),
    );
    assert_eq!(next["tasks"].as_array().unwrap().len(), 2, "{next}");
    assert!(
        list["tasks"][0]["why"] == "delay" && list["tasks"][0]["args"].is_null(),
        "{list}"
    );
    assert_eq!(count(&mut client, "host.discard", filter), 3);
    let left = client.result("host.tasks", json!({"state": "scheduled"}));
    assert!(
        left["tasks"]
            .as_array()
            .unwrap()
            .iter()
            .all(|task| task["subject"] == "bob"),
        "{left}"
    );
}

#[test]
fn a_paused_function_waits_and_says_so() {
    let host = good();
    let mut client = host.client();
    let paused = client.result("host.pause", json!({"function": "echo"}));
    assert_eq!(paused, json!({"function": "echo", "paused": true}));
    let task = hand_over(&mut client, "echo", json!(1), json!({}));
    assert_eq!(look(&mut client, &task)["why"], "paused");
    let list = client.result("host.tasks", json!({}));
    assert_eq!(list["tasks"][0]["why"], "paused");
    assert_eq!(
        client.status()["background"]["functions"]["echo"]["why"],
        "paused"
    );
    // Requests are no tasks in the background.
    assert_eq!(client.result("echo", json!("now")), "now");
    client.result("host.resume", json!({"function": "echo"}));
    expect_state(&mut client, &task, "completed");
    client
        .failure("host.pause", json!({"function": "ecko"}))
        .expect("unknown_function", &["echo"]);
}

#[test]
fn changes_are_told_as_they_happen() {
    let host = good();
    let mut watcher = host.client();
    // The ledger is there.
    hand_over(&mut watcher, "echo", json!(0), json!({}));
    watcher.send(
        json!({"id": 1, "function": "host.tasks", "args": {"watch": true, "subject": "ann"}}),
    );
    watcher.ping();
    let mut client = host.client();
    hand_over(&mut client, "echo", json!(1), json!({"subject": "bob"}));
    let task = hand_over(&mut client, "echo", json!(1), json!({"subject": "ann"}));
    let mut states = Vec::new();
    while states.last().is_none_or(|state| state != "completed") {
        let event = watcher.recv();
        assert_eq!(
            (&event["event"], &event["data"]["task"]),
            (&json!("task"), &json!(task)),
            "{event}"
        );
        states.push(event["data"]["state"].clone());
    }
    assert_eq!(states, ["available", "running", "completed"]);
}

#[test]
fn what_is_asked_wrongly_is_refused_with_what_to_write() {
    let host = good();
    let mut client = host.client();
    let nobody = "0197f3c2-0a0b-7000-8000-000000000000";
    client
        .failure("host.task", json!({"task": nobody}))
        .expect("unknown_task", &[nobody]);
    client
        .failure("host.cancel", json!({"task": nobody}))
        .expect("unknown_task", &[nobody]);
    assert!(
        !host.folder().join("data").join("ledger.db").exists()
            || client.result("host.tasks", json!({}))["tasks"] == json!([])
    );
    for (function, args, texts) in [
        ("host.task", json!({"task": "7"}), ["36 characters", ""]),
        ("host.task", json!({}), ["host.task takes", "task"]),
        (
            "host.task",
            json!({"task": nobody, "wait_ms": 600_001}),
            ["wait_ms", "ten minutes"],
        ),
        (
            "host.tasks",
            json!({"state": "lost"}),
            ["lost", "available"],
        ),
        ("host.tasks", json!({"limit": 1001}), ["limit", "1000"]),
        ("host.tasks", json!({"watch": true}), ["watch", "id"]),
        ("host.retry", json!({}), ["task", "filter"]),
        (
            "host.discard",
            json!({"task": nobody, "state": "running"}),
            ["not both", ""],
        ),
        (
            "host.cancel",
            json!({"state": "running", "dry": true}),
            ["dry", ""],
        ),
        ("host.pause", json!({}), ["host.pause takes", "function"]),
    ] {
        client
            .failure(function, args)
            .expect("invalid_args", &texts);
    }
}

#[test]
fn clients_see_their_own_tasks_and_operators_all() {
    let token = |name: &str| {
        let made = tests::run(tests::Host::command().args(["token", "new", name]));
        let hash = made.stderr.split('"').find(|text| text.len() == 64);
        (
            made.stdout.trim().to_owned(),
            hash.expect("the key to write").to_owned(),
        )
    };
    let (ann, ann_hash) = token("ann");
    let (bob, bob_hash) = token("bob");
    let (root, root_hash) = token("root");
    let config = format!(
        "insecure = true\n[clients.ann]\ntokens = [{{ sha256 = \"{ann_hash}\" }}]\nfunctions = [\"echo\"]\n\
         [clients.bob]\ntokens = [{{ sha256 = \"{bob_hash}\" }}]\nfunctions = [\"echo\"]\n\
         [clients.root]\ntokens = [{{ sha256 = \"{root_hash}\" }}]\nfunctions = [\"*\", \"host.*\"]"
    );
    let host = Setup::new().plugin(Plugin::Good).config(&config).start();
    let connect = |token: &str| {
        let mut client = host.client();
        client.result("host.hello", json!({"token": token}));
        client
    };
    let (mut ann, mut bob, mut root) = (connect(&ann), connect(&bob), connect(&root));
    let task = hand_over(&mut ann, "echo", json!(1), json!({"delay_ms": 600_000}));
    assert_eq!(look(&mut ann, &task)["client"], "ann");
    assert_eq!(look(&mut root, &task)["client"], "ann");
    bob.failure("host.task", json!({"task": task}))
        .expect("unknown_task", &[]);
    bob.failure("host.cancel", json!({"task": task}))
        .expect("unknown_task", &[]);
    bob.failure("host.tasks", json!({}))
        .expect("unknown_function", &[]);
    bob.failure("host.cancel", json!({"function": "echo"}))
        .expect("invalid_args", &["operator"]);
    let failure = super::try_hand_over(&mut bob, "sleep", json!({}), json!({})).unwrap_err();
    failure.expect("unknown_function", &[]);
    assert_eq!(count(&mut ann, "host.cancel", json!({"task": task})), 1);
    assert_eq!(
        count(&mut root, "host.retry", json!({"state": "cancelled"})),
        1
    );
}
