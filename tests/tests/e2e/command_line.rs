//! `host` as it is started from a shell.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::process::Stdio;

use serde_json::json;
use tests::{Finished, Host, Plugin, Setup, run, wait_until};

/// The host must refuse to start, say all of `texts`, and print nothing where its address would stand.
#[track_caller]
fn expect_refusal(finished: &Finished, texts: &[&str]) {
    assert!(!finished.status.success(), "{finished:?}");
    assert_eq!(finished.stdout, "");
    for text in texts {
        assert!(
            finished.stderr.contains(text),
            "{text:?} is missing in {finished:?}"
        );
    }
}

#[test]
fn one_line_on_stdout_says_where_it_listens() {
    let mut host = Host::with(&[Plugin::Good, Plugin::Evil]);
    let mut client = host.client();
    client.ping();
    client.result("print", json!({"stdout": ["not on the host's stdout"]}));
    client.result("log", json!({"level": "error", "message": "nor this"}));
    host.signal(rustix::process::Signal::TERM);
    assert!(host.wait().success());
    assert_eq!(
        host.stdout(),
        format!("listening on 127.0.0.1:{}\n", host.port())
    );
}

#[test]
fn help_names_every_flag() {
    let help = run(Host::command().arg("--help")).output();
    for text in [
        "--plugins",
        "--listen",
        "--config",
        "--log",
        "call",
        "127.0.0.1:12345",
        "./plugins",
    ] {
        assert!(help.contains(text), "{text:?} is missing in {help}");
    }
    assert!(
        !help.contains("worker NAME"),
        "workers are the host's own affair: {help}"
    );
}

#[test]
fn a_wrong_command_line_is_refused() {
    let table: [(&[&str], &str); 6] = [
        (&["--plugin", "x"], "--plugin"),
        (&["--listen"], "--listen"),
        (&["serve"], "serve"),
        (&["call"], "FUNCTION"),
        (&["call", "echo", "--connect", "nowhere"], "nowhere"),
        (&["tasks", "--limit", "0"], "--limit"),
    ];
    for (args, text) in table {
        let finished = run(Host::command().args(args));
        expect_refusal(&finished, &[text]);
        assert_eq!(finished.status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_missing_plugins_folder_is_named() {
    let finished =
        run(Host::command().args(["--listen", "127.0.0.1:0", "--plugins", "/nowhere/at/all"]));
    expect_refusal(&finished, &["/nowhere/at/all", "--plugins"]);
}

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let finished = run(Setup::new().command().args(["--listen", &address]));
    // The last `--listen` would win, if two were allowed.
    assert!(!finished.status.success(), "{finished:?}");
    let setup = Setup::new();
    let finished = run(Host::command()
        .args(["--listen", &address, "--plugins"])
        .arg(setup.plugins_dir()));
    expect_refusal(&finished, &[&address]);
}

#[test]
fn an_empty_folder_serves_the_hosts_own_functions() {
    let host = Setup::new().start();
    let mut client = host.client();
    client.ping();
    assert_eq!(
        client.result("host.functions", json!({})),
        json!({"functions": []})
    );
    client
        .failure("send_mail", json!({}))
        .expect("unknown_function", &["send_mail"]);
}

#[test]
fn the_log_can_be_json() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .arg("--log-format")
        .arg("json")
        .start();
    host.client()
        .result("log", json!({"level": "warn", "message": "as JSON"}));
    host.wait_for_log(&["as JSON"]);
    for line in host.log().lines() {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(
            parsed.is_ok_and(|event| event.is_object()),
            "not JSON: {line}"
        );
    }
}

#[test]
fn the_log_has_the_level_that_was_asked_for() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .arg("--log")
        .arg("debug")
        .start();
    let mut client = host.client();
    client.result("log", json!({"level": "trace", "message": "too much"}));
    client.result("log", json!({"level": "debug", "message": "just right"}));
    host.wait_for_log(&["just right", "good", "DEBUG"]);
    assert!(!host.log().contains("too much"));
}

#[test]
fn an_address_without_a_host_is_refused_with_an_example() {
    let setup = Setup::new();
    let finished = run(Host::command()
        .args(["--listen", ":12345", "--plugins"])
        .arg(setup.plugins_dir()));
    expect_refusal(&finished, &["\":12345\"", "127.0.0.1:12345"]);
}

#[test]
fn a_call_does_not_wait_for_a_host_that_hangs() {
    let host = Host::with(&[Plugin::Good]);
    let address = format!("127.0.0.1:{}", host.port());
    host.process().stop();
    let finished = run(Host::command().args([
        "call",
        "echo",
        "1",
        "--timeout",
        "50ms",
        "--connect",
        &address,
    ]));
    host.signal(rustix::process::Signal::CONT);
    assert!(!finished.status.success(), "{finished:?}");
    assert!(
        finished.stderr.contains("no answer in time"),
        "{finished:?}"
    );
}

#[test]
fn a_call_whose_output_nobody_reads_ends_quietly() {
    let host = Host::with(&[Plugin::Good]);
    let address = format!("127.0.0.1:{}", host.port());
    let mut caller = Host::command()
        .args(["call", "host.plugins", r#"{"watch":true}"#])
        .args(["--connect", &address])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut start = [0; 10];
    let mut stdout = caller.stdout.take().unwrap();
    stdout.read_exact(&mut start).unwrap();
    assert_eq!(&start, br#"{"plugins""#);
    drop(stdout);
    // Whoever writes next finds that nobody reads.
    fs::remove_file(host.plugins_dir().join("libgood.so")).unwrap();
    wait_until("the caller to end", || caller.try_wait().unwrap().is_some());
    let finished = caller.wait_with_output().unwrap();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert_eq!(String::from_utf8_lossy(&finished.stderr), "");
}
