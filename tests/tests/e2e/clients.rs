//! Plain sockets of other languages: a few lines each, and no library.

use std::io::Write;
use std::process::Command;

use serde_json::{Value, json};
use tests::{Host, Plugin, Setup, php, python, run, run_with_input, workspace_dir};

/// Each script does the same five things with the port that it is given, and prints the same.
const EXPECTED: &str = "\
echo: {\"text\":\"Grüße 😀\"}
unknown_function: no live plugin exports `ecko`; did you mean `echo`?
progress: 3 of 3
1000 replies, 1000 different ids
invalid line: bad_request
";

#[track_caller]
fn expect_conversation(mut command: Command, script: &str) {
    let host = Host::with(&[Plugin::Good]);
    command
        .arg(workspace_dir().join("tests/clients").join(script))
        .arg(host.port().to_string());
    assert_eq!(run(&mut command).output(), EXPECTED);
    host.client().ping();
}

#[test]
fn python_needs_no_library() {
    expect_conversation(python(), "client.py");
}

#[test]
fn node_needs_no_library() {
    expect_conversation(Command::new("node"), "client.js");
}

#[test]
fn php_needs_no_library() {
    expect_conversation(php(), "client.php");
}

#[test]
fn nc_needs_no_program_at_all() {
    let host = Host::with(&[Plugin::Good]);
    let nc = |input: &str| {
        let mut nc = Command::new("nc");
        nc.args(["-N", "127.0.0.1", &host.port().to_string()]);
        run_with_input(&mut nc, input.as_bytes().to_vec()).output()
    };
    assert_eq!(
        nc("{\"function\":\"host.ping\"}\n"),
        "{\"ok\":true,\"result\":\"pong\"}\n"
    );
    let text = "{\"function\":\"echo\",\"args\":{\"text\":\"Grüße 😀\"}}\n";
    assert_eq!(
        nc(&text.repeat(3)),
        "{\"ok\":true,\"result\":{\"text\":\"Grüße 😀\"}}\n".repeat(3)
    );
    let slow = "{\"function\":\"sleep\",\"args\":{\"ms\":200}}\n";
    assert!(nc(slow).contains("slept_ms"), "nc waits for what is due");
    let requests: String = (0..1000)
        .map(|id| format!("{{\"id\":{id},\"function\":\"echo\",\"args\":{id}}}\n"))
        .collect();
    assert_eq!(nc(&requests).lines().count(), 1000);
}

fn host_call(host: &Host, args: &[&str]) -> tests::Finished {
    let mut command = Host::command();
    command
        .arg("call")
        .args(args)
        .args(["--connect", &format!("127.0.0.1:{}", host.port())]);
    run(&mut command)
}

#[test]
fn host_call_prints_the_result_and_nothing_else() {
    let host = Host::with(&[Plugin::Good]);
    assert_eq!(host_call(&host, &["host.ping"]).output(), "\"pong\"\n");
    let finished = host_call(&host, &["echo", r#"{"text": "Grüße 😀"}"#]);
    assert_eq!(finished.stderr, "");
    assert_eq!(finished.output(), "{\"text\": \"Grüße 😀\"}\n");
    assert_eq!(
        host_call(&host, &["echo", "{\n  \"a\": 1\n}"])
            .output()
            .lines()
            .count(),
        1
    );
}

#[test]
fn host_call_prints_progress_beside_the_result() {
    let host = Host::with(&[Plugin::Good]);
    let finished = host_call(&host, &["progress", r#"{"steps": 3, "ms": 20}"#]);
    assert!(finished.stderr.contains("3/3 step 3"), "{finished:?}");
    assert_eq!(finished.output(), "3\n");
}

#[test]
fn host_call_fails_with_what_went_wrong() {
    let host = Host::with(&[Plugin::Good]);
    let table: [(i32, &[&str], &str); 5] = [
        (1, &["ecko"], "unknown_function: "),
        (1, &["sleep", "{}"], "invalid_args: "),
        (
            1,
            &["sleep", r#"{"ms": 600000}"#, "--timeout", "50ms"],
            "timeout: ",
        ),
        (
            1,
            &["fail", r#"{"kind": "k", "message": "the very words"}"#],
            "handler_failed: the very words",
        ),
        (2, &["echo", "{half"], "JSON"),
    ];
    for (code, args, text) in table {
        let finished = host_call(&host, args);
        assert_eq!(finished.status.code(), Some(code), "{finished:?}");
        assert_eq!(finished.stdout, "");
        assert!(finished.stderr.contains(text), "{finished:?}");
    }
}

#[test]
fn host_call_says_when_nobody_listens() {
    let host = Setup::new().start();
    let port = host.port();
    drop(host);
    let finished = run(Host::command().args([
        "call",
        "host.ping",
        "--connect",
        &format!("127.0.0.1:{port}"),
    ]));
    assert_eq!(finished.status.code(), Some(1));
    assert!(
        finished.stderr.contains("is the host running?"),
        "{finished:?}"
    );
}

#[test]
fn host_call_takes_results_of_any_size() {
    let host = Host::with(&[Plugin::Good]);
    let len = 9 << 20;
    let output = host_call(&host, &["big", &json!({"len": len}).to_string()]).output();
    let result: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(result.as_str().unwrap().len(), len);
}

#[test]
fn a_client_that_writes_first_and_reads_later_is_served() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    let mut all = Vec::new();
    for number in 0..500 {
        writeln!(all, "{}", json!({"function": "echo", "args": number})).unwrap();
    }
    client.send_bytes(&all);
    client.finish_sending();
    for number in 0..500 {
        assert_eq!(client.reply().outcome, Ok(json!(number)));
    }
    client.expect_end();
}
