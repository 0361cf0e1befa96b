//! Several hosts behind a balancer: nothing is lost when they drain, and whoever asks goes on when they die.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use databases::Postgres;
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{
    Client, Host, Plugin, Proxy, ProxyProgram, Setup, blocks, lasting_port, wait_for, wait_until,
    workspace_dir,
};

use super::upsets;

/// The hosts of the page's configurations.
const PRINTED: [&str; 3] = ["10.0.0.11:12345", "10.0.0.12:12345", "10.0.0.13:12345"];
const CLIENTS: usize = 6;

fn three_hosts() -> [Host; 3] {
    [(); 3].map(|()| {
        let setup = Setup::new().plugin(Plugin::Good).listen(lasting_port());
        setup.start()
    })
}

/// The balancer, as the page prints it but for addresses.
fn balancer(program: ProxyProgram, hosts: &[Host; 3]) -> Proxy {
    let (language, listens) = match program {
        ProxyProgram::HaProxy => ("haproxy", "bind :12346"),
        ProxyProgram::NginxStream => ("nginx", "listen 12346"),
        ProxyProgram::Nginx | ProxyProgram::Caddy => panic!("the protocol is no HTTP"),
    };
    let page = fs::read_to_string(workspace_dir().join("docs/CLUSTER.md")).unwrap();
    let printed = blocks(&page)
        .into_iter()
        .find(|block| block.language == language);
    let mut config = printed.unwrap().text;
    for (printed, host) in PRINTED.iter().zip(hosts) {
        assert!(config.contains(printed), "{config}");
        config = config.replace(printed, &format!("127.0.0.1:{}", host.port()));
    }
    assert!(config.contains(listens), "{config}");
    let (word, _) = listens.split_once(' ').unwrap();
    Proxy::start(program, |port, _| {
        config.replace(listens, &format!("{word} 127.0.0.1:{port}"))
    })
}

/// What a client has seen.
#[derive(Default)]
struct Seen {
    answered: AtomicU64,
    /// Asked on a connection that ended without an answer.
    unanswered: AtomicU64,
}

/// Asks one thing after the other, as the page tells clients to: it connects anew where a connection ends or its host
/// drains, and asks again.
fn ask_on(port: u16, client: usize, seen: &Seen, is_over: &AtomicBool) {
    let mut connection: Option<(BufReader<TcpStream>, TcpStream)> = None;
    let mut number = 0_u64;
    while !is_over.load(Ordering::Relaxed) {
        let Some((reader, stream)) = &mut connection else {
            let stream = TcpStream::connect(("127.0.0.1", port)).expect("the balancer is there");
            connection = Some((BufReader::new(stream.try_clone().unwrap()), stream));
            continue;
        };
        let text = format!("{client}-{number}");
        let request = json!({"id": text, "function": "echo", "args": text});
        let mut line = String::new();
        let is_answered = stream.write_all(format!("{request}\n").as_bytes()).is_ok()
            && reader
                .read_line(&mut line)
                .is_ok_and(|_| line.ends_with('\n'));
        if !is_answered {
            seen.unanswered.fetch_add(1, Ordering::Relaxed);
            connection = None;
            continue;
        }
        let reply: Value = serde_json::from_str(&line).expect("a line is JSON");
        assert_eq!(reply["id"], text, "{line}");
        if reply["ok"] == true {
            assert_eq!(reply["result"], text, "{line}");
            seen.answered.fetch_add(1, Ordering::Relaxed);
            number += 1;
        } else {
            assert_eq!(reply["error"]["code"], "shutting_down", "{line}");
            connection = None;
        }
    }
}

/// Waits until each of the clients has been answered a few times more.
#[track_caller]
fn expect_all_go_on(clients: &[Seen; CLIENTS]) {
    let answered = || {
        clients
            .each_ref()
            .map(|seen| seen.answered.load(Ordering::Relaxed))
    };
    let before = answered();
    wait_until("each client to go on", || {
        let now = answered();
        now.iter()
            .zip(before)
            .all(|(now, before)| *now > before + 5)
    });
}

fn unanswered(clients: &[Seen; CLIENTS]) -> u64 {
    let counts = clients
        .iter()
        .map(|seen| seen.unanswered.load(Ordering::Relaxed));
    counts.sum()
}

/// A client that the balancer has brought to this host.
#[track_caller]
fn client_of(balancer: &Proxy, host: &Host) -> Client {
    let folder = host.folder().to_str().unwrap();
    // They stay, so that the balancer's next choice is another one.
    let mut others = Vec::new();
    wait_for("the balancer to choose this host", || {
        let mut client = Client::connect(balancer.port());
        let plugins = client.result("host.plugins", json!({}));
        let file = plugins["plugins"][0]["file"].as_str().unwrap();
        if file.starts_with(folder) {
            return Some(client);
        }
        others.push(client);
        None
    })
}

fn hosts_come_and_go_behind(program: ProxyProgram) {
    let hosts = three_hosts();
    let balancer = balancer(program, &hosts);
    let [first, second, third] = hosts;
    let (clients, is_over) = (<[Seen; CLIENTS]>::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        for (number, seen) in clients.iter().enumerate() {
            let (port, is_over) = (balancer.port(), &is_over);
            scope.spawn(move || ask_on(port, number, seen, is_over));
        }
        // So that a failed expectation ends the clients, too.
        let _over = Over(&is_over);
        expect_all_go_on(&clients);

        // One drains: what it has is answered, and nobody misses an answer.
        let mut waiting = client_of(&balancer, &first);
        waiting.send(json!({"id": "long", "function": "sleep", "args": {"ms": 2_500}}));
        waiting.ping();
        let first = first.again_after(Signal::TERM);
        waiting.reply().outcome.unwrap();
        expect_all_go_on(&clients);
        assert_eq!(unanswered(&clients), 0, "{}", first.log());
        client_of(&balancer, &first).ping();

        // One dies: each of its clients misses one answer at most, and goes on elsewhere.
        second.signal(Signal::KILL);
        expect_all_go_on(&clients);
        let missed = unanswered(&clients);
        assert!(missed <= CLIENTS as u64, "{missed}");

        // Only one is left.
        third.signal(Signal::KILL);
        expect_all_go_on(&clients);
    });
}

/// Ends the clients when the test does.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn hosts_come_and_go_behind_haproxy() {
    hosts_come_and_go_behind(ProxyProgram::HaProxy);
}

#[test]
fn hosts_come_and_go_behind_nginx() {
    hosts_come_and_go_behind(ProxyProgram::NginxStream);
}

fn tasks_outlive_hosts_behind(program: ProxyProgram) {
    let server = Postgres::start(&[]);
    let hosts = upsets::start(&server.url());
    let balancer = balancer(program, &hosts);
    let ports = [balancer.port(); 3];
    upsets::under_load_through(ports, hosts, 3, |hosts, round| {
        let host = &mut hosts[usize::try_from(round).unwrap()];
        let signal = if round == 1 {
            Signal::TERM
        } else {
            Signal::KILL
        };
        *host = host.take().map(|host| host.again_after(signal));
    });
}

#[test]
fn tasks_outlive_hosts_behind_haproxy() {
    tasks_outlive_hosts_behind(ProxyProgram::HaProxy);
}

#[test]
fn tasks_outlive_hosts_behind_nginx() {
    tasks_outlive_hosts_behind(ProxyProgram::NginxStream);
}
