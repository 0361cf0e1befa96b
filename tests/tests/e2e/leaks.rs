//! After 1000 crashes the host is what it was after 10.

use serde_json::json;
use tests::{Client, Host, Plugin, Setup, wait_until};

/// How much more memory it may hold: what an allocator keeps by chance, and far less than a byte a task would sum up to
/// in a month.
const RSS_GROWTH_MAX: u64 = 8 << 20;

struct Holdings {
    fds: usize,
    threads: usize,
    processes: usize,
    rss: u64,
}

/// What the host holds when it has come to rest.
fn holdings(host: &Host) -> Holdings {
    let process = host.process();
    Holdings {
        fds: process.fds(),
        threads: process.threads(),
        processes: process.children().len(),
        rss: process.rss(),
    }
}

/// Each followed by a task that ends well, so that it never looks like a crash loop.
fn crash(client: &mut Client, times: usize) {
    for kind in ["abort", "segfault", "exit", "stack_overflow"]
        .into_iter()
        .cycle()
        .take(times)
    {
        client
            .failure(kind, json!({}))
            .expect("worker_crashed", &[]);
        assert_eq!(client.result("ok", json!({})), "ok");
    }
}

#[test]
fn a_thousand_crashes_leave_nothing_behind() {
    let host = Setup::new()
        .plugin(Plugin::Evil)
        .config("[plugins.evil]\nworkers = 1")
        .start();
    let mut client = host.client();
    crash(&mut client, 10);
    let before = holdings(&host);
    crash(&mut client, 990);
    wait_until(
        "the host to hold no more descriptors, threads and processes than before",
        || {
            let now = holdings(&host);
            now.fds <= before.fds
                && now.threads <= before.threads
                && now.processes <= before.processes
        },
    );
    let grown = holdings(&host).rss.saturating_sub(before.rss);
    assert!(
        grown < RSS_GROWTH_MAX,
        "{grown} bytes more than after 10 crashes"
    );
    assert_eq!(client.status()["plugins"]["evil"]["crashes"], 1000);
}

#[test]
fn connections_and_killed_tasks_leave_nothing_behind() {
    let config = "[worker]\ncancel_grace = \"10ms\"\n[plugins.evil]\nworkers = 4";
    let host = Setup::new().plugin(Plugin::Evil).config(config).start();
    let mut observer = host.client();
    let mut round = |count: usize| {
        for _ in 0..count {
            let mut client = host.client();
            client.send(json!({"id": 1, "function": "endless", "timeout_ms": 10}));
            client.send(json!({"id": 2, "function": "panic"}));
            client.send(json!({"id": 3, "function": "huge_result"}));
            // Gone before any of them is answered.
            drop(client);
            assert_eq!(observer.result("ok", json!({})), "ok");
        }
        wait_until("all of them to be over", || {
            let status = observer.status();
            status["in_flight"] == 1 && status["connections"] == 1
        });
    };
    round(5);
    let before = holdings(&host);
    round(50);
    wait_until("the host to hold no more than before", || {
        let now = holdings(&host);
        // The pool may have grown to its four workers only now; each has a descriptor or more.
        now.threads <= before.threads + 4 && now.processes <= 4 && now.fds <= before.fds + 4 * 8
    });
    let grown = holdings(&host).rss.saturating_sub(before.rss);
    // A huge result is on its way to the host when it is measured, or its room is kept for the next.
    assert!(grown < 100 << 20, "{grown} bytes");
}
