//! Sockets as RFC 6455 has them, frame by frame.

use std::io::ErrorKind::WouldBlock;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{DEADLINE, Gateway, GatewaySetup, Host, Plugin, wait_until};

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A socket whose frames are made by hand.
struct Raw(TcpStream);

impl Raw {
    fn connect(gateway: &Gateway) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            gateway.port()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // The example of RFC 6455, section 1.3.
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        Self(stream)
    }

    fn frame(&mut self, is_last: bool, opcode: u8, payload: &[u8]) {
        self.0
            .write_all(&frame(is_last, opcode, payload, true))
            .unwrap();
    }

    /// The next frame: its opcode and what it holds.
    fn recv(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).unwrap();
        assert_eq!(head[0] & 0x70, 0, "no extension was agreed on");
        assert_eq!(head[1] & 0x80, 0, "servers don't mask");
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len).unwrap();
                usize::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.0.read_exact(&mut len).unwrap();
                usize::try_from(u64::from_be_bytes(len)).unwrap()
            }
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).unwrap();
        (head[0] & 15, payload)
    }

    fn json(&mut self) -> Value {
        let (opcode, payload) = self.recv();
        assert_eq!(opcode, TEXT);
        serde_json::from_slice(&payload).unwrap()
    }

    /// The code with which the gateway closes, after which nothing comes.
    fn expect_close(mut self, why: &str) -> u16 {
        loop {
            let (opcode, payload) = self.recv();
            if opcode == CLOSE {
                assert!(payload.len() >= 2, "{why}: no code");
                assert!(std::str::from_utf8(&payload[2..]).is_ok(), "{why}");
                let code = u16::from_be_bytes([payload[0], payload[1]]);
                self.frame(true, CLOSE, &payload[..2]);
                assert_eq!(self.rest(), b"", "{why}");
                return code;
            }
        }
    }

    /// What else comes before the end, which is no reset.
    fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        rest
    }
}

fn frame(is_last: bool, opcode: u8, payload: &[u8], masked: bool) -> Vec<u8> {
    let mut frame = vec![u8::from(is_last) << 7 | opcode];
    let mask = u8::from(masked) << 7;
    match payload.len() {
        len @ 0..=125 => frame.push(mask | u8::try_from(len).unwrap()),
        len @ 126..=0xffff => {
            frame.push(mask | 126);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(mask | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    if masked {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        frame.extend(key);
        frame.extend(
            payload
                .iter()
                .zip(key.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
    } else {
        frame.extend(payload);
    }
    frame
}

fn echo(value: &Value) -> Vec<u8> {
    json!({"function": "echo", "args": value})
        .to_string()
        .into_bytes()
}

#[test]
fn messages_come_in_any_pieces() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut raw = Raw::connect(&gateway);
    let text = echo(&json!("Grüße 🎉"));
    // In fragments that cut characters, with control frames between them.
    for (number, piece) in text.chunks(3).enumerate() {
        let is_last = (number + 1) * 3 >= text.len();
        let opcode = if number == 0 { TEXT } else { CONTINUATION };
        raw.frame(is_last, opcode, piece);
        if !is_last {
            raw.frame(true, PING, &[u8::try_from(number).unwrap()]);
            assert_eq!(raw.recv(), (PONG, vec![u8::try_from(number).unwrap()]));
        }
    }
    assert_eq!(raw.json()["result"], "Grüße 🎉");
    // A byte at a time.
    for byte in frame(true, TEXT, &text, true) {
        raw.0.write_all(&[byte]).unwrap();
    }
    assert_eq!(raw.json()["result"], "Grüße 🎉");
    // Many in one write, lengths of all three kinds.
    let mut bytes = Vec::new();
    let lens = [0, 1, 60, 100, 200, 60_000, 70_000, 1_000_000];
    for len in lens {
        bytes.extend(frame(true, TEXT, &echo(&json!("x".repeat(len))), true));
    }
    let mut writer = raw.0.try_clone().unwrap();
    std::thread::scope(|threads| {
        threads.spawn(move || writer.write_all(&bytes).unwrap());
        for len in lens {
            assert_eq!(raw.json()["result"].as_str().unwrap().len(), len);
        }
    });
    // An empty fragment, and an empty message, which is no request.
    raw.frame(false, TEXT, b"");
    raw.frame(true, CONTINUATION, &text);
    assert_eq!(raw.json()["result"], "Grüße 🎉");
    raw.frame(true, TEXT, b"");
    assert_eq!(raw.json()["error"]["code"], "bad_request");
}

#[test]
fn pings_are_answered_and_pongs_are_not() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut raw = Raw::connect(&gateway);
    for payload in [b"".to_vec(), b"x".to_vec(), vec![0xff; 125]] {
        raw.frame(true, PONG, &payload);
        raw.frame(true, PING, &payload);
        assert_eq!(raw.recv(), (PONG, payload));
    }
}

#[test]
fn frames_against_the_rules_end_the_connection_with_their_code() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let bare = |is_last, opcode, payload: &[u8]| frame(is_last, opcode, payload, true);
    let mut too_long = vec![0x81, 0x80 | 127];
    too_long.extend((1_u64 << 40).to_be_bytes());
    too_long.extend([0; 4]);
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", frame(true, TEXT, b"{}", false), 1002),
        ("reserved bit", vec![0xc1, 0x80, 0, 0, 0, 0], 1002),
        ("opcode 3", bare(true, 3, b""), 1002),
        ("opcode 11", bare(true, 11, b""), 1002),
        ("a ping in fragments", bare(false, PING, b""), 1002),
        ("a ping of 126 bytes", bare(true, PING, &[0; 126]), 1002),
        (
            "a continuation of nothing",
            bare(true, CONTINUATION, b"x"),
            1002,
        ),
        (
            "a text within a text",
            [bare(false, TEXT, b"x"), bare(true, TEXT, b"y")].concat(),
            1002,
        ),
        ("binary", bare(true, BINARY, b"{}"), 1003),
        ("no UTF-8", bare(true, TEXT, b"\"\xff\""), 1007),
        (
            "half a character",
            bare(true, TEXT, "ü".as_bytes().split_last().unwrap().1),
            1007,
        ),
        ("a surrogate", bare(true, TEXT, b"\xed\xa0\x80"), 1007),
        ("a length of a terabyte", too_long, 1009),
    ];
    for (why, bytes, code) in cases {
        let mut raw = Raw::connect(&gateway);
        raw.0.write_all(&bytes).unwrap();
        assert_eq!(raw.expect_close(why), code, "{why}");
    }
    Raw::connect(&gateway).frame(true, PING, b"");
}

#[test]
fn a_close_is_answered_with_a_close() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    for payload in [
        b"".to_vec(),
        1000_u16.to_be_bytes().to_vec(),
        [&3000_u16.to_be_bytes()[..], "tschüß".as_bytes()].concat(),
    ] {
        let mut raw = Raw::connect(&gateway);
        raw.frame(true, CLOSE, &payload);
        let (opcode, answer) = raw.recv();
        assert_eq!(opcode, CLOSE);
        assert!(
            answer.is_empty() || answer[..2] == payload[..2],
            "{answer:?}"
        );
        assert_eq!(raw.rest(), b"");
    }
    for payload in [
        vec![3],
        1005_u16.to_be_bytes().to_vec(),
        999_u16.to_be_bytes().to_vec(),
    ] {
        let mut raw = Raw::connect(&gateway);
        raw.frame(true, CLOSE, &payload);
        let (opcode, answer) = raw.recv();
        assert_eq!(opcode, CLOSE);
        assert_eq!(answer[..2], 1002_u16.to_be_bytes(), "{payload:?}");
    }
}

#[test]
fn a_socket_that_breaks_harms_nobody() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut bystander = gateway.session();
    for cut in 0..40 {
        let mut raw = Raw::connect(&gateway);
        let bytes = frame(true, TEXT, &echo(&json!("x")), true);
        raw.0.write_all(&bytes[..cut.min(bytes.len())]).unwrap();
    }
    bystander.call("echo", &json!(1)).unwrap();
    wait_until("their connections to be gone", || {
        // The bystander's, and the one that asks.
        gateway.metric("gateway_connections") == 2.0
    });
}

#[test]
fn who_is_in_the_middle_of_a_message_hears_why_it_is_refused() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut raw = Raw::connect(&gateway);
    raw.frame(true, TEXT, &vec![b'x'; 20 << 20]);
    assert_eq!(raw.expect_close("too long"), 1009);
}

#[test]
fn the_connection_stays_whole_until_the_client_has_closed_the_socket_too() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = Gateway::to(&host);
    let mut raw = Raw::connect(&gateway);
    let message = frame(true, TEXT, &vec![b'x'; 20 << 20], true);
    let (first, rest) = message.split_at(1000);
    raw.0.write_all(first).unwrap();
    let (opcode, reason) = raw.recv();
    assert_eq!((opcode, &reason[..2]), (CLOSE, &1009_u16.to_be_bytes()[..]));
    // Only now does it send the rest, which is more than the kernel holds: when all is written, the gateway has read.
    raw.0.write_all(rest).unwrap();
    raw.0.set_nonblocking(true).unwrap();
    let end = raw.0.peek(&mut [0]);
    assert_eq!(end.map_err(|error| error.kind()), Err(WouldBlock));
    raw.0.set_nonblocking(false).unwrap();
    raw.frame(true, CLOSE, &reason[..2]);
    assert_eq!(raw.rest(), b"");
}

#[test]
fn messages_that_are_not_whole_are_bounded_together() {
    const LEN: usize = 6 << 20;
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[limits]\nrequests_len_max = \"9MiB\"")
        .start();
    gateway.wait_until_ready();
    let text = echo(&json!("x".repeat(LEN)));
    let (most, rest) = text.split_at(LEN);
    let mut first = Raw::connect(&gateway);
    first.frame(false, TEXT, most);
    // In the middle of it, which doesn't end it.
    first.frame(true, PING, b"");
    assert_eq!(first.recv().0, PONG);
    let mut second = Raw::connect(&gateway);
    second.frame(false, TEXT, most);
    assert_eq!(second.expect_close("too much"), 1013);
    // What is not taken of it is more than the kernel holds, and its sender hears why all the same.
    let long = json!({"function": "echo", "args": "x".repeat(8_000_000)});
    let (status, answer) = gateway.post(&long);
    assert_eq!(
        (status, &answer["error"]["code"]),
        (429, &json!("overloaded"))
    );
    first.frame(true, CONTINUATION, rest);
    assert_eq!(first.json()["result"].as_str().unwrap().len(), LEN);
    drop(first);
    for _ in 0..3 {
        let mut third = Raw::connect(&gateway);
        third.frame(true, TEXT, &text);
        assert_eq!(third.json()["ok"], true);
        third.frame(false, TEXT, most);
        third.frame(true, PING, b"");
        assert_eq!(third.recv().0, PONG);
        drop(third);
        wait_until("the gateway to see that it is gone", || {
            gateway.metric("gateway_connections") == 1.0
        });
    }
}

#[test]
fn who_has_not_said_who_it_is_says_little_else() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .config("[[tokens]]\ntoken = \"0123456789abcdef\"\nuser = \"ada\"")
        .start();
    let mut raw = Raw::connect(&gateway);
    raw.frame(true, TEXT, &vec![b'x'; 1 << 20]);
    assert_eq!(raw.expect_close("no token"), 4401);
}

#[test]
fn who_answers_no_ping_is_gone() {
    let host = Host::with(&[Plugin::Good]);
    let gateway = GatewaySetup::new()
        .host(&host)
        .allow("*")
        .config("[heartbeat]\ninterval = \"100ms\"\nmissed_max = 2")
        .start();
    gateway.wait_until_ready();
    let silent = Raw::connect(&gateway);
    silent
        .0
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    assert_eq!(silent.expect_close("silence"), 4414);
}
