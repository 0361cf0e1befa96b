//! Clients that speak HTTP or TLS to the host's port: one answer, and nothing of theirs is run.

use std::io::Write;

use serde_json::json;
use tests::{Client, Host, Plugin, Reply};

const TASK: &str = "{\"function\":\"count\"}\n";
const HEAD: &str =
    "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n\r\n";

/// How often a task of [`TASK`]'s has run.
#[track_caller]
fn runs(host: &Host) -> u64 {
    host.client().status()["functions"]["count"]["ok"]
        .as_u64()
        .unwrap_or(0)
}

#[track_caller]
fn expect_one_refusal(client: &mut Client) {
    let reply = client.reply();
    assert!(reply.id.is_null(), "{reply:?}");
    reply
        .outcome
        .unwrap_err()
        .expect("bad_request", &["gateway", "nothing of it was run"]);
    client.expect_end();
}

#[test]
fn nothing_of_an_http_request_is_run_however_it_comes() {
    let host = Host::with(&[Plugin::Good]);
    let request = format!("{HEAD}{TASK}{TASK}");
    let streams = [
        request.as_str(),
        &request["POST / HTTP/1.1\r\n".len()..],
        &format!("GET /\n{TASK} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"),
    ];
    for stream in streams {
        let mut client = host.client();
        client.send_bytes(stream.as_bytes());
        expect_one_refusal(&mut client);

        let mut client = host.client();
        for byte in stream.as_bytes().chunks(1) {
            client.send_bytes(byte);
        }
        client.finish_sending();
        expect_one_refusal(&mut client);
    }
    assert_eq!(runs(&host), 0);
}

#[test]
fn a_body_that_comes_after_the_refusal_is_not_run() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    let mut sender = client.sender();
    client.send_bytes(HEAD.as_bytes());
    let reply = client.reply();
    reply
        .outcome
        .unwrap_err()
        .expect("bad_request", &["gateway"]);
    // The host reads on for a while, so that clients get to see the answer.
    sender.write_all(TASK.as_bytes()).unwrap();
    client.finish_sending();
    client.expect_end();
    assert_eq!(runs(&host), 0);
}

#[test]
fn tls_is_known_by_its_first_byte() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    client.send_bytes(b"\x16");
    expect_one_refusal(&mut client);
    let mut client = host.client();
    client.send_bytes(format!("\u{16}\u{3}\u{1}\n{TASK}").as_bytes());
    expect_one_refusal(&mut client);
    assert_eq!(runs(&host), 0);
}

#[test]
fn what_came_before_is_answered_before() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    client.send(json!({"function": "sleep", "args": {"ms": 50}}));
    client.send(json!({"id": 1, "function": "sleep", "args": {"ms": 100}}));
    client.send_bytes(format!("{HEAD}{TASK}").as_bytes());
    let replies: Vec<Reply> = (0..3).map(|_| client.reply()).collect();
    client.expect_end();
    let (with_id, in_order): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|reply| reply.id == 1);
    assert!(
        with_id.iter().all(|reply| reply.outcome.is_ok()),
        "{with_id:?}"
    );
    let [first, second] = in_order.as_slice() else {
        panic!("{in_order:?}")
    };
    assert!(first.outcome.is_ok(), "{first:?}");
    let failure = second.outcome.clone().unwrap_err();
    failure.expect("bad_request", &["gateway"]);
    assert_eq!(runs(&host), 0);
}
