//! Three hosts under load while something goes wrong again and again: nothing that was acknowledged is lost, and nothing
//! ends twice.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use databases::{Postgres, Session};
use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Host, Plugin, Setup, lasting_port, wait_for, wait_until};

use super::setup_at;

/// How often it goes wrong; `many` times with `SOAK`.
fn rounds(many: u64) -> u64 {
    if env::var_os("SOAK").is_some() {
        many
    } else {
        2
    }
}

const MANY: u64 = 20;

/// What each acknowledged task was asked.
type Acknowledged = HashMap<String, Value>;

/// Hands tasks over to one host after the other until it is over.
fn hand_over(
    ports: [u16; 3],
    who: usize,
    handed: &AtomicU64,
    is_over: &AtomicBool,
) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    let mut connection: Option<(BufReader<TcpStream>, TcpStream)> = None;
    for number in 0_usize.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let Some((replies, stream)) = &mut connection else {
            let port = ports[(who + number) % 3];
            let stream = TcpStream::connect(("127.0.0.1", port)).ok();
            connection = stream.map(|stream| {
                // A host that stands still is left, as a client would that has others.
                stream
                    .set_read_timeout(Some(Duration::from_secs(2)))
                    .expect("it is above 0");
                (BufReader::new(stream.try_clone().expect("it can")), stream)
            });
            thread::yield_now();
            continue;
        };
        let text = json!(format!("{who}-{number}"));
        let request = json!({
            "function": "echo", "args": text, "background": true, "key": text, "retry": {"max": 50, "base_ms": 5},
        });
        let mut line = String::new();
        let is_answered = stream.write_all(format!("{request}\n").as_bytes()).is_ok()
            && replies
                .read_line(&mut line)
                .is_ok_and(|_| line.ends_with('\n'));
        if !is_answered {
            connection = None;
            continue;
        }
        let reply: Value = serde_json::from_str(&line).expect("a line is JSON");
        if let Some(task) = reply["result"]["task"].as_str() {
            handed.fetch_add(1, Ordering::Relaxed);
            acknowledged.insert(task.to_owned(), text);
        } else {
            let code = &reply["error"]["code"];
            assert!(
                code == "storage_unavailable" || code == "shutting_down" || code == "overloaded",
                "{line}"
            );
        }
    }
    acknowledged
}

/// Waits until so many more tasks were acknowledged.
#[track_caller]
fn expect_goes_on(handed: &AtomicU64) {
    let before = handed.load(Ordering::Relaxed);
    wait_until("tasks to be acknowledged again", || {
        handed.load(Ordering::Relaxed) > before + 25
    });
}

/// Three hosts that share the ledger there.
pub(super) fn start(url: &str) -> [Host; 3] {
    [(); 3].map(|()| {
        let setup: Setup = setup_at(url).plugin(Plugin::Good).listen(lasting_port());
        setup.start()
    })
}

/// Has it go wrong while tasks come in and run, and looks at every one of them in the end.
fn under_load(
    server: &mut Postgres,
    rounds: u64,
    mut upset: impl FnMut(&mut Postgres, &mut [Option<Host>; 3], u64),
) {
    let url = server.url();
    under_load_at(&url, rounds, |hosts, round| upset(server, hosts, round));
}

/// As [`under_load`], where the database is reached by another way.
pub(super) fn under_load_at(
    url: &str,
    rounds: u64,
    upset: impl FnMut(&mut [Option<Host>; 3], u64),
) {
    let hosts = start(url);
    let ports = hosts.each_ref().map(Host::port);
    under_load_through(ports, hosts, rounds, upset);
}

/// As [`under_load`], with hosts that run and tasks that are handed over at these ports.
pub(super) fn under_load_through(
    ports: [u16; 3],
    hosts: [Host; 3],
    rounds: u64,
    mut upset: impl FnMut(&mut [Option<Host>; 3], u64),
) {
    let mut hosts = hosts.map(Some);
    let (handed, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    let acknowledged = thread::scope(|scope| {
        let handing: Vec<_> = (0..4)
            .map(|who| {
                let (handed, is_over) = (&handed, &is_over);
                scope.spawn(move || hand_over(ports, who, handed, is_over))
            })
            .collect();
        let over = Over(&is_over);
        for round in 0..rounds {
            expect_goes_on(&handed);
            upset(&mut hosts, round);
            expect_goes_on(&handed);
        }
        drop(over);
        let mut acknowledged = Acknowledged::new();
        for one in handing {
            acknowledged.extend(one.join().expect("it hands over"));
        }
        acknowledged
    });
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    let host = hosts.iter().flatten().next().expect("one is left");
    let mut client = host.client();
    for (task, args) in &acknowledged {
        let looked = wait_for("every task to end", || {
            // The database may just have come back.
            let looked = client.call("host.task", json!({"task": task})).ok()?;
            (!looked["ended_at_ms"].is_null()).then_some(looked)
        });
        assert_eq!(looked["state"], "completed", "{looked}");
        assert_eq!(looked["result"], *args, "{looked}");
        let history = looked["history"].as_array().expect("a list");
        let well = history.iter().filter(|attempt| attempt["error"].is_null());
        assert_eq!(well.count(), 1, "{looked}");
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_database_is_restarted() {
    let mut server = Postgres::start(&[]);
    under_load(&mut server, rounds(MANY), |server, hosts, _| {
        server.restart();
        // What needs no ledger is answered all the while.
        for host in hosts.iter().flatten() {
            host.client().result("echo", json!("x"));
        }
    });
}

#[test]
fn its_connections_are_cut_one_after_the_other() {
    let mut server = Postgres::start(&[]);
    under_load(&mut server, rounds(MANY), |server, _, _| {
        let pids = server.sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'host'");
        for pid in pids.lines() {
            server.sql(&format!("SELECT pg_terminate_backend({pid})"));
        }
    });
}

#[test]
fn others_have_all_of_its_connections() {
    let mut server = Postgres::start(&["max_connections=40", "superuser_reserved_connections=3"]);
    server.sql("CREATE ROLE hog LOGIN PASSWORD 'secret'");
    under_load(&mut server, rounds(MANY), |server, _, _| {
        let url = server.url().replace("shop:", "hog:");
        let hogs: Vec<_> = (0..40)
            .filter_map(|_| Session::start(&url, "SELECT 1").ok())
            .collect();
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'host'";
        server.sql(cut);
        drop(hogs);
    });
}

#[test]
fn hosts_are_killed_one_after_the_other() {
    let mut server = Postgres::start(&[]);
    under_load(&mut server, rounds(MANY), |_, hosts, round| {
        let at = usize::try_from(round % 3).unwrap();
        let host = hosts[at].take().unwrap();
        hosts[at] = Some(host.again_after(Signal::KILL));
    });
}

#[test]
fn one_stands_still_while_another_is_killed_again_and_again() {
    let still_for = Duration::from_secs(if env::var_os("SOAK").is_some() {
        60
    } else {
        22
    });
    let mut server = Postgres::start(&[]);
    under_load(&mut server, rounds(5), |_, hosts, _| {
        let still = hosts[0].as_ref().unwrap().process();
        still.signal(Signal::STOP);
        let since = Instant::now();
        while since.elapsed() < still_for {
            let host = hosts[1].take().unwrap();
            hosts[1] = Some(host.again_after(Signal::KILL));
            // Some moment of its life, which no condition names.
            let born = Instant::now();
            wait_for("the moment", || {
                (born.elapsed() > Duration::from_secs(2)).then_some(())
            });
        }
        still.signal(Signal::CONT);
    });
}
