//! `host.cancel`.

use serde_json::{Value, json};
use tests::{Client, Failure, Host, Plugin, Setup};

/// Cancels a request of this connection, and gives what `host.cancel` said and what became of the request.
#[track_caller]
fn cancel(client: &mut Client, id: &Value) -> (Value, Result<Value, Failure>) {
    client.send(json!({"id": "cancel", "function": "host.cancel", "args": {"id": id}}));
    let (one, other) = (client.reply(), client.reply());
    let (said, ended) = if one.id == "cancel" {
        (one, other)
    } else {
        (other, one)
    };
    assert_eq!(ended.id, *id);
    (said.outcome.unwrap(), ended.outcome)
}

#[track_caller]
fn expect_cancelled(client: &mut Client, id: &Value, started: bool) {
    let (said, ended) = cancel(client, id);
    assert_eq!(said, json!({"cancelled": true}));
    let failure = ended.unwrap_err();
    failure.expect("cancelled", &[]);
    assert_eq!(failure.started, started, "{failure:?}");
}

/// Waits until a task of the plugin runs.
#[track_caller]
fn wait_for_start(host: &Host, plugin: Plugin) {
    let mut observer = host.client();
    tests::wait_until("the task to run", || {
        observer.status()["plugins"][plugin.name()]["handed_over"] == 1
    });
}

#[test]
fn a_running_task_that_listens_ends() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    for (id, function) in [(json!(1), "sleep"), (json!("two"), "async_sleep")] {
        let worker = client.result("pid", json!({}));
        client.send(json!({"id": id, "function": function, "args": {"ms": 600_000}}));
        wait_for_start(&host, Plugin::Good);
        expect_cancelled(&mut client, &id, true);
        assert_eq!(
            client.result("pid", json!({})),
            worker,
            "its worker lives on"
        );
    }
}

#[test]
fn a_task_that_waits_never_starts() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.good]\nworkers = 1")
        .start();
    let mut client = host.client();
    client.send(json!({"id": "slow", "function": "sleep", "args": {"ms": 600_000}}));
    client.send(json!({"id": "waits", "function": "count"}));
    expect_cancelled(&mut client, &json!("waits"), false);
    wait_for_start(&host, Plugin::Good);
    expect_cancelled(&mut client, &json!("slow"), true);
    assert_eq!(client.result("count", json!({}))["count"], 1);
}

#[test]
fn a_running_task_that_does_not_listen_is_killed() {
    let config = "[plugins.evil]\nworkers = 1\ncancel_grace = \"100ms\"";
    let host = Setup::new().plugin(Plugin::Evil).config(config).start();
    let mut client = host.client();
    client.send(json!({"id": 1, "function": "endless"}));
    wait_for_start(&host, Plugin::Evil);
    let worker = host.workers()[0];
    expect_cancelled(&mut client, &json!(1), true);
    tests::wait_until("its worker to be gone", || !worker.is_alive());
    assert_eq!(client.result("ok", json!({})), "ok");
}

#[test]
fn what_is_not_in_flight_cannot_be_cancelled() {
    let host = Host::with(&[Plugin::Good]);
    let (mut client, mut other) = (host.client(), host.client());
    let not_cancelled = json!({"cancelled": false});
    assert_eq!(
        client.result("host.cancel", json!({"id": 1})),
        not_cancelled
    );
    assert_eq!(
        client.request(json!({"id": 1, "function": "echo", "args": 1})),
        Ok(json!(1))
    );
    assert_eq!(
        client.result("host.cancel", json!({"id": 1})),
        not_cancelled,
        "it has finished"
    );
    client.send(json!({"id": 2, "function": "sleep", "args": {"ms": 600_000}}));
    wait_for_start(&host, Plugin::Good);
    assert_eq!(
        other.result("host.cancel", json!({"id": 2})),
        not_cancelled,
        "another connection's"
    );
    assert_eq!(
        client.result("host.cancel", json!({"id": "2"})),
        not_cancelled,
        "another type"
    );
    assert_eq!(
        client.request(json!({"id": 3, "function": "host.cancel", "args": {"id": 3}})),
        Ok(not_cancelled),
        "itself"
    );
    expect_cancelled(&mut client, &json!(2), true);
}

#[test]
fn a_cancel_without_an_id_is_refused() {
    let host = Setup::new().start();
    let mut client = host.client();
    for args in [
        json!({}),
        json!([]),
        json!(7),
        json!({"id": null}),
        json!({"id": [1]}),
    ] {
        client
            .failure("host.cancel", args)
            .expect("invalid_args", &["id"]);
    }
}
