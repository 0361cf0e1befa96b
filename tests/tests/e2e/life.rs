//! How a host ends, and what ends with it.

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, Host, Plugin, Process, Setup, wait_until};

/// Waits until so many tasks run.
#[track_caller]
fn wait_for_start(host: &Host, count: u64) {
    let mut observer = host.client();
    wait_until("the tasks to run", || {
        let status = observer.status();
        let plugins = status["plugins"].as_object().unwrap();
        plugins
            .values()
            .filter_map(|plugin| plugin["handed_over"].as_u64())
            .sum::<u64>()
            == count
    });
}

#[track_caller]
fn wait_for_end(processes: &[Process]) {
    wait_until(&format!("the end of {processes:?}"), || {
        processes.iter().all(|process| !process.is_alive())
    });
}

fn sleep(client: &mut Client, id: &str, ms: u64) {
    client.send(json!({"id": id, "function": "sleep", "args": {"ms": ms}}));
}

#[test]
fn nothing_outlives_a_host_that_was_killed() {
    let mut host = Host::with(&[Plugin::Good, Plugin::Evil]);
    let mut client = host.client();
    let grandchild = client.result("spawn_child", json!({})).as_u64().unwrap();
    let grandchild = Process::find(u32::try_from(grandchild).unwrap()).unwrap();
    for id in ["a", "b"] {
        sleep(&mut client, id, 600_000);
        client.send(json!({"id": format!("{id} endless"), "function": "endless"}));
    }
    wait_for_start(&host, 4);
    let workers = host.workers();
    assert!(workers.len() >= 4, "{workers:?}");
    host.signal(Signal::KILL);
    assert!(!host.wait().success());
    wait_for_end(&workers);
    wait_for_end(&[grandchild]);
}

#[test]
fn a_signal_drains_what_runs_is_answered_and_what_is_new_is_refused() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut host = Host::with(&[Plugin::Good]);
        let port = host.port();
        let mut client = host.client();
        sleep(&mut client, "runs", 1500);
        wait_for_start(&host, 1);
        let workers = host.workers();
        host.signal(signal);
        wait_until("the listener to be closed", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
        });
        client
            .request(json!({"id": "late", "function": "echo"}))
            .unwrap_err()
            .expect("shutting_down", &[]);
        assert_eq!(
            client.request(json!({"id": "ping", "function": "host.ping"})),
            Ok(json!("pong"))
        );
        let reply = client.reply();
        assert_eq!(reply.id, "runs");
        reply.outcome.unwrap();
        client.expect_end();
        assert_eq!(host.wait().code(), Some(0));
        wait_for_end(&workers);
    }
}

#[test]
fn tasks_that_wait_when_the_drain_begins_still_run() {
    let mut host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.good]\nworkers = 1")
        .start();
    let mut client = host.client();
    sleep(&mut client, "runs", 300);
    for id in 0..3 {
        client.send(json!({"id": id, "function": "echo", "args": id}));
    }
    let mut observer = host.client();
    wait_until("three to wait", || observer.status()["queued"] == 3);
    host.signal(Signal::TERM);
    for _ in 0..4 {
        let reply = client.reply();
        reply.outcome.unwrap();
    }
    assert_eq!(host.wait().code(), Some(0));
}

#[test]
fn the_grace_of_a_drain_is_not_for_ever() {
    let config = "[drain]\ngrace = \"200ms\"\n[worker]\ncancel_grace = \"200ms\"";
    let mut host = Setup::new()
        .plugin(Plugin::Good)
        .plugin(Plugin::Evil)
        .config(config)
        .start();
    let mut client = host.client();
    client.start_long_task("listens");
    client.send(json!({"id": "does not", "function": "endless"}));
    host.workers_of(Plugin::Evil)[0].wait_until_busy();
    let workers = host.workers();
    host.signal(Signal::TERM);
    // Each gets its line all the same: it was started, and it did not end well.
    let mut replies: Vec<Value> = Vec::new();
    for _ in 0..2 {
        let reply = client.reply();
        let failure = reply.outcome.unwrap_err();
        assert!(failure.started, "{failure:?}");
        replies.push(reply.id);
    }
    assert_eq!(host.wait().code(), Some(0));
    wait_for_end(&workers);
}

#[test]
fn a_drain_ends_though_a_worker_takes_nothing() {
    let config = "[drain]\ngrace = \"500ms\"\n[worker]\ncancel_grace = \"200ms\"\n[plugins.good]\nworkers = 1";
    let mut host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut client = host.client();
    client.result("pid", json!({}));
    let workers = host.workers_of(Plugin::Good);
    workers[0].stop();
    client.send(json!({"id": "unlucky", "function": "pid"}));
    let mut observer = host.client();
    wait_until("the host to have it", || {
        observer.status()["in_flight"] == 2
    });
    host.signal(Signal::TERM);
    let reply = client.reply();
    assert_eq!(reply.id, "unlucky");
    reply.outcome.unwrap_err().expect("shutting_down", &[]);
    assert_eq!(host.wait().code(), Some(0));
    wait_for_end(&workers);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::INT, Signal::INT),
        (Signal::TERM, Signal::INT),
    ] {
        let mut host = Host::with(&[Plugin::Good, Plugin::Evil]);
        let mut client = host.client();
        sleep(&mut client, "listens", 600_000);
        client.send(json!({"id": "does not", "function": "endless"}));
        wait_for_start(&host, 2);
        let workers = host.workers();
        host.signal(first);
        host.wait_for_log(&["draining"]);
        host.signal(second);
        assert!(!host.wait().success(), "tasks were lost");
        wait_for_end(&workers);
    }
}

#[test]
fn an_idle_host_ends_at_once_though_clients_are_connected() {
    let mut host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    client.ping();
    host.signal(Signal::TERM);
    assert_eq!(host.wait().code(), Some(0));
    client.expect_end();
}

#[test]
fn a_host_that_drains_answers_requests_without_ids_in_order() {
    let mut host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    client.send(json!({"function": "sleep", "args": {"ms": 300}}));
    client.send(json!({"function": "echo", "args": "received before"}));
    wait_for_start(&host, 1);
    host.signal(Signal::TERM);
    host.wait_for_log(&["draining"]);
    client.send(json!({"function": "echo", "args": "too late"}));
    client.reply().outcome.unwrap();
    assert_eq!(client.reply().outcome, Ok(json!("received before")));
    client
        .reply()
        .outcome
        .unwrap_err()
        .expect("shutting_down", &[]);
    assert_eq!(host.wait().code(), Some(0));
}
