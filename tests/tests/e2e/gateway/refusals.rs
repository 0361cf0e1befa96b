//! What is refused, and how: early, in words that arrive, and as the standards have it.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use tests::{DEADLINE, Gateway, GatewaySetup, Host, Plugin, node, run, venv_python};

const TOKEN: &str = "0123456789abcdef";
const JSON: (&str, &str) = ("Content-Type", "application/json");

fn with_token(host: &Host) -> Gateway {
    let gateway = GatewaySetup::new()
        .host(host)
        .config(&format!(
            "allow = [\"echo\"]\norigins = [\"https://app.example\"]\n[[tokens]]\ntoken = \"{TOKEN}\"\nuser = \"ada\""
        ))
        .start();
    gateway.wait_until_ready();
    gateway
}

/// Posts 7 MiB, which no kernel takes at once, four times on one connection where it stays open; prints each status.
const PYTHON: &str = r#"
import http.client, sys
port, token = int(sys.argv[1]), sys.argv[2]
body = b'"' + b"x" * (7 << 20) + b'"'
auth, kind = {"Authorization": "Bearer " + token}, {"Content-Type": "application/json"}
for path, headers in [("/tasks", kind), ("/nothing", auth | kind), ("/healthz", auth), ("/tasks", auth),
                      ("/tasks", auth | kind | {"Origin": "https://evil.example"}),
                      ("/tasks", auth | kind | {"Content-Encoding": "gzip"}), ("/tasks", auth | kind)]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for body_of in (lambda: body, lambda: iter([body[:1 << 20]] * 7)):
        connection.request("POST", path, body_of(), headers)
        answer = connection.getresponse()
        answer.read()
        print(answer.status, end=" ")
"#;

const NODE: &str = r"
const [port, token] = process.argv.slice(1);
const body = 'x'.repeat(7 << 20);
const auth = { authorization: `Bearer ${token}` }, kind = { 'content-type': 'application/json' };
for (const [path, headers] of [['/tasks', kind], ['/nothing', { ...auth, ...kind }], ['/healthz', auth], ['/tasks', auth]]) {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers, body });
  await answer.text();
  process.stdout.write(`${answer.status} `);
}";

#[test]
fn whoever_sends_much_sees_why_it_is_refused() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = with_token(&host);
    let port = gateway.port().to_string();
    let mut python = venv_python();
    let python = run(python.args(["-c", PYTHON, &port, TOKEN]));
    let expected = "401 401 404 404 405 405 415 415 403 403 415 415 400 400 ";
    assert_eq!(python.output(), expected, "Python");
    let mut script = node();
    let node = run(script.args(["--input-type=module", "-e", NODE, &port, TOKEN]));
    assert_eq!(node.output(), "401 404 405 415 ", "Node");
}

#[test]
fn who_asks_before_it_sends_is_refused_before_it_sends() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = with_token(&host);
    let ask = |headers: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!(
            "POST /tasks HTTP/1.1\r\nHost: own.example\r\nExpect: 100-continue\r\n{headers}\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    };
    for (headers, status) in [
        (
            "Content-Length: 20\r\nContent-Type: application/json\r\n".to_owned(),
            "401",
        ),
        (
            format!("Content-Length: 20\r\nAuthorization: Bearer {TOKEN}\r\n"),
            "415",
        ),
        (
            format!(
                "Content-Length: 99000000\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n"
            ),
            "413",
        ),
    ] {
        let mut answer = String::new();
        // To the end of the connection: nothing but the refusal comes.
        ask(&headers).read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        assert!(
            answer.to_lowercase().contains("\r\nconnection: close\r\n"),
            "{answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    }
    let body = r#"{"function":"echo","args":7}"#;
    let mut stream = ask(&format!(
        "Content-Length: {}\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\nConnection: close\r\n",
        body.len()
    ));
    let mut asked = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[test]
fn each_path_says_what_it_takes() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    for (method, path, allow) in [
        ("GET", "/tasks", "POST, OPTIONS"),
        ("HEAD", "/tasks", "POST, OPTIONS"),
        ("PUT", "/tasks", "POST, OPTIONS"),
        ("POST", "/ws", "GET, HEAD, OPTIONS"),
        ("DELETE", "/healthz", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("POST", "/client.js", "GET, HEAD, OPTIONS"),
        ("PATCH", "/metrics", "GET, HEAD, OPTIONS"),
    ] {
        let answer = gateway.answer(method, path, &[], b"");
        assert_eq!(
            (answer.status, answer.header("Allow")),
            (405, Some(allow)),
            "{method} {path}"
        );
    }
    let asked = gateway.answer("OPTIONS", "/tasks", &[], b"");
    assert_eq!(
        (asked.status, asked.header("Allow")),
        (204, Some("POST, OPTIONS"))
    );
}

#[test]
fn a_request_names_one_host() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    for (request, status) in [
        // RFC 9112, section 3.2.
        (
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
            400,
        ),
        (
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n",
            400,
        ),
        ("GET /healthz HTTP/1.1\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: local host\r\n", 400),
        ("GET /healthz HTTP/1.1\r\nHost: a@localhost\r\n", 400),
        ("GET /healthz HTTP/1.0\r\n", 200),
        ("GET /healthz HTTP/1.1\r\nHost: localhost\r\n", 200),
        // Section 3.2.2: what the target names counts.
        (
            "GET http://localhost/healthz HTTP/1.1\r\nHost: evil.example\r\n",
            200,
        ),
        (
            "GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n",
            403,
        ),
    ] {
        let answer = gateway.answer_to(&format!("{request}Connection: close\r\n\r\n"));
        assert_eq!(answer.status, status, "{request}: {}", answer.body);
    }
}

#[test]
fn a_handshake_is_as_rfc_6455_has_it() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let version = "Sec-WebSocket-Version: 13\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    for (line, headers, status) in [
        ("HEAD /ws HTTP/1.1", format!("{upgrade}{version}{key}"), 400),
        ("GET /ws HTTP/1.0", format!("{upgrade}{version}{key}"), 400),
        (
            "GET /ws HTTP/1.1",
            format!("Connection: close\r\nUpgrade: websocket\r\n{version}{key}"),
            400,
        ),
        ("GET /ws HTTP/1.1", format!("{upgrade}{key}"), 400),
        ("GET /ws HTTP/1.1", format!("{upgrade}{version}"), 400),
        (
            "GET /ws HTTP/1.1",
            format!("{upgrade}{version}{key}{key}"),
            400,
        ),
        (
            "GET /ws HTTP/1.1",
            format!("{upgrade}{version}Sec-WebSocket-Key: dG9vIHNob3J0\r\n"),
            400,
        ),
        (
            "GET /ws HTTP/1.1",
            format!(
                "{upgrade}{version}Sec-WebSocket-Key: {}\r\n",
                "!".repeat(24)
            ),
            400,
        ),
        (
            "GET /ws HTTP/1.1",
            format!("{upgrade}Sec-WebSocket-Version: 8\r\n{key}"),
            426,
        ),
        ("GET /ws HTTP/1.1", "Connection: close\r\n".to_owned(), 426),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!("{line}\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut start = [0; "HTTP/1.1 101".len()];
        stream.read_exact(&mut start).unwrap();
        let told = str::from_utf8(&start).unwrap();
        assert!(told.ends_with(&status.to_string()), "{request}{told}");
    }
    let answer = gateway.answer("GET", "/ws", &[], b"");
    assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
    assert_eq!(answer.header("Upgrade"), Some("websocket"));
}

#[test]
fn pages_of_listed_origins_can_read_whatever_they_are_told() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = with_token(&host);
    let origin = ("Origin", "https://app.example");
    let bearer = format!("Bearer {TOKEN}");
    let auth = ("Authorization", bearer.as_str());
    for (method, path, headers, status) in [
        ("GET", "/functions.json", vec![], 401),
        ("GET", "/openapi.json", vec![], 401),
        ("POST", "/tasks", vec![], 401),
        ("POST", "/tasks", vec![auth], 415),
        ("POST", "/tasks", vec![auth, JSON], 400),
        ("GET", "/tasks", vec![], 405),
        ("GET", "/nothing", vec![], 404),
        ("GET", "/ws", vec![], 426),
        ("GET", "/healthz", vec![], 200),
        ("OPTIONS", "/tasks", vec![], 204),
        ("OPTIONS", "/functions.json", vec![], 204),
        ("GET", "/functions.json", vec![auth], 200),
    ] {
        let headers = [&[origin][..], &headers].concat();
        let answer = gateway.answer(method, path, &headers, b"");
        assert_eq!(answer.status, status, "{method} {path}");
        let allowed = answer.header("Access-Control-Allow-Origin");
        assert_eq!(allowed, Some(origin.1), "{method} {path}");
        let exposed = answer.header("Access-Control-Expose-Headers").unwrap();
        assert!(
            exposed.contains("retry-after"),
            "{method} {path}: {exposed}"
        );
        assert_eq!(answer.header("Vary"), Some("origin"), "{method} {path}");
        let elsewhere = [("Origin", "https://evil.example")];
        let answer = gateway.answer(method, path, &elsewhere, b"");
        let allowed = answer.header("Access-Control-Allow-Origin");
        assert_eq!((answer.status, allowed), (403, None), "{method} {path}");
    }
    // A page elsewhere may import it.
    let library = gateway.answer(
        "GET",
        "/client.js",
        &[("Origin", "https://evil.example")],
        b"",
    );
    let allowed = library.header("Access-Control-Allow-Origin");
    assert_eq!((library.status, allowed), (200, Some("*")));
}

#[test]
fn no_path_answers_under_a_name_that_is_not_its_own() {
    let host = Host::with(&[Plugin::Good]);
    let open = Gateway::to(&host);
    for path in [
        "/",
        "/client.js",
        "/functions.json",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/metrics",
        "/ws",
        "/nothing",
    ] {
        let status = open
            .answer("GET", path, &[("Host", "evil.example")], b"")
            .status;
        assert_eq!(status, 403, "{path}");
    }
    // With authentication, names are the operator's; what is for this machine still is.
    let closed = with_token(&host);
    let asked = |path| {
        closed
            .answer("GET", path, &[("Host", "evil.example")], b"")
            .status
    };
    assert_eq!((asked("/healthz"), asked("/metrics")), (200, 403));
    assert_eq!(closed.get("/metrics").0, 200);
}

#[test]
fn what_is_not_plain_json_is_told_what_to_send() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let post = |headers: &[(&str, &str)], body: &[u8]| {
        gateway.answer("POST", "/tasks", &[&[JSON][..], headers].concat(), body)
    };
    let zipped = post(&[("Content-Encoding", "gzip")], b"\x1f\x8b\x08\x00");
    assert_eq!(
        (zipped.status, zipped.header("Accept-Encoding")),
        (415, Some("identity"))
    );
    assert!(zipped.body.contains("Content-Encoding"), "{}", zipped.body);
    let plain = post(
        &[("Content-Encoding", "identity")],
        br#"{"function":"echo"}"#,
    );
    assert_eq!(plain.status, 200);
    // As PowerShell and some editors write it.
    let marked = post(&[], b"\xef\xbb\xbf{\"function\":\"echo\",\"args\":7}");
    assert_eq!(
        (marked.status, marked.body.contains("\"result\":7")),
        (200, true)
    );
    let empty = post(&[], b"");
    assert!(
        !empty.body.contains("host."),
        "it can't be called here: {}",
        empty.body
    );
}

#[test]
fn progress_carries_no_id_that_nobody_gave() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let request = json!({"function": "progress", "args": {"steps": 2, "ms": 20}}).to_string();
    let (status, body) = gateway.request("POST", "/tasks?stream=1", &[JSON], request.as_bytes());
    assert_eq!(status, 200);
    assert!(
        body.contains("event: progress\ndata: {\"event\":\"progress\",\"done\":"),
        "{body}"
    );
    assert!(!body.contains("\"id\""), "{body}");
}
