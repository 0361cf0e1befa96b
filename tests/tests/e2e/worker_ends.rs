//! A worker is gone when it should be, whatever its plugin has done to it.

use std::os::unix::process::CommandExt;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Cgroup, Client, Failure, Host, Plugin, Process, Setup, wait_until};

const CRASHED: &str = "worker_crashed";

/// A host whose process group is its own: what moves into it doesn't move into that of the tests.
fn host(config: &str) -> (Host, Setup) {
    let setup = Setup::new().plugin(Plugin::Evil).config(config);
    let mut command = setup.command();
    command.process_group(0);
    (Host::start(command, None), setup)
}

fn evil(host: &Host) -> Process {
    let workers = host.workers_of(Plugin::Evil);
    let [worker] = workers[..] else {
        panic!("one worker was expected: {workers:?}")
    };
    worker
}

#[track_caller]
fn wait_for_end(process: Process) {
    wait_until(&format!("the end of {process:?}"), || !process.is_alive());
}

/// Has the worker leave its group, and gives it.
fn outsider(host: &Host, client: &mut Client) -> Process {
    let worker = evil(host);
    client.send(json!({"id": "outsider", "function": "leave_group"}));
    wait_until("it to have left", || worker.group() != Some(worker.pid()));
    worker
}

/// The handler has returned, and its worker can't say what. Either end may notice first that the link is gone: the worker,
/// which ends, or the host, which kills it.
#[track_caller]
fn expect_no_result(failure: &Failure) {
    failure.expect(CRASHED, &[]);
    let said = ["had finished", "was killed by SIGKILL"];
    assert!(
        said.iter().any(|text| failure.message.contains(text)),
        "{failure:?}"
    );
    assert!(failure.started, "{failure:?}");
}

#[test]
fn a_worker_that_closed_its_link_gives_its_result_and_ends() {
    let (host, _setup) = host("[plugins.evil]\nworkers = 1");
    let mut client = host.client();
    let worker = evil(&host);
    // The result lies in memory that the host has too; the worker ends as soon as it can't wake the host.
    assert_eq!(client.result("close_descriptors", json!({})), Value::Null);
    wait_until(&format!("the end of {worker:?}"), || {
        assert_eq!(client.result("ok", json!({})), "ok");
        !worker.is_alive()
    });
    assert_eq!(client.result("ok", json!({})), "ok");
}

#[test]
fn a_result_that_never_comes_is_not_waited_for_longer_than_the_grace() {
    let config =
        "[plugins.evil]\nworkers = 1\ntimeout = \"500ms\"\n[worker]\ncancel_grace = \"200ms\"";
    let (host, _setup) = host(config);
    let mut client = host.client();
    let worker = evil(&host);
    expect_no_result(&client.failure("replace_descriptors", json!({})));
    wait_for_end(worker);
    assert_eq!(client.result("ok", json!({})), "ok");
    assert_eq!(client.status()["plugins"]["evil"]["workers"], 1);
}

#[test]
fn a_worker_that_left_its_group_dies_at_the_end_of_its_time() {
    let config =
        "[plugins.evil]\nworkers = 1\ntimeout = \"500ms\"\n[worker]\ncancel_grace = \"200ms\"";
    let (host, _setup) = host(config);
    let mut client = host.client();
    let worker = outsider(&host, &mut client);
    client.reply().outcome.unwrap_err().expect("timeout", &[]);
    wait_for_end(worker);
    assert_eq!(client.result("ok", json!({})), "ok");
}

#[test]
fn a_worker_that_left_its_group_dies_with_a_drain() {
    let config = "[drain]\ngrace = \"1s\"\n[worker]\ncancel_grace = \"200ms\"";
    let (mut host, _setup) = host(config);
    let mut client = host.client();
    let worker = outsider(&host, &mut client);
    host.signal(Signal::TERM);
    client.reply().outcome.unwrap_err().expect(CRASHED, &[]);
    assert_eq!(host.wait().code(), Some(0));
    wait_for_end(worker);
}

#[test]
fn a_worker_that_left_its_group_dies_with_a_killed_host() {
    let (mut host, _setup) = host("");
    let mut client = host.client();
    let worker = outsider(&host, &mut client);
    host.signal(Signal::KILL);
    assert!(!host.wait().success());
    wait_for_end(worker);
}

#[test]
fn a_plugin_whose_end_blocks_dies_with_a_drain() {
    let config = "[drain]\ngrace = \"1s\"\n[worker]\ncancel_grace = \"200ms\"\n\
                  [plugins.evil]\nconfig = { close = \"hang\" }";
    let (mut host, _setup) = host(config);
    let worker = evil(&host);
    host.signal(Signal::TERM);
    assert_eq!(host.wait().code(), Some(0));
    wait_for_end(worker);
}

#[test]
fn a_plugin_whose_end_blocks_dies_with_the_host() {
    for signal in [Signal::KILL, Signal::INT] {
        let (mut host, _setup) = host("[plugins.evil]\nconfig = { close = \"hang\" }");
        let worker = evil(&host);
        host.signal(Signal::INT);
        host.wait_for_log(&["draining"]);
        host.wait_for_log(&["its end hangs"]);
        host.signal(signal);
        assert!(!host.wait().success());
        wait_for_end(worker);
    }
}

/// Frozen in a control group of the old kind, a process is not even killed before it thaws.
#[test]
fn a_worker_that_cannot_be_killed_is_not_waited_for() {
    let config = "[drain]\ngrace = \"200ms\"\n[worker]\ncancel_grace = \"200ms\"";
    let (mut host, _setup) = host(config);
    let freezer = Cgroup::of_freezing();
    let worker = evil(&host);
    freezer.add(worker);
    freezer.freeze();
    host.signal(Signal::TERM);
    assert_eq!(host.wait().code(), Some(0));
    freezer.thaw();
    wait_for_end(worker);
}
