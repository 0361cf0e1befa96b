//! What must hold of a connection whatever a client sends over it: for the fuzzers of `tests/fuzz`, and for a few streams
//! in every test.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::peer::Peer;
use super::{Site, accept};

/// What nobody who sends something else may see.
pub(crate) const TOKEN: &str = "this-is-a-token-that-nobody-finds";
/// What a connection holds on its way in each direction, in bytes.
const BUFFER_LEN: usize = 4096;
/// When a connection whose client has said all still has not ended.
const DEADLINE: Duration = Duration::from_secs(9);

/// Sends all but the first byte, and then nothing more: the connection ends, all that came back is HTTP, and nobody
/// without a token learns what may be called or becomes a client. The first byte says how the client is connected.
pub(crate) fn requests(runtime: &Runtime, site: &Arc<Site>, data: &[u8]) {
    let Some((how, stream)) = data.split_first() else {
        return;
    };
    let answer = runtime.block_on(async {
        let permit = site.gateway.caps.connect(None).expect("there is room");
        let peer = Arc::new(Peer {
            address: "127.0.0.1:4711".parse().expect("it is an address"),
            is_tls: how & 1 != 0,
            is_proxy: how & 2 != 0,
            permit: Mutex::new(Some(permit)),
        });
        let (client, server) = duplex(BUFFER_LEN);
        let serving = tokio::spawn(accept::serve(Arc::clone(site), server, peer));
        let (mut receiver, mut sender) = split(client);
        let mut answer = Vec::new();
        let said = async {
            // The gateway may have closed before all was said.
            drop(sender.write_all(stream).await);
            drop(sender.shutdown().await);
        };
        let both = async { tokio::join!(said, receiver.read_to_end(&mut answer)) };
        let (_, read) = timeout(DEADLINE, both).await.expect("a connection ends");
        read.expect("a pipe in memory can be read");
        serving.await.expect("nothing panics");
        answer
    });
    check(stream, &answer);
}

fn check(stream: &[u8], answer: &[u8]) {
    let told = String::from_utf8_lossy(answer);
    assert!(
        answer.is_empty() || told.starts_with("HTTP/1.1 ") || told.starts_with("HTTP/1.0 "),
        "no HTTP: {told}"
    );
    let has_token = stream
        .windows(TOKEN.len())
        .any(|part| part == TOKEN.as_bytes());
    if !has_token {
        for secret in ["\"functions\"", "\"openapi\"", "\"hello\"", "\"result\""] {
            assert!(!told.contains(secret), "{secret} without a token: {told}");
        }
    }
    assert!(!told.contains(TOKEN), "a token is told: {told}");
}

/// Requests of all kinds, with a token and without.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let authorized = format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tasks.v1\r\n";
    let task = r#"{"id":1,"function":"echo","args":{}}"#;
    let length = task.len();
    let heads = [
        format!("GET /functions.json HTTP/1.1\r\n{authorized}\r\n"),
        format!("POST /tasks HTTP/1.1\r\n{authorized}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{task}"),
        format!("POST /tasks HTTP/1.1\r\n{authorized}Accept: text/event-stream\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n24\r\n{task}\r\n0\r\n\r\n"),
        "OPTIONS /tasks HTTP/1.1\r\nHost: localhost\r\nOrigin: https://a.example.com\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n".to_owned(),
        "GET /metrics HTTP/1.1\r\nHost: [::1]:8080\r\nX-Forwarded-For: 203.0.113.7, 127.0.0.1\r\nX-Forwarded-Proto: wss\r\nX-Forwarded-Port: 443\r\n\r\n".to_owned(),
        format!("GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nCookie: a=b; session={TOKEN}\r\n\r\n"),
    ];
    let mut seeds: Vec<Vec<u8>> = heads
        .iter()
        .map(|head| [b"\0", head.as_bytes()].concat())
        .collect();
    // A text, a ping, a close; masked by zeros, so that what is in them can be read.
    let frame = |kind: u8, payload: &[u8]| {
        let length = u8::try_from(payload.len()).expect("it is short");
        [&[0x80 | kind, 0x80 | length, 0, 0, 0, 0], payload].concat()
    };
    let frames = [
        frame(1, task.as_bytes()),
        frame(1, br#"{"cancel":1,"seen":1}"#),
        frame(9, b"x"),
        frame(8, &1000_u16.to_be_bytes()),
    ]
    .concat();
    let handshake = format!("\u{2}GET /ws HTTP/1.1\r\n{authorized}{upgrade}\r\n");
    seeds.push([handshake.as_bytes(), &frames].concat());
    let handshake =
        format!("\u{1}GET /ws?token=follows HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n");
    let token = frame(1, format!("{{\"token\":\"{TOKEN}\"}}").as_bytes());
    seeds.push([handshake.as_bytes(), &token, &frames].concat());
    seeds
}
