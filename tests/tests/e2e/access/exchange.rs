//! Tokens, rules and certificates that change while the host serves.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use tests::{Client, Host, wait_until};

use super::{Config, Conversation, OPS, TLS, WEB, as_connect, certify, converse, hash, hello, web};

const NEW: &str = "task_new";

fn config(tokens: &[&str]) -> Config {
    Config::new("\"127.0.0.1:0\"").client("web", &web(tokens))
}

fn known(host: &Host, token: &str) -> Client {
    let mut client = host.client();
    assert_eq!(
        client.result("host.hello", json!({"token": token}))["client"],
        "web"
    );
    client
}

#[test]
fn a_token_is_exchanged_under_load_and_nothing_is_lost() {
    let host = config(&[WEB]).setup().start();
    let (is_switched, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (by_old, by_new) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let client = || {
        while !is_over.load(Ordering::Relaxed) {
            let is_new = is_switched.load(Ordering::Relaxed);
            let (token, count) = if is_new {
                (NEW, &by_new)
            } else {
                (WEB, &by_old)
            };
            let mut client = known(&host, token);
            for number in 0..50 {
                assert_eq!(client.result("echo", json!(number)), number);
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        let reached = |count: &AtomicUsize, number: usize| {
            wait_until("requests to be answered", || {
                assert!(!clients.iter().any(thread::ScopedJoinHandle::is_finished));
                count.load(Ordering::Relaxed) >= number
            });
        };
        reached(&by_old, 200);
        config(&[WEB, NEW]).apply(&host);
        let before = by_old.load(Ordering::Relaxed);
        reached(&by_old, before + 200);
        is_switched.store(true, Ordering::Relaxed);
        // Each client has at most one more connection with the old one.
        reached(&by_new, 4 * 50 + 200);
        wait_until("nobody to use the old one", || {
            let before = by_old.load(Ordering::Relaxed);
            let new = by_new.load(Ordering::Relaxed);
            reached(&by_new, new + 4 * 50);
            by_old.load(Ordering::Relaxed) == before
        });
        config(&[NEW]).apply(&host);
        let before = by_new.load(Ordering::Relaxed);
        reached(&by_new, before + 200);
        is_over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
    });
    let failure = host.client().failure("host.hello", json!({"token": WEB}));
    failure.expect("unauthorized", &["host.hello"]);
}

#[test]
fn who_is_no_longer_allowed_gets_what_runs_answered_and_is_closed() {
    let host = config(&[WEB, NEW]).setup().start();
    let mut stays = known(&host, NEW);
    let mut goes = known(&host, WEB);
    goes.send(json!({"id": 1, "function": "sleep", "args": {"ms": 1500}}));
    wait_until("the task to run", || {
        let status = stays.result("host.status", json!({}));
        status["clients"]["web"]["in_flight"] == 1
    });
    config(&[NEW]).apply(&host);
    let reply = goes.reply();
    assert_eq!((reply.id, reply.outcome.is_ok()), (json!(1), true));
    goes.expect_end();
    assert_eq!(stays.result("echo", json!(2)), 2);
}

#[test]
fn an_idle_connection_is_closed_when_its_token_goes_or_ends() {
    let host = config(&[WEB, NEW]).setup().start();
    let (mut goes, mut ends) = (known(&host, WEB), known(&host, NEW));
    config(&[NEW]).apply(&host);
    goes.expect_end();
    // An end that has passed since.
    let ended = format!(
        "tokens = [{{ sha256 = \"{}\", until = 2020-01-01 }}]\nfunctions = [\"*\"]",
        hash(NEW)
    );
    Config::new("\"127.0.0.1:0\"")
        .client("web", &ended)
        .apply(&host);
    ends.expect_end();
    host.wait_for_log(&["a token has ended", "web"]);
}

#[test]
fn rules_change_for_those_who_are_here() {
    let config = |rules: &str| {
        let client = format!("tokens = [{{ sha256 = \"{}\" }}]\n{rules}", hash(WEB));
        Config::new("\"127.0.0.1:0\"").client("web", &client)
    };
    let host = config("functions = [\"echo\"]").setup().start();
    let mut client = known(&host, WEB);
    client.result("echo", json!(1));
    client
        .failure("sleep", json!({"ms": 1}))
        .expect("unknown_function", &[]);
    config("functions = [\"sleep\"]\nin_flight_max = 1\nrate = \"1/h burst 3\"").apply(&host);
    client
        .failure("echo", json!(1))
        .expect("unknown_function", &[]);
    client.result("sleep", json!({"ms": 1}));
    client.send(json!({"id": 1, "function": "sleep", "args": {"ms": 60_000}}));
    client.send(json!({"id": 2, "function": "sleep", "args": {"ms": 1}}));
    let failure = client.reply().outcome.unwrap_err();
    failure.expect("overloaded", &["in_flight_max"]);
    client.send(json!({"id": 3, "function": "host.cancel", "args": {"id": 1}}));
    let ended = [client.reply().id, client.reply().id];
    assert!(ended.contains(&json!(1)), "{ended:?}");
    let failure = client.failure("sleep", json!({"ms": 1}));
    failure.expect("overloaded", &["rate"]);
    // What is wrong changes nothing.
    fs::write(host.folder().join("host.toml"), "[clients.web]\n").unwrap();
    host.signal(rustix::process::Signal::HUP);
    host.wait_for_log(&["the configuration stays as it was", "functions"]);
    client.result("host.ping", json!({}));
}

#[test]
fn the_first_clients_close_what_was_open() {
    let open = || Config::new("[\"127.0.0.1:0\", { address = \"127.0.0.1:0\", guests = true }]");
    let host = open().setup().start();
    let guests = super::port_of(&host.addresses(2)[1]);
    let (mut nobody, mut guest) = (host.client(), Client::connect(guests));
    nobody.ping();
    guest.ping();
    open().client("web", &web(&[WEB])).apply(&host);
    nobody.expect_end();
    guest.expect_end();
    Client::connect(guests).ping();
    host.client()
        .failure("host.ping", json!({}))
        .expect("unauthorized", &[]);
    known(&host, WEB).ping();
    open().apply(&host);
    host.client().ping();
}

/// An `openssl s_client` that stays.
struct SClient {
    child: std::process::Child,
    answers: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl SClient {
    fn start(host: &Host, port: u16) -> Self {
        let mut child = Command::new("openssl")
            .args([
                "s_client",
                "-quiet",
                "-verify_return_error",
                "-CAfile",
                "ca.pem",
            ])
            .args([
                "-servername",
                "localhost",
                "-connect",
                &format!("127.0.0.1:{port}"),
            ])
            .current_dir(host.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, answers }
    }

    fn ask(&mut self, request: &Value) -> Value {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(format!("{request}\n").as_bytes()).unwrap();
        serde_json::from_str(&self.answers.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for SClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_certificate_is_exchanged_and_who_is_there_stays() {
    let ops = format!(
        "tokens = [{{ sha256 = \"{}\" }}]\ncertificates = [\"ops.example\"]\nfunctions = [\"*\"]",
        hash(OPS)
    );
    let setup = Config::new("\"tls://127.0.0.1:0\"")
        .and(TLS)
        .client("ops", &ops)
        .setup();
    certify(setup.folder());
    let host = setup.start();
    let mut stays = SClient::start(&host, host.port());
    assert_eq!(stays.ask(&hello(OPS))["ok"], true);
    let before = host.folder().join("before");
    fs::create_dir(&before).unwrap();
    for name in ["ca.pem", "ops.pem", "ops.key"] {
        fs::copy(host.folder().join(name), before.join(name)).unwrap();
    }
    let asks = Conversation {
        connect: as_connect(&host.addresses(1)[0]),
        certificate: Some("ops"),
        lines: vec![json!({"function": "host.ping"})],
    };
    let is_served = |folder: &std::path::Path| {
        let answers = converse(folder, std::slice::from_ref(&asks)).remove(0);
        answers.is_some_and(|answers| answers[0]["ok"] == true)
    };
    assert!(is_served(&before));
    certify(host.folder());
    wait_until(
        "the new certificate to be shown, and the new authority to count",
        || is_served(host.folder()),
    );
    assert!(!is_served(&before));
    assert_eq!(
        stays.ask(&json!({"function": "echo", "args": 7}))["result"],
        7
    );
    // What can't be used is not used.
    fs::write(host.folder().join("key.pem"), "no key").unwrap();
    wait_until("the key to be refused", || {
        assert!(is_served(host.folder()));
        host.log().contains("certificates from before stay")
    });
}
