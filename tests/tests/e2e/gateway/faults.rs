//! Hosts that die, hang and drain; clients that flood, and many that are idle.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tests::{
    Gateway, GatewaySetup, Host, Plugin, Session, Setup, lasting_port, raise_open_files_limit,
    wait_until,
};

/// Hosts that pause on a busy machine are still well.
const PATIENT: &str = "[upstream]\nsuspect_after = \"60s\"\nping_timeout = \"60s\"";
/// Hosts that hang are seen soon, and given up later.
const WATCHFUL: &str =
    "[upstream]\nping_interval = \"200ms\"\nsuspect_after = \"200ms\"\nping_timeout = \"3s\"";

/// A gateway to two hosts.
fn with_two_hosts(config: &str) -> (Host, Host, Gateway) {
    let first = Host::with(&[Plugin::Good]);
    let second = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&first)
        .host(&second)
        .allow("*")
        .config(config)
        .start();
    wait_until("both hosts to be connected", || {
        gateway.host_metric("up", &first) == 1.0 && gateway.host_metric("up", &second) == 1.0
    });
    (first, second, gateway)
}

/// Tasks that end only when they are cancelled, each of them at a host.
fn with_endless_tasks(gateway: &Gateway, hosts: [&Host; 2], count: usize) -> Session {
    let mut session = gateway.session();
    for id in 0..count {
        session.send(&json!({"id": id, "function": "sleep", "args": {"ms": 600_000}}));
    }
    wait_until("the tasks to be at the hosts", || {
        let in_flight = hosts.map(|host| gateway.host_metric("tasks_in_flight", host));
        in_flight.into_iter().sum::<f64>() == count as f64
    });
    session
}

/// Cancels them all; how many had been lost with their host.
fn cancel_endless_tasks(session: &mut Session, count: usize) -> usize {
    for id in 0..count {
        session.send(&json!({"cancel": id}));
    }
    let mut lost = 0;
    for _ in 0..count {
        let failure = session.reply().1.unwrap_err();
        if failure.code == "worker_crashed" {
            assert!(failure.started && failure.retryable, "{failure:?}");
            lost += 1;
        } else {
            assert_eq!(failure.code, "cancelled");
        }
    }
    lost
}

#[test]
fn tasks_go_to_both_hosts() {
    let (first, second, gateway) = with_two_hosts(PATIENT);
    let mut session = with_endless_tasks(&gateway, [&first, &second], 8);
    for host in [&first, &second] {
        assert_eq!(gateway.host_metric("tasks_in_flight", host), 4.0);
    }
    assert_eq!(cancel_endless_tasks(&mut session, 8), 0);
}

#[test]
fn a_host_that_dies_takes_only_what_it_may_have_begun() {
    let (first, second, gateway) = with_two_hosts(PATIENT);
    let mut session = with_endless_tasks(&gateway, [&first, &second], 100);
    assert_eq!(gateway.host_metric("tasks_in_flight", &first), 50.0);
    wait_until("the host to have taken them", || {
        // The request for the status is one as well, and the gateway's for news of plugins.
        first.client().status()["in_flight"].as_u64() > Some(51)
    });
    first.signal(Signal::KILL);
    wait_until("the gateway to see it", || {
        gateway.host_metric("up", &first) == 0.0
    });
    let lost = cancel_endless_tasks(&mut session, 100);
    assert!((1..=50).contains(&lost), "{lost}");
    for number in 0..20 {
        assert_eq!(session.call("echo", &json!(number)), Ok(json!(number)));
    }
}

#[test]
fn every_task_is_answered_once_while_the_host_is_killed_and_comes_back() {
    let port = lasting_port();
    let mut host = Setup::new().plugin(Plugin::Good).listen(port).start();
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    let mut number = 0_u64;
    for _ in 0..3 {
        for _ in 0..200 {
            session.send(&json!({"id": number, "function": "echo", "args": number}));
            number += 1;
        }
        host.signal(Signal::KILL);
        host.wait();
        let setup = Setup::new().plugin(Plugin::Good);
        host = setup.listen(port).start();
        let mut answered = std::collections::HashSet::new();
        for _ in 0..200 {
            let (id, outcome) = session.reply();
            let id = id.as_u64().unwrap();
            assert!(answered.insert(id), "{id} was answered twice");
            match outcome {
                Ok(result) => assert_eq!(result, id),
                Err(failure) => assert!(
                    ["worker_crashed", "unavailable"].contains(&failure.code.as_str()),
                    "{failure:?}"
                ),
            }
        }
        gateway.wait_until_ready();
        assert_eq!(session.call("echo", &json!("back")), Ok(json!("back")));
    }
}

#[test]
fn a_host_that_hangs_is_left_and_taken_back() {
    let (first, second, gateway) = with_two_hosts(WATCHFUL);
    let mut session = gateway.session();
    first.process().stop();
    wait_until("the host to get nothing new", || {
        gateway.host_metric("up", &first) == 0.0
    });
    for number in 0..200 {
        assert_eq!(session.call("echo", &json!(number)), Ok(json!(number)));
    }
    assert_eq!(second.client().status()["functions"]["echo"]["ok"], 200);
    first.signal(Signal::CONT);
    wait_until("the host to be taken back", || {
        gateway.host_metric("up", &first) == 1.0
    });
}

#[test]
fn what_a_hanging_host_holds_is_answered() {
    let (first, second, gateway) = with_two_hosts(
        "[upstream]\nping_interval = \"200ms\"\nsuspect_after = \"60s\"\nping_timeout = \"3s\"",
    );
    let mut session = with_endless_tasks(&gateway, [&first, &second], 10);
    assert_eq!(gateway.host_metric("tasks_in_flight", &first), 5.0);
    first.process().stop();
    wait_until("it to be given up", || {
        gateway.host_metric("connections", &first) == 0.0
    });
    assert_eq!(cancel_endless_tasks(&mut session, 10), 5);
    first.signal(Signal::CONT);
}

#[test]
fn a_host_that_drains_gets_nothing_new_and_nobody_notices() {
    let (mut first, _second, gateway) = with_two_hosts(PATIENT);
    let mut session = gateway.session();
    for id in 0..4 {
        session.send(&json!({"id": id, "function": "sleep", "args": {"ms": 500}}));
    }
    first.signal(Signal::TERM);
    for number in 4..200 {
        session.send(&json!({"id": number, "function": "echo", "args": number}));
    }
    for _ in 0..200 {
        let (id, outcome) = session.reply();
        assert!(outcome.is_ok(), "{id}: {outcome:?}");
    }
    assert_eq!(first.wait().code(), Some(0));
    assert_eq!(session.call("echo", &json!(1)), Ok(json!(1)));
}

#[test]
fn without_a_host_tasks_wait_a_moment_and_are_told() {
    let gateway = GatewaySetup::new()
        .host_at(1)
        .allow("*")
        .config("[upstream]\nconnect_wait = \"300ms\"")
        .start();
    let mut session = gateway.session();
    let failure = session.call("echo", &json!(1)).unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.retryable, failure.started),
        ("unavailable", true, false)
    );
    session.send(&json!({"id": "a", "function": "echo"}));
    session.send(&json!({"cancel": "a"}));
    assert_eq!(session.reply().1.unwrap_err().code, "cancelled");
}

#[test]
fn a_host_that_comes_late_gets_what_waited() {
    let port = lasting_port();
    let gateway = GatewaySetup::new()
        .host_at(port)
        .allow("*")
        .config("[upstream]\nconnect_wait = \"60s\"\nbackoff_max = \"100ms\"")
        .start();
    let mut session = gateway.session();
    session.send(&json!({"id": "early", "function": "echo", "args": 1}));
    wait_until("the task to wait", || {
        gateway.metric("gateway_tasks_waiting") == 1.0
    });
    let _host = Setup::new().plugin(Plugin::Good).listen(port).start();
    assert_eq!(session.reply(), (json!("early"), Ok(json!(1))));
}

#[test]
fn more_tasks_than_a_host_takes_wait_for_room_and_the_connections_hold() {
    // A host's connection takes four requests at a time, two of them tasks: with two connections, four tasks.
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[limits]\nin_flight_max = 4\n[plugins.good]\nworkers = 8")
        .start();
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[upstream]\nconnections = 2\nconnect_wait = \"100ms\"\nping_interval = \"100ms\"\nping_timeout = \"3s\"\nwaiting_max = 40")
        .start();
    gateway.wait_until_ready();
    wait_until("both connections", || {
        gateway.host_metric("connections", &host) == 2.0
    });
    let mut session = gateway.session();
    for id in 0..4 {
        session.send(&json!({"id": id, "function": "sleep", "args": {"ms": 600_000}}));
    }
    for id in 4..44 {
        session.send(&json!({"id": id, "function": "echo", "args": id}));
    }
    wait_until("forty tasks to wait", || {
        gateway.metric("gateway_tasks_waiting") == 40.0
    });
    let failure = session.call("echo", &json!("one too many")).unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.retryable, failure.started),
        ("overloaded", true, false)
    );
    assert!(failure.data["retry_after_ms"].is_u64(), "{failure:?}");
    // Far longer than the host may be silent, and longer than a task waits for a host that is away.
    session.send(&json!({"cancel": 43}));
    let (id, outcome) = session.reply();
    assert_eq!(
        (id, outcome.unwrap_err().code.as_str()),
        (json!(43), "cancelled")
    );
    session.send(&json!({"id": "late", "function": "echo", "timeout_ms": 4000}));
    let (id, outcome) = session.reply();
    let failure = outcome.unwrap_err();
    assert_eq!(
        (id, failure.code.as_str(), failure.started),
        (json!("late"), "timeout", false)
    );
    assert_eq!(gateway.metric("gateway_tasks_waiting"), 39.0);
    for id in 0..4 {
        session.send(&json!({"cancel": id}));
    }
    for _ in 0..43 {
        match session.reply() {
            (id, Ok(result)) => assert_eq!(id, result),
            (id, Err(failure)) => {
                assert!(id.as_u64().unwrap() < 4, "{id}: {failure:?}");
                assert_eq!(failure.code, "cancelled");
            }
        }
    }
    assert!(!host.log().contains("closed"), "{}", host.log());
    assert_eq!(host.client().status()["functions"]["echo"]["ok"], 39);
}

#[test]
fn a_host_that_takes_too_little_at_a_time_is_named_with_the_cure() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[limits]\nin_flight_max = 3")
        .start();
    let gateway = GatewaySetup::new().host(&host).allow("*").start();
    wait_until("the reason to be told", || {
        let (status, page) = gateway.get("/readyz");
        status == 503 && page.contains("its limits.in_flight_max); let it be 4 or more")
    });
}

#[test]
fn what_is_too_long_for_the_host_is_refused_and_takes_nobody_with_it() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[limits]\nline_len_max = \"64KiB\"")
        .start();
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    session.send(&json!({"id": "a", "function": "sleep", "args": {"ms": 300}}));
    let failure = session
        .call("echo", &json!("x".repeat(65_536)))
        .unwrap_err();
    assert_eq!(failure.code, "too_large");
    assert!(failure.message.contains("65536 bytes"), "{failure:?}");
    assert_eq!(session.reply().0, "a");
}

#[test]
fn a_function_whose_only_host_is_away_waits_for_it_and_is_no_unknown_one() {
    let with_mail = lasting_port();
    let mut second = Setup::new().plugin(Plugin::Mail).listen(with_mail).start();
    let first = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&first)
        .host(&second)
        .allow("*")
        .config("[upstream]\nconnect_wait = \"300ms\"\nbackoff_max = \"100ms\"")
        .start();
    wait_until("the functions of both", || {
        let (_, functions) = gateway.get("/functions.json");
        functions.contains("\"echo\"") && functions.contains("\"send_mail\"")
    });
    second.signal(Signal::TERM);
    second.wait();
    let mut session = gateway.session();
    let failure = session.call("send_mail", &json!({})).unwrap_err();
    assert_eq!(failure.code, "unavailable");
    assert!(failure.message.contains("send_mail"), "{failure:?}");
    assert_eq!(session.call("echo", &json!(1)), Ok(json!(1)));
    let failure = session.call("nobody", &json!({})).unwrap_err();
    assert_eq!(failure.code, "unknown_function");
}

#[test]
fn ten_thousand_idle_sockets_leave_the_rest_alone() {
    const COUNT: usize = 10_000;
    const RSS_MAX: u64 = 10_000;
    raise_open_files_limit(COUNT as u64 + 1000);
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let before = gateway.process().rss();
    let mut sessions: Vec<_> = (0..COUNT).map(|_| gateway.session()).collect();
    let each = (gateway.process().rss() - before) / COUNT as u64;
    assert!(each < RSS_MAX, "{each} bytes for each socket");
    for session in sessions.iter_mut().step_by(100) {
        session.call("echo", &json!(1)).unwrap();
    }
    assert_eq!(gateway.metric("gateway_sessions_attached"), 10_000.0);
}

#[test]
fn a_flood_of_one_client_is_not_everybodys() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let until = Instant::now() + Duration::from_secs(2);
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut flood = gateway.session();
            while Instant::now() < until {
                for id in 0..256 {
                    flood.send(&json!({"id": id, "function": "echo", "args": "x".repeat(100)}));
                }
                for _ in 0..256 {
                    flood.reply().1.unwrap();
                }
            }
        });
        let mut other = gateway.session();
        let mut answered = 0;
        while Instant::now() < until {
            other.call("echo", &json!(answered)).unwrap();
            answered += 1;
        }
        // Far less than it gets, and far more than if it had to wait for the flood to end.
        assert!(answered > 20, "{answered}");
    });
}

#[test]
fn a_function_s_own_limit_is_the_host_s_concern() {
    // One task at a time, each of which may take 300 ms: the last has waited for far longer.
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[plugins.good]\nworkers = 1\ntimeout = \"300ms\"")
        .start();
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[upstream]\nanswer_grace = \"100ms\"")
        .start();
    gateway.wait_until_ready();
    wait_until("the functions to be known", || {
        gateway
            .get("/functions.json")
            .1
            .contains("\"timeout_ms\":300")
    });
    let mut session = gateway.session();
    for id in 0..20 {
        session.send(&json!({"id": id, "function": "sleep", "args": {"ms": 100}}));
    }
    for _ in 0..20 {
        let (id, outcome) = session.reply();
        assert!(outcome.is_ok(), "{id}: {outcome:?}");
    }
}

#[test]
fn what_a_host_should_have_ended_is_cancelled_there_and_keeps_its_place() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config(&format!("{PATIENT}\nanswer_grace = \"100ms\""))
        .start();
    gateway.wait_until_ready();
    let mut session = gateway.session();
    session.send(&json!({"id": "endless", "function": "sleep", "args": {"ms": 600_000}}));
    session.send(
        &json!({"id": "late", "function": "sleep", "args": {"ms": 600_000}, "timeout_ms": 60_000}),
    );
    session.send(
        &json!({"id": "soon", "function": "sleep", "args": {"ms": 600_000}, "timeout_ms": 1000}),
    );
    wait_until("the tasks to be at the host", || {
        host.client().status()["in_flight"].as_u64() > Some(3)
    });
    host.process().stop();
    let (id, outcome) = session.reply();
    let failure = outcome.unwrap_err();
    assert_eq!((id, failure.code.as_str()), (json!("soon"), "timeout"));
    assert!(failure.message.contains("asked to cancel"), "{failure:?}");
    assert_eq!(
        gateway.host_metric("tasks_in_flight", &host),
        3.0,
        "the host has it still"
    );
    host.signal(Signal::CONT);
    wait_until("the host to have answered", || {
        gateway.host_metric("tasks_in_flight", &host) == 2.0
    });
    for id in ["endless", "late"] {
        session.send(&json!({"cancel": id}));
    }
    for _ in 0..2 {
        assert_eq!(session.reply().1.unwrap_err().code, "cancelled");
    }
}
