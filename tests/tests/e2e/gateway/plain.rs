//! Without a subprotocol: as the Text protocol is.

use serde_json::json;
use tests::{Gateway, GatewaySetup, Host, Plugin, wait_until};

#[test]
fn requests_without_ids_run_one_after_another() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut plain = gateway.plain();
    assert_eq!(plain.subprotocol, None);
    plain.send(&json!({"function": "sleep", "args": {"ms": 2000}}));
    plain.send(&json!({"function": "echo", "args": "second"}));
    plain.send(&json!({"id": 3, "function": "echo", "args": "third"}));
    assert_eq!(
        plain.recv(),
        json!({"id": 3, "ok": true, "result": "third"})
    );
    assert!(plain.recv()["result"]["slept_ms"].is_u64());
    assert_eq!(plain.recv(), json!({"ok": true, "result": "second"}));
    plain.send_text("nonsense");
    assert_eq!(plain.recv()["error"]["code"], "bad_request");
    plain.send(&json!({"function": "host.status"}));
    assert_eq!(plain.recv()["error"]["code"], "unknown_function");
    plain.close();
}

#[test]
fn a_thousand_turns_are_taken_in_order() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut plain = gateway.plain();
    for number in 0..1000 {
        plain.send(&json!({"function": "echo", "args": number}));
    }
    for number in 0..1000 {
        assert_eq!(plain.recv(), json!({"ok": true, "result": number}));
    }
}

#[test]
fn progress_comes_as_it_does_from_a_host() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut plain = gateway.plain();
    plain.send(&json!({"id": "p", "function": "progress", "args": {"steps": 3}, "progress": true}));
    loop {
        let message = plain.recv();
        assert_eq!(message["id"], "p");
        assert!(message.get("seq").is_none(), "{message}");
        if message.get("ok").is_some() {
            break;
        }
        assert_eq!(message["event"], "progress");
    }
}

#[test]
fn a_refusal_waits_for_its_turn_too() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut plain = gateway.plain();
    plain.send(&json!({"function": "sleep", "args": {"ms": 200}}));
    plain.send_text("nonsense");
    plain.send(&json!({"function": "host.status"}));
    plain.send(&json!({"function": "echo", "args": "last"}));
    assert!(plain.recv()["result"]["slept_ms"].is_u64());
    assert_eq!(plain.recv()["error"]["code"], "bad_request");
    assert_eq!(plain.recv()["error"]["code"], "unknown_function");
    assert_eq!(plain.recv()["result"], "last");
}

#[test]
fn turns_that_wait_hold_no_more_than_they_may() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[limits]\nrequests_len_max = \"155KiB\"\n[heartbeat]\ninterval = \"500ms\"")
        .start();
    gateway.wait_until_ready();
    let mut plain = gateway.plain();
    plain.send(&json!({"id": "first", "function": "sleep", "args": {"ms": 600_000}}));
    plain.send(&json!({"function": "sleep", "args": {"ms": 4000}}));
    for number in 0..4 {
        plain.send(&json!({"function": "echo", "args": [number, "x".repeat(40_000)]}));
    }
    for number in 0..2000 {
        plain.send(&json!({"function": "echo", "args": number}));
    }
    // More wait than are taken, and longer than a client may be silent.
    wait_until("as many to be in flight as may wait", || {
        gateway.metric("gateway_tasks_in_flight") >= 1024.0
    });
    assert!(plain.recv()["result"]["slept_ms"].is_u64());
    for number in 0..3 {
        assert_eq!(plain.recv()["result"][0], number);
    }
    assert_eq!(plain.recv()["error"]["code"], "overloaded");
    for number in 0..2000 {
        assert_eq!(plain.recv(), json!({"ok": true, "result": number}));
    }
}
