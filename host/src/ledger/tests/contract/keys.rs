//! Keys, of which a task is the only one to have its.

use bytes::Bytes;

use super::{claim_one, each, state};
use crate::ledger::tests::{
    NOW, ask, completed, end, enqueue, enqueue_at, failed, finish, id, task, view,
};
use crate::ledger::{Enqueued, NewTask, Selection, State};

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
