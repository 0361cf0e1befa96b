//! Without a WebSocket.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{DEADLINE, Gateway, GatewaySetup, Host, Plugin};

#[test]
fn a_posted_task_is_answered() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let request = json!({"function": "echo", "args": {"ü": 1}, "id": "x"});
    let answer = json!({"id": "x", "ok": true, "result": {"ü": 1}});
    assert_eq!(gateway.post(&request), (200, answer));
}

#[test]
fn failures_have_their_status() {
    let host = Host::with(&[Plugin::Good, Plugin::Evil]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[limits]\nmessage_len_max = \"2KiB\"")
        .start();
    gateway.wait_until_ready();
    for (request, status, code) in [
        (json!({"function": "nobody"}), 404, "unknown_function"),
        (json!({"function": "host.plugins"}), 404, "unknown_function"),
        (json!({"function": 7}), 400, "bad_request"),
        (
            json!({"function": "sleep", "args": {"ms": "soon"}}),
            422,
            "invalid_args",
        ),
        (
            json!({"function": "fail", "args": {"kind": "a", "message": "b"}}),
            500,
            "handler_failed",
        ),
        (
            json!({"function": "sleep", "args": {"ms": 60_000}, "timeout_ms": 50}),
            504,
            "timeout",
        ),
        (json!({"function": "abort"}), 502, "worker_crashed"),
        (
            json!({"function": "echo", "args": "x".repeat(3000)}),
            413,
            "too_large",
        ),
    ] {
        let (got, answer) = gateway.post(&request);
        assert_eq!(
            (got, &answer["error"]["code"]),
            (status, &json!(code)),
            "{request}: {answer}"
        );
        assert_eq!(answer["ok"], false);
    }
}

#[test]
fn progress_streams_as_events() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let request = json!({"id": "p", "function": "progress", "args": {"steps": 4}}).to_string();
    let json_type = ("Content-Type", "application/json");
    for (path, accept) in [("/tasks?stream=1", "*/*"), ("/tasks", "text/event-stream")] {
        let headers = [json_type, ("Accept", accept)];
        let (status, body) = gateway.request("POST", path, &headers, request.as_bytes());
        assert_eq!(status, 200);
        let events: Vec<(&str, Value)> = body
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("event: ")?.split_once("\ndata: "))
            .map(|(name, data)| (name, serde_json::from_str(data).unwrap()))
            .collect();
        let (last, progress) = events.split_last().unwrap();
        assert_eq!((last.0, &last.1["ok"]), ("result", &json!(true)), "{body}");
        assert!(
            progress
                .iter()
                .all(|(name, data)| *name == "progress" && data["id"] == "p"),
            "{body}"
        );
        assert_eq!(progress.last().unwrap().1["done"], 4, "{body}");
    }
    // What the host refuses ends the stream; what the gateway does never begins one.
    let stream = |function: &str| {
        let request = json!({"function": function}).to_string();
        gateway.request("POST", "/tasks?stream=1", &[json_type], request.as_bytes())
    };
    let (status, body) = stream("nobody");
    assert_eq!(status, 200);
    assert!(
        body.starts_with("event: error\ndata: ") && body.contains("unknown_function"),
        "{body}"
    );
    assert_eq!(stream("host.plugins").0, 404);
}

#[test]
fn what_is_no_request_gets_an_answer_that_helps() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let request = |method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        gateway.request(method, path, headers, body)
    };
    let json_type = [("Content-Type", "application/json")];
    assert_eq!(request("POST", "/tasks", &[], b"{}").0, 415);
    assert_eq!(request("POST", "/tasks", &json_type, b"").0, 400);
    assert_eq!(request("POST", "/tasks", &json_type, b"{\xff}").0, 400);
    assert_eq!(request("GET", "/tasks", &[], b"").0, 405);
    assert_eq!(request("DELETE", "/tasks", &[], b"").0, 405);
    assert_eq!(request("GET", "/nothing", &[], b"").0, 404);
    assert_eq!(request("GET", "/ws", &[], b"").0, 426);
    assert_eq!(request("GET", "/../../etc/passwd", &[], b"").0, 404);
}

#[test]
fn pages_for_operators() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    assert_eq!(gateway.get("/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(gateway.get("/readyz"), (200, "ready\n".to_owned()));
    let _session = gateway.session();
    assert_eq!(gateway.metric("gateway_sessions_attached"), 1.0);
    // Somebody elsewhere, whose proxy is on this machine.
    let (status, _) = gateway.request(
        "GET",
        "/metrics",
        &[("X-Forwarded-For", "203.0.113.7")],
        b"",
    );
    assert_eq!(status, 403);
    let nobody = GatewaySetup::new().host_at(1).start();
    tests::wait_until("the reason to be known", || {
        let (status, why) = nobody.get("/readyz");
        assert_eq!(status, 503);
        why.contains("127.0.0.1:1") && why.contains("refused")
    });
}

#[test]
fn the_functions_describe_themselves() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new().host(&host).allow("s*").start();
    gateway.wait_until_ready();
    tests::wait_until("the functions to be known", || {
        gateway.get("/functions.json").1.contains("sleep")
    });
    let functions: Value = serde_json::from_str(&gateway.get("/functions.json").1).unwrap();
    let names: Vec<_> = functions["functions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|function| function["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["sleep"]);
    let (status, document) = gateway.get("/openapi.json");
    assert_eq!(status, 200);
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert_eq!(
        schemas["sleep.request"]["properties"]["function"]["const"],
        "sleep"
    );
    // Whatever is referred to is there.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let path = reference.split('"').next().unwrap();
        assert!(document.pointer(path).is_some(), "{path}");
    }
}

/// A connection on which the gateway has answered a request, and may be asked again.
fn asked_once(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    ask(&mut stream);
    stream
}

fn ask(stream: &mut TcpStream) {
    stream
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nalive\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.extend(byte);
    }
}

#[test]
fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let gateway = GatewaySetup::new()
        .host_at(1)
        .config("[limits]\nheader_timeout = \"200ms\"\nidle_timeout = \"60s\"")
        .start();
    let mut stream = asked_once(&gateway);
    // Far longer than a head may take, nothing comes: not the end either.
    stream
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let silence = stream.read(&mut [0]).unwrap_err().kind();
    assert!([ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&silence));
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    ask(&mut stream);
    // A head that has begun has less time, also after others; and one that never begins.
    stream.write_all(b"GET /healthz HT").unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    let mut silent = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
    silent.set_read_timeout(Some(DEADLINE)).unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn a_connection_that_is_idle_for_too_long_is_closed() {
    let gateway = GatewaySetup::new()
        .host_at(1)
        .config("[limits]\nheader_timeout = \"60s\"\nidle_timeout = \"200ms\"")
        .start();
    assert_eq!(asked_once(&gateway).read(&mut [0]).unwrap(), 0);
}
