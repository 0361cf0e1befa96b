//! What servers allow: the real server with limits of sessions, seconds, transactions and connections.

use std::collections::HashMap;

use plugin_api::serde_json::{Value, json};

use crate::{failure, open, server::Server};

fn bulk(count: usize) -> Value {
    let recipients: Vec<_> = (0..count)
        .map(|index| json!({"to": format!("a{index}@example.com")}))
        .collect();
    json!({"from": "me@example.com", "contents": "x", "recipients": recipients})
}

/// How many messages came over each connection; everybody got one.
fn by_connection(server: &Server, count: usize) -> HashMap<u64, usize> {
    let mut peers = HashMap::new();
    let mut to: Vec<_> = Vec::new();
    for message in server.take(count) {
        *peers.entry(message["peer"].as_u64().unwrap()).or_default() += 1;
        to.push(message["to"].to_string());
    }
    to.sort();
    to.dedup();
    assert_eq!(to.len(), count, "nobody got two");
    peers
}

#[test]
fn a_session_that_is_full_is_followed_by_another() {
    for pipelining in [true, false] {
        let server = Server::start(&json!({"session_max": 7, "pipelining": pipelining}));
        let plugin = open(json!({"url": server.url(), "connections": 2}));
        let report = plugin.call("send_bulk", bulk(60)).unwrap();
        assert_eq!(report["sent"], 60, "{report}");
        let peers = by_connection(&server, 60);
        assert!(peers.values().all(|count| *count <= 7), "{peers:?}");
        // One message a task, over a connection that is full after some of them.
        for index in 0..10 {
            let args = json!({"from": "me@example.com", "to": format!("b{index}@example.com"), "contents": "x"});
            plugin.call("send_mail", args).unwrap();
        }
        by_connection(&server, 10);
    }
}

#[test]
fn a_session_has_as_many_messages_as_it_may() {
    let server = Server::start(&json!({}));
    let plugin =
        open(json!({"url": server.url(), "connections": 2, "messages_per_connection_max": 4}));
    assert_eq!(plugin.call("send_bulk", bulk(30)).unwrap()["sent"], 30);
    let peers = by_connection(&server, 30);
    assert!(
        peers.len() >= 8 && peers.values().all(|count| *count <= 4),
        "{peers:?}"
    );
}

#[test]
fn a_server_that_wants_less_in_a_second_gets_it_all_in_more_of_them() {
    let server = Server::start(&json!({"rate_max": 10}));
    let plugin = open(json!({"url": server.url(), "connections": 4}));
    let report = plugin.call("send_bulk", bulk(25)).unwrap();
    assert_eq!(report["sent"], 25, "{report}");
    by_connection(&server, 25);
}

#[test]
fn no_more_is_sent_in_a_second_than_told() {
    // Without another try, every message over the rate would fail.
    let server = Server::start(&json!({"rate_max": 12}));
    let config = json!({"url": server.url(), "messages_per_second_max": 10, "retry_for": "1ms"});
    let report = open(config).call("send_bulk", bulk(25)).unwrap();
    assert_eq!(report["sent"], 25, "{report}");
    by_connection(&server, 25);
}

#[test]
fn a_transaction_that_is_full_is_followed_by_another() {
    for pipelining in [true, false] {
        let server = Server::start(&json!({"recipients_max": 100, "pipelining": pipelining}));
        let plugin = open(json!({"url": server.url()}));
        let mut to: Vec<_> = (0..250)
            .map(|index| format!("a{index}@example.com"))
            .collect();
        to[120] = "refused@example.com".to_owned();
        to[121] = "later@example.com".to_owned();
        for _ in 0..2 {
            let args = json!({"from": "me@example.com", "to": to, "contents": "x"});
            let sent = plugin.call("send_mail", args).unwrap();
            assert_eq!(sent["accepted"].as_array().unwrap().len(), 248, "{sent}");
            let rejected = sent["rejected"].as_array().unwrap();
            let codes: Vec<_> = rejected.iter().map(|one| &one["code"]).collect();
            assert_eq!(codes, [&json!(550), &json!(450)]);
            assert_eq!(sent["replies"].as_array().unwrap().len(), 3, "{sent}");
            let messages = server.take(3);
            let mut found: Vec<_> = messages
                .iter()
                .flat_map(|message| message["to"].as_array().unwrap())
                .collect();
            found.sort_by_key(|to| to.as_str());
            found.dedup();
            assert_eq!(found.len(), 248);
        }
    }
}

#[test]
fn a_server_that_takes_few_connections_gets_everything_over_them() {
    let server = Server::start(&json!({"connections_max": 3}));
    let plugin = open(json!({"url": server.url(), "connections": 8}));
    let report = plugin.call("send_bulk", bulk(60)).unwrap();
    assert_eq!(report["sent"], 60, "{report}");
    assert!(by_connection(&server, 60).len() <= 3);
}

#[test]
fn a_server_without_a_free_connection_is_waited_for() {
    let server = Server::start(&json!({"connections_max": 1}));
    let config = json!({"url": server.url(), "connections": 2, "idle_timeout": "500ms"});
    // Two workers, of which one keeps its connection for a while after its message.
    let (first, second) = (open(config.clone()), open(config));
    let args = |to: &str| json!({"from": "me@example.com", "to": to, "contents": "x"});
    first.call("send_mail", args("a@example.com")).unwrap();
    second.call("send_mail", args("b@example.com")).unwrap();
    assert_eq!(second.call("send_bulk", bulk(5)).unwrap()["sent"], 5);
    server.take(7);
}

#[test]
fn a_temporary_refusal_is_told_when_the_time_for_it_is_over() {
    let server = Server::start(&json!({"rate_max": 0}));
    let plugin = open(json!({"url": server.url(), "retry_for": "300ms"}));
    let args = json!({"from": "me@example.com", "to": "a@example.com", "contents": "x"});
    let (kind, text, retryable, data) = failure(plugin.call("send_mail", args));
    assert_eq!((kind.as_str(), retryable), ("rejected", true), "{text}");
    assert_eq!(data["rejected"][0]["code"], 450);
    let report = plugin.call("send_bulk", bulk(3)).unwrap();
    let failed = report["failed"].as_array().unwrap();
    assert!(
        failed
            .iter()
            .all(|one| one["code"] == 450 && one["retryable"] == true),
        "{report}"
    );
    assert_eq!(failed.len(), 3);
}

#[test]
fn a_bulk_that_is_cancelled_while_it_waits_says_why_it_waited() {
    let server = Server::start(&json!({"rate_max": 1}));
    let plugin = open(json!({"url": server.url(), "connections": 1, "retry_for": "1h"}));
    let running = plugin.prepare("send_bulk", bulk(400)).start();
    running.wait_for_progress(1);
    running.cancel();
    let (kind, text, _, data) = failure(running.wait().result);
    assert_eq!(kind, "cancelled", "{text}");
    let failed = data["failed"].as_array().unwrap();
    assert!(failed.iter().all(|one| one["code"] == 450), "{data}");
    let count = |name: &str| usize::try_from(data[name].as_u64().unwrap()).unwrap();
    assert_eq!(count("sent") + count("unsent") + failed.len(), 400);
}
