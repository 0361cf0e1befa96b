//! Bounds: what one client may have in flight, what a queue holds, and clients that go away.

use serde_json::json;
use tests::{Host, Plugin, Setup, wait_until};

#[test]
fn past_the_cap_of_a_connection_the_host_stops_reading() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[limits]\nin_flight_max = 2")
        .start();
    let mut client = host.client();
    for id in 0..10 {
        client.send(json!({"id": id, "function": "sleep", "args": {"ms": 30}}));
    }
    client.send(json!({"id": "last", "function": "host.ping"}));
    let mut observer = host.client();
    let mut answered = Vec::new();
    while answered.len() < 11 {
        let in_flight = observer.status()["in_flight"].as_u64().unwrap();
        assert!(
            in_flight <= 3,
            "{in_flight} in flight, the observer's own included"
        );
        answered.push(client.reply());
    }
    assert!(
        answered.iter().all(|reply| reply.outcome.is_ok()),
        "{answered:?}"
    );
    // With two places, at most one of the ten can be left when the last request is read.
    let last = answered
        .iter()
        .position(|reply| reply.id == "last")
        .unwrap();
    assert!(last >= 9, "{answered:?}");
}

#[test]
fn without_ids_the_cap_holds_as_well() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[limits]\nin_flight_max = 2")
        .start();
    let mut client = host.client();
    for number in 0..50 {
        client.send(json!({"function": "echo", "args": number}));
    }
    for number in 0..50 {
        assert_eq!(client.reply().outcome, Ok(json!(number)));
    }
}

#[test]
fn a_full_queue_is_overloaded_and_says_when_to_come_back() {
    let config = "[plugins.good]\nworkers = 1\nqueue_len_max = 2";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut busy = host.client();
    busy.send(json!({"id": "runs", "function": "sleep", "args": {"ms": 600_000}}));
    let mut observer = host.client();
    wait_until("it to run", || {
        observer.status()["plugins"]["good"]["handed_over"] == 1
    });
    for id in 0..2 {
        busy.send(json!({"id": id, "function": "echo", "args": id}));
    }
    wait_until("the queue to be full", || observer.status()["queued"] == 2);
    let failure = host.client().failure("echo", json!(1));
    failure.expect("overloaded", &["queue"]);
    assert!(
        failure.data["retry_after_ms"]
            .as_u64()
            .is_some_and(|ms| ms > 0),
        "{failure:?}"
    );
    // Who waits already is served when there is time.
    busy.send(json!({"id": "cancel", "function": "host.cancel", "args": {"id": "runs"}}));
    let replies: Vec<_> = (0..4).map(|_| busy.reply()).collect();
    assert_eq!(
        replies.iter().filter(|reply| reply.outcome.is_ok()).count(),
        3,
        "{replies:?}"
    );
    assert_eq!(observer.result("echo", json!(2)), 2);
}

#[test]
fn what_a_client_sent_before_it_went_runs_and_its_reply_is_counted() {
    let config = "[plugins.good]\nworkers = 1";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut gone = host.client();
    gone.send(json!({"id": 1, "function": "sleep", "args": {"ms": 50}}));
    gone.send(json!({"id": 2, "function": "count"}));
    drop(gone);
    let mut client = host.client();
    wait_until("the task to have run", || {
        client.status()["functions"]["count"]["ok"] == 1
    });
    assert_eq!(client.result("count", json!({}))["count"], 2);
    wait_until("the replies to be counted", || {
        client.status()["replies_dropped"] == 2
    });
    wait_until("the connection to be forgotten", || {
        client.status()["connections"] == 1
    });
}

#[test]
fn without_ids_too_all_that_a_client_sent_before_it_went_runs() {
    let config = "[plugins.good]\nworkers = 1";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut gone = host.client();
    for _ in 0..10 {
        gone.send(json!({"function": "count"}));
    }
    drop(gone);
    let mut client = host.client();
    wait_until("all ten to have run", || {
        client.status()["functions"]["count"]["ok"] == 10
    });
}

/// Also what the host has not read by the time that a reply finds nobody.
#[test]
fn what_a_client_sent_runs_though_its_replies_find_nobody() {
    let config = "[limits]\nin_flight_max = 1";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    // All together more than the host reads at once, and less than the kernel holds for it.
    let long = "x".repeat(4000);
    let mut gone = host.client();
    gone.send(json!({"function": "sleep", "args": {"ms": 100}}));
    for _ in 0..10 {
        gone.send(json!({"function": "echo", "args": long}));
    }
    drop(gone);
    let mut client = host.client();
    wait_until("all ten to have run", || {
        client.status()["functions"]["echo"]["ok"] == 10
    });
    wait_until("the connection to be gone", || {
        client.status()["connections"] == 1
    });
}

#[test]
fn a_connection_too_many_is_told_so() {
    let host = Setup::new().config("[limits]\nconnections_max = 2").start();
    let (mut one, mut two) = (host.client(), host.client());
    one.ping();
    two.ping();
    let mut three = host.client();
    let failure = three.reply().outcome.unwrap_err();
    failure.expect("overloaded", &["connections_max"]);
    assert_eq!(failure.data["retry_after_ms"], 1000, "{failure:?}");
    three.expect_end();
    drop(two);
    wait_until("a place to be free", || one.status()["connections"] == 1);
    host.client().ping();
}

#[test]
fn a_client_that_resets_its_connection_leaves_nothing_in_flight() {
    let host = Host::with(&[Plugin::Good]);
    for _ in 0..50 {
        let mut client = host.client();
        for id in 0..20 {
            client.send(json!({"id": id, "function": "echo", "args": id}));
            client.send(json!({"function": "echo", "args": id}));
        }
        client.reset();
    }
    let mut client = host.client();
    wait_until("all of them to be over", || {
        let status = client.status();
        status["connections"] == 1 && status["in_flight"] == 1 && status["queued"] == 0
    });
    assert_eq!(client.result("echo", json!(1)), 1);
}

#[test]
fn all_requests_together_have_a_bound() {
    let config = "[limits]\nrequests_len_max = \"1MiB\"\n[plugins.good]\nworkers = 1";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut busy = host.client();
    busy.start_long_task("runs");
    let text = "x".repeat(60_000);
    for id in 0..20 {
        busy.send(json!({"id": id, "function": "echo", "args": text}));
    }
    // Seventeen such requests and the running one are all that fits.
    for _ in 0..3 {
        let reply = busy.reply();
        reply
            .outcome
            .unwrap_err()
            .expect("overloaded", &["requests_len_max"]);
    }
    host.client().ping();
    busy.send(json!({"id": "cancel", "function": "host.cancel", "args": {"id": "runs"}}));
    let rest: Vec<_> = (0..19).map(|_| busy.reply()).collect();
    let ok = rest.iter().filter(|reply| reply.outcome.is_ok()).count();
    assert_eq!(ok, 18, "the seventeen and the cancel");
    let echoed = busy.result("echo", json!(text));
    assert_eq!(echoed, json!(text), "what was held is free again");
}

#[test]
fn a_slow_reader_costs_a_bounded_amount_and_loses_nothing() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    const LEN: usize = 1 << 20;
    const COUNT: usize = 150;
    for id in 0..COUNT {
        client.send(json!({"id": id, "function": "big", "args": {"len": LEN}}));
    }
    let mut bystander = host.client();
    wait_until("some of them to be done", || {
        bystander.status()["functions"]["big"]["ok"]
            .as_u64()
            .unwrap_or(0)
            > 10
    });
    for _ in 0..100 {
        assert_eq!(bystander.result("echo", json!(1)), 1);
    }
    let rss = host.process().rss();
    assert!(rss < 400 << 20, "{rss} bytes");
    let mut seen = [false; COUNT];
    for _ in 0..COUNT {
        let reply = client.reply();
        assert_eq!(reply.outcome.unwrap().as_str().unwrap().len(), LEN);
        let id = usize::try_from(reply.id.as_u64().unwrap()).unwrap();
        assert!(
            !std::mem::replace(&mut seen[id], true),
            "{id} was answered twice"
        );
    }
}

#[test]
fn all_unread_replies_together_have_a_bound() {
    let config = "[limits]\nreplies_len_max = \"32MiB\"\nin_flight_max = 64";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    // Each of them alone is far below what one may leave unread.
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let mut client = host.client();
            for id in 0..8 {
                client.send(json!({"id": id, "function": "big", "args": {"len": 1 << 20}}));
            }
            client
        })
        .collect();
    let mut bystander = host.client();
    host.wait_for_log(&["replies_len_max"]);
    wait_until("some of them to be closed", || {
        bystander.status()["connections"].as_u64().unwrap() < 21
    });
    // Who reads is served whatever the others leave.
    for number in 0..100 {
        assert_eq!(bystander.result("echo", json!(number)), number);
    }
    let big = bystander.result("big", json!({"len": 1 << 20}));
    assert_eq!(big.as_str().unwrap().len(), 1 << 20);
    drop(readers);
}

#[test]
fn a_reader_that_falls_too_far_behind_is_let_go() {
    let config = "[limits]\noutput_len_max = \"16MiB\"";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut client = host.client();
    for id in 0..200 {
        client.send(json!({"id": id, "function": "big", "args": {"len": 1 << 20}}));
    }
    let mut bystander = host.client();
    wait_until("the connection to be closed", || {
        bystander.status()["connections"] == 1
    });
    host.wait_for_log(&["output_len_max"]);
    assert!(bystander.status()["replies_dropped"].as_u64().unwrap() > 0);
    assert_eq!(bystander.result("echo", json!(1)), 1);
}
