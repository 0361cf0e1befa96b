//! Lines as bytes: however they come, each that ends is answered.

use std::io::Write;
use std::thread;

use serde_json::json;
use tests::{Client, Host, Plugin, Setup};

const MIB: usize = 1 << 20;

fn good() -> Host {
    Host::with(&[Plugin::Good])
}

#[track_caller]
fn expect_bad_request(client: &mut Client, texts: &[&str]) {
    let reply = client.reply();
    assert!(reply.id.is_null(), "{reply:?}");
    reply.outcome.unwrap_err().expect("bad_request", texts);
}

#[test]
fn half_a_close_gets_all_replies_and_then_the_end() {
    let host = good();
    let mut client = host.client();
    client.send(json!({"id": 1, "function": "sleep", "args": {"ms": 50}}));
    client.send(json!({"function": "sleep", "args": {"ms": 10}}));
    client.send(json!({"function": "echo", "args": "last"}));
    client.finish_sending();
    let replies: Vec<_> = (0..3).map(|_| client.reply()).collect();
    assert!(
        replies.iter().all(|reply| reply.outcome.is_ok()),
        "{replies:?}"
    );
    client.expect_end();
}

#[test]
fn many_lines_at_once_and_then_the_end_are_all_answered() {
    const LINES: u64 = 4_000;
    let host = good();
    let mut client = host.client();
    // Without a function: nothing is in flight that would keep the connection open.
    let lines: String = (0..LINES).map(|id| format!("{{\"id\":{id}}}\n")).collect();
    client.send_bytes(lines.as_bytes());
    client.finish_sending();
    for id in 0..LINES {
        let reply = client.reply();
        assert_eq!(reply.id, json!(id));
        reply
            .outcome
            .unwrap_err()
            .expect("bad_request", &["function"]);
    }
    client.expect_end();
}

#[test]
fn a_line_without_its_end_is_answered_and_not_run() {
    let host = good();
    let mut client = host.client();
    client.send_bytes(b"{\"function\":\"host.ping\"}\n{\"function\":\"count\"}");
    client.finish_sending();
    assert_eq!(client.reply().outcome, Ok(json!("pong")));
    expect_bad_request(&mut client, &["newline"]);
    client.expect_end();
    assert_eq!(host.client().result("count", json!({}))["count"], 1);
}

#[test]
fn lines_that_are_no_requests_are_bad_requests_and_harm_nobody() {
    let host = good();
    let mut client = host.client();
    let table: [(&[u8], &[&str]); 16] = [
        (b"", &["empty"]),
        (b"\r", &["empty"]),
        (b"   ", &[]),
        (b"hello", &["JSON"]),
        (b"{\"function\":\"echo\"", &["JSON"]),
        (b"{\"function\":\"echo\"}}", &["JSON"]),
        (b"[]", &["object"]),
        (b"null", &["object"]),
        (b"\"echo\"", &["object"]),
        (b"{}", &["function"]),
        (b"{\"function\":7}", &["function"]),
        (b"{\"function\":null}", &["function"]),
        (
            b"{\"function\":\"echo\",\"function\":\"echo\"}",
            &["function"],
        ),
        (b"{\"function\":\"echo\",\"id\":1.5}", &["id"]),
        (b"{\"function\":\"\xff\"}", &["UTF-8"]),
        (b"\x00\x01\x02", &[]),
    ];
    for (line, texts) in table {
        client.send_bytes(line);
        client.send_bytes(b"\n");
        expect_bad_request(&mut client, texts);
    }
    client.ping();
}

#[test]
fn fields_of_the_wrong_kind_are_named_and_the_id_comes_back() {
    let host = good();
    let mut client = host.client();
    let table = [
        (
            json!({"id": 1, "function": "echo", "timeout_ms": 0}),
            "timeout_ms",
        ),
        (
            json!({"id": 1, "function": "echo", "timeout_ms": "5"}),
            "timeout_ms",
        ),
        (
            json!({"id": 1, "function": "echo", "timeout_ms": -1}),
            "timeout_ms",
        ),
        (
            json!({"id": 1, "function": "echo", "timeout_ms": null}),
            "timeout_ms",
        ),
        (
            json!({"id": 1, "function": "echo", "progress": 1}),
            "progress",
        ),
        (json!({"function": "echo", "progress": true}), "progress"),
        (
            json!({"id": 1, "function": "echo", "background": 1}),
            "background",
        ),
        (json!({"id": 1, "function": "echo", "key": "k"}), "key"),
        (
            json!({"id": 1, "function": "echo", "delay_ms": 1}),
            "delay_ms",
        ),
        (
            json!({"id": 1, "function": "echo", "priority": 1}),
            "priority",
        ),
        (json!({"id": 1, "function": "echo", "retry": null}), "retry"),
    ];
    for (request, field) in table {
        client
            .request(request)
            .unwrap_err()
            .expect("bad_request", &[field]);
    }
    for id in [
        json!(""),
        json!("x".repeat(65)),
        json!(null),
        json!(true),
        json!([1]),
        json!(1e30),
    ] {
        client.send(json!({"id": id, "function": "echo"}));
        expect_bad_request(&mut client, &["id"]);
    }
}

#[test]
fn unknown_fields_are_ignored() {
    let host = good();
    let request = json!({"function": "echo", "args": 1, "priority_": 1, "x": [[]], "": null});
    assert_eq!(host.client().request(request), Ok(json!(1)));
}

#[test]
fn carriage_returns_before_the_newline_are_dropped() {
    let host = good();
    let mut client = host.client();
    client.send_bytes(
        b"{\"function\":\"echo\",\"args\":\"a\\r\"}\r\n{\"function\":\"echo\",\"args\":2}\r\r\n",
    );
    assert_eq!(
        client.next_line().unwrap(),
        br#"{"ok":true,"result":"a\r"}"#
    );
    assert_eq!(client.next_line().unwrap(), br#"{"ok":true,"result":2}"#);
}

#[test]
fn a_byte_at_a_time_will_do() {
    let host = good();
    let mut client = host.client();
    for byte in "{\"function\":\"echo\",\"args\":\"ä😀\"}\r\n".as_bytes() {
        client.send_bytes(&[*byte]);
    }
    assert_eq!(client.reply().outcome, Ok(json!("ä😀")));
}

#[test]
fn many_lines_in_one_packet_will_do() {
    let host = good();
    let mut client = host.client();
    client.send_bytes("{\"function\":\"host.ping\"}\n".repeat(500).as_bytes());
    for _ in 0..500 {
        assert_eq!(client.reply().outcome, Ok(json!("pong")));
    }
}

#[test]
fn args_reach_the_handler_byte_for_byte() {
    let host = good();
    let mut client = host.client();
    let all = [
        "123456789012345678901234567890.000000000000000000000000000001e-400",
        "{ \"b\" : 1, \"a\" :2,\"b\": 3}",
        "\"\\u00e4\\/\\ud83d\\ude00\u{2028}\u{7f}\"",
        "null",
        "[]",
        "\"ä😀\"",
    ];
    for args in all {
        client.send_line(&format!(r#"{{"function":"echo","args":{args}}}"#));
        let line = String::from_utf8(client.next_line().unwrap()).unwrap();
        assert_eq!(line, format!(r#"{{"ok":true,"result":{args}}}"#));
    }
    client.send_line(r#"{"function":"echo"}"#);
    assert_eq!(client.next_line().unwrap(), br#"{"ok":true,"result":{}}"#);
}

#[test]
fn an_empty_list_counts_as_an_empty_object_where_one_is_taken() {
    let host = Host::with(&[Plugin::Evil, Plugin::Good]);
    let mut client = host.client();
    assert_eq!(client.result("huge_result", json!({"bytes": 1})), "x");
    // It has nothing but optional arguments, and an empty object prints nothing.
    assert_eq!(client.result("print", json!([])), json!(null));
    client
        .failure("sleep", json!([]))
        .expect("invalid_args", &["ms"]);
    client
        .failure("sleep", json!([1, 2]))
        .expect("invalid_args", &[]);
}

#[test]
fn args_that_do_not_fit_are_refused_with_the_place() {
    let host = good();
    let mut client = host.client();
    client
        .failure("sleep", json!({}))
        .expect("invalid_args", &["ms"]);
    client
        .failure("sleep", json!({"ms": "long"}))
        .expect("invalid_args", &["ms", "long"]);
    client
        .failure("log", json!({"level": "loud", "message": ""}))
        .expect("invalid_args", &["level", "loud"]);
    client
        .failure("sleep", json!(null))
        .expect("invalid_args", &[]);
}

#[test]
fn an_unknown_function_gets_the_names_of_similar_ones() {
    let host = good();
    let mut client = host.client();
    client
        .failure("ecko", json!({}))
        .expect("unknown_function", &["ecko", "`echo`"]);
    client
        .failure("asyncSleep", json!({}))
        .expect("unknown_function", &["`async_sleep`"]);
    client
        .failure("host.pong", json!({}))
        .expect("unknown_function", &["`host.ping`"]);
    client
        .failure("", json!({}))
        .expect("unknown_function", &[]);
    let long = "x".repeat(128);
    client
        .failure(&long, json!({}))
        .expect("unknown_function", &["xxx"]);
}

/// Sends a line that is too long, from a thread of its own: the host stops listening in the middle.
fn send_in_background(client: &Client, line: Vec<u8>) -> thread::JoinHandle<bool> {
    let mut sender = client.sender();
    thread::spawn(move || sender.write_all(&line).is_ok())
}

#[test]
fn a_line_of_50_mb_is_too_large_and_its_reply_arrives() {
    let host = good();
    let mut bystander = host.client();
    let before = host.process().rss();
    let mut client = host.client();
    let mut line = br#"{"id":1,"function":"echo","args":""#.to_vec();
    line.resize(50_000_000, b'x');
    line.extend_from_slice(b"\"}\n{\"function\":\"host.ping\"}\n");
    let sending = send_in_background(&client, line);
    let reply = client.reply();
    reply.outcome.unwrap_err().expect("too_large", &["10"]);
    client.expect_end();
    sending.join().unwrap();
    bystander.ping();
    let grown = host.process().rss().saturating_sub(before);
    assert!(
        grown < 40 * MIB as u64,
        "{grown} bytes for a line that is not even taken"
    );
}

#[test]
fn a_line_that_never_ends_is_too_large_as_soon_as_it_is() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[limits]\nline_len_max = \"64KiB\"")
        .start();
    let mut client = host.client();
    let sending = send_in_background(&client, vec![b'x'; 1024 * 1024]);
    client
        .reply()
        .outcome
        .unwrap_err()
        .expect("too_large", &["65536"]);
    client.expect_end();
    sending.join().unwrap();
}

#[test]
fn replies_that_were_due_come_before_too_large() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[limits]\nline_len_max = \"64KiB\"")
        .start();
    let mut client = host.client();
    client.send(json!({"function": "sleep", "args": {"ms": 50}}));
    client.send(json!({"function": "echo", "args": "second"}));
    let sending = send_in_background(&client, vec![b'x'; 1024 * 1024]);
    client.reply().outcome.unwrap();
    assert_eq!(client.reply().outcome, Ok(json!("second")));
    assert_eq!(client.reply().outcome.unwrap_err().code, "too_large");
    client.expect_end();
    sending.join().unwrap();
}

#[test]
fn the_limit_is_for_the_line_without_its_end() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[limits]\nline_len_max = 4096")
        .start();
    let line = |len: usize, end: &str| {
        let mut line = r#"{"function":"host.ping","x":""#.to_owned();
        line.push_str(&"x".repeat(len - line.len() - 2));
        line + "\"}" + end
    };
    for end in ["\n", "\r\n"] {
        let mut client = host.client();
        client.send_bytes(line(4096, end).as_bytes());
        assert_eq!(client.reply().outcome, Ok(json!("pong")));
        client.send_bytes(line(4097, end).as_bytes());
        client
            .reply()
            .outcome
            .unwrap_err()
            .expect("too_large", &["4096"]);
        client.expect_end();
    }
}

#[test]
fn a_line_of_nearly_the_limit_goes_through_a_handler_and_back() {
    let host = good();
    let mut client = host.client();
    let args = json!("x".repeat(10 * MIB - 1000));
    let echoed = client.result("echo", args.clone());
    assert!(
        echoed == args,
        "{} bytes came back",
        echoed.to_string().len()
    );
}

#[test]
fn a_result_over_the_limit_is_told_instead() {
    let host = good();
    let mut client = host.client();
    client
        .failure("big", json!({"len": 11 * MIB}))
        .expect("result_too_large", &[]);
    client
        .failure("big", json!({"len": 10 * MIB}))
        .expect("result_too_large", &[]);
    assert_eq!(
        client
            .result("big", json!({"len": 10 * MIB - 1000}))
            .as_str()
            .unwrap()
            .len(),
        10 * MIB - 1000
    );
}
