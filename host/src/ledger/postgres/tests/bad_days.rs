//! A database that is slow, goes away, or refuses.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::{Database, LIMITS, Schema, Session, run, try_run_at, wait_until};
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::store::{NodeAbout, Store as _};
use crate::ledger::tests::{NOW, ask, claim, completed, end, enqueue, id, task, view};
use crate::ledger::{Enqueued, Finished, NewTask, State, StoreErrorKind};

#[test]
fn connections_that_are_cut_are_made_anew_and_no_answer_is_wrong() {
    const TASKS: u64 = 2_000;
    let database = Database::new();
    let store = database.open();
    let is_over = AtomicBool::new(false);
    let cut = std::thread::scope(|scope| {
        let cutting = scope.spawn(|| {
            let mut cut = 0;
            while !is_over.load(Ordering::SeqCst) {
                cut += database.disconnect();
                std::thread::park_timeout(std::time::Duration::from_millis(30));
            }
            cut
        });
        for number in 1..=TASKS {
            // Each until it is taken in: what is refused was not, or it is said that it may have been.
            loop {
                match ask(|done| store.enqueue(vec![task(number, "f")], NOW, done)) {
                    Ok(answers) => {
                        assert_eq!(answers, [Enqueued::Stored(State::Available)]);
                        break;
                    }
                    Err(error) => {
                        assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
                    }
                }
            }
        }
        is_over.store(true, Ordering::SeqCst);
        cutting.join().unwrap()
    });
    assert!(cut > 0, "no connection was cut in time");
    wait_until("it goes on", || ask(|done| store.get(id(1), done)).is_ok());
    for number in 1..=TASKS {
        assert!(view(&store, id(number)).is_some(), "{number}");
    }
    wait_until("it can claim", || {
        ask(|done| store.sweep(NOW, 1, done)).is_ok()
    });
    let mut claimed = 0;
    loop {
        let got = claim(&store, "f", 500);
        if got.is_empty() {
            break;
        }
        claimed += got.len() as u64;
    }
    assert_eq!(claimed, TASKS);
}

#[test]
fn a_database_that_is_read_only_says_so_and_goes_on_afterwards() {
    let database = Database::new();
    let store = database.open();
    enqueue(&store, vec![task(1, "f")]);
    let read_only = format!(
        "ALTER DATABASE {} SET default_transaction_read_only",
        database.0
    );
    run(&format!("{read_only} = on"));
    database.disconnect();
    let mut message = String::new();
    wait_until("it refuses", || {
        match ask(|done| store.enqueue(vec![task(2, "f")], NOW, done)) {
            Ok(_) => false,
            Err(error) => {
                assert_eq!(error.kind, StoreErrorKind::Unavailable);
                message = error.message().to_owned();
                message.contains("read-only")
            }
        }
    });
    wait_until("it can be read", || {
        ask(|done| store.get(id(1), done)).is_ok()
    });
    run(&format!("{read_only} = off"));
    wait_until("it takes tasks in again", || {
        ask(|done| store.enqueue(vec![task(2, "f")], NOW, done)).is_ok()
    });
}

#[test]
fn who_locks_the_tables_is_not_waited_for_without_end() {
    let database = Database::new();
    let store = database.open();
    enqueue(&store, vec![task(1, "f")]);
    let claimed = claim(&store, "f", 1);
    let other = Session::connect(&database.url());
    other.run("BEGIN; LOCK TABLE task_server.live IN ACCESS EXCLUSIVE MODE");
    let ends = vec![end(&claimed[0], completed("1"))];
    let error = ask(|done| store.finish(ends.clone(), NOW, done)).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message().contains("locked"), "{error}");
    other.run("ROLLBACK");
    wait_until("it goes on", || {
        ask(|done| store.finish(ends.clone(), NOW, done)).is_ok()
    });
    assert_eq!(view(&store, id(1)).unwrap().summary.state, State::Completed);
}

#[test]
fn what_is_given_up_waits_no_longer_in_the_database() {
    for is_pooled in [false, true] {
        let database = Database::new();
        let store = Postgres::open(PostgresOptions {
            is_pooled,
            ..database.options()
        })
        .unwrap();
        let other = Session::connect(&database.url());
        other.run("BEGIN; LOCK TABLE task_server.node, task_server.tally");
        // A beat, and what is asked before a transaction.
        let about = NodeAbout {
            id: "node-a".into(),
            name: "a".into(),
            about: Bytes::from_static(b"{}"),
        };
        store.introduce(about, Box::new(|_| ()));
        store.enqueue(vec![task(1, "f")], NOW, Box::new(|_| ()));
        let waiting = format!(
            "SELECT pid || ' ' || query_start FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = 'Lock'",
            database.0
        );
        let mut first = Vec::new();
        wait_until("both to wait", || {
            first = run(&waiting);
            first.len() == 2
        });
        wait_until("neither to wait any more", || {
            let waiting = run(&waiting);
            first.iter().all(|one| !waiting.contains(one))
        });
        other.run("ROLLBACK");
        wait_until("it goes on", || {
            ask(|done| store.enqueue(vec![task(2, "f")], NOW, done)).is_ok()
        });
    }
}

#[test]
fn what_the_database_cannot_keep_is_refused_alone() {
    let schema = Schema::new();
    let store = schema.open(LIMITS);
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let odd = [
        NewTask {
            args: Bytes::from_static(b"no json"),
            ..task(1, "f")
        },
        NewTask {
            key: Some("a\0b".into()),
            ..task(2, "f")
        },
        NewTask {
            args: Bytes::from(deep),
            ..task(3, "f")
        },
    ];
    // Handed in together, so that they stand in one transaction with others.
    let (sender, answers) = std::sync::mpsc::channel();
    for number in 10..60_u64 {
        let odd = odd.get(usize::try_from(number % 5).unwrap()).cloned();
        let is_odd = odd.is_some();
        let new = NewTask {
            id: id(number),
            ..odd.unwrap_or_else(|| task(number, "f"))
        };
        let sender = sender.clone();
        let told = move |answer| sender.send((number, is_odd, answer)).unwrap();
        store.enqueue(vec![new], NOW, Box::new(told));
    }
    drop(sender);
    for (number, is_odd, answer) in answers {
        match answer {
            Ok(_) => assert!(!is_odd, "{number}"),
            Err(error) => {
                assert!(is_odd, "{number}: {error}");
                assert_eq!(error.kind, StoreErrorKind::Unfit, "{number}: {error}");
            }
        }
        assert_eq!(view(&store, id(number)).is_some(), !is_odd);
    }
    assert_eq!(schema.miscounts(), Vec::<String>::new());
}

#[test]
fn a_key_that_somebody_else_is_just_taking_is_theirs() {
    let database = Database::new();
    let store = database.open();
    let keyed = |number| NewTask {
        key: Some("k".into()),
        ..task(number, "f")
    };
    let kept = NewTask {
        unique_until: Some(NOW + 10),
        ..keyed(1)
    };
    enqueue(&store, vec![kept]);
    let claimed = claim(&store, "f", 1);
    let ends = vec![end(&claimed[0], completed("1"))];
    ask(|done| store.finish(ends, NOW, done)).unwrap();
    // The key still names the task that has ended, though it is free.
    let other = Session::connect(&database.url());
    other.run("BEGIN; SELECT task_server.host_enqueue('f', '{}', key => 'k')");
    let (sender, answer) = std::sync::mpsc::channel();
    let told = move |answer| sender.send(answer).unwrap();
    store.enqueue(vec![keyed(2)], NOW + 20, Box::new(told));
    let waiting = format!(
        "SELECT pid FROM pg_stat_activity WHERE datname = '{}' AND wait_event_type = 'Lock'",
        database.0
    );
    wait_until("it waits for the key", || !run(&waiting).is_empty());
    other.run("COMMIT");
    let answers = answer.recv().unwrap().unwrap();
    assert!(
        matches!(
            answers[..],
            [Enqueued::Duplicate {
                state: State::Available,
                ..
            }]
        ),
        "{answers:?}"
    );
    let unfinished = "SELECT id FROM task_server.live";
    assert_eq!(try_run_at(&database.url(), unfinished).unwrap().len(), 1);
}

#[test]
fn an_encoding_that_lacks_characters_is_refused() {
    let database = Database::made("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    let error = Postgres::open(database.options()).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Unfit);
    assert!(error.message().contains("LATIN1"), "{error}");
    assert!(error.message().contains("ENCODING 'UTF8'"), "{error}");
}

#[test]
fn a_key_that_a_transaction_keeps_for_long_is_nobody_elses_matter() {
    let database = Database::new();
    let store = database.open();
    enqueue(&store, vec![task(1, "f")]);
    let claimed = claim(&store, "f", 1);
    let other = Session::connect(&database.url());
    other.run("BEGIN; SELECT task_server.host_enqueue('f', '{}', key => 'k')");
    let (sender, answers) = std::sync::mpsc::channel();
    for number in 10..40 {
        let is_keyed = number == 20;
        let new = NewTask {
            key: is_keyed.then(|| "k".into()),
            ..task(number, "f")
        };
        let sender = sender.clone();
        let told = move |answer: Result<Vec<Enqueued>, _>| {
            sender.send((is_keyed, answer.map(drop))).unwrap();
        };
        store.enqueue(vec![new], NOW, Box::new(told));
    }
    let ends = vec![end(&claimed[0], completed("1"))];
    let told = move |answer: Result<Vec<Finished>, _>| {
        sender.send((false, answer.map(drop))).unwrap();
    };
    store.finish(ends, NOW, Box::new(told));
    for (is_keyed, answer) in answers {
        match answer {
            Ok(()) => assert!(!is_keyed),
            Err(error) => {
                assert!(is_keyed, "{error}");
                assert!(error.message().contains("locked"), "{error}");
            }
        }
    }
    other.run("ROLLBACK");
    let keyed = NewTask {
        key: Some("k".into()),
        ..task(50, "f")
    };
    assert!(matches!(
        enqueue(&store, vec![keyed])[..],
        [Enqueued::Stored(State::Available)]
    ));
}
