//! Progress events.

use serde_json::{Value, json};
use tests::{Client, Host, Plugin, Setup};

/// The events before the reply, and the reply.
#[track_caller]
fn events_and_reply(client: &mut Client) -> (Vec<Value>, Value) {
    let mut events = Vec::new();
    loop {
        let line = client.recv();
        if line.get("ok").is_some() {
            return (events, line);
        }
        events.push(line);
    }
}

#[test]
fn who_asks_for_progress_gets_it_before_the_reply() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    client.send(json!({"id": "p", "function": "progress", "args": {"steps": 20, "ms": 5}, "progress": true}));
    let (events, reply) = events_and_reply(&mut client);
    assert_eq!(reply, json!({"id": "p", "ok": true, "result": 20}));
    assert!(!events.is_empty());
    let mut last = 0;
    for event in &events {
        let done = event["done"].as_u64().unwrap();
        assert!(done >= last, "{events:?}");
        last = done;
        let message = format!("step {done}");
        assert_eq!(
            *event,
            json!({"id": "p", "event": "progress", "done": done, "total": 20, "message": message})
        );
    }
    // None comes after the reply: the next line is the next reply.
    client.ping();
}

#[test]
fn who_does_not_ask_gets_none() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    for request in [
        json!({"function": "progress", "args": {"steps": 5}}),
        json!({"id": 1, "function": "progress", "args": {"steps": 5}}),
        json!({"id": 1, "function": "progress", "args": {"steps": 5}, "progress": false}),
    ] {
        assert_eq!(client.request(request), Ok(json!(5)));
    }
}

#[test]
fn events_of_tasks_side_by_side_have_their_ids() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    for id in 0..4 {
        client.send(json!({"id": id, "function": "progress", "args": {"steps": 10 + id, "ms": 5}, "progress": true}));
    }
    let mut answered = 0;
    while answered < 4 {
        let line = client.recv();
        let steps = 10 + line["id"].as_u64().unwrap();
        if line.get("ok").is_some() {
            assert_eq!(line["result"], steps);
            answered += 1;
        } else {
            assert_eq!(line["total"], steps);
        }
    }
}

#[test]
fn to_a_slow_reader_events_are_left_out_and_the_reply_is_not() {
    let host = Host::with(&[Plugin::Good]);
    let mut client = host.client();
    let steps = 200_000;
    client
        .send(json!({"id": 1, "function": "progress", "args": {"steps": steps}, "progress": true}));
    // Nothing is read until the handler is done.
    let mut observer = host.client();
    tests::wait_until("the handler to be done", || {
        observer.status()["functions"]["progress"]["ok"] == 1
    });
    let (events, reply) = events_and_reply(&mut client);
    assert_eq!(reply["result"], steps);
    assert!(events.len() < steps / 2, "{} events", events.len());
    assert_eq!(
        events.last().unwrap()["done"],
        steps,
        "the newest one is kept"
    );
}

#[test]
fn the_last_report_before_a_silence_is_sent() {
    let host = Host::with(&[Plugin::Evil]);
    let mut client = host.client();
    let reports: Vec<(u64, u64)> = (1..=9).map(|done| (done, 10)).collect();
    let args = json!({"reports": reports, "silent_ms": 600_000});
    client.send(json!({"id": 1, "function": "report", "args": args, "progress": true}));
    let mut done = 0;
    while done < 9 {
        let event = client.recv();
        assert_eq!(event["event"], "progress", "{event}");
        assert!(event["done"].as_u64().unwrap() > done, "{event}");
        done = event["done"].as_u64().unwrap();
    }
    client.send(json!({"id": 2, "function": "host.cancel", "args": {"id": 1}}));
    client.reply();
    client.reply();
}

#[test]
fn what_is_done_never_falls() {
    let host = Setup::new().plugin(Plugin::Evil).start();
    let mut client = host.client();
    for (reports, last) in [
        (json!([[5, 3], [2, 3]]), (5, 5)),
        (json!([[1, 9], [7, 9], [3, 9], [4, 2]]), (7, 7)),
        (json!([[4, 0], [3, 0], [2, 8]]), (4, 8)),
    ] {
        let args = json!({"reports": reports, "silent_ms": 0});
        client.send(json!({"id": 1, "function": "report", "args": args, "progress": true}));
        let (events, _) = events_and_reply(&mut client);
        let seen: Vec<(u64, u64)> = events
            .iter()
            .map(|event| {
                (
                    event["done"].as_u64().unwrap(),
                    event["total"].as_u64().unwrap(),
                )
            })
            .collect();
        assert!(seen.is_sorted_by_key(|(done, _)| *done), "{seen:?}");
        assert_eq!(seen.last(), Some(&last), "{seen:?}");
    }
}
