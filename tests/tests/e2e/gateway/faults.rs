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
fn more_tasks_than_a_host_takes_wait_for_room_and_the_connections_hold() {
    // A host's connection takes four requests at a time, two of them tasks: with two connections, four tasks.
    let host = Setup::new()
        .plugin(Plugin::Good)
        .config("[limits]\nin_flight_max = 4\n[plugins.good]\nworkers = 8")
        .start();
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[upstream]\nconnections = 2\nconnect_wait = \"100ms\"\nping_interval = \"100ms\"\nsuspect_after = \"200ms\"\nping_timeout = \"500ms\"\nwaiting_max = 40")
        .start();
    gateway.wait_until_ready();
    let connected = || {
        let address = format!("127.0.0.1:{}", host.port());
        gateway.metric(&format!("gateway_host_connections{{host=\"{address}\"}}"))
    };
    wait_until("both connections", || connected() == 2.0);
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
    session.send(&json!({"id": "late", "function": "echo", "timeout_ms": 1000}));
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
