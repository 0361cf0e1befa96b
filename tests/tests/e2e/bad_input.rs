//! Garbage, in every shape: each line that ends is answered, and the host goes on.

use std::collections::BTreeMap;
use std::io::Write;
use std::thread;

use fastrand::Rng;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tests::{Client, Host, Plugin, wait_until};

const CONNECTIONS: u64 = 8;
const LINES_PER_CONNECTION: usize = 1250;
const DEPTH: usize = 100_000;

/// What mutations start from. Each is answered by one line, whatever becomes of it.
const TEMPLATES: [&str; 9] = [
    r#"{"function":"host.ping"}"#,
    r#"{"id":1,"function":"echo","args":{"a":[1,2.5e-3,true,null,"ä\u00e4\\"]},"timeout_ms":1000}"#,
    r#"{"id":"x","function":"echo","args":"😀 \ud83d\ude00","progress":true}"#,
    r#"{"function":"echo","args":[]}"#,
    r#"{"function":"sleep","args":{"ms":1}}"#,
    r#"{"function":"fail","args":{"kind":"k","message":"m","data":{"x":[1]}}}"#,
    r#"{"id":2,"function":"host.cancel","args":{"id":1}}"#,
    r#"{"function":"host.status","args":null}"#,
    r#"{"function":"echo","args":{},"background":true}"#,
];

fn random_bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.u8(..)).collect()
}

/// A template with a few changes; without newlines, so that it stays one line.
fn mutated(rng: &mut Rng) -> Vec<u8> {
    let mut line = TEMPLATES[rng.usize(..TEMPLATES.len())].as_bytes().to_vec();
    for _ in 0..rng.usize(..4) {
        let at = rng.usize(..line.len().max(1)).min(line.len());
        match rng.u8(..6) {
            0 if at < line.len() => line[at] = rng.u8(..),
            1 if at < line.len() => line[at] ^= 1 << rng.u8(..8),
            2 => line.truncate(at),
            3 => {
                let len = rng.usize(..10);
                let inserted = random_bytes(rng, len);
                line.splice(at..at, inserted);
            }
            4 => {
                let other = TEMPLATES[rng.usize(..TEMPLATES.len())].as_bytes();
                line.splice(at.., other[rng.usize(..other.len())..].iter().copied());
            }
            _ => {
                let repeated = line[at..].to_vec();
                line.extend_from_slice(&repeated);
            }
        }
    }
    line
}

fn line(rng: &mut Rng) -> Vec<u8> {
    let mut line = match rng.u8(..10) {
        0 => {
            let len = rng.usize(..300);
            random_bytes(rng, len)
        }
        1 => {
            let alphabet = br#"{}[]",:\0123456789eE+-.truefalsn" "#;
            (0..rng.usize(..200))
                .map(|_| alphabet[rng.usize(..alphabet.len())])
                .collect()
        }
        _ => mutated(rng),
    };
    // A task that takes long would be no garbage, but a long test.
    for byte in &mut line {
        if *byte == b'\n' {
            *byte = b' ';
        }
    }
    line.push(b'\n');
    line
}

#[test]
fn ten_thousand_random_and_mutated_lines_are_each_answered() {
    let host = Host::with(&[Plugin::Good]);
    thread::scope(|scope| {
        for seed in 0..CONNECTIONS {
            let host = &host;
            scope.spawn(move || {
                let mut rng = Rng::with_seed(seed);
                let lines: Vec<Vec<u8>> =
                    (0..LINES_PER_CONNECTION).map(|_| line(&mut rng)).collect();
                let mut client = host.client();
                let mut sender = client.sender();
                let bytes = lines.concat();
                let sending = scope.spawn(move || sender.write_all(&bytes));
                for number in 0..LINES_PER_CONNECTION {
                    let answer = client.next_line().expect("every line is answered");
                    // No more of it is read: what comes back as it was sent may hold half of a surrogate pair.
                    let fields = serde_json::from_slice::<BTreeMap<String, &RawValue>>(&answer);
                    let ok = fields.ok().and_then(|mut fields| fields.remove("ok"));
                    assert!(
                        ok.is_some_and(|ok| ["true", "false"].contains(&ok.get())),
                        "seed {seed}, answer {number}: {}",
                        String::from_utf8_lossy(&answer)
                    );
                }
                sending.join().unwrap().unwrap();
                client.finish_sending();
                client.expect_end();
            });
        }
    });
    let mut client = host.client();
    assert_eq!(client.result("echo", json!("well")), "well");
    assert_eq!(client.status()["plugins"]["good"]["crashes"], 0);
    // Some of them were to run in the background.
    wait_until("nothing to be in flight but the question", || {
        client.status()["in_flight"] == 1
    });
    assert!(!host.log().contains("panicked"), "the host panicked");
}

#[track_caller]
fn expect_code(client: &mut Client, line: &str, code: &str) {
    client.send_line(line);
    client.reply().outcome.unwrap_err().expect(code, &[]);
}

#[test]
fn nesting_of_any_depth_is_only_a_line() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    let lists = format!("{}{}", "[".repeat(DEPTH), "]".repeat(DEPTH));
    let objects = format!("{}1{}", "{\"a\":".repeat(DEPTH), "}".repeat(DEPTH));
    for deep in [&lists, &objects] {
        // Where it only passes through, it comes back as it was.
        client.send_line(&format!(r#"{{"function":"echo","args":{deep}}}"#));
        let line = String::from_utf8(client.next_line().unwrap()).unwrap();
        assert!(
            line == format!(r#"{{"ok":true,"result":{deep}}}"#),
            "{line:.300}"
        );
        client.send_line(&format!(r#"{{"function":"host.ping","unknown":{deep}}}"#));
        assert_eq!(client.reply().outcome, Ok(json!("pong")));
        // Where it has to be looked into, it is refused.
        expect_code(
            &mut client,
            &format!(r#"{{"function":"sleep","args":{deep}}}"#),
            "invalid_args",
        );
        expect_code(
            &mut client,
            &format!(r#"{{"function":"host.cancel","args":{{"id":{deep}}}}}"#),
            "invalid_args",
        );
        expect_code(
            &mut client,
            &format!(r#"{{"function":{deep}}}"#),
            "bad_request",
        );
        expect_code(
            &mut client,
            &format!(r#"{{"function":"echo","id":{deep}}}"#),
            "bad_request",
        );
        expect_code(&mut client, deep, "bad_request");
        expect_code(&mut client, &deep[..deep.len() / 2], "bad_request");
    }
    assert_eq!(client.status()["plugins"]["good"]["crashes"], 0);
}

#[test]
fn what_is_not_utf8_is_refused_wherever_it_stands() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    let table: [(&[u8], &[u8]); 5] = [
        (b"{\"function\":\"echo\",\"args\":\"", b"\"}"),
        (b"{\"function\":\"", b"\"}"),
        (b"{\"function\":\"echo\",\"id\":\"", b"\"}"),
        (b"{\"function\":\"echo\",\"unknown\":\"", b"\"}"),
        (b"", b"{\"function\":\"echo\"}"),
    ];
    // A stray continuation, an overlong slash, half a surrogate pair, an end in the middle.
    let wrong: [&[u8]; 4] = [b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f\x98"];
    for (before, after) in table {
        for middle in wrong {
            client.send_bytes(&[before, middle, after, b"\n"].concat());
            client
                .reply()
                .outcome
                .unwrap_err()
                .expect("bad_request", &[]);
        }
    }
    client.ping();
}

#[test]
fn escapes_that_name_no_character_are_only_text_to_the_host() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    // Half a surrogate pair is JSON by its grammar; args are not looked into.
    client.send_line(r#"{"function":"echo","args":"\ud800"}"#);
    assert_eq!(
        client.next_line().unwrap(),
        br#"{"ok":true,"result":"\ud800"}"#
    );
    expect_code(&mut client, r#"{"function":"\ud800"}"#, "bad_request");
}

#[test]
fn a_client_that_breaks_off_anywhere_harms_nobody() {
    let host = Host::with(&[Plugin::Good]);
    let request = br#"{"id":1,"function":"echo","args":{"x":"y"},"timeout_ms":1000}"#;
    for len in 0..=request.len() {
        let mut client = host.client();
        client.send_bytes(&request[..len]);
    }
    let mut client = host.client();
    wait_until("all of them to be gone", || {
        client.status()["connections"] == 1
    });
    let status: Value = client.status();
    assert_eq!(status["in_flight"], 1, "{status}");
    assert!(
        status["functions"]["echo"]["ok"].as_u64().unwrap_or(0) == 0,
        "half a line was run: {status}"
    );
}
