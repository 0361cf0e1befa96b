//! Tasks over `tasks.v1`.

use std::collections::HashSet;

use serde_json::json;
use tests::{Gateway, GatewaySetup, Host, Plugin, Session, Setup, Socket, wait_until};

#[test]
fn a_task_is_answered() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    assert_eq!(session.socket.subprotocol.as_deref(), Some("tasks.v1"));
    let functions = session.hello["functions"].as_array().unwrap();
    assert!(functions.contains(&json!("echo")), "{functions:?}");
    assert!(
        !functions
            .iter()
            .any(|name| name.as_str().unwrap().starts_with("host."))
    );
    assert_eq!(session.hello["resumed"], false);
    assert_eq!(
        session.call("echo", &json!({"ü": [1, null]})),
        Ok(json!({"ü": [1, null]}))
    );
    let failure = session
        .call("fail", &json!({"kind": "full", "message": "no room"}))
        .unwrap_err();
    assert_eq!(
        (failure.code.as_str(), failure.data["kind"].as_str()),
        ("handler_failed", Some("full"))
    );
}

#[test]
fn numbers_and_texts_pass_as_they_are() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    let args = r#"{"n":123456789012345678901234567890.10,"t":"\ud83d\ude00\u0000"}"#;
    session
        .socket
        .send_text(&format!(r#"{{"id":7,"function":"echo","args":{args}}}"#));
    let text = session.socket.text();
    assert!(text.contains(args), "{text}");
    assert!(text.contains(r#""id":7,"#), "{text}");
}

#[test]
fn progress_comes_to_those_who_ask_for_it() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    session
        .send(&json!({"id": "p", "function": "progress", "args": {"steps": 5}, "progress": true}));
    let accepted = session.recv();
    assert_eq!(
        (&accepted["id"], &accepted["event"]),
        (&json!("p"), &json!("accepted"))
    );
    let mut done = 0;
    loop {
        let message = session.recv();
        assert_eq!(message["id"], "p");
        if message.get("ok").is_some() {
            assert_eq!(message["ok"], true, "{message}");
            assert_eq!(done, 5, "the last one is told");
            break;
        }
        assert_eq!(message["event"], "progress", "{message}");
        let now = message["done"].as_u64().unwrap();
        assert!(now >= done, "{message}");
        done = now;
    }
    session.send(&json!({"id": "q", "function": "progress", "args": {"steps": 5}}));
    assert_eq!(session.recv()["ok"], true);
}

#[test]
fn many_tasks_run_at_once_and_each_gets_its_own_answer() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    for round in 0..20 {
        for id in 0..200 {
            session.send(&json!({"id": id, "function": "echo", "args": [round, id]}));
        }
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let (id, outcome) = session.reply();
            assert!(seen.insert(id.as_u64().unwrap()), "{id} was answered twice");
            assert_eq!(outcome, Ok(json!([round, id])));
        }
    }
    wait_until("nothing to be in flight", || {
        gateway.metric("gateway_tasks_in_flight") == 0.0
    });
}

#[test]
fn a_task_can_be_cancelled() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    session.send(&json!({"id": "a", "function": "sleep", "args": {"ms": 600_000}}));
    session.send(&json!({"id": "b", "function": "sleep", "args": {"ms": 50}}));
    session.send(&json!({"cancel": "a"}));
    // What isn't there, or no longer, is nobody's fault.
    session.send(&json!({"cancel": "c"}));
    for _ in 0..2 {
        let (id, outcome) = session.reply();
        match id.as_str().unwrap() {
            "a" => assert_eq!(outcome.unwrap_err().code, "cancelled"),
            _ => assert!(outcome.is_ok()),
        }
    }
    session.call("echo", &json!(1)).unwrap();
}

#[test]
fn what_is_no_task_is_refused_and_the_connection_goes_on() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut session = gateway.session();
    for (text, code, id) in [
        ("", "bad_request", json!(null)),
        ("[]", "bad_request", json!(null)),
        ("{}", "bad_request", json!(null)),
        (r#"{"function":"echo"}"#, "bad_request", json!(null)),
        (r#"{"id":"x"}"#, "bad_request", json!("x")),
        (r#"{"id":"x","function":7}"#, "bad_request", json!("x")),
        (
            r#"{"id":"x","function":"echo","args":}"#,
            "bad_request",
            json!("x"),
        ),
        (
            r#"{"id":"x","function":"nobody"}"#,
            "unknown_function",
            json!("x"),
        ),
        (
            r#"{"id":"x","function":"host.plugins"}"#,
            "unknown_function",
            json!("x"),
        ),
        (
            r#"{"id":"x","function":"sleep","args":{"ms":"soon"}}"#,
            "invalid_args",
            json!("x"),
        ),
        (r#"{"resume":7}"#, "bad_request", json!(null)),
    ] {
        session.socket.send_text(text);
        let message = session.recv();
        assert_eq!(message["error"]["code"], code, "{text}: {message}");
        assert_eq!(message["id"], id, "{text}: {message}");
    }
    session.send(&json!({"id": "x", "function": "sleep", "args": {"ms": 600_000}}));
    session.send(&json!({"id": "x", "function": "echo"}));
    let message = session.recv();
    assert_eq!(message["error"]["code"], "bad_request", "{message}");
    session.send(&json!({"cancel": "x"}));
    assert_eq!(session.reply().1.unwrap_err().code, "cancelled");
    session.call("echo", &json!(1)).unwrap();
}

#[test]
fn limits_of_a_connection_hold() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[limits]\nin_flight_max = 3\nmessage_len_max = \"2KiB\"\nrate = \"1/h burst 5\"")
        .start();
    gateway.wait_until_ready();
    let mut session = gateway.session();
    for id in 0..4 {
        session.send(&json!({"id": id, "function": "sleep", "args": {"ms": 600_000}}));
    }
    let (id, outcome) = session.reply();
    assert_eq!(
        (id, outcome.unwrap_err().code.as_str()),
        (json!(3), "overloaded")
    );
    for id in 0..3 {
        session.send(&json!({"cancel": id}));
    }
    for _ in 0..3 {
        assert_eq!(session.reply().1.unwrap_err().code, "cancelled");
    }
    for _ in 0..2 {
        session.call("echo", &json!(1)).unwrap();
    }
    let failure = session.call("echo", &json!(1)).unwrap_err();
    assert_eq!(failure.code, "overloaded");
    assert!(
        failure.data["retry_after_ms"].as_u64().unwrap() > 1000,
        "{failure:?}"
    );
    session.socket.send_text(&"x".repeat(3000));
    assert_eq!(session.socket.closed().0, 1009);
}

#[test]
fn limits_of_an_address_count_over_all_that_come_from_it() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[limits.address]\nconnections_max = 4\nin_flight_max = 2\nrate = \"1/h burst 4\"")
        .start();
    gateway.wait_until_ready();
    let mut here = gateway.session();
    let mut there = gateway.session();
    here.send(&json!({"id": 1, "function": "sleep", "args": {"ms": 600_000}}));
    there.send(&json!({"id": 2, "function": "sleep", "args": {"ms": 600_000}}));
    wait_until("both to be in flight", || {
        gateway.metric("gateway_tasks_in_flight") == 2.0
    });
    let post = || {
        let json = [("Content-Type", "application/json")];
        gateway.request("POST", "/tasks", &json, br#"{"function":"echo"}"#)
    };
    let (status, body) = post();
    assert_eq!(status, 429, "{body}");
    assert!(body.contains("overloaded"), "{body}");
    // Whoever says that they are somebody else isn't believed.
    let elsewhere = [
        ("Content-Type", "application/json"),
        ("X-Forwarded-For", "203.0.113.8"),
    ];
    let (status, _) = gateway.request("POST", "/tasks", &elsewhere, br#"{"function":"echo"}"#);
    assert_eq!(status, 429);
    here.send(&json!({"cancel": 1}));
    assert_eq!(here.reply().1.unwrap_err().code, "cancelled");
    assert_eq!(post().0, 200);
    assert_eq!(here.call("echo", &json!(1)), Ok(json!(1)));
    let failure = there.call("echo", &json!(1)).unwrap_err();
    assert_eq!(failure.code, "overloaded");
    assert!(
        failure.data["retry_after_ms"].as_u64().unwrap() > 1000,
        "{failure:?}"
    );
    let _third = gateway.session();
    let _fourth = gateway.session();
    let (status, body) = gateway.get("/healthz");
    assert_eq!((status, body.as_str()), (503, "too many connections\n"));
}

#[test]
fn behind_a_proxy_each_client_has_its_own_address() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("trusted_proxies = [\"127.0.0.1\"]\n[limits.address]\nconnections_max = 1\nin_flight_max = 1")
        .start();
    gateway.wait_until_ready();
    let connect = |address: &str| {
        let headers = [
            ("Sec-WebSocket-Protocol", "tasks.v1"),
            ("X-Forwarded-For", address),
        ];
        Socket::connect(gateway.port(), &headers)
    };
    let post = |address: &str| {
        let headers = [
            ("Content-Type", "application/json"),
            ("X-Forwarded-For", address),
        ];
        let (status, _) = gateway.request("POST", "/tasks", &headers, br#"{"function":"echo"}"#);
        status
    };
    let mut one = Session::greeted(connect("203.0.113.7").unwrap());
    let mut other = Session::greeted(connect("203.0.113.8").unwrap());
    let refused = connect("203.0.113.7").unwrap_err();
    assert_eq!(refused, (503, "too many connections\n".to_owned()));
    one.send(&json!({"id": 1, "function": "sleep", "args": {"ms": 600_000}}));
    wait_until("it to be in flight", || {
        gateway.metric("gateway_tasks_in_flight") == 1.0
    });
    assert_eq!(post("203.0.113.7"), 429);
    assert_eq!(
        post("203.0.113.9, 203.0.113.7"),
        429,
        "the proxy's word counts"
    );
    assert_eq!(post("203.0.113.9"), 200);
    assert_eq!(other.call("echo", &json!(1)), Ok(json!(1)));

    let origin = format!("https://127.0.0.1:{}", gateway.port());
    let page = |headers: &[(&str, &str)]| {
        let mut all = vec![("Origin", origin.as_str())];
        all.extend(headers);
        gateway.request("GET", "/functions.json", &all, b"").0
    };
    assert_eq!(page(&[("X-Forwarded-Proto", "https")]), 200);
    assert_eq!(page(&[]), 403);
}

#[test]
fn limits_of_a_user_count_over_all_connections() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[limits.user]\nconnections_max = 1\nin_flight_max = 1\n[[tokens]]\ntoken = \"0123456789abcdef\"\nuser = \"ada\"\n[[tokens]]\ntoken = \"fedcba9876543210\"\nuser = \"bob\"")
        .start();
    gateway.wait_until_ready();
    let connect = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [
            ("Sec-WebSocket-Protocol", "tasks.v1"),
            ("Authorization", &bearer),
        ];
        Socket::connect(gateway.port(), &headers).unwrap()
    };
    let mut ada = Session::greeted(connect("0123456789abcdef"));
    ada.send(&json!({"id": 1, "function": "sleep", "args": {"ms": 600_000}}));
    let failure = ada.call("echo", &json!(1)).unwrap_err();
    assert_eq!(failure.code, "overloaded");
    assert!(failure.message.starts_with("you may have 1"), "{failure:?}");
    assert_eq!(connect("0123456789abcdef").closed().0, 1013);
    let mut bob = Session::greeted(connect("fedcba9876543210"));
    assert_eq!(bob.call("echo", &json!(1)), Ok(json!(1)));
}

#[test]
fn mail_goes_out_and_its_sender_is_told() {
    let host = Setup::new().plugin(Plugin::Mail).start();
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("send_mail")
        .arg("--notify-text")
        .arg("task complete")
        .start();
    gateway.wait_until_ready();
    let mail = json!({"from": "me@example.org", "to": "you@example.org", "contents": "Hello"});
    let mut plain = gateway.plain();
    plain.send(&json!({"function": "send_mail", "args": mail}));
    assert_eq!(plain.text(), "task complete");
    let outbox = host.folder().join("outbox");
    assert_eq!(std::fs::read_dir(&outbox).unwrap().count(), 1);
    plain.send(&json!({"function": "send_mail", "args": {"to": 7}}));
    let failure = plain.recv();
    assert_eq!(failure["error"]["code"], "invalid_args", "{failure}");
    let mut session = gateway.session();
    let sent = session.call("send_mail", &mail).unwrap();
    assert_eq!(sent["transport"], "outbox");
    assert_eq!(std::fs::read_dir(&outbox).unwrap().count(), 2);
}
