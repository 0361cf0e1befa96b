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

/// Cancels a request, and gives whether it had begun.
#[track_caller]
fn expect_cancelled(client: &mut Client, id: &str) -> bool {
    let (said, ended) = cancel(client, &json!(id));
    assert_eq!(said, json!({"cancelled": true}));
    let failure = ended.unwrap_err();
    failure.expect("cancelled", &[]);
    failure.started
}

#[test]
fn a_running_task_that_listens_ends() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    let worker = client.result("pid", json!({}));
    client.start_long_task("long");
    assert!(expect_cancelled(&mut client, "long"));
    assert_eq!(
        client.result("pid", json!({})),
        worker,
        "its worker lives on"
    );
}

#[test]
fn a_cancel_right_after_its_request_ends_it_wherever_it_is() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    for round in 0..50 {
        for function in ["sleep", "async_sleep"] {
            let id = format!("{function} {round}");
            client.send(json!({"id": id, "function": function, "args": {"ms": 600_000}}));
            expect_cancelled(&mut client, &id);
        }
    }
    assert_eq!(client.status()["plugins"]["good"]["crashes"], 0);
}

#[test]
fn a_task_that_waits_never_starts() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.good]\nworkers = 1")
        .start();
    let mut client = host.client();
    client.start_long_task("long");
    client.send(json!({"id": "waits", "function": "count"}));
    assert!(!expect_cancelled(&mut client, "waits"));
    assert!(expect_cancelled(&mut client, "long"));
    assert_eq!(client.result("count", json!({}))["count"], 1);
}

#[test]
fn a_running_task_that_does_not_listen_is_killed() {
    let config = "[plugins.evil]\nworkers = 1\ncancel_grace = \"100ms\"";
    let host = Setup::new().plugin(Plugin::Evil).config(config).start();
    let mut client = host.client();
    client.send(json!({"id": "endless", "function": "endless"}));
    let worker = host.workers()[0];
    worker.wait_until_busy();
    assert!(expect_cancelled(&mut client, "endless"));
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
    client.send(json!({"id": "2", "function": "sleep", "args": {"ms": 600_000}}));
    assert_eq!(
        other.result("host.cancel", json!({"id": "2"})),
        not_cancelled,
        "another connection's"
    );
    assert_eq!(
        client.result("host.cancel", json!({"id": 2})),
        not_cancelled,
        "another type"
    );
    assert_eq!(
        client.request(json!({"id": 3, "function": "host.cancel", "args": {"id": 3}})),
        Ok(not_cancelled),
        "itself"
    );
    expect_cancelled(&mut client, "2");
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
