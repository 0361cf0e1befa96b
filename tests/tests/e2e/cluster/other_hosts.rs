//! What happens to a task on another host is told here, too.

use databases::Postgres;
use serde_json::{Value, json};
use tests::{Client, wait_for, wait_until};

use super::{end_of, good, hand_over, setup};

/// Begins to watch tasks like these, by a request of the id `w`, and waits until other hosts know.
#[track_caller]
fn watch(server: &Postgres, client: &mut Client, mut filter: Value) {
    filter["watch"] = json!(true);
    client.send(json!({"id": "w", "function": "host.tasks", "args": filter}));
    wait_until("others to know", || {
        let sql = server.sql("SELECT node FROM task_server.listener WHERE watches");
        !sql.trim().is_empty()
    });
}

/// The states that tasks came into, as they are told, up to the end of this one.
#[track_caller]
fn told_until(client: &mut Client, task: &str, end: &str) -> Vec<(String, String)> {
    let mut told = Vec::new();
    loop {
        let event = client.recv();
        assert_eq!(event["event"], "task", "{event}");
        let word = |name: &str| event["data"][name].as_str().expect("a text").to_owned();
        told.push((word("task"), word("state")));
        if event["data"]["task"] == task && event["data"]["state"] == end {
            return told;
        }
    }
}

fn states_of<'t>(told: &'t [(String, String)], task: &str) -> Vec<&'t str> {
    let of = told.iter().filter(|(id, _)| id == task);
    of.map(|(_, state)| &**state).collect()
}

#[test]
fn who_waits_sees_the_progress_and_the_end_of_what_runs_elsewhere() {
    let server = Postgres::start(&[]);
    let (with, without) = (good(&server), setup(&server).start());
    let mut client = with.client();
    let task = hand_over(&mut client, "progress", json!({"steps": 6_000, "ms": 100}));
    let mut waits = without.client();
    waits.send(json!({
        "id": 1, "function": "host.task", "args": {"task": task, "wait_ms": 600_000}, "progress": true,
    }));
    let mut last = 0;
    for _ in 0..3 {
        let event = waits.recv();
        let done = event["done"].as_u64().expect("a number");
        assert!(done > last, "{event}");
        last = done;
        assert_eq!(
            event,
            json!({"id": 1, "event": "progress", "done": done, "total": 6_000, "message": format!("step {done}")})
        );
    }
    client.result("host.cancel", json!({"task": task}));
    let reply = loop {
        let line = waits.recv();
        if line.get("ok").is_some() {
            break line;
        }
    };
    assert_eq!(reply["result"]["state"], "cancelled", "{reply}");
    wait_until("nobody to listen", || {
        let sql = server.sql("SELECT node FROM task_server.listener");
        sql.trim().is_empty()
    });
}

#[test]
fn who_does_not_want_progress_is_told_none() {
    let server = Postgres::start(&[]);
    let (with, without) = (good(&server), setup(&server).start());
    let (mut client, mut waits) = (with.client(), without.client());
    let task = hand_over(&mut client, "progress", json!({"steps": 20, "ms": 100}));
    waits.send(
        json!({"id": 1, "function": "host.task", "args": {"task": task, "wait_ms": 600_000}}),
    );
    let reply = waits.recv();
    assert_eq!(reply["result"]["state"], "completed", "{reply}");
    assert_eq!(reply["result"]["result"], 20, "{reply}");
}

#[test]
fn who_watches_is_told_of_each_change_whichever_host_makes_it() {
    const TASKS: usize = 300;
    let server = Postgres::start(&[]);
    let hosts = [(); 2].map(|()| good(&server));
    let watching = setup(&server).start();
    let mut watcher = watching.client();
    let [mut one, mut other] = hosts.each_ref().map(tests::Host::client);
    watch(&server, &mut watcher, json!({"function": "echo"}));
    hand_over(&mut one, "sleep", json!({"ms": 1}));
    let mut tasks = Vec::new();
    for number in 0..TASKS {
        let client = if number % 2 == 0 {
            &mut one
        } else {
            &mut other
        };
        tasks.push(hand_over(client, "echo", json!(number)));
    }
    for task in &tasks {
        end_of(&mut one, task);
    }
    // The host that watches hands over, and changes, as well.
    one.result("host.pause", json!({"function": "echo"}));
    let mut here = watching.client();
    let last = wait_for("the host to know what others have", || {
        let request = json!({"function": "echo", "args": "last", "background": true});
        let taken = here.request(request).ok()?;
        taken["task"].as_str().map(str::to_owned)
    });
    here.result("host.cancel", json!({"task": last}));
    let told = told_until(&mut watcher, &last, "cancelled");
    for task in &tasks {
        assert_eq!(
            states_of(&told, task),
            ["available", "running", "completed"]
        );
    }
    assert_eq!(states_of(&told, &last), ["available", "cancelled"]);
    assert_eq!(told.len(), 3 * TASKS + 2);
}

#[test]
fn what_a_dead_host_ran_is_told_to_have_been_lost() {
    let server = Postgres::start(&[]);
    let mut dead = good(&server);
    let watching = setup(&server).start();
    let mut watcher = watching.client();
    watch(&server, &mut watcher, json!({}));
    let task = hand_over(&mut dead.client(), "sleep", json!({"ms": 600_000}));
    told_until(&mut watcher, &task, "running");
    dead.signal(rustix::process::Signal::KILL);
    dead.wait();
    // It is noticed here, where nothing can run it.
    told_until(&mut watcher, &task, "retryable");
}

#[test]
fn many_who_wait_cost_no_more_than_one() {
    const WAITERS: usize = 200;
    let server = Postgres::start(&["shared_preload_libraries=pg_stat_statements"]);
    server.sql("CREATE EXTENSION pg_stat_statements");
    let (with, without) = (good(&server), setup(&server).start());
    let task = hand_over(&mut with.client(), "sleep", json!({"ms": 600_000}));
    let calls = |of: &str| {
        let statement = format!(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE query LIKE '%{of}%'"
        );
        let calls = server.sql(&statement);
        calls.trim().parse::<usize>().expect("a number")
    };
    let of_one = || calls("WHERE task.id = $1");
    let of_all = || calls("unnest($1::uuid[]) AS asked (id)");
    let mut client = without.client();
    for id in 0..WAITERS {
        client.send(
            json!({"id": id, "function": "host.task", "args": {"task": task, "wait_ms": 600_000}}),
        );
    }
    wait_until("all to have looked once", || of_one() >= WAITERS);
    let before = of_all();
    wait_until("some looks for all", || of_all() >= before + 6);
    assert_eq!(of_one(), WAITERS);
    with.client().result("host.cancel", json!({"task": task}));
    for _ in 0..WAITERS {
        let reply = client.recv();
        assert_eq!(reply["result"]["state"], "cancelled", "{reply}");
    }
    assert_eq!(of_one(), 2 * WAITERS);
}
