//! Hosts that are killed over and over while tasks come in and run: nothing that was acknowledged is lost, and nothing ends
//! twice.

use std::collections::HashMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Host, Plugin, wait_for};

use super::look;

/// How often the host is killed; fifty times with `SOAK`.
fn kills() -> u64 {
    if env::var_os("SOAK").is_some() { 50 } else { 5 }
}

/// What each acknowledged task was asked: its function and its arguments.
type Acknowledged = HashMap<String, (&'static str, Value)>;

/// Hands tasks over as fast as they are acknowledged, until the host is killed.
fn hand_over_until_killed(mut stream: TcpStream, round: u64, who: u64) -> Acknowledged {
    let mut replies = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
    let mut acknowledged = HashMap::new();
    for number in 0_u64.. {
        let text = format!("{round}-{who}-{number}");
        let (function, args) = match number % 10 {
            0 => ("sleep", json!({"ms": number % 40})),
            1 => (
                "fail",
                json!({"kind": text, "message": "again", "retryable": true}),
            ),
            // One a round: a plugin that crashes over and over is kept from running.
            2 if number == 2 && who == 0 => ("abort", json!({})),
            _ => ("echo", json!(text)),
        };
        let retry = json!({"max": 2, "base_ms": 5, "cap_ms": 10});
        let request = json!({
            "function": function, "args": args, "background": true, "key": text, "retry": retry,
        });
        let mut line = String::new();
        // A reply that was cut off was none.
        let is_answered = stream.write_all(format!("{request}\n").as_bytes()).is_ok()
            && replies
                .read_line(&mut line)
                .is_ok_and(|_| line.ends_with('\n'));
        if !is_answered {
            break;
        }
        let reply: Value = serde_json::from_str(&line).expect("a line is JSON");
        if let Some(task) = reply["result"]["task"].as_str() {
            acknowledged.insert(task.to_owned(), (function, args));
        }
    }
    acknowledged
}

#[test]
fn whatever_was_acknowledged_is_done_however_often_the_host_is_killed() {
    let mut host = Host::with(&[Plugin::Good, Plugin::Evil]);
    let mut acknowledged = Acknowledged::new();
    for round in 0..kills() {
        let lifetime = Duration::from_millis(150 + 37 * (round % 10));
        let started = Instant::now();
        let streams: Vec<TcpStream> = (0..4).map(|_| host.client().sender()).collect();
        host = thread::scope(|scope| {
            let handing: Vec<_> = streams
                .into_iter()
                .zip(0..)
                .map(|(stream, who)| {
                    scope.spawn(move || hand_over_until_killed(stream, round, who))
                })
                .collect();
            // Some moment of its life, which no condition names.
            wait_for("the moment", || {
                (started.elapsed() >= lifetime).then_some(())
            });
            if round % 3 == 1 {
                host.put_plugin(Plugin::Good);
            }
            let next = host.again_after(Signal::KILL);
            for one in handing {
                acknowledged.extend(one.join().expect("it hands over"));
            }
            next
        });
    }
    assert!(
        acknowledged.len() > 20,
        "hardly anything was handed over: {}",
        acknowledged.len()
    );
    let mut client = host.client();
    for (task, (function, args)) in &acknowledged {
        let looked = wait_for("every task to end", || {
            let looked = look(&mut client, task);
            (!looked["ended_at_ms"].is_null()).then_some(looked)
        });
        let state = match *function {
            "fail" | "abort" => "discarded",
            _ => "completed",
        };
        assert_eq!(looked["state"], state, "{function} {args}: {looked}");
        if *function == "echo" {
            assert_eq!(looked["result"], *args, "{looked}");
        }
        let history = looked["history"].as_array().expect("a list");
        let well = history.iter().filter(|attempt| attempt["error"].is_null());
        assert_eq!(well.count(), usize::from(state == "completed"), "{looked}");
    }
}
