//! Logs that can't be written, because nobody reads them or there is no room: whoever logs goes on as if nothing were.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;
use tests::{Gateway, GatewaySetup, Host, LogPipe, Plugin, Setup, Versioned, wait_for, wait_until};

fn dropped(host: &Host) -> u64 {
    host.client().status()["log_lines_dropped"]
        .as_u64()
        .unwrap()
}

/// Has the host log until some of it is dropped.
#[track_caller]
fn log_until_lines_are_dropped(host: &Host) {
    let mut client = host.client();
    let args = json!({"level": "info", "message": "x".repeat(64 * 1024)});
    wait_until("lines to be dropped", || {
        client.result("log", args.clone());
        dropped(host) > 0
    });
}

/// Much that is logged happens, and then the host ends as it should.
#[track_caller]
fn expect_to_serve_as_ever(mut host: Host) {
    let mut client = host.client();
    client
        .failure("abort", json!({}))
        .expect("worker_crashed", &[]);
    host.put("libbroken.so", b"not a library");
    wait_until("a file to be refused", || {
        let listed = client.result("host.plugins", json!({}));
        listed.to_string().contains("libbroken.so")
    });
    for version in 1..=2 {
        host.put(Versioned::FILE_NAME, Versioned::new(version).bytes());
        wait_until("new code to serve", || {
            let answer = client.call("version", json!({}));
            answer.is_ok_and(|answer| answer["version"] == version)
        });
    }
    client.send(json!({"id": "runs", "function": "sleep", "args": {"ms": 300}}));
    wait_until("the task to run", || {
        host.client().status()["plugins"]["good"]["handed_over"] == 1
    });
    host.signal(Signal::TERM);
    let reply = client.reply();
    assert_eq!(reply.id, "runs");
    reply.outcome.unwrap();
    assert_eq!(host.wait().code(), Some(0));
}

fn setup() -> Setup {
    Setup::new().plugin(Plugin::Good).plugin(Plugin::Evil)
}

#[test]
fn a_host_serves_as_ever_though_the_disk_of_its_log_is_full() {
    let host = setup().log_to(Path::new("/dev/full")).start();
    log_until_lines_are_dropped(&host);
    expect_to_serve_as_ever(host);
}

#[test]
fn a_host_serves_as_ever_though_nobody_reads_its_log() {
    let setup = setup();
    let pipe = LogPipe::full(setup.folder());
    let host = setup.log_to(pipe.path()).start();
    log_until_lines_are_dropped(&host);
    expect_to_serve_as_ever(host);
}

#[test]
fn a_host_serves_as_ever_though_the_reader_of_its_log_has_gone() {
    let setup = setup();
    let pipe = LogPipe::new(setup.folder());
    let host = setup.log_to(pipe.path()).start();
    drop(pipe);
    log_until_lines_are_dropped(&host);
    expect_to_serve_as_ever(host);
}

#[test]
fn a_log_that_is_read_again_tells_how_much_is_missing() {
    let setup = setup();
    let mut pipe = LogPipe::full(setup.folder());
    let host = setup.log_to(pipe.path()).start();
    log_until_lines_are_dropped(&host);
    let mut log = String::new();
    wait_until("the log to tell", || {
        log.push_str(&pipe.read());
        log.contains(&format!("lines_dropped={}", dropped(&host)))
    });
    host.client()
        .result("log", json!({"level": "info", "message": "read again"}));
    wait_until("further lines", || {
        log.push_str(&pipe.read());
        log.contains("read again")
    });
    assert_eq!(log.matches("lines_dropped=").count(), 1);
}

#[test]
fn a_second_signal_ends_a_host_at_once_though_nobody_reads_its_log() {
    let setup = setup();
    let pipe = LogPipe::full(setup.folder());
    let mut host = setup.log_to(pipe.path()).start();
    let mut client = host.client();
    client.start_long_task("listens");
    host.signal(Signal::TERM);
    let mut observer = client;
    wait_for("the drain to begin", || {
        observer.send(json!({"id": "status", "function": "host.status"}));
        loop {
            let line = observer.recv();
            if line["id"] == "status" {
                break (line["result"]["state"] == "draining").then_some(());
            }
        }
    });
    host.signal(Signal::TERM);
    assert_eq!(host.wait().code(), Some(130));
}

#[track_caller]
fn expect_gateway_to_serve_as_ever(mut gateway: Gateway) {
    gateway.wait_until_ready();
    let (status, answer) = gateway.post(&json!({"function": "echo", "args": "well"}));
    assert_eq!(
        (status, &answer["result"]),
        (200, &json!("well")),
        "{answer}"
    );
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_gateway_serves_as_ever_though_its_log_cannot_be_written() {
    let host = Host::with(&[Plugin::Good]);
    let setup = || GatewaySetup::new().host(&host).allow("*");
    expect_gateway_to_serve_as_ever(setup().log_to(Path::new("/dev/full")).start());
    let unread = setup();
    let pipe = LogPipe::full(unread.folder());
    expect_gateway_to_serve_as_ever(unread.log_to(pipe.path()).start());
    let gone = setup();
    let pipe = LogPipe::new(gone.folder());
    let gateway = gone.log_to(pipe.path()).start();
    drop(pipe);
    expect_gateway_to_serve_as_ever(gateway);
}
