//! Ten thousand clients that are there and say little.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;
use tests::{DEADLINE, Host, Plugin, raise_open_files_limit, wait_until};

const CONNECTIONS: usize = 10_000;
/// What an idle connection may cost the host; the kernel's part is not counted.
const RSS_PER_CONNECTION_MAX: u64 = 8 * 1024;
/// What the tests beside this one, and the host itself, have open.
const FILES_BESIDE: u64 = 2000;

#[test]
fn ten_thousand_idle_connections_cost_little_and_all_are_answered() {
    raise_open_files_limit(CONNECTIONS as u64 + FILES_BESIDE);
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    assert_eq!(client.result("echo", json!(1)), 1);
    let before = host.process().rss();
    let mut idle: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| TcpStream::connect(("127.0.0.1", host.port())).unwrap())
        .collect();
    wait_until("all to be accepted", || {
        client.status()["connections"] == CONNECTIONS + 1
    });
    let grown = host.process().rss().saturating_sub(before);
    assert!(
        grown < CONNECTIONS as u64 * RSS_PER_CONNECTION_MAX,
        "{grown} bytes for {CONNECTIONS} connections"
    );
    assert_eq!(client.result("echo", json!(2)), 2);
    host.client().ping();

    // None of them has been forgotten.
    for stream in &mut idle {
        stream.write_all(b"{\"function\":\"host.ping\"}\n").unwrap();
    }
    let pong = b"{\"ok\":true,\"result\":\"pong\"}\n";
    let mut answer = vec![0; pong.len()];
    for stream in &mut idle {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, pong);
    }
    let talked = host.process().rss().saturating_sub(before);
    assert!(
        talked < 2 * CONNECTIONS as u64 * RSS_PER_CONNECTION_MAX,
        "{talked} bytes once all had spoken"
    );

    drop(idle);
    wait_until("all to be forgotten", || {
        client.status()["connections"] == 1
    });
    let fds = host.process().fds();
    assert!(fds < 100, "{fds} descriptors are left");
}

#[test]
fn half_a_line_from_many_clients_is_bounded() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    client.ping();
    let half = vec![b'x'; 100_000];
    let streams: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut stream = TcpStream::connect(("127.0.0.1", host.port())).unwrap();
            stream
                .set_write_timeout(Some(Duration::from_secs(30)))
                .unwrap();
            stream.write_all(&half).unwrap();
            stream
        })
        .collect();
    wait_until("all to be accepted", || {
        client.status()["connections"] == 201
    });
    assert_eq!(client.result("echo", json!(1)), 1);
    let rss = host.process().rss();
    assert!(rss < 200 << 20, "{rss} bytes");
    drop(streams);
    wait_until("all to be forgotten", || {
        client.status()["connections"] == 1
    });
}
