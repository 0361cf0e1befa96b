//! The commands about background tasks, as people and scripts use them.

use std::process::Command;

use serde_json::{Value, json};
use tests::{Finished, Host, Plugin, Setup, run, wait_until};

/// A command of the host's own program, that reaches this host.
fn command(host: &Host, args: &[&str]) -> Finished {
    let mut command = Host::command();
    command
        .args(args)
        .args(["--connect", &format!("127.0.0.1:{}", host.port())]);
    run(&mut command)
}

#[track_caller]
fn json_of(host: &Host, args: &[&str]) -> Value {
    let output = command(host, args).output();
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{args:?}: {error} in {output}"))
}

#[track_caller]
fn handed_over(host: &Host, args: &[&str]) -> String {
    let answer = json_of(host, &[&["call"], args, &["--background"]].concat());
    assert_eq!(answer["durable"], "fsync", "{answer}");
    answer["task"].as_str().unwrap().to_owned()
}

#[track_caller]
fn ended(host: &Host, task: &str) -> Value {
    json_of(host, &["task", task, "--wait", "1m"])
}

#[track_caller]
fn expect_failure(finished: &Finished, code: i32, text: &str) {
    assert_eq!(finished.status.code(), Some(code), "{finished:?}");
    assert_eq!(finished.stdout, "");
    assert!(finished.stderr.contains(text), "{finished:?}");
}

/// In the host's folder, where its data folder is.
fn ledger(host: &Host, args: &[&str]) -> Finished {
    run(Host::command()
        .current_dir(host.folder())
        .arg("ledger")
        .args(args))
}

#[test]
fn a_task_is_handed_over_and_asked_for() {
    let host = Host::with(&[Plugin::Good]);
    let keyed = &["echo", r#"{"n":1}"#, "--key", "k", "--unique", "1h"];
    let task = handed_over(&host, keyed);
    let known = ended(&host, &task);
    assert_eq!(known["state"], "completed", "{known}");
    assert_eq!(known["result"], json!({"n": 1}));
    assert_eq!(known["key"], "k");

    let again = json_of(&host, &[&["call"], &keyed[..], &["--background"]].concat());
    assert_eq!(
        (&again["task"], &again["duplicate"]),
        (&json!(task), &json!(true))
    );
    let other = ["call", "echo", r#"{"n":2}"#, "--background", "--key", "k"];
    let other = command(&host, &other);
    expect_failure(&other, 1, "key_conflict: ");
    assert!(other.stderr.contains(&task), "{other:?}");
    let nobody = "0197f3c2-8e21-7c3a-9d52-0c1b5f3a7e44";
    expect_failure(&command(&host, &["task", nobody]), 1, "unknown_task: ");
}

#[test]
fn progress_is_shown_while_the_end_is_waited_for() {
    let host = Host::with(&[Plugin::Good]);
    let task = handed_over(&host, &["progress", r#"{"steps":40,"ms":50}"#]);
    let waited = command(&host, &["task", &task, "--wait", "1m"]);
    assert!(waited.stderr.contains("40 step "), "{waited:?}");
    assert_eq!(ended(&host, &task)["result"], 40);
}

#[test]
fn what_failed_is_listed_and_tried_again() {
    let host = Host::with(&[Plugin::Good]);
    let fail = [
        "fail",
        r#"{"kind":"k","message":"the words"}"#,
        "--retries",
        "0",
    ];
    let failed = handed_over(&host, &fail);
    let done = handed_over(&host, &["echo"]);
    let known = ended(&host, &failed);
    assert_eq!(known["state"], "discarded");
    assert_eq!(known["error"]["message"], "the words");
    ended(&host, &done);

    let list = |args: &[&str]| -> Vec<String> {
        let output = command(&host, &[&["tasks"], args].concat()).output();
        let tasks = output.lines().map(|line| {
            let task: Value = serde_json::from_str(line).unwrap();
            task["task"].as_str().unwrap().to_owned()
        });
        tasks.collect()
    };
    assert_eq!(
        list(&[]),
        [done.clone(), failed.clone()],
        "the newest first"
    );
    assert_eq!(list(&["--limit", "1"]), [done]);
    assert_eq!(
        list(&["--state", "discarded"]),
        std::slice::from_ref(&failed)
    );
    assert_eq!(list(&["--function", "sleep"]), [""; 0]);

    let filter = ["--state", "discarded", "--function", "fail"];
    let retried = |args: &[&str]| json_of(&host, &[&["retry"], args].concat())["count"].clone();
    assert_eq!(retried(&[&filter[..], &["--dry-run"]].concat()), 1);
    assert_eq!(retried(&filter), 1);
    wait_until("it to be tried again", || {
        ended(&host, &failed)["attempts"] == 2
    });
    expect_failure(&command(&host, &["retry"]), 2, "--state");
    expect_failure(
        &command(&host, &["discard", &failed, "--key", "k"]),
        2,
        "--key",
    );
    expect_failure(
        &command(&host, &["tasks", "--state", "new"]),
        1,
        "scheduled",
    );
}

#[test]
fn a_handler_says_when_to_try_again() {
    let host = Host::with(&[Plugin::Good]);
    let args = r#"{"kind":"busy","message":"later","data":{"retry_after_ms":3600000}}"#;
    let task = handed_over(&host, &["fail", args]);
    let mut known = Value::Null;
    wait_until("it to have failed", || {
        known = json_of(&host, &["task", &task]);
        known["state"] == "retryable"
    });
    let last = &known["history"][0];
    let wait = known["available_at_ms"].as_i64().unwrap() - last["ended_at_ms"].as_i64().unwrap();
    assert_eq!(wait, 3_600_000, "{known}");
}

#[test]
fn a_function_is_held_back_and_a_task_called_off() {
    let host = Host::with(&[Plugin::Good]);
    // Made known, and the ledger made.
    ended(&host, &handed_over(&host, &["echo"]));
    assert_eq!(
        json_of(&host, &["pause", "sleep"]),
        json!({"function": "sleep", "paused": true})
    );
    let task = handed_over(&host, &["sleep", r#"{"ms":600000}"#]);
    let known = json_of(&host, &["task", &task]);
    assert_eq!(
        (&known["state"], &known["why"]),
        (&json!("available"), &json!("paused"))
    );
    assert_eq!(
        json_of(&host, &["resume", "sleep"]),
        json!({"function": "sleep", "paused": false})
    );
    wait_until("it to run", || {
        json_of(&host, &["task", &task])["state"] == "running"
    });
    assert_eq!(json_of(&host, &["cancel", &task]), json!({"count": 1}));
    assert_eq!(ended(&host, &task)["state"], "cancelled");
}

#[test]
fn changes_are_watched() {
    let host = Host::with(&[Plugin::Good]);
    let mut watch = Host::command();
    watch
        .args(["tasks", "--watch", "--function", "echo"])
        .args(["--connect", &format!("127.0.0.1:{}", host.port())]);
    let line = format!("{} | head -n 1", shell(&watch));
    let shell = Command::new("sh")
        .args(["-c", &line])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut shell = Some(shell);
    // It begins to watch when it can: until then, nobody hears.
    wait_until("a change to be told", || {
        handed_over(&host, &["echo"]);
        shell.as_mut().unwrap().try_wait().unwrap().is_some()
    });
    let output = shell.take().unwrap().wait_with_output().unwrap();
    let change: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(change["function"], "echo");
}

fn shell(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| format!("'{}'", word.display()));
    words.collect::<Vec<String>>().join(" ")
}

#[test]
fn a_ledger_is_saved_and_brought_back() {
    let mut host = Host::with(&[Plugin::Good]);
    expect_failure(&ledger(&host, &["check"]), 1, "data");
    let kept = handed_over(&host, &["echo", "1", "--delay", "1h"]);
    let said = ledger(&host, &["backup", "copy.db"]).output();
    assert!(said.contains("copy.db"), "{said}");
    expect_failure(&ledger(&host, &["backup", "copy.db"]), 1, "copy.db");
    let later = handed_over(&host, &["echo", "2", "--delay", "1h"]);
    let said = ledger(&host, &["check"]).output();
    assert!(said.contains("whole: 2 tasks"), "{said}");
    let refused = ledger(&host, &["restore", "copy.db"]);
    expect_failure(&refused, 1, "in use");
    expect_failure(
        &ledger(&host, &["check", "--data", "nowhere"]),
        1,
        "nowhere",
    );
    expect_failure(
        &ledger(&host, &["check", "--config", "none.toml"]),
        2,
        "none.toml",
    );

    host.signal(rustix::process::Signal::TERM);
    assert!(host.wait().success());
    std::fs::write(host.folder().join("other.db"), "no database").unwrap();
    for other in ["other.db", "none.db"] {
        let refused = ledger(&host, &["restore", other]);
        expect_failure(&refused, 1, "nothing was changed");
        assert!(refused.stderr.contains(other), "{refused:?}");
    }
    let said = ledger(&host, &["restore", "copy.db"]).output();
    assert!(said.contains("ledger.db.before-"), "{said}");
    // Another host, on the same folder.
    let data = host.folder().join("data");
    let setup = Setup::new().plugin(Plugin::Good);
    let host = setup.arg("--data").arg(data.to_str().unwrap()).start();
    assert_eq!(json_of(&host, &["task", &kept])["state"], "scheduled");
    expect_failure(&command(&host, &["task", &later]), 1, "unknown_task: ");
}
