//! Answers that arrive though the socket broke.

use rustix::process::Signal;
use serde_json::json;
use tests::{Gateway, GatewaySetup, Host, Plugin, Session, wait_until};

#[test]
fn an_answer_finds_the_client_that_comes_back() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    session.call("echo", &json!(1)).unwrap();
    session
        .send(&json!({"id": "long", "function": "sleep", "args": {"ms": 400}, "progress": true}));
    assert_eq!(session.recv()["event"], "accepted");
    let place = session.cut();
    let mut session = Session::resume(gateway.socket(), place);
    // Still at work, or done already: both are told, once.
    let mut answers = 0;
    let mut greeted = false;
    while !(greeted && answers == 1) {
        let message = session.recv();
        if message["id"] == "long" {
            assert!(message["result"]["slept_ms"].is_u64(), "{message}");
            answers += 1;
        } else {
            let hello = &message["hello"];
            assert_eq!(hello["resumed"], true, "{message}");
            let at_work = hello["in_flight"] == json!(["long"]);
            assert!(at_work || answers == 1, "{message}");
            greeted = true;
        }
    }
    assert_eq!(session.call("echo", &json!(2)), Ok(json!(2)));
}

#[test]
fn everything_after_what_was_seen_comes_once_and_in_order() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    for id in 0..100 {
        session.send(&json!({"id": id, "function": "echo", "args": id}));
    }
    let mut answered = vec![0; 100];
    let count = |answered: &mut Vec<i32>, id: &serde_json::Value| {
        answered[usize::try_from(id.as_u64().unwrap()).unwrap()] += 1;
    };
    for _ in 0..10 {
        let (id, _) = session.reply();
        count(&mut answered, &id);
    }
    for _ in 0..5 {
        let place = session.cut();
        session = Session::resume(gateway.socket(), place);
        for _ in 0..10 {
            // A greeting stands between what was kept and what is new.
            let message = session.recv();
            if let Some(id) = message.get("id") {
                count(&mut answered, id);
            }
        }
    }
    while answered.contains(&0) {
        let (id, _) = session.reply();
        count(&mut answered, &id);
    }
    assert_eq!(answered, vec![1; 100]);
    assert_eq!(gateway.metric("gateway_resumed_total"), 5.0);
}

#[test]
fn what_the_client_is_known_to_have_is_kept_no_longer() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    let text = "x".repeat(10_000);
    for number in 0..300 {
        session
            .call("echo", &json!([number, text]))
            .expect("the host echoes");
    }
    // 3 MB were sent, and the client is asked long before a heartbeat.
    session.socket.flush();
    wait_until("most of it to be forgotten", || {
        gateway.metric("gateway_kept_bytes") < 1_000_000.0
    });
    session.send(&json!({"id": "last", "function": "echo", "args": 1}));
    wait_until("the last answer to be on its way", || {
        gateway.metric("gateway_tasks_total") == 301.0
            && gateway.metric("gateway_tasks_in_flight") == 0.0
    });
    let place = session.cut();
    let mut session = Session::resume(gateway.socket(), place);
    assert_eq!(session.recv()["id"], "last");
    assert_eq!(session.recv()["hello"]["resumed"], true);
    assert_eq!(session.call("echo", &json!(2)), Ok(json!(2)));
}

#[test]
fn who_is_cut_off_again_while_coming_back_is_greeted_once() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    session.call("echo", &json!(1)).unwrap();
    let mut place = session.cut();
    for time in 1..=3 {
        let unheard = Session::resume(gateway.socket(), place);
        wait_until("the gateway to greet", || {
            gateway.metric("gateway_resumed_total") == f64::from(time)
        });
        place = unheard.cut();
    }
    let mut session = Session::resume(gateway.socket(), place);
    session.send(&json!({"id": "call", "function": "echo", "args": 2}));
    let mut greetings = 0;
    loop {
        let message = session.recv();
        if message["id"] == "call" {
            break;
        }
        assert_eq!(message["hello"]["resumed"], true, "{message}");
        greetings += 1;
    }
    assert_eq!(greetings, 1);
}

#[test]
fn sessions_are_lost_when_their_time_is_over() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[session]\nresume_window = \"1s\"")
        .start();
    gateway.wait_until_ready();
    let mut session = gateway.session();
    session.send(&json!({"id": "long", "function": "sleep", "args": {"ms": 600_000}}));
    session.call("echo", &json!(1)).unwrap();
    let place = session.cut();
    wait_until("the session to be gone", || {
        let sessions = ["gateway_sessions_attached", "gateway_sessions_detached"];
        sessions.iter().all(|name| gateway.metric(name) == 0.0)
    });
    let mut session = Session::resume(gateway.socket(), place);
    session.seen = 1;
    assert_eq!(session.recv()["session_lost"], true);
    // The new one serves.
    assert_eq!(session.call("echo", &json!(2)), Ok(json!(2)));
    // Its task is at work all the same, beside the question for that, and the gateway's for news of plugins.
    assert_eq!(host.client().status()["in_flight"], 3);
}

#[test]
fn tasks_end_with_their_session_where_that_is_wished() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[session]\nresume_window = \"500ms\"\ncancel_tasks = true")
        .start();
    gateway.wait_until_ready();
    let mut session = gateway.session();
    session.send(&json!({"id": "long", "function": "sleep", "args": {"ms": 600_000}}));
    session.call("echo", &json!(1)).unwrap();
    drop(session.cut());
    let mut observer = host.client();
    wait_until("the task to be cancelled", || {
        // The one that asks, and the gateway's own that watches.
        observer.status()["functions"]["sleep"]["failed"]["cancelled"] == 1
    });
}

#[test]
fn a_session_belongs_to_one_socket_at_a_time() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut first = gateway.session();
    first.send(&json!({"id": "long", "function": "sleep", "args": {"ms": 600_000}}));
    let place = (first.token(), first.seen);
    let mut second = Session::resume(gateway.socket(), place);
    assert_eq!(first.socket.closed().0, 4409);
    assert_eq!(second.recv()["hello"]["resumed"], true);
    second.send(&json!({"cancel": "long"}));
    assert_eq!(second.reply().1.unwrap_err().code, "cancelled");
}

#[test]
fn nobody_resumes_what_was_never_said() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    for (token, seen) in [
        ("nonsense".to_owned(), 0),
        (String::new(), 0),
        (gateway.session().token(), 99),
    ] {
        let mut session = Session::resume(gateway.socket(), (token, seen));
        session.seen = 1;
        assert_eq!(session.recv()["session_lost"], true);
    }
}

#[test]
fn who_reads_too_slowly_is_closed_and_can_resume() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[session]\nunsent_len_max = \"1MiB\"")
        .start();
    gateway.wait_until_ready();
    let mut session = gateway.session();
    // Answers of 20 MB in all, which nobody reads: more than the kernel's buffers take.
    for id in 0..20 {
        session.send(&json!({"id": id, "function": "big", "args": {"len": 1_000_000}}));
    }
    gateway.wait_until_detached();
    wait_until("all to be done", || {
        gateway.metric("gateway_tasks_in_flight") == 0.0
    });
    let place = session.cut();
    let mut session = Session::resume(gateway.socket(), place);
    let mut answered = 0;
    while answered < 20 {
        let message = session.recv();
        if message.get("ok").is_some() {
            assert_eq!(message["result"].as_str().unwrap().len(), 1_000_000);
            answered += 1;
        }
    }
    session.call("echo", &json!(1)).unwrap();
}

#[test]
fn a_drain_answers_what_runs_and_says_when_to_come_back() {
    let host = Host::with(&[Plugin::Good]);
    let mut gateway = Gateway::to(&host);
    let mut idle = gateway.session();
    let mut busy = gateway.session();
    busy.send(
        &json!({"id": "runs", "function": "sleep", "args": {"ms": 600_000}, "progress": true}),
    );
    assert_eq!(busy.recv()["event"], "accepted");
    gateway.signal(Signal::TERM);
    let (code, reason) = idle.socket.closed();
    assert_eq!(code, 1012);
    let wait: u64 = reason
        .rsplit_once("retry_after_ms=")
        .unwrap()
        .1
        .parse()
        .unwrap();
    assert!((500..=2500).contains(&wait), "{reason}");
    let refused = busy.call("echo", &json!(1)).unwrap_err();
    assert_eq!(refused.code, "shutting_down");
    busy.send(&json!({"cancel": "runs"}));
    let (id, outcome) = busy.reply();
    assert_eq!(id, "runs");
    assert_eq!(outcome.unwrap_err().code, "cancelled");
    assert_eq!(busy.socket.closed().0, 1012);
    assert_eq!(gateway.wait().code(), Some(0));
}
