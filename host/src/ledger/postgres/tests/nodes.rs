//! Several hosts that share a ledger.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::{LIMITS, Schema, each_release, wait_until};
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::store::{Change, ClaimAsk, Listener, NodeAbout, Store as _, Want};
use crate::ledger::tests::{
    NOW, ask, claim, completed, end, enqueue, finish, id, task, view, want,
};
use crate::ledger::{Claimed, Enqueued, Finished, NewTask, State, TaskId};

fn open_as(schema: &Schema, node: &str) -> Postgres {
    let options = PostgresOptions {
        node: node.into(),
        ..schema.options(LIMITS)
    };
    Postgres::open(options).unwrap()
}

fn claim_as(store: &Postgres, node: &str, want: Want) -> Vec<Claimed> {
    let ask_of = ClaimAsk {
        node: node.into(),
        wants: vec![want],
    };
    ask(|done| store.claim(ask_of, NOW, done)).unwrap()
}

#[test]
fn no_two_hosts_get_the_same_task() {
    const TASKS: u64 = 600;
    each_release(|schema| {
        let hosts = ["a", "b", "c"].map(|name| (name, open_as(schema, name)));
        let tasks = (1..=TASKS).map(|number| NewTask {
            priority: u8::try_from(number % 9).unwrap() + 1,
            ..task(number, "f")
        });
        enqueue(&hosts[0].1, tasks.collect());
        let claimed = Mutex::new(Vec::<TaskId>::new());
        std::thread::scope(|scope| {
            for (name, host) in &hosts {
                let claimed = &claimed;
                scope.spawn(move || {
                    // What another host is just claiming is passed over, so an empty answer isn't the end yet.
                    let mut empty = 0;
                    while empty < 20 {
                        let got = claim_as(host, name, want("f", 7));
                        empty = if got.is_empty() { empty + 1 } else { 0 };
                        for task in &got {
                            finish(host, end(task, completed("1")), NOW);
                        }
                        claimed
                            .lock()
                            .unwrap()
                            .extend(got.iter().map(|task| task.id));
                    }
                });
            }
        });
        let claimed = claimed.into_inner().unwrap();
        assert_eq!(claimed.len() as u64, TASKS);
        assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len() as u64, TASKS);
        assert_eq!(schema.miscounts(), Vec::<String>::new());
    });
}

#[test]
fn what_a_dead_host_ran_goes_on_elsewhere_and_its_reports_count_for_nothing() {
    each_release(|schema| {
        let (dead, other) = (open_as(schema, "dead"), open_as(schema, "other"));
        let once = NewTask {
            at_most_once: true,
            ..task(2, "f")
        };
        enqueue(&dead, vec![task(1, "f"), once]);
        let ran = claim_as(&dead, "dead", want("f", 2));
        assert_eq!(ran.len(), 2);
        ask(|done| other.sweep(NOW, 100, done)).unwrap();
        assert_eq!(view(&other, id(1)).unwrap().summary.state, State::Running);
        // As if it had said nothing for a while, which here would take the tests 20 seconds; it says something every 5.
        wait_until("the others notice", || {
            schema.run(&format!(
                "UPDATE {}.node SET beat_at = now() - interval '21 seconds' WHERE id = 'dead'",
                schema.0
            ));
            ask(|done| other.sweep(NOW, 100, done)).unwrap().lost > 0
        });
        let first = view(&other, id(1)).unwrap();
        assert_eq!(first.summary.state, State::Retryable);
        assert_eq!(
            (first.attempts.len(), &*first.attempts[0].node),
            (1, "dead")
        );
        assert_eq!(view(&other, id(2)).unwrap().summary.state, State::Unknown);
        let late = ask(|done| dead.finish(vec![end(&ran[0], completed("1"))], NOW, done)).unwrap();
        assert_eq!(late, [Finished::Stale]);
        let at = first.summary.available_at;
        ask(|done| other.sweep(at, 100, done)).unwrap();
        let again = claim_as(&other, "other", want("f", 2));
        assert_eq!(
            again.iter().map(|task| task.attempt).collect::<Vec<_>>(),
            [2]
        );
        finish(&other, end(&again[0], completed("2")), at);
        let nodes = ask(|done| other.nodes(done)).unwrap();
        assert!(
            nodes
                .iter()
                .any(|node| &*node.id == "other" && !node.is_dead)
        );
        assert_eq!(schema.miscounts(), Vec::<String>::new());
    });
}

#[test]
fn a_host_that_ends_in_good_order_is_not_waited_for() {
    each_release(|schema| {
        let (first, second) = (open_as(schema, "first"), open_as(schema, "second"));
        let about = NodeAbout {
            id: "first".into(),
            name: "hall".into(),
            about: Bytes::from_static(b"{\"functions\":[\"f\"]}"),
        };
        ask(|done| first.introduce(about.clone(), done)).unwrap();
        wait_until("it is known by its name", || {
            let nodes = ask(|done| second.nodes(done)).unwrap();
            nodes
                .iter()
                .any(|node| node.name == about.name && node.about.as_ref() == Some(&about.about))
        });
        enqueue(&first, vec![task(1, "f")]);
        assert_eq!(claim_as(&first, "first", want("f", 1)).len(), 1);
        drop(first);
        wait_until("its run is ended", || {
            ask(|done| second.sweep(NOW, 9, done)).unwrap().lost == 1
        });
        assert_eq!(
            view(&second, id(1)).unwrap().summary.state,
            State::Retryable
        );
    });
}

#[test]
fn a_key_that_hosts_take_at_once_is_had_by_one() {
    each_release(|schema| {
        let hosts = ["a", "b", "c"].map(|name| open_as(schema, name));
        for round in 0..30 {
            let stored = Mutex::new(0);
            std::thread::scope(|scope| {
                for (at, host) in hosts.iter().enumerate() {
                    let stored = &stored;
                    scope.spawn(move || {
                        // Several, in another order on each host.
                        let mut tasks: Vec<NewTask> = (0..8_u64)
                            .map(|key| NewTask {
                                key: Some(format!("{round} {key}")),
                                ..task(1 + round * 100 + key * 10 + at as u64, "f")
                            })
                            .collect();
                        tasks.rotate_left(at * 3);
                        let answers = enqueue(host, tasks);
                        let new = answers
                            .iter()
                            .filter(|answer| matches!(answer, Enqueued::Stored(_)));
                        *stored.lock().unwrap() += new.count();
                    });
                }
            });
            assert_eq!(stored.into_inner().unwrap(), 8);
        }
        assert_eq!(schema.miscounts(), Vec::<String>::new());
    });
}

#[derive(Default)]
struct Heard(AtomicBool);

impl Listener for Heard {
    fn available(&self, functions: &[Arc<str>]) {
        if functions.iter().any(|function| &**function == "f") {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    fn wants_changes(&self) -> bool {
        false
    }

    fn changed(&self, _: &[Change]) {}
}

#[test]
fn a_host_is_told_of_tasks_that_another_takes_in() {
    each_release(|schema| {
        let (first, second) = (open_as(schema, "first"), open_as(schema, "second"));
        let heard = Arc::new(Heard::default());
        second.watch(heard.clone());
        enqueue(&first, vec![task(1, "f")]);
        wait_until("it hears of it", || heard.0.load(Ordering::SeqCst));
        wait_until("it may have it", || !claim(&second, "f", 1).is_empty());
    });
}
