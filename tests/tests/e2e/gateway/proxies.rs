//! Behind a reverse proxy, whose requests are made by hand, as its documentation has them.

use std::io::{Read, Write};
use std::net::TcpStream;

use tests::{DEADLINE, Gateway, GatewaySetup, Host, Plugin};

const TOKEN: &str = "0123456789abcdef";

/// What a proxy adds to a request for a WebSocket, and to any other.
type Added = [&'static str; 2];

/// As it documents and does it: the scheme of a WebSocket is one of its own.
const TRAEFIK: Added = [
    "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: own.example\r\nX-Forwarded-Port: 443\r\n\
     X-Forwarded-Proto: wss\r\nX-Forwarded-Server: 4d3b0d2a1b6e\r\nX-Real-Ip: 203.0.113.7\r\n",
    "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: own.example\r\nX-Forwarded-Port: 443\r\n\
     X-Forwarded-Proto: https\r\nX-Forwarded-Server: 4d3b0d2a1b6e\r\nX-Real-Ip: 203.0.113.7\r\n",
];

/// By the lines of `docs/GATEWAY.md`, with which Caddy and `HAProxy` agree.
const NGINX: Added = ["X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n"; 2];

/// The same where its `Host` has no port.
const NGINX_WITH_PORT: Added =
    ["X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 18443\r\n"; 2];

/// Asks as a page of that origin does, for a WebSocket and for a task.
#[track_caller]
fn ask(gateway: &Gateway, added: Added, host: &str, origin: &str) -> [u16; 2] {
    let [socket, task] = added.map(|added| format!("Host: {host}\r\nOrigin: {origin}\r\n{added}"));
    let body = r#"{"function":"echo"}"#;
    [
        format!(
            "GET /ws HTTP/1.1\r\n{socket}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: tasks.v1\r\n\r\n"
        ),
        format!(
            "POST /tasks HTTP/1.1\r\n{task}Authorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    ]
    .map(|request| status(gateway, &request))
}

#[track_caller]
fn status(gateway: &Gateway, request: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut start = [0; "HTTP/1.1 200".len()];
    stream.read_exact(&mut start).unwrap();
    let start = str::from_utf8(&start).unwrap();
    start.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap()
}

fn behind_a_proxy(host: &Host, trusted: &str) -> Gateway {
    let gateway = GatewaySetup::new()
        .host(host)
        .config(&format!(
            "allow = [\"echo\"]\ntrusted_proxies = [{trusted}]\n[[tokens]]\ntoken = \"{TOKEN}\"\nuser = \"ada\""
        ))
        .start();
    gateway.wait_until_ready();
    gateway
}

#[test]
fn a_page_that_came_by_a_proxy_is_of_the_gateways_own_origin() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = behind_a_proxy(&host, "\"127.0.0.1\"");
    #[rustfmt::skip]
    let cases = [
        (TRAEFIK, "own.example", "https://own.example", true),
        (TRAEFIK, "own.example", "http://own.example", false),
        (TRAEFIK, "own.example", "https://evil.example", false),
        (NGINX, "own.example:18443", "https://own.example:18443", true),
        (NGINX, "own.example:18443", "https://own.example", false),
        (NGINX, "own.example:443", "https://own.example", true),
        (NGINX, "Own.Example", "https://own.example", true),
        (NGINX, "own.example", "https://own.example.evil.example", false),
        (NGINX_WITH_PORT, "own.example", "https://own.example:18443", true),
        (NGINX_WITH_PORT, "own.example", "https://own.example:18444", false),
    ];
    for (added, host, origin, is_own) in cases {
        let expected = if is_own { [101, 200] } else { [403, 403] };
        assert_eq!(
            ask(&gateway, added, host, origin),
            expected,
            "{origin} asks {host}: {added:?}"
        );
    }
}

#[test]
fn who_is_no_trusted_proxy_is_not_believed() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = behind_a_proxy(&host, "");
    for added in [TRAEFIK, NGINX] {
        assert_eq!(
            ask(&gateway, added, "own.example", "https://own.example"),
            [403, 403],
            "{added:?}"
        );
    }
}
