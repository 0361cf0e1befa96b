//! Those who have not shown who they are: they are bounded, learn nothing, and cost others nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, DEADLINE, Host, raise_open_files_limit, wait_until};

use super::{Config, TLS, WEB, certify, port_of, web};

fn host(head: &str) -> Host {
    let listen =
        "[\"127.0.0.1:0\", \"tls://127.0.0.1:0\", { address = \"127.0.0.1:0\", guests = true }]";
    let setup = Config::new(listen)
        .and(TLS)
        .and(head)
        .client("web", &web(&[WEB]))
        .setup();
    certify(setup.folder());
    setup.start()
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// All that comes until the host closes, however it does.
fn heard(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(len) = stream.read(&mut chunk)
        && len > 0
    {
        all.extend_from_slice(&chunk[..len]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[track_caller]
fn expect_unauthorized(heard: &str, texts: &[&str]) {
    let reply: Value =
        serde_json::from_str(heard).unwrap_or_else(|_| panic!("one line, not {heard:?}"));
    assert_eq!(reply["error"]["code"], "unauthorized", "{heard}");
    for text in texts {
        assert!(heard.contains(text), "{heard}");
    }
}

#[test]
fn a_thousand_that_say_nothing_keep_nobody_out() {
    raise_open_files_limit(4096);
    let host = host("[limits]\nstrangers_max = 100");
    let silent: Vec<TcpStream> = (0..1000).map(|_| connect(host.port())).collect();
    let mut guest = Client::connect(port_of(&host.addresses(3)[2]));
    wait_until("the first of them to be closed", || {
        let status = guest.status();
        status["connections"].as_u64() <= Some(101)
    });
    let mut known = host.client();
    known.result("host.hello", json!({"token": WEB}));
    assert_eq!(known.result("echo", json!(1)), 1);
    // Those who are left have so long to say something.
    for stream in silent {
        assert_eq!(heard(stream), "");
    }
    wait_until("all of them to be gone", || {
        guest.status()["connections"] == 2
    });
    known.ping();
    host.wait_for_log(&["a client was not let in", "within 5s"]);
}

#[test]
fn what_they_say_is_bounded_and_answered_alike() {
    let host = host("");
    let port = host.port();
    let said = |bytes: &[u8]| {
        let mut stream = connect(port);
        stream.write_all(bytes).unwrap();
        heard(stream)
    };
    let first_lines: [&[u8]; 9] = [
        b"\n",
        b"hello\n",
        b"{\"function\":\"host.hello\",\"args\":{\"token\":\"wrong\"}}\n",
        b"{\"function\":\"host.hello\"}\n",
        b"{\"function\":\"echo\"}\n{\"function\":\"echo\"}\n",
        b"{\"function\":\"\xff\"}\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n{\"function\":\"echo\"}\n",
        b"\x16\x03\x01",
        &[b' '; 5000],
    ];
    let answers: Vec<String> = first_lines.iter().map(|bytes| said(bytes)).collect();
    for answer in &answers {
        expect_unauthorized(answer, &["host.hello"]);
        assert_eq!(answer, &answers[0], "nothing is told of what is wrong");
    }
    // A line that is as long as it may be, with a token, is one.
    let mut client = host.client();
    let mut line = format!("{{\"function\":\"host.hello\",\"args\":{{\"token\":\"{WEB}\"}}}}");
    line.extend(std::iter::repeat_n(' ', 4095 - line.len()));
    client.send_line(&line);
    client.reply().outcome.unwrap();
    // What follows it at once is not lost, and may be as long as lines are.
    let mut client = host.client();
    let hello = format!("{{\"function\":\"host.hello\",\"args\":{{\"token\":\"{WEB}\"}}}}\n");
    let text = "x".repeat(100_000);
    client.send_bytes(
        format!(
            "{hello}{}\n",
            json!({"id": 1, "function": "echo", "args": text})
        )
        .as_bytes(),
    );
    client.reply().outcome.unwrap();
    assert_eq!(client.reply().outcome.unwrap(), json!(text));
}

#[test]
fn who_speaks_slowly_is_closed_and_holds_nobody_up() {
    let host = host("");
    let addresses = host.addresses(3);
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let mut slow = Vec::new();
    for (address, bytes) in [
        (&addresses[1], &hello[..]),
        (&addresses[1], &[]),
        (&addresses[0], b"{\"function\":"),
    ] {
        let mut stream = connect(port_of(address));
        stream.write_all(bytes).unwrap();
        slow.push(stream);
    }
    let mut client = host.client();
    client.result("host.hello", json!({"token": WEB}));
    client.ping();
    for stream in slow {
        assert_eq!(heard(stream), "");
    }
    client.ping();
}

#[test]
fn who_speaks_no_tls_where_it_is_spoken_is_told_so() {
    let host = host("");
    let tls = port_of(&host.addresses(3)[1]);
    for bytes in [
        &b"{\"function\":\"host.ping\"}\n"[..],
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let mut stream = connect(tls);
        stream.write_all(bytes).unwrap();
        expect_unauthorized(&heard(stream), &["tls://"]);
    }
    // What only begins like it gets no line.
    let mut stream = connect(tls);
    stream
        .write_all(b"\x16\x03\x01\x00\x04\x02\x00\x00\x00")
        .unwrap();
    let alert = heard(stream);
    assert!(!alert.contains('{'), "{alert:?}");
    // The reverse, where nobody has to show who they are.
    let mut stream = connect(port_of(&host.addresses(3)[2]));
    stream.write_all(b"\x16\x03\x01").unwrap();
    let answer = heard(stream);
    assert!(
        answer.contains("bad_request") && answer.contains("TLS"),
        "{answer}"
    );
}

#[test]
fn they_keep_no_host_from_its_end() {
    let mut host = host("");
    let stranger = connect(host.port());
    let tls = connect(port_of(&host.addresses(3)[1]));
    let mut client = host.client();
    client.result("host.hello", json!({"token": WEB}));
    host.signal(Signal::TERM);
    assert!(host.wait().success());
    assert_eq!(
        (heard(stranger), heard(tls)),
        (String::new(), String::new())
    );
    client.expect_end();
}

#[test]
fn whoever_tries_over_and_over_is_one_line_of_the_log() {
    let host = host("");
    for _ in 0..50 {
        let mut stream = connect(host.port());
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
            .write_all(b"{\"function\":\"host.hello\",\"args\":{\"token\":\"guess\"}}\n")
            .unwrap();
        expect_unauthorized(&heard(stream), &[]);
    }
    assert!(host.lines_with("a client was not let in") < 10);
    assert!(!host.log().contains("guess"));
    let mut guest = Client::connect(port_of(&host.addresses(3)[2]));
    assert_eq!(guest.status()["requests_refused"], 50);
}
