//! Hosts that die, hang and drain; clients that flood, and many that are idle.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tests::{
    Gateway, GatewaySetup, Host, Plugin, Setup, lasting_port, raise_open_files_limit, wait_until,
};

/// A gateway to two hosts.
fn with_two_hosts() -> (Host, Host, Gateway) {
    let first = Host::with(&[Plugin::Good]);
    let second = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&first)
        .host(&second)
        .allow("*")
        .config("[upstream]\nping_interval = \"200ms\"\nsuspect_after = \"200ms\"\nping_timeout = \"1s\"")
        .start();
    wait_until("both hosts to be connected", || {
        [&first, &second].iter().all(|host| {
            gateway.metric(&format!(
                "gateway_host_up{{host=\"127.0.0.1:{}\"}}",
                host.port()
            )) == 1.0
        })
    });
    (first, second, gateway)
}

#[test]
fn tasks_go_to_both_hosts() {
    let (first, second, gateway) = with_two_hosts();
    let mut session = gateway.session();
    for id in 0..8 {
        session.send(&json!({"id": id, "function": "sleep", "args": {"ms": 300}}));
    }
    let in_flight = |host: &Host| {
        gateway.metric(&format!(
            "gateway_host_tasks_in_flight{{host=\"127.0.0.1:{}\"}}",
            host.port()
        ))
    };
    wait_until("the tasks to be spread", || {
        in_flight(&first) == 4.0 && in_flight(&second) == 4.0
    });
    for _ in 0..8 {
        assert!(session.reply().1.is_ok());
    }
}

#[test]
fn a_host_that_dies_takes_only_what_it_may_have_begun() {
    let (first, _second, gateway) = with_two_hosts();
    let mut session = gateway.session();
    for id in 0..100 {
        session.send(&json!({"id": id, "function": "sleep", "args": {"ms": 400}}));
    }
    let mut died = 0;
    first.signal(Signal::KILL);
    for _ in 0..100 {
        if let (_, Err(failure)) = session.reply() {
            assert_eq!(
                (failure.code.as_str(), failure.started),
                ("worker_crashed", true)
            );
            assert!(failure.retryable);
            died += 1;
        }
    }
    assert!(died <= 51, "{died} of 100");
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
    let (first, second, gateway) = with_two_hosts();
    let mut session = gateway.session();
    first.process().stop();
    let up = || {
        gateway.metric(&format!(
            "gateway_host_up{{host=\"127.0.0.1:{}\"}}",
            first.port()
        ))
    };
    wait_until("the host to get nothing new", || up() == 0.0);
    for number in 0..200 {
        assert_eq!(session.call("echo", &json!(number)), Ok(json!(number)));
    }
    assert_eq!(second.client().status()["functions"]["echo"]["ok"], 200);
    first.signal(Signal::CONT);
    wait_until("the host to be taken back", || up() == 1.0);
}

#[test]
fn what_a_hanging_host_holds_is_answered() {
    let (first, _second, gateway) = with_two_hosts();
    let mut session = gateway.session();
    for id in 0..10 {
        session.send(&json!({"id": id, "function": "sleep", "args": {"ms": 300}}));
    }
    first.process().stop();
    let mut failed = 0;
    for _ in 0..10 {
        if let (_, Err(failure)) = session.reply() {
            assert_eq!(
                (failure.code.as_str(), failure.started),
                ("worker_crashed", true)
            );
            failed += 1;
        }
    }
    assert!(failed <= 6, "{failed} of 10");
    first.signal(Signal::CONT);
}

#[test]
fn a_host_that_drains_gets_nothing_new_and_nobody_notices() {
    let (mut first, _second, gateway) = with_two_hosts();
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
fn ten_thousand_idle_sockets_leave_the_rest_alone() {
    const COUNT: usize = 10_000;
    const RSS_MAX: u64 = 20 << 10;
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
