//! How runs end, and what becomes of their tasks.

use bytes::Bytes;

use super::{claim_one, each, state, sweep};
use crate::ledger::tests::{
    DISCARDED_TTL_MS, NOW, ask, claim, completed, end, enqueue, failed, finish, id, task, view,
};
use crate::ledger::{
    Ending, Failure, Filter, Finished, Held, NewTask, RetryOn, RetryPolicy, Selection, State,
};

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
        let forget_at = now + 1 + DISCARDED_TTL_MS;
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
