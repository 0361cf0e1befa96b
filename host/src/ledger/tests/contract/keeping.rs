//! What is taken in is kept, as far as there is room.

use std::sync::Arc;

use bytes::Bytes;

use super::{NO_LIMITS, claim_one, each, each_within, sweep};
use crate::ledger::tests::{
    DAY_MS, NOW, ask, claim, completed, end, enqueue, finish, id, ids, task, view,
};
use crate::ledger::{
    Ending, Enqueued, Limits, NewTask, RetryOn, RetryPolicy, State, TaskId, TaskView,
};

#[test]
fn a_task_is_kept_byte_for_byte_and_so_is_its_result() {
    let long = format!("{{\"a\": \"{}\" }}", "ü\u{10ffff}".repeat(100_000));
    let texts = [
        "{}",
        " [1 , 2.50,\t1e400, -0]",
        "{\"b\":1,\"a\":2,\"a\":3}",
        "\"\\u0000\\ud800 \u{7f} \u{feff}\"",
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

/// A task that asks for everything there is, and is its own among others.
fn full(number: u64) -> NewTask {
    let time = i64::try_from(number).unwrap();
    NewTask {
        args: Bytes::from(format!("{{\"number\":{number}}}")),
        key: Some(format!("key {number}")),
        unique_until: Some(NOW + 7 + time),
        available_at: NOW + time,
        priority: 9,
        retry: RetryPolicy {
            max: 3,
            base_ms: 4 + time,
            cap_ms: 5 + time,
            on: RetryOn::Retryable,
        },
        deadline_at: Some(NOW + 99 + time),
        result_ttl_ms: 77 + time,
        timeout_ms: Some(6 + time),
        at_most_once: true,
        subject: Some(format!("subject {number}")),
        limit_key: Some(format!("limit {}", number % 3)),
        version: Some("1".into()),
        parent: Some(id(900 + number)),
        batch: Some(format!("batch {number}")),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        client: Some(format!("client {number}")),
        ..task(number, "f")
    }
}

/// What was asked for, as far as a view tells.
fn as_given(view: &TaskView) -> NewTask {
    let summary = &view.summary;
    NewTask {
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
    }
}

#[test]
fn all_that_a_task_was_given_is_found_again() {
    let full = full(1);
    each(|store| {
        assert_eq!(
            enqueue(store, vec![full.clone()]),
            [Enqueued::Stored(State::Scheduled)]
        );
        let view = view(store, full.id).unwrap();
        let summary = &view.summary;
        assert_eq!(as_given(&view), full);
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
            (Some(7), Some(NOW + 100), NOW)
        );
        assert!(claimed.at_most_once);
        assert_eq!(ask(|done| store.get(id(2), done)).unwrap(), None);
    });
}

#[test]
fn of_many_tasks_of_one_call_each_is_kept_as_it_came() {
    // Plain ones have nothing where others have something.
    let tasks = (1..=50_u64).map(|number| match number % 3 {
        0 => full(number),
        _ => task(number, "f"),
    });
    let tasks: Vec<NewTask> = tasks.collect();
    each(|store| {
        for (answer, given) in enqueue(store, tasks.clone()).iter().zip(&tasks) {
            let state = State::of_new(given.available_at, NOW);
            assert_eq!(*answer, Enqueued::Stored(state));
        }
        for given in &tasks {
            assert_eq!(as_given(&view(store, given.id).unwrap()), *given);
        }
        let plain = tasks.iter().filter(|given| given.key.is_none());
        let plain: Vec<TaskId> = plain.map(|given| given.id).collect();
        assert_eq!(ids(&claim(store, "f", 100)), plain);
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
