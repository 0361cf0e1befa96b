//! A plugin that misbehaves: its client is told what happened, and nobody else notices.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};
use tests::{Client, Host, Plugin, Setup, wait_until};

/// How an evil function ends for its client.
enum End {
    Ok(Value),
    /// The code, what the message says, and the kind in `data`.
    Error(&'static str, &'static [&'static str], Option<&'static str>),
}
use End::Error;

const CRASHED: &str = "worker_crashed";

fn table() -> Vec<(&'static str, Value, End)> {
    vec![
        (
            "panic",
            json!({}),
            Error(
                "handler_panicked",
                &["told to panic", "src/crashes.rs:"],
                None,
            ),
        ),
        (
            "abort",
            json!({}),
            Error(CRASHED, &["killed by SIGABRT", "in this task"], None),
        ),
        (
            "segfault",
            json!({}),
            Error(CRASHED, &["killed by SIGSEGV", "in this task"], None),
        ),
        (
            "exit",
            json!({}),
            Error(CRASHED, &["exited with code 0"], None),
        ),
        (
            "exit",
            json!({"code": 3}),
            Error(CRASHED, &["exited with code 3"], None),
        ),
        (
            "stack_overflow",
            json!({}),
            Error(CRASHED, &["overflowed its stack", "in this task"], None),
        ),
        (
            "memory_hog",
            json!({}),
            Error(CRASHED, &["the worker"], None),
        ),
        (
            "memory_hog",
            json!({"bytes": 20_000_000}),
            End::Ok(json!(null)),
        ),
        (
            "print",
            json!({"stdout": ["{\"ok\":true}", ""], "stderr": ["!"]}),
            End::Ok(json!(null)),
        ),
        (
            "invalid_json",
            json!({}),
            Error("handler_failed", &["JSON"], Some("invalid_result")),
        ),
        (
            "invalid_utf8",
            json!({}),
            Error("handler_failed", &["UTF-8"], Some("invalid_result")),
        ),
        ("newlines", json!({}), End::Ok(json!([1, 2]))),
        (
            "drop_completion",
            json!({}),
            Error("handler_failed", &["completion"], Some("abandoned")),
        ),
        ("answer_twice", json!({}), End::Ok(json!(1))),
        ("leak_thread", json!({}), End::Ok(json!(null))),
        (
            "huge_result",
            json!({}),
            Error("result_too_large", &["67108866"], None),
        ),
        ("endless", json!({}), Error("timeout", &[], None)),
    ]
}

fn evil_and_good(workers: usize) -> Host {
    // Little memory: on a busy machine it takes time to take much, and these must not run into their time limit.
    let config = format!(
        "[worker]\ncancel_grace = \"100ms\"\n\
         [plugins.evil]\nworkers = {workers}\ntimeout = \"2s\"\nmemory_max = \"256MiB\"\n\
         [plugins.good]\nworkers = 2"
    );
    Setup::new()
        .plugin(Plugin::Evil)
        .plugin(Plugin::Good)
        .config(&config)
        .start()
}

#[track_caller]
fn expect_end(client: &mut Client, function: &str, args: &Value, end: &End) {
    let outcome = client.call(function, args.clone());
    match end {
        End::Ok(result) => assert_eq!(outcome.as_ref(), Ok(result), "{function}"),
        Error(code, texts, kind) => {
            let failure = outcome.expect_err(function);
            failure.expect(code, texts);
            assert_eq!(failure.data["kind"].as_str(), *kind, "{failure:?}");
        }
    }
}

#[test]
fn each_misdeed_gets_its_client_the_right_line_and_harms_nobody_else() {
    let host = evil_and_good(6);
    let done = AtomicBool::new(false);
    let rounds = AtomicU64::new(0);
    thread::scope(|scope| {
        // On a connection of its own, on the evil plugin and beside it.
        scope.spawn(|| {
            let mut bystander = host.client();
            while !done.load(Ordering::Relaxed) {
                assert_eq!(bystander.call("ok", json!({})), Ok(json!("ok")));
                assert_eq!(bystander.call("echo", json!({"x": 1})), Ok(json!({"x": 1})));
                rounds.fetch_add(1, Ordering::Relaxed);
            }
        });
        let mischief = scope.spawn(|| {
            let mut client = host.client();
            for (function, args, end) in table() {
                expect_end(&mut client, function, &args, &end);
                let seen = rounds.load(Ordering::Relaxed);
                wait_until("the bystander to be served", || {
                    rounds.load(Ordering::Relaxed) > seen
                });
            }
        });
        let outcome = mischief.join();
        done.store(true, Ordering::Relaxed);
        outcome.unwrap();
    });
    host.client().ping();
    assert_eq!(host.stdout().lines().count(), 1, "{}", host.stdout());
}

#[test]
fn misdeeds_side_by_side_on_one_connection_get_each_its_own_line() {
    let host = evil_and_good(6);
    let mut client = host.client();
    let table = table();
    for (id, (function, args, _)) in table.iter().enumerate() {
        // Between two crashes one that ends well, or they would count as in a row.
        client.send(json!({"id": id, "function": function, "args": args}));
        client.send(json!({"id": format!("ok {id}"), "function": "ok"}));
    }
    for _ in 0..table.len() * 2 {
        let reply = client.reply();
        let Some(index) = reply.id.as_u64() else {
            assert_eq!(reply.outcome, Ok(json!("ok")), "{}", reply.id);
            continue;
        };
        let (function, _, end) = &table[usize::try_from(index).unwrap()];
        match end {
            End::Ok(result) => assert_eq!(reply.outcome.as_ref(), Ok(result), "{function}"),
            Error(code, texts, _) => reply.outcome.expect_err(function).expect(code, texts),
        }
    }
}

#[test]
fn what_a_plugin_prints_is_logged_line_by_line() {
    let host = evil_and_good(1);
    let args = json!({"stdout": ["out 1", "", "out 2"], "stderr": ["err ä"]});
    host.client().result("print", args);
    for text in ["out 1", "out 2", "err ä"] {
        host.wait_for_log(&["evil", text]);
    }
    assert_eq!(host.stdout().lines().count(), 1, "{}", host.stdout());
}

#[test]
fn of_two_answers_the_first_counts_and_the_second_is_logged() {
    let host = evil_and_good(1);
    let mut client = host.client();
    assert_eq!(
        client.request(json!({"id": "twice", "function": "answer_twice"})),
        Ok(json!(1))
    );
    host.wait_for_log(&["WARN", "second time", "evil"]);
    assert_eq!(client.result("ok", json!({})), "ok");
}

#[test]
fn an_answer_given_before_the_crash_counts() {
    let host = evil_and_good(1);
    let mut client = host.client();
    for _ in 0..20 {
        // Whether it could still be read is a matter of luck; if not, the client must know that the task had finished.
        match client.call("answer_and_abort", json!({})) {
            Ok(result) => assert_eq!(result, 1),
            Err(failure) => failure.expect(CRASHED, &["had finished"]),
        }
        assert_eq!(client.result("ok", json!({})), "ok");
    }
}

#[test]
fn a_worker_with_leaked_threads_ends_like_any_other() {
    let host = evil_and_good(1);
    let mut client = host.client();
    for _ in 0..10 {
        client.result("leak_thread", json!({}));
    }
    let worker = host
        .workers()
        .into_iter()
        .find(|worker| worker.threads() > 10)
        .expect("its threads are there");
    client
        .failure("exit", json!({}))
        .expect(CRASHED, &["exited"]);
    wait_until("it to be gone", || !worker.is_alive());
    assert_eq!(client.result("ok", json!({})), "ok");
}

#[test]
fn a_process_that_a_plugin_started_dies_with_its_worker() {
    for end in ["exit", "segfault", "abort"] {
        let host = evil_and_good(1);
        let mut client = host.client();
        let pid = client.result("spawn_child", json!({})).as_u64().unwrap();
        let grandchild =
            tests::Process::find(u32::try_from(pid).unwrap()).expect("it sleeps for a long time");
        client.failure(end, json!({})).expect(CRASHED, &[]);
        wait_until("the grandchild to be gone", || !grandchild.is_alive());
        assert_eq!(client.result("ok", json!({})), "ok");
    }
}

#[test]
fn the_link_to_the_host_is_not_on_standard_input() {
    let host = evil_and_good(1);
    let mut client = host.client();
    assert_eq!(client.result("read_stdin", json!({})), 0);
    client.result("close_stdin", json!({}));
    assert_eq!(client.result("ok", json!({})), "ok");
    assert_eq!(client.status()["plugins"]["evil"]["crashes"], 0);
}

#[test]
fn a_failure_comes_with_all_that_the_handler_said() {
    let host = evil_and_good(1);
    let mut client = host.client();
    let args = json!({"kind": "no_such_file", "message": "where?\nthere", "data": {"path": "ä"}});
    let failure = client.failure("fail", args);
    failure.expect("handler_failed", &["where?\nthere"]);
    assert!(!failure.retryable);
    assert_eq!(
        failure.data,
        json!({"kind": "no_such_file", "data": {"path": "ä"}})
    );
    let failure = client.failure(
        "fail",
        json!({"kind": "busy", "message": "later", "retryable": true}),
    );
    assert!(failure.retryable);
    assert_eq!(failure.data, json!({"kind": "busy"}));
}

#[test]
fn long_texts_are_cut_and_say_so() {
    let host = evil_and_good(1);
    let mut client = host.client();
    let long = json!({"len": 20_000_000});
    for (function, code) in [
        ("panic", "handler_panicked"),
        ("fail_at_length", "handler_failed"),
    ] {
        let failure = client.failure(function, long.clone());
        failure.expect(code, &["xxx", "20000"]);
        assert!(failure.message.len() < 10_000, "{}", failure.message.len());
    }
    let failure = client.failure("fail_at_length", json!({"len": 100_000}));
    failure.expect("handler_failed", &["100000 bytes"]);
    assert_eq!(failure.data["kind"], "told");
    let data = failure.data["data"].as_str().unwrap();
    assert_eq!(data.len(), 100_000, "what programs read is whole");
}

/// Both go on from the fork, and only one of them is the worker.
#[test]
fn a_copy_of_a_worker_has_no_say() {
    let host = evil_and_good(1);
    let mut client = host.client();
    for _ in 0..20 {
        assert_eq!(client.result("ok", json!({})), "ok");
    }
    for round in 0..10 {
        client.send(json!({"id": "fork", "function": "fork"}));
        for id in 0..50 {
            client.send(json!({"id": id, "function": "ok"}));
        }
        for _ in 0..51 {
            let reply = client.reply();
            let expected = if reply.id == "fork" {
                json!(null)
            } else {
                json!("ok")
            };
            assert_eq!(reply.outcome, Ok(expected), "{} in round {round}", reply.id);
        }
    }
    let log = host.log();
    assert!(!log.contains("does not have"), "an answer came twice");
    assert_eq!(client.status()["plugins"]["evil"]["crashes"], 0);
}

#[test]
fn arrays_are_no_objects() {
    let host = evil_and_good(1);
    let mut client = host.client();
    let failure = client.failure("sleep", json!([1]));
    failure.expect("invalid_args", &["an object with `ms`", "not an array"]);
    let failure = client.failure("sleep", json!("1"));
    failure.expect("invalid_args", &["expected an object with `ms`"]);
    assert!(!failure.message.contains("struct"), "{failure:?}");
    assert_eq!(client.result("print", json!([])), json!(null));
}
