//! Who is answered when: in order without ids, as tasks finish with them.

use serde_json::{Value, json};
use tests::{Client, Host, Plugin, Setup, wait_until};

fn good() -> Host {
    Host::with(&[Plugin::Good])
}

/// A task that ends when it is cancelled, and is answered long after any test.
fn forever(id: &Value) -> Value {
    json!({"id": id, "function": "sleep", "args": {"ms": 600_000}})
}

#[track_caller]
fn end(client: &mut Client, id: &Value) {
    client.send(json!({"id": "the end", "function": "host.cancel", "args": {"id": id}}));
    let mut ids: Vec<Value> = (0..2).map(|_| client.reply().id).collect();
    ids.sort_by_key(|id| *id == "the end");
    assert_eq!(ids, [id.clone(), json!("the end")]);
}

#[test]
fn without_ids_replies_come_in_the_order_of_the_requests() {
    let host = good();
    let mut client = host.client();
    // Quick ones after slow ones, errors of every layer, and the host's own: none may overtake.
    client.send(json!({"function": "sleep", "args": {"ms": 100}}));
    client.send(json!({"function": "echo", "args": 1}));
    client.send(json!({"function": "nothing"}));
    client.send_line("garbage");
    client.send(json!({"function": "host.ping"}));
    client.send(json!({"function": "sleep", "args": {"ms": "x"}}));
    client.send(json!({"function": "echo", "args": 2}));
    assert!(client.reply().outcome.unwrap()["slept_ms"].is_u64());
    assert_eq!(client.reply().outcome, Ok(json!(1)));
    assert_eq!(client.reply().outcome.unwrap_err().code, "unknown_function");
    assert_eq!(client.reply().outcome.unwrap_err().code, "bad_request");
    assert_eq!(client.reply().outcome, Ok(json!("pong")));
    assert_eq!(client.reply().outcome.unwrap_err().code, "invalid_args");
    assert_eq!(client.reply().outcome, Ok(json!(2)));
}

#[test]
fn without_ids_one_task_runs_at_a_time() {
    let host = good();
    let mut client = host.client();
    for _ in 0..20 {
        client.send(json!({"function": "sleep", "args": {"ms": 10}}));
    }
    let mut observer = host.client();
    let mut answered = 0;
    while answered < 20 {
        let busy = observer.status()["plugins"]["good"]["handed_over"]
            .as_u64()
            .unwrap();
        assert!(busy <= 1, "{busy} tasks of one connection run");
        client.reply().outcome.unwrap();
        answered += 1;
    }
}

#[test]
fn with_ids_a_quick_task_overtakes_a_slow_one() {
    let host = good();
    let mut client = host.client();
    let slow = json!("slow");
    client.send(forever(&slow));
    assert_eq!(
        client.request(json!({"id": "quick", "function": "echo", "args": 1})),
        Ok(json!(1))
    );
    end(&mut client, &slow);
}

#[test]
fn with_ids_tasks_run_at_once() {
    let host = good();
    let mut client = host.client();
    for id in 0..5 {
        client.send(forever(&json!(id)));
    }
    let mut observer = host.client();
    wait_until("all five to run", || {
        observer.status()["plugins"]["good"]["handed_over"] == 5
    });
}

#[test]
fn the_two_lanes_do_not_wait_for_each_other() {
    let host = good();
    let mut client = host.client();
    let slow = json!(1);
    client.send(forever(&slow));
    assert_eq!(client.call("echo", json!("no id")), Ok(json!("no id")));
    client.send(json!({"function": "sleep", "args": {"ms": 600_000}, "timeout_ms": 60_000}));
    assert_eq!(
        client.request(json!({"id": 2, "function": "echo", "args": "id"})),
        Ok(json!("id"))
    );
    end(&mut client, &slow);
}

#[test]
fn an_id_in_flight_is_taken_until_its_reply() {
    let host = good();
    let mut client = host.client();
    let id = json!("one");
    client.send(forever(&id));
    let failure = client
        .request(json!({"id": "one", "function": "echo", "args": 1}))
        .unwrap_err();
    failure.expect("bad_request", &["one"]);
    end(&mut client, &id);
    assert_eq!(
        client.request(json!({"id": "one", "function": "echo", "args": 2})),
        Ok(json!(2))
    );
}

#[test]
fn an_id_belongs_to_its_connection_and_its_type() {
    let host = good();
    let (mut one, mut other) = (host.client(), host.client());
    let id = json!(7);
    one.send(forever(&id));
    assert_eq!(
        other.request(json!({"id": 7, "function": "echo", "args": 1})),
        Ok(json!(1))
    );
    assert_eq!(
        one.request(json!({"id": "7", "function": "echo", "args": 2})),
        Ok(json!(2))
    );
    end(&mut one, &id);
}

#[test]
fn ids_come_back_as_they_were_sent() {
    let host = good();
    let mut client = host.client();
    let longest = "ä".repeat(32);
    for id in [
        "0",
        "-1",
        "18446744073709551615",
        "-9223372036854775808",
        "\"a\\nb\"",
        &format!("\"{longest}\""),
    ] {
        client.send_line(&format!(r#"{{"id":{id},"function":"echo","args":1}}"#));
        let line = String::from_utf8(client.next_line().unwrap()).unwrap();
        let sent: Value = serde_json::from_str(id).unwrap();
        let reply: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(reply, json!({"id": sent, "ok": true, "result": 1}));
    }
}

#[test]
fn a_thousand_requests_on_one_connection_are_each_answered_once() {
    let host = good();
    let mut client = host.client();
    for id in 0..1000 {
        client.send(json!({"id": id, "function": "echo", "args": {"number": id}}));
    }
    let mut answered = vec![0; 1000];
    for _ in 0..1000 {
        let reply = client.reply();
        assert_eq!(reply.outcome.unwrap()["number"], reply.id);
        answered[usize::try_from(reply.id.as_u64().unwrap()).unwrap()] += 1;
    }
    assert!(answered.iter().all(|count| *count == 1));
    client.ping();
}

#[test]
fn those_who_ask_take_turns_where_tasks_wait() {
    let config = "[plugins.good]\nworkers = 1";
    let host = Setup::new().plugin(Plugin::Good).config(config).start();
    let mut greedy = host.client();
    for id in 0..400 {
        greedy.send(json!({"id": id, "function": "sleep", "args": {"ms": 20}}));
    }
    let mut observer = host.client();
    let mut queued = || observer.status()["queued"].as_u64().unwrap();
    wait_until("most of them to wait", || queued() > 300);
    assert_eq!(host.client().result("echo", json!("modest")), "modest");
    assert!(queued() > 0, "it waited until all of the others had begun");
}
