//! The system is out of something: descriptors, threads. That is no plugin's mistake, and passes.

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Cgroup, Client, Host, Plugin, Setup, wait_until};

fn pool(client: &mut Client, plugin: Plugin) -> Value {
    client.status()["plugins"][plugin.name()].clone()
}

fn entry(client: &mut Client, plugin: Plugin) -> Value {
    let listed = client.result("host.plugins", json!({}));
    let mut all = listed["plugins"].as_array().unwrap().iter();
    let entry = all.find(|entry| entry["name"] == plugin.name());
    entry.cloned().unwrap_or_default()
}

const SHORT: &str = "no worker can be started now";
const SHORT_FOR_IT: &str = "no worker can be started for it now";

#[test]
fn without_descriptors_tasks_wait_and_nothing_is_quarantined() {
    let config = "[plugins.good]\nworkers = 1";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut client = host.client();
    client.ping();
    let before = host.process().open_files_limit().0;
    // No descriptor is free below this.
    host.process().set_open_files_limit(Some(3));
    host.workers_of(Plugin::Good)[0].signal(Signal::KILL);
    wait_until("the worker to be missed", || {
        pool(&mut client, Plugin::Good)["crashes"] == 1
    });
    let mut waiting = client;
    waiting.send(json!({"id": "waits", "function": "echo", "args": 1}));
    host.wait_for_log(&[SHORT, "ulimit -n", "Too many open files"]);
    waiting.send(json!({"id": "late", "function": "echo", "timeout_ms": 3000}));
    let late = waiting.reply();
    assert_eq!(late.id, "late");
    let failure = late.outcome.unwrap_err();
    failure.expect("timeout", &["before it began", "Too many open files"]);
    host.process().set_open_files_limit(before);
    let reply = waiting.reply();
    assert_eq!((reply.id, reply.outcome), (json!("waits"), Ok(json!(1))));
    assert_eq!(host.lines_with(SHORT), 1, "said once");
    host.wait_for_log(&["workers can be started again"]);
    let pool = pool(&mut waiting, Plugin::Good);
    assert_eq!(
        (&pool["crashes"], &pool["quarantined"], &pool["shortage"]),
        (&json!(1), &json!(false), &Value::Null),
        "only the one that was killed"
    );
}

#[test]
fn a_candidate_for_which_there_is_no_room_is_opened_when_there_is() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    client.ping();
    let before = host.process().open_files_limit().0;
    // Two more than there are: enough to read a library, and too few for a worker.
    host.process().leave_descriptors(2);
    let file = host.plugins_dir().join(Plugin::Evil.file_name());
    std::fs::copy(Plugin::Evil.library(), &file).unwrap();
    host.wait_for_log(&["candidate", SHORT_FOR_IT, "ulimit -n"]);
    let waits = entry(&mut client, Plugin::Evil);
    assert_eq!(waits["state"], "candidate", "{waits}");
    assert_eq!(client.result("echo", json!(1)), 1);
    host.process().set_open_files_limit(before);
    wait_until("the candidate to be live", || {
        entry(&mut client, Plugin::Evil)["state"] == "live"
    });
    assert_eq!(client.result("ok", json!({})), "ok");
    assert_eq!(host.lines_with(SHORT_FOR_IT), 1, "said once");
    assert_eq!(host.lines_with("rejected"), 0);
}

/// A library is read on a thread of its own.
#[test]
fn a_library_for_which_there_is_no_thread_is_read_when_there_is() {
    let pids = Cgroup::of_pids();
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    client.ping();
    pids.add(host.process());
    pids.set_pids_max(Some(pids.pids()));
    let file = host.plugins_dir().join(Plugin::Evil.file_name());
    std::fs::copy(Plugin::Evil.library(), &file).unwrap();
    let unread = "it can't be read now, and is tried again";
    host.wait_for_log(&["candidate", unread, "pids.max"]);
    let listed = client.result("host.plugins", json!({})).to_string();
    assert!(listed.contains(unread), "{listed}");
    // Nothing that reloads has ended: so does the configuration.
    host.signal(Signal::HUP);
    host.wait_for_log(&["configuration", "read"]);
    pids.set_pids_max(None);
    wait_until("the library to be live", || {
        entry(&mut client, Plugin::Evil)["state"] == "live"
    });
    assert_eq!(host.lines_with(unread), 1, "said once");
    assert_eq!(host.lines_with("rejected"), 0);
    assert_eq!(host.lines_with("panicked"), 0);
}

#[test]
fn a_task_for_which_its_worker_has_no_thread_fails_alone() {
    let pids = Cgroup::of_pids();
    let config = "[plugins.evil]\nworkers = 1\nslots = 8";
    let host = Setup::new().plugin(Plugin::Evil).config(config).start();
    let mut client = host.client();
    assert_eq!(client.result("ok", json!({})), "ok");
    let worker = host.workers_of(Plugin::Evil)[0];
    pids.add(worker);
    pids.set_pids_max(Some(pids.pids()));
    // A thread that it has beside the first, since that stood still for a while, gets something to do as well.
    let is_short = (1..8).any(|number| {
        client.send(json!({"id": format!("runs {number}"), "function": "endless"}));
        worker.wait_until_busy();
        client.call("ok", json!({})).is_err()
    });
    assert!(is_short, "it has a thread for everything");
    for _ in 0..5 {
        let failure = client.failure("ok", json!({}));
        failure.expect("overloaded", &["no thread", "pids.max"]);
        assert!(failure.retryable && !failure.started, "{failure:?}");
        assert!(failure.data["retry_after_ms"].is_u64(), "{failure:?}");
    }
    pids.set_pids_max(None);
    assert_eq!(client.result("ok", json!({})), "ok");
    assert!(worker.is_alive());
    assert_eq!(pool(&mut client, Plugin::Evil)["crashes"], 0);
}

/// No thread is to be had from the first moment on.
#[test]
fn a_worker_without_threads_is_tried_again() {
    let pids = Cgroup::of_pids();
    let config = "[plugins.evil]\nworkers = 1";
    let host = Setup::new().plugin(Plugin::Evil).config(config).start();
    let mut client = host.client();
    assert_eq!(client.result("ok", json!({})), "ok");
    pids.add(host.process());
    client
        .failure("exit", json!({}))
        .expect("worker_crashed", &[]);
    // Room for a process, and for few of its threads.
    pids.set_pids_max(Some(pids.pids() + 2));
    client.send(json!({"id": "waits", "function": "ok"}));
    host.wait_for_log(&[SHORT, "pids.max"]);
    pids.set_pids_max(None);
    assert_eq!(client.reply().outcome, Ok(json!("ok")));
    let pool = pool(&mut client, Plugin::Evil);
    assert_eq!(
        (&pool["crashes"], &pool["quarantined"]),
        (&json!(1), &json!(false))
    );
}
