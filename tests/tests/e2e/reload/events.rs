//! `host.plugins` with `watch`: what happens to plugins, as it happens, until it is ended.

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, PluginWatch, Versioned};

use super::{put, serving_version_1};

/// Starts to watch and gives what is there.
#[track_caller]
fn watch(client: &mut Client, request: &Value) -> Value {
    client.send_line(&request.to_string());
    let line = client.recv();
    assert_eq!(line["id"], request["id"], "{line}");
    assert_eq!(line["event"], "plugins", "{line}");
    line["data"]["plugins"].clone()
}

fn request(id: &str) -> Value {
    json!({"id": id, "function": "host.plugins", "args": {"watch": true}})
}

#[test]
fn a_swap_is_told_step_by_step_to_everybody_who_watches() {
    let host = serving_version_1("");
    let mut watches = [PluginWatch::start(&host), PluginWatch::start(&host)];
    put(&host, &Versioned::new(2));
    for watch in &mut watches {
        watch.wait_for_state("retired");
        let steps: Vec<_> = watch
            .seen()
            .iter()
            .map(|event| (event["state"].clone(), event["generation"].clone()))
            .collect();
        let expected = [("live", 2), ("draining", 1), ("retired", 1)];
        let expected: Vec<_> = expected
            .iter()
            .map(|(state, generation)| (json!(state), json!(generation)))
            .collect();
        assert_eq!(steps, expected);
        for event in watch.seen() {
            assert_eq!(event["plugin"], "versioned", "{event}");
            assert_eq!(event["version"], Versioned::PACKAGE, "{event}");
            assert!(event["reason"].is_null(), "{event}");
        }
    }
}

#[test]
fn what_is_there_comes_first() {
    let host = serving_version_1("");
    let there = watch(&mut host.client(), &request("w"));
    assert_eq!(there[0]["name"], "versioned", "{there}");
    assert_eq!(there[0]["state"], "live", "{there}");
}

#[test]
fn watching_ends_when_it_is_cancelled_or_its_time_is_up_or_the_host_ends() {
    let mut host = serving_version_1("");
    let mut client = host.client();
    watch(&mut client, &request("cancelled"));
    let cancel = json!({"id": "c", "function": "host.cancel", "args": {"id": "cancelled"}});
    client.send_line(&cancel.to_string());
    let mut replies = [client.reply(), client.reply()];
    replies.sort_by_key(|reply| reply.id.to_string());
    assert_eq!(replies[0].outcome, Ok(json!({"cancelled": true})));
    let failure = replies[1].outcome.clone().unwrap_err();
    failure.expect("cancelled", &[]);

    let mut limited = request("limited");
    limited["timeout_ms"] = json!(50);
    watch(&mut client, &limited);
    client.reply().outcome.unwrap_err().expect("timeout", &[]);

    watch(&mut client, &request("last"));
    host.signal(Signal::TERM);
    client
        .reply()
        .outcome
        .unwrap_err()
        .expect("shutting_down", &[]);
    client.expect_end();
    assert!(host.wait().success());
}

#[test]
fn who_watches_needs_an_id() {
    let host = serving_version_1("");
    let mut client = host.client();
    client
        .failure("host.plugins", json!({"watch": true}))
        .expect("invalid_args", &["`watch` needs an `id`"]);
    client.ping();
}
