//! A database that has a bad day: what needs it waits or is refused with the reason, what doesn't goes on, and all is well
//! afterwards without anybody's help.

use std::env;
use std::time::{Duration, Instant};

use databases::{Pooler, Postgres};
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, Failure, Host, Plugin, Relay, wait_for, wait_until};

use super::upsets::under_load_at;
use super::{end_of, good, hand_over, look, setup_at};

/// In so long somebody is told that the database doesn't answer: ten seconds for a statement, and four for what became of
/// the one before.
const REFUSED_WITHIN: Duration = Duration::from_secs(15);

fn background(text: &str) -> Value {
    json!({"function": "echo", "args": text, "background": true})
}

/// How a request in the background is refused, as soon as one is; those before are taken in.
#[track_caller]
fn refused(client: &mut Client) -> Failure {
    wait_for("a task to be refused", || {
        let asked = Instant::now();
        let answer = client.request(background("refused"));
        let waited = asked.elapsed();
        assert!(waited < REFUSED_WITHIN, "{waited:?}: {answer:?}");
        answer.err()
    })
}

#[track_caller]
fn expect_runs(client: &mut Client) {
    let task = wait_for("a task to be taken in", || {
        let taken = client.request(background("x")).ok()?;
        taken["task"].as_str().map(str::to_owned)
    });
    assert_eq!(end_of(client, &task)["state"], "completed");
}

#[test]
fn it_stands_still() {
    let server = Postgres::start(&[]);
    under_load_at(&server.url(), 1, |hosts, _| {
        let hosts: Vec<&Host> = hosts.iter().flatten().collect();
        let mut clients: Vec<Client> = hosts.iter().map(|host| host.client()).collect();
        server.stand_still();
        let since = Instant::now();
        // Several times, so that it is refused in all that a host may be in the middle of.
        while since.elapsed() < Duration::from_secs(25) {
            for client in &mut clients {
                let failure = refused(client);
                failure.expect("storage_unavailable", &["ledger's database"]);
                assert_eq!(client.result("echo", json!("now")), "now");
            }
        }
        server.go_on();
        expect_runs(&mut clients[0]);
    });
}

#[test]
fn each_of_its_answers_takes_its_time() {
    let server = Postgres::start(&[]);
    let relay = Relay::to(server.port());
    let url = server.url();
    let (straight, by_relay) = (server.port(), relay.port());
    let url = url.replace(&format!(":{straight}/"), &format!(":{by_relay}/"));
    under_load_at(&url, 1, |hosts, _| {
        let hosts: Vec<&Host> = hosts.iter().flatten().collect();
        let mut client = hosts[0].client();
        relay.delay(Duration::from_secs(1));
        let task = hand_over(&mut client, "echo", json!("slowly"));
        relay.delay(Duration::from_secs(3));
        let since = Instant::now();
        while since.elapsed() < Duration::from_secs(20) {
            let asked = Instant::now();
            assert_eq!(client.result("echo", json!("now")), "now");
            assert!(asked.elapsed() < Duration::from_secs(1));
        }
        relay.delay(Duration::ZERO);
        let looked = end_of(&mut client, &task);
        assert_eq!(looked["state"], "completed", "{looked}");
        assert_eq!(looked["history"].as_array().unwrap().len(), 1, "{looked}");
        for host in hosts {
            assert_eq!(host.lines_with("others take over"), 0, "it lived all along");
        }
    });
}

#[test]
fn a_replica_takes_over() {
    let mut first = Postgres::start(&[]);
    let second = first.replica(&[]);
    first.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    first.sql("SELECT pg_reload_conf()");
    wait_until("nothing to be committed without the replica", || {
        first
            .sql("SELECT sync_state FROM pg_stat_replication")
            .trim()
            == "sync"
    });
    let url = format!(
        "postgres://shop:secret@127.0.0.1:{},127.0.0.1:{}/postgres?target_session_attrs=read-write",
        first.port(),
        second.port()
    );
    under_load_at(&url, 1, |hosts, _| {
        let mut client = hosts.iter().flatten().next().unwrap().client();
        first.kill();
        refused(&mut client).expect("storage_unavailable", &["ledger's database"]);
        assert_eq!(client.result("echo", json!("now")), "now");
        second.promote();
        expect_runs(&mut client);
    });
    let there = second.sql("SELECT count(*) > 50 FROM task_server.task");
    assert_eq!(there.trim(), "t");
}

#[test]
fn somebody_locks_its_tables() {
    let server = Postgres::start(&[]);
    let host = good(&server);
    let mut client = host.client();
    let running = hand_over(&mut client, "sleep", json!({"ms": 1_000}));
    wait_until("it to run", || {
        look(&mut client, &running)["state"] == "running"
    });
    let session = server.session("BEGIN; LOCK TABLE task_server.live IN ACCESS EXCLUSIVE MODE");
    refused(&mut client).expect("storage_unavailable", &["locked"]);
    assert_eq!(client.result("echo", json!("now")), "now");
    drop(session);
    let looked = end_of(&mut client, &running);
    assert_eq!(looked["state"], "completed", "{looked}");
    assert_eq!(looked["history"].as_array().unwrap().len(), 1, "{looked}");
    expect_runs(&mut client);
}

#[test]
fn a_pooler_of_transactions_stands_before_it() {
    let server = Postgres::start(&[]);
    let pooler = Pooler::start(&server);
    let hosts = [(); 2].map(|()| setup_at(&pooler.url()).plugin(Plugin::Good).start());
    let [dies, stays] = &hosts;
    let (mut one, mut other) = (dies.client(), stays.client());
    for number in 0..50 {
        let client = if number % 2 == 0 {
            &mut one
        } else {
            &mut other
        };
        let task = hand_over(client, "echo", json!(number));
        assert_eq!(end_of(&mut other, &task)["result"], number);
    }
    let long = hand_over(&mut one, "sleep", json!({"ms": 600_000}));
    wait_until("it to run", || {
        look(&mut other, &long)["state"] == "running"
    });
    other.result("host.cancel", json!({"task": long}));
    assert_eq!(end_of(&mut other, &long)["state"], "cancelled");
    // Whichever host runs them, the one that dies has some.
    let tasks: Vec<String> = (0..8)
        .map(|_| hand_over(&mut one, "sleep", json!({"ms": 1_500})))
        .collect();
    wait_until("all to run", || {
        tasks
            .iter()
            .all(|task| look(&mut other, task)["state"] != "available")
    });
    dies.signal(Signal::KILL);
    for task in &tasks {
        let looked = end_of(&mut other, task);
        assert_eq!(looked["state"], "completed", "{looked}");
    }
    for role in ["host.status", "host.nodes"] {
        other.result(role, json!({}));
    }
}

/// For minutes in the full size, while tasks come and go.
#[test]
fn somebody_holds_a_snapshot() {
    let is_full_size = env::var_os("SOAK").is_some();
    let held_for = Duration::from_secs(if is_full_size { 600 } else { 5 });
    let server = Postgres::start(&[]);
    under_load_at(&server.url(), 1, |hosts, _| {
        let session = server.session(
            "SET application_name = 'yearly_report'; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM task_server.live",
        );
        let mut client = hosts.iter().flatten().next().unwrap().client();
        let since = Instant::now();
        while since.elapsed() < held_for {
            expect_runs(&mut client);
        }
        if is_full_size {
            let status = client.status();
            let warnings = status["background"]["warnings"].as_array().unwrap();
            let told = |part: &str| {
                let mut warnings = warnings.iter().filter_map(Value::as_str);
                warnings.any(|warning| warning.contains(part))
            };
            assert!(told("\"yearly_report\""), "{status}");
            assert!(told("task_server.live has "), "{status}");
            hosts[0]
                .as_ref()
                .unwrap()
                .wait_for_log(&["pg_terminate_backend"]);
        }
        drop(session);
    });
}

#[test]
fn a_result_that_it_cannot_keep_ends_its_own_task_and_no_other() {
    let server = Postgres::start(&[]);
    let host = good(&server);
    let mut client = host.client();
    let nested = |number| number % 5 == 2;
    let tasks: Vec<(bool, String)> = (0..40)
        .map(|number| {
            let (function, args) = if nested(number) {
                ("nested", json!({"len": 200_000}))
            } else {
                ("echo", json!(number))
            };
            (nested(number), hand_over(&mut client, function, args))
        })
        .collect();
    for (nested, task) in tasks {
        let looked = end_of(&mut client, &task);
        if nested {
            assert_eq!(looked["state"], "discarded", "{looked}");
            assert_eq!(looked["error"]["code"], "result_too_large", "{looked}");
            let message = looked["error"]["message"].as_str().unwrap();
            assert!(message.contains("can't be kept"), "{looked}");
        } else {
            assert_eq!(looked["state"], "completed", "{looked}");
        }
    }
    // What is asked of it is refused at once, and for good.
    let deep = "[".repeat(50_000) + &"]".repeat(50_000);
    client.send_line(&format!(
        r#"{{"id": 1, "function": "echo", "background": true, "args": {deep}}}"#
    ));
    let failure = client.reply().outcome.unwrap_err();
    failure.expect("bad_request", &["can't keep this"]);
}

#[test]
fn a_host_that_begins_without_it_refuses_nothing_for_good() {
    let mut server = Postgres::start(&[]);
    let first = good(&server);
    let task = hand_over(&mut first.client(), "echo", json!(1));
    assert_eq!(end_of(&mut first.client(), &task)["state"], "completed");
    server.kill();
    // It has no plugin, and can't know what the others have.
    let host = super::setup(&server).start();
    let mut client = host.client();
    let asked = client.request(background("x"));
    asked
        .unwrap_err()
        .expect("storage_unavailable", &["ledger's database"]);
    let asked = client.failure("host.pause", json!({"function": "echo"}));
    asked.expect("storage_unavailable", &["ledger's database"]);
    server.start_again();
    expect_runs(&mut client);
    let asked = client.request(json!({"function": "ecko", "background": true}));
    asked.unwrap_err().expect("unknown_function", &["ecko"]);
}

#[test]
fn a_plugin_that_comes_while_it_is_away_is_known_to_all_hosts_afterwards() {
    let mut server = Postgres::start(&[]);
    let (first, second) = (super::setup(&server).start(), super::setup(&server).start());
    let mut client = second.client();
    let asked = client.request(background("x"));
    asked.unwrap_err().expect("unknown_function", &["echo"]);
    server.kill();
    first.put_plugin(Plugin::Good);
    wait_for("it to be live", || {
        first.client().request(json!({"function": "echo"})).ok()
    });
    // As it waits no longer for what it told the ledger first.
    refused(&mut first.client()).expect("storage_unavailable", &["ledger's database"]);
    server.start_again();
    wait_for("a task to be taken in where its function isn't", || {
        client.request(background("x")).ok()
    });
}
