//! Ten thousand clients that are there and say little.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tests::{
    DEADLINE, Host, Plugin, Setup, python, raise_open_files_limit, run, wait_for, wait_until,
};

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

#[test]
fn connections_leave_descriptors_to_workers() {
    let setup = Setup::new().plugin(Plugin::Good);
    let mut command = Command::new("prlimit");
    let host = setup.command();
    command.arg("--nofile=128:128").arg(host.get_program());
    command.args(host.get_args()).env_remove("RUST_LOG");
    let host = Host::start(command, None);
    host.wait_for_log(&["at most 96 connections", "connections_max", "ulimit -n"]);
    let idle: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(("127.0.0.1", host.port())).unwrap())
        .collect();
    for stream in &idle {
        stream
            .set_read_timeout(Some(Duration::from_millis(1)))
            .unwrap();
    }
    wait_until("four of them to be told that they are too many", || {
        let refused = idle.iter().filter(|stream| stream.peek(&mut [0]).is_ok());
        refused.count() == 4
    });
    drop(idle);
    let mut client = wait_for("a free place", || {
        let mut client = host.client();
        client
            .call("host.ping", json!({}))
            .is_ok()
            .then_some(client)
    });
    // A worker that ends is replaced, whatever the connections take.
    client
        .failure("abort", json!({}))
        .expect("unknown_function", &[]);
    let worker = host.workers()[0];
    let _ = worker.try_kill();
    wait_until("another worker to answer", || {
        client.call("echo", json!(1)).is_ok()
    });
}

#[test]
fn when_descriptors_run_out_connections_wait_and_the_host_rests() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    assert_eq!(client.result("echo", json!(1)), 1);
    let before = host.process().open_files_limit().0;
    host.process().set_open_files_limit(Some(8));
    let mut waiting = TcpStream::connect(("127.0.0.1", host.port())).unwrap();
    waiting.set_read_timeout(Some(DEADLINE)).unwrap();
    waiting
        .write_all(b"{\"function\":\"host.ping\"}\n")
        .unwrap();
    host.wait_for_log(&["connection", "Too many open files"]);
    // Who is connected is served meanwhile.
    for number in 0..100 {
        assert_eq!(client.result("echo", json!(number)), number);
    }
    host.process().set_open_files_limit(before);
    let mut answer = [0; 28];
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"{\"ok\":true,\"result\":\"pong\"}\n");
    let said = host.log().matches("Too many open files").count();
    assert_eq!(said, 1, "said once: {}", host.log());
}

/// Ends a connection so that the other side hears nothing of it: no FIN, no RST. Like a machine that lost its power.
const VANISH: &str = "
import socket, sys
TCP_REPAIR = 19
connections = [socket.create_connection(('127.0.0.1', int(sys.argv[1]))) for _ in range(3)]
for connection in connections:
    connection.sendall(b'{\"function\":\"host.ping\"}\\n')
    connection.recv(100)
    connection.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    connection.close()
";

#[test]
fn clients_that_vanish_without_a_word_give_their_places_back() {
    let host = Setup::new().config("[limits]\nkeep_alive = \"1s\"").start();
    let mut client = host.client();
    let port = host.port().to_string();
    let _ = run(python().args(["-c", VANISH, &port])).output();
    wait_until("the places to be free", || {
        client.status()["connections"] == 1
    });
}
