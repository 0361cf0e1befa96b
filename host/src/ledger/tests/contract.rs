//! What every store promises. Each test runs on each store.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use super::model::Model;
use super::{
    DAY_MS, NOW, ask, claim, claim_of, completed, end, enqueue, enqueue_at, failed, finish, id,
    ids, task, view, want,
};
use crate::ledger::{
    Change, Claimed, Durability, Ending, Enqueued, Failure, Filter, Finished, Held, Limits,
    Listener, NewTask, Options, PageAsk, RetryOn, RetryPolicy, Selection, Sqlite, State, Store,
    StoreErrorKind, TaskId,
};

pub(super) const NO_LIMITS: Limits = Limits {
    waiting_max: u64::MAX,
    stored_len_max: u64::MAX,
};

/// Runs a test on a new store of each kind.
pub(super) fn each(test: impl Fn(&dyn Store)) {
    each_within(NO_LIMITS, test);
}

fn each_within(limits: Limits, test: impl Fn(&dyn Store)) {
    test(&Model::new(limits));
    let folder = tempfile::tempdir().unwrap();
    test(
        &Sqlite::open(
            folder.path(),
            Options {
                durability: Durability::Write,
                limits,
            },
            NOW,
        )
        .unwrap(),
    );
    let checked = crate::ledger::sqlite::check(folder.path()).unwrap();
    assert!(checked.faults.is_empty(), "{checked:?}");
}

fn state(store: &dyn Store, id: TaskId) -> State {
    view(store, id).unwrap().summary.state
}

fn claim_one(store: &dyn Store, now: i64) -> Claimed {
    let mut claimed = claim_of(store, want("f", 1), now);
    assert_eq!(claimed.len(), 1);
    claimed.remove(0)
}

fn sweep(store: &dyn Store, now: i64) -> crate::ledger::Swept {
    ask(|done| store.sweep(now, 1_000, done)).unwrap()
}

#[test]
fn a_task_is_kept_byte_for_byte_and_so_is_its_result() {
    let long = format!("{{\"a\": \"{}\" }}", "ü\u{10ffff}".repeat(100_000));
    let texts = [
        "{}",
        " [1 , 2.50,\t1e400, -0]",
        "{\"b\":1,\"a\":2,\"a\":3}",
        "\"\\u0000\\ud800 \u{0} \u{feff}\"",
        &long,
    ];
    each(|store| {
        for (number, text) in texts.iter().enumerate() {
            let number = number as u64 + 1;
            let args = Bytes::copy_from_slice(text.as_bytes());
            enqueue(
                store,
                vec![NewTask {
                    args: args.clone(),
                    ..task(number, "f")
                }],
            );
            let claimed = claim_one(store, NOW);
            assert_eq!(claimed.args, args);
            finish(
                store,
                end(
                    &claimed,
                    Ending::Completed {
                        result: args.clone(),
                    },
                ),
                NOW,
            );
            let view = view(store, id(number)).unwrap();
            assert_eq!(view.args, args);
            assert_eq!(view.result, Some(args));
        }
    });
}

#[test]
fn all_that_a_task_was_given_is_found_again() {
    let full = NewTask {
        key: Some("key".into()),
        unique_until: Some(NOW + 7),
        available_at: NOW + 1,
        priority: 9,
        retry: RetryPolicy {
            max: 3,
            base_ms: 4,
            cap_ms: 5,
            on: RetryOn::Retryable,
        },
        deadline_at: Some(NOW + 99),
        result_ttl_ms: 77,
        timeout_ms: Some(6),
        at_most_once: true,
        subject: Some("subject".into()),
        limit_key: Some("limit".into()),
        version: Some("1".into()),
        parent: Some(id(900)),
        batch: Some("batch".into()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        client: Some("client".into()),
        ..task(1, "f")
    };
    each(|store| {
        assert_eq!(
            enqueue(store, vec![full.clone()]),
            [Enqueued::Stored(State::Scheduled)]
        );
        let view = view(store, full.id).unwrap();
        let summary = &view.summary;
        let again = NewTask {
            id: summary.id,
            function: Arc::clone(&summary.function),
            args: view.args.clone(),
            key: summary.key.clone(),
            unique_until: view.unique_until,
            available_at: summary.available_at,
            priority: summary.priority,
            retry: view.retry,
            deadline_at: summary.deadline_at,
            result_ttl_ms: view.result_ttl_ms,
            timeout_ms: view.timeout_ms,
            at_most_once: view.at_most_once,
            subject: summary.subject.clone(),
            limit_key: summary.limit_key.clone(),
            version: summary.version.clone(),
            parent: summary.parent,
            batch: summary.batch.clone(),
            traceparent: view.traceparent.clone(),
            client: view.client.clone(),
        };
        assert_eq!(again, full);
        assert_eq!(
            (
                summary.created_at,
                summary.attempts,
                summary.claimed_at,
                summary.ended_at
            ),
            (NOW, 0, None, None)
        );
        sweep(store, NOW + 1);
        let claimed = claim_one(store, NOW + 2);
        assert_eq!(claimed.limit_key, full.limit_key);
        assert_eq!(claimed.traceparent, full.traceparent);
        assert_eq!(claimed.client, full.client);
        assert_eq!(claimed.subject, full.subject);
        assert_eq!(claimed.key, full.key);
        assert_eq!(
            (claimed.timeout_ms, claimed.deadline_at, claimed.created_at),
            (Some(6), Some(NOW + 99), NOW)
        );
        assert!(claimed.at_most_once);
        assert_eq!(ask(|done| store.get(id(2), done)).unwrap(), None);
    });
}

#[test]
fn claims_go_by_priority_and_then_age_and_one_in_eight_by_age_alone() {
    each(|store| {
        // The oldest are the least urgent.
        let tasks =
            (1..=9_u8).flat_map(|at| (0..3).map(move |copy| (10 - at, u64::from(at) * 10 + copy)));
        enqueue(
            store,
            tasks
                .map(|(priority, number)| NewTask {
                    priority,
                    ..task(number, "f")
                })
                .collect(),
        );
        let mut order = Vec::new();
        for count in [1, 5, 2, 1, 100] {
            order.extend(ids(&claim(store, "f", count)));
        }
        let expected = [
            90, 91, 92, 80, 81, 82, 70, /* age */ 10, 71, 72, 60, 61, 62, 50, 51,
            /* age */ 11, 52, 40, 41, 42, 30, 31, 32, /* age */ 12, 20, 21, 22,
        ];
        assert_eq!(order, expected.map(id));
        assert!(claim(store, "f", 1).is_empty());
    });
}

#[test]
fn a_claim_takes_only_what_it_may() {
    each(|store| {
        let tenant = |number, key: &str| NewTask {
            limit_key: Some(key.into()),
            ..task(number, "f")
        };
        let versioned = |number, version: &str| NewTask {
            version: Some(version.into()),
            ..task(number, "f")
        };
        let tasks = vec![
            tenant(1, "a"),
            tenant(2, "a"),
            tenant(3, "a"),
            tenant(4, "b"),
            versioned(5, "2"),
            versioned(6, "1"),
        ];
        enqueue(store, tasks);
        enqueue(store, vec![task(7, "g"), task(8, "f")]);
        let held_back = super::Want {
            held_back: vec!["b".into()],
            running_max_by_key: Some(2),
            ..want("f", 9)
        };
        let first = claim_of(store, held_back.clone(), NOW);
        assert_eq!(ids(&first), [1, 2, 6, 8].map(id));
        assert!(claim_of(store, held_back.clone(), NOW).is_empty());
        finish(store, end(&first[0], completed("1")), NOW);
        assert_eq!(ids(&claim_of(store, held_back, NOW)), [id(3)]);
        // Three run; no more than four may.
        enqueue(store, vec![task(9, "f"), task(10, "f")]);
        let full = super::Want {
            running_max: Some(5),
            ..want("f", 9)
        };
        assert_eq!(ids(&claim_of(store, full, NOW)), [id(4)]);
        assert_eq!(
            ids(&claim_of(
                store,
                super::Want {
                    version: "2".into(),
                    ..want("f", 1)
                },
                NOW
            )),
            [id(5)]
        );
    });
}

#[test]
fn a_key_is_had_by_one_unfinished_task_of_its_subject_and_function() {
    let keyed = |number| NewTask {
        key: Some("k".into()),
        args: Bytes::from_static(b"[1]"),
        ..task(number, "f")
    };
    each(|store| {
        assert_eq!(
            enqueue(store, vec![keyed(1)]),
            [Enqueued::Stored(State::Available)]
        );
        let other_args = NewTask {
            args: Bytes::from_static(b"[1] "),
            ..keyed(3)
        };
        let other_subject = NewTask {
            subject: Some("s".into()),
            ..keyed(4)
        };
        let other_function = NewTask {
            function: "g".into(),
            ..keyed(5)
        };
        assert_eq!(
            enqueue(
                store,
                vec![
                    keyed(2),
                    other_args,
                    other_subject,
                    other_function,
                    NewTask {
                        key: None,
                        ..keyed(6)
                    }
                ]
            ),
            [
                Enqueued::Duplicate {
                    id: id(1),
                    state: State::Available
                },
                Enqueued::KeyConflict { id: id(1) },
                Enqueued::Stored(State::Available),
                Enqueued::Stored(State::Available),
                Enqueued::Stored(State::Available),
            ]
        );
        assert!(view(store, id(2)).is_none() && view(store, id(3)).is_none());
        let claimed = claim_one(store, NOW);
        assert_eq!(
            enqueue(store, vec![keyed(7)]),
            [Enqueued::Duplicate {
                id: id(1),
                state: State::Running
            }]
        );
        finish(store, end(&claimed, failed("{}")), NOW);
        assert_eq!(
            enqueue(store, vec![keyed(7)]),
            [Enqueued::Duplicate {
                id: id(1),
                state: State::Retryable
            }]
        );
        ask(|done| store.cancel(Selection::Task(id(1)), false, NOW, done)).unwrap();
        assert_eq!(
            enqueue(store, vec![keyed(7), keyed(8)])[0],
            Enqueued::Stored(State::Available)
        );
        // The first is called off, and can't come back while another has its key.
        assert_eq!(
            ask(|done| store.retry(Selection::Task(id(1)), false, NOW, done)).unwrap(),
            0
        );
        assert_eq!(state(store, id(1)), State::Cancelled);
    });
}

#[test]
fn a_key_may_stay_taken_past_the_end() {
    let keyed = |number| NewTask {
        key: Some("k".into()),
        unique_until: Some(NOW + 50),
        result_ttl_ms: 10,
        ..task(number, "f")
    };
    each(|store| {
        enqueue(store, vec![keyed(1)]);
        finish(store, end(&claim_one(store, NOW), completed("1")), NOW + 1);
        let pruned = ask(|done| store.prune(NOW + 49, 10, done)).unwrap();
        assert_eq!(
            pruned.forgotten, 0,
            "who sends the key again is told this task"
        );
        let again = |now| enqueue_at(store, vec![keyed(u64::try_from(now - NOW).unwrap())], now);
        assert_eq!(
            again(NOW + 49),
            [Enqueued::Duplicate {
                id: id(1),
                state: State::Completed
            }]
        );
        assert_eq!(again(NOW + 50), [Enqueued::Stored(State::Available)]);
    });
}

#[test]
fn a_key_taken_within_one_call_is_taken() {
    let keyed = |number, args| NewTask {
        key: Some("k".into()),
        args: Bytes::from_static(args),
        ..task(number, "f")
    };
    each(|store| {
        assert_eq!(
            enqueue(store, vec![keyed(1, b"1"), keyed(2, b"1"), keyed(3, b"2")]),
            [
                Enqueued::Stored(State::Available),
                Enqueued::Duplicate {
                    id: id(1),
                    state: State::Available
                },
                Enqueued::KeyConflict { id: id(1) }
            ]
        );
    });
}

#[test]
fn only_the_last_claim_may_report_an_end() {
    each(|store| {
        enqueue(store, vec![task(1, "f")]);
        let first = claim_one(store, NOW);
        assert_eq!(
            finish(store, end(&first, Ending::Released), NOW),
            now_in(State::Available)
        );
        let second = claim_one(store, NOW + 5);
        assert!(second.lease > first.lease);
        assert_eq!(
            (first.attempt, second.attempt),
            (1, 1),
            "what was released was no attempt"
        );
        let before = view(store, id(1));
        assert_eq!(
            finish(store, end(&first, completed("1")), NOW),
            Finished::Stale
        );
        assert_eq!(view(store, id(1)), before);
        let runs = vec![(id(1), first.lease), (id(1), second.lease), (id(2), 1)];
        let held = ask(|done| store.beat(runs, NOW, done)).unwrap();
        assert_eq!(held, [Held::Stale, Held::Yes, Held::Stale]);
        assert_eq!(
            finish(store, end(&second, completed("2")), NOW),
            now_in(State::Completed)
        );
        assert_eq!(
            finish(store, end(&second, completed("3")), NOW),
            Finished::Stale
        );
        let view = view(store, id(1)).unwrap();
        assert_eq!(view.result.as_deref(), Some(&b"2"[..]));
        assert_eq!(view.attempts.len(), 1);
    });
}

fn now_in(state: State) -> Finished {
    Finished::Now {
        state,
        available_at: None,
    }
}

#[test]
fn a_failed_task_is_tried_again_until_its_attempts_are_used_up() {
    let policy = RetryPolicy {
        max: 2,
        base_ms: 100,
        cap_ms: 1_000,
        on: RetryOn::Any,
    };
    each(|store| {
        enqueue(
            store,
            vec![NewTask {
                retry: policy,
                ..task(1, "f")
            }],
        );
        let mut now = NOW;
        for attempt in 1..=2 {
            let claimed = claim_one(store, now);
            assert_eq!(claimed.attempt, attempt);
            let Finished::Now {
                state: State::Retryable,
                available_at: Some(at),
            } = finish(store, end(&claimed, failed("{\"code\":\"x\"}")), now + 1)
            else {
                panic!("it is tried again")
            };
            let swept = sweep(store, at - 1);
            assert_eq!((swept.due, swept.next_at), (0, Some(at)));
            assert!(claim(store, "f", 1).is_empty());
            let swept = sweep(store, at);
            assert_eq!((swept.due, swept.next_at), (1, None));
            now = at;
        }
        assert_eq!(
            finish(
                store,
                end(&claim_one(store, now), failed("{\"code\":\"y\"}")),
                now + 1
            ),
            now_in(State::Discarded)
        );
        let view = view(store, id(1)).unwrap();
        let attempts: Vec<_> = view
            .attempts
            .iter()
            .map(|attempt| (attempt.number, attempt.error.as_deref().unwrap()))
            .collect();
        assert_eq!(
            attempts,
            [
                (1, &b"{\"code\":\"x\"}"[..]),
                (2, b"{\"code\":\"x\"}"),
                (3, b"{\"code\":\"y\"}")
            ]
        );
        assert_eq!(
            (
                view.attempts[0].node.as_str(),
                view.attempts[0].version.as_str()
            ),
            ("node-a", "1.2.3")
        );
        assert_eq!(
            (view.attempts[0].started_at, view.attempts[0].ended_at),
            (NOW, NOW + 1)
        );
        // Discarded ones are kept for two weeks.
        let forget_at = now + 1 + 14 * DAY_MS;
        assert_eq!(view.forget_at, Some(forget_at));
        assert_eq!(
            ask(|done| store.prune(forget_at - 1, 9, done))
                .unwrap()
                .forgotten,
            0
        );
        assert_eq!(
            ask(|done| store.prune(forget_at, 9, done))
                .unwrap()
                .forgotten,
            1
        );
        assert!(super::view(store, id(1)).is_none());
        // A person may have had it tried anew.
    });
}

#[test]
fn a_person_gives_a_task_its_attempts_anew() {
    let policy = RetryPolicy {
        max: 0,
        ..RetryPolicy::default()
    };
    each(|store| {
        enqueue(
            store,
            vec![NewTask {
                retry: policy,
                deadline_at: Some(NOW + 10),
                ..task(1, "f")
            }],
        );
        finish(store, end(&claim_one(store, NOW), failed("{}")), NOW);
        assert_eq!(state(store, id(1)), State::Discarded);
        assert_eq!(
            ask(|done| store.retry(Selection::Task(id(1)), true, NOW + 20, done)).unwrap(),
            1
        );
        assert_eq!(state(store, id(1)), State::Discarded, "that was a dry run");
        assert_eq!(
            ask(|done| store.retry(Selection::Task(id(1)), false, NOW + 20, done)).unwrap(),
            1
        );
        let claimed = claim_one(store, NOW + 20);
        assert_eq!((claimed.attempt, claimed.deadline_at), (2, None));
        finish(store, end(&claimed, completed("1")), NOW + 21);
        let view = view(store, id(1)).unwrap();
        assert_eq!(view.summary.state, State::Completed);
        assert_eq!(
            view.attempts
                .iter()
                .map(|attempt| attempt.number)
                .collect::<Vec<_>>(),
            [1, 2]
        );
    });
}

#[test]
fn what_may_run_once_only_and_is_lost_is_for_a_person_to_decide() {
    each(|store| {
        enqueue(
            store,
            vec![NewTask {
                at_most_once: true,
                ..task(1, "f")
            }],
        );
        let lost = Ending::Lost {
            error: Bytes::from_static(b"{}"),
        };
        assert_eq!(
            finish(store, end(&claim_one(store, NOW), lost), NOW),
            now_in(State::Unknown)
        );
        assert_eq!(
            view(store, id(1)).unwrap().forget_at,
            None,
            "it waits until somebody has decided"
        );
        assert_eq!(
            ask(|done| store.discard(Selection::Task(id(1)), false, NOW, done)).unwrap(),
            1
        );
        assert_eq!(state(store, id(1)), State::Discarded);
    });
}

#[test]
fn a_deadline_ends_what_waits() {
    each(|store| {
        let dead = |number, available_at| NewTask {
            deadline_at: Some(NOW + 10),
            available_at,
            ..task(number, "f")
        };
        enqueue(
            store,
            vec![
                dead(1, NOW),
                dead(2, NOW + 100),
                task(3, "f"),
                NewTask {
                    function: "g".into(),
                    ..dead(4, NOW)
                },
            ],
        );
        assert_eq!(sweep(store, NOW + 9).next_at, Some(NOW + 10));
        // A claim passes over what is too late, and finds what is behind it.
        assert_eq!(ids(&claim_of(store, want("f", 1), NOW + 10)), [id(3)]);
        assert_eq!(state(store, id(1)), State::Discarded);
        let swept = sweep(store, NOW + 10);
        assert_eq!((swept.expired, swept.due, swept.next_at), (2, 0, None));
        assert_eq!(
            (state(store, id(2)), state(store, id(4))),
            (State::Discarded, State::Discarded)
        );
    });
}

#[test]
fn what_runs_is_told_to_stop_and_its_end_decides() {
    each(|store| {
        enqueue(store, (1..=4).map(|number| task(number, "f")).collect());
        let claimed = claim(store, "f", 4);
        let all = Selection::Filter(Filter {
            state: Some(State::Running),
            ..Filter::default()
        });
        assert_eq!(ask(|done| store.cancel(all, false, NOW, done)).unwrap(), 4);
        assert!(view(store, id(1)).unwrap().summary.cancel_asked);
        let held = ask(|done| store.beat(vec![(id(1), claimed[0].lease)], NOW, done)).unwrap();
        assert_eq!(held, [Held::CancelAsked]);
        let stopped = Ending::Cancelled {
            error: Bytes::from_static(b"{}"),
        };
        assert_eq!(
            finish(store, end(&claimed[0], stopped), NOW),
            now_in(State::Cancelled)
        );
        assert_eq!(
            finish(store, end(&claimed[1], completed("1")), NOW),
            now_in(State::Completed)
        );
        assert_eq!(
            finish(store, end(&claimed[2], failed("{}")), NOW),
            now_in(State::Cancelled)
        );
        assert_eq!(
            finish(store, end(&claimed[3], Ending::Released), NOW),
            now_in(State::Cancelled)
        );
        assert_eq!(view(store, id(4)).unwrap().attempts.len(), 0);
    });
}

#[test]
fn a_selection_is_one_task_or_what_a_filter_finds() {
    each(|store| {
        let of = |number, subject: &str| NewTask {
            subject: Some(subject.into()),
            ..task(number, "f")
        };
        enqueue(
            store,
            vec![
                of(1, "a"),
                of(2, "b"),
                of(3, "a"),
                NewTask {
                    function: "g".into(),
                    ..of(4, "a")
                },
            ],
        );
        let filter = Filter {
            subject: Some("a".into()),
            function: Some("f".into()),
            ..Filter::default()
        };
        let selection = Selection::Filter(filter);
        assert_eq!(
            ask(|done| store.cancel(selection.clone(), true, NOW, done)).unwrap(),
            2
        );
        assert_eq!(
            ask(|done| store.cancel(selection.clone(), false, NOW, done)).unwrap(),
            2
        );
        assert_eq!(
            ask(|done| store.cancel(selection, false, NOW, done)).unwrap(),
            0
        );
        let states = [1, 2, 3, 4].map(|number| state(store, id(number)));
        assert_eq!(
            states,
            [
                State::Cancelled,
                State::Available,
                State::Cancelled,
                State::Available
            ]
        );
        for dry_run in [true, false] {
            let error =
                ask(|done| store.retry(Selection::Task(id(9)), dry_run, NOW, done)).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::UnknownTask);
        }
        assert_eq!(
            ask(|done| store.retry(Selection::Task(id(2)), false, NOW, done)).unwrap(),
            0,
            "it waits for nothing"
        );
    });
}

#[test]
fn a_list_has_the_newest_first_a_page_at_a_time() {
    each(|store| {
        let tasks = (1..=25).map(|number| NewTask {
            subject: (number % 2 == 0).then(|| "even".into()),
            key: (number % 3 == 0).then(|| format!("k{number}")),
            ..task(number, if number % 5 == 0 { "five" } else { "f" })
        });
        enqueue(store, tasks.collect());
        let all = |filter: Filter| {
            let mut found = Vec::new();
            let mut after = None;
            loop {
                let page = ask(|done| {
                    store.list(
                        PageAsk {
                            filter: filter.clone(),
                            after,
                            limit: 2,
                        },
                        done,
                    )
                })
                .unwrap();
                assert!(page.tasks.len() <= 2);
                found.extend(page.tasks.iter().map(|task| task.id));
                after = page.next;
                if after.is_none() {
                    return found;
                }
            }
        };
        let expect = |fits: fn(u64) -> bool| {
            (1..=25)
                .rev()
                .filter(|number| fits(*number))
                .map(id)
                .collect::<Vec<_>>()
        };
        assert_eq!(all(Filter::default()), expect(|_| true));
        assert_eq!(
            all(Filter {
                subject: Some("even".into()),
                ..Filter::default()
            }),
            expect(|number| number % 2 == 0)
        );
        assert_eq!(
            all(Filter {
                function: Some("five".into()),
                ..Filter::default()
            }),
            expect(|number| number % 5 == 0)
        );
        assert_eq!(
            all(Filter {
                key: Some("k9".into()),
                ..Filter::default()
            }),
            expect(|number| number == 9)
        );
        let both = Filter {
            key: Some("k12".into()),
            subject: Some("even".into()),
            ..Filter::default()
        };
        assert_eq!(all(both), expect(|number| number == 12));
        assert_eq!(
            all(Filter {
                state: Some(State::Completed),
                ..Filter::default()
            }),
            []
        );
        assert_eq!(
            all(Filter {
                state: Some(State::Available),
                ..Filter::default()
            })
            .len(),
            25
        );
        assert_eq!(
            all(Filter {
                function: Some("none".into()),
                ..Filter::default()
            }),
            []
        );
        ask(|done| store.cancel(Selection::Task(id(3)), false, NOW, done)).unwrap();
        claim(store, "five", 1);
        assert_eq!(
            all(Filter {
                state: Some(State::Cancelled),
                ..Filter::default()
            }),
            [id(3)]
        );
        assert_eq!(
            all(Filter {
                state: Some(State::Running),
                ..Filter::default()
            }),
            [id(5)]
        );
    });
}

#[test]
fn a_paused_function_keeps_what_it_has() {
    each(|store| {
        enqueue(store, vec![task(1, "f")]);
        ask(|done| store.pause("f".into(), true, NOW, done)).unwrap();
        ask(|done| store.know(vec!["g".into(), "f".into()], NOW, done)).unwrap();
        assert!(claim(store, "f", 1).is_empty());
        let mut known = ask(|done| store.known(done)).unwrap();
        known.sort_by(|a, b| a.name.cmp(&b.name));
        let known: Vec<_> = known
            .iter()
            .map(|function| (&*function.name, function.paused))
            .collect();
        assert_eq!(known, [("f", true), ("g", false)]);
        ask(|done| store.pause("f".into(), false, NOW, done)).unwrap();
        assert_eq!(claim(store, "f", 1).len(), 1);
    });
}

#[test]
fn statistics_are_those_of_the_tasks() {
    each(|store| {
        enqueue_at(
            store,
            vec![
                task(1, "f"),
                task(2, "f"),
                NewTask {
                    available_at: NOW + 9_999,
                    ..task(3, "f")
                },
            ],
            NOW + 5,
        );
        enqueue_at(
            store,
            vec![NewTask {
                args: Bytes::from(vec![b'1'; 1_000]),
                ..task(4, "g")
            }],
            NOW + 7,
        );
        claim(store, "f", 1);
        let stats = ask(|done| store.stats(done)).unwrap();
        assert_eq!(stats.stored_len, 2 * 3 + 1_000);
        let of = |name: &str| {
            stats
                .functions
                .iter()
                .find(|function| &*function.function == name)
                .unwrap()
        };
        assert_eq!(of("f").counts, [1, 1, 1, 0, 0, 0, 0, 0]);
        assert_eq!(of("f").oldest_available_at, Some(NOW + 5));
        assert_eq!(of("g").counts, [0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(of("g").oldest_available_at, Some(NOW + 7));
    });
}

#[test]
fn a_ledger_takes_in_no_more_than_it_may() {
    let keyed = |number| NewTask {
        key: Some("k".into()),
        ..task(number, "f")
    };
    each_within(
        Limits {
            waiting_max: 2,
            ..NO_LIMITS
        },
        |store| {
            let answers = enqueue(store, vec![keyed(1), task(2, "f"), task(3, "f"), keyed(4)]);
            assert!(
                matches!(&answers[2], Enqueued::Overloaded(why) if why.contains("waiting_max")),
                "{answers:?}"
            );
            assert_eq!(
                answers[3],
                Enqueued::Duplicate {
                    id: id(1),
                    state: State::Available
                },
                "which takes no room"
            );
            finish(store, end(&claim_one(store, NOW), completed("1")), NOW);
            assert_eq!(
                enqueue(store, vec![task(5, "f")]),
                [Enqueued::Stored(State::Available)]
            );
        },
    );
    each_within(
        Limits {
            stored_len_max: 100,
            ..NO_LIMITS
        },
        |store| {
            let sized = |number, len| NewTask {
                args: Bytes::from(vec![b'1'; len]),
                ..task(number, "f")
            };
            let answers = enqueue(store, vec![sized(1, 90), sized(2, 11), sized(3, 10)]);
            assert!(
                matches!(&answers[1], Enqueued::Overloaded(why) if why.contains("stored_len_max")),
                "{answers:?}"
            );
            assert_eq!(answers[2], Enqueued::Stored(State::Available));
            finish(store, end(&claim_one(store, NOW), completed("1")), NOW);
            ask(|done| store.prune(NOW + DAY_MS, 9, done)).unwrap();
            assert_eq!(
                enqueue(store, vec![sized(4, 90)]),
                [Enqueued::Stored(State::Available)]
            );
        },
    );
}

#[derive(Default)]
struct Heard {
    available: Mutex<Vec<Arc<str>>>,
    changes: Mutex<Vec<Change>>,
}

impl Listener for Heard {
    fn available(&self, functions: &[Arc<str>]) {
        self.available.lock().unwrap().extend_from_slice(functions);
    }

    fn wants_changes(&self) -> bool {
        true
    }

    fn changed(&self, changes: &[Change]) {
        self.changes.lock().unwrap().extend_from_slice(changes);
    }
}

#[test]
fn who_watches_is_told_every_change_in_order() {
    each(|store| {
        let heard = Arc::new(Heard::default());
        store.watch(heard.clone());
        enqueue(
            store,
            vec![NewTask {
                subject: Some("s".into()),
                available_at: NOW + 5,
                ..task(1, "f")
            }],
        );
        assert!(heard.available.lock().unwrap().is_empty());
        sweep(store, NOW + 5);
        let claimed = claim_one(store, NOW + 5);
        ask(|done| store.cancel(Selection::Task(id(1)), false, NOW, done)).unwrap();
        finish(store, end(&claimed, Ending::Released), NOW + 6);
        // What is told of the last call may come after its answer, but not after that of the next.
        ask(|done| store.sweep(NOW + 6, 1, done)).unwrap();
        assert_eq!(*heard.available.lock().unwrap(), [Arc::from("f")]);
        let changes = heard.changes.lock().unwrap();
        assert!(
            changes
                .iter()
                .all(|change| change.id == id(1) && change.subject.as_deref() == Some("s"))
        );
        let changes: Vec<_> = changes
            .iter()
            .map(|change| (change.state, change.cancel_asked))
            .collect();
        let expected = [
            (State::Scheduled, false),
            (State::Available, false),
            (State::Running, false),
            (State::Running, true),
            (State::Cancelled, false),
        ];
        assert_eq!(changes, expected);
    });
}

#[test]
fn a_failure_may_ask_for_its_own_wait() {
    each(|store| {
        enqueue(store, vec![task(1, "f")]);
        let failure = Failure {
            wait_ms: Some(123_456),
            ..Failure::default()
        };
        let ending = Ending::Failed {
            error: Bytes::from_static(b"{}"),
            failure,
        };
        let finished = finish(store, end(&claim_one(store, NOW), ending), NOW);
        assert_eq!(
            finished,
            Finished::Now {
                state: State::Retryable,
                available_at: Some(NOW + 123_456)
            }
        );
    });
}
