//! Which tasks a claim hands out.

use super::{each, state, sweep};
use crate::ledger::tests::{NOW, ask, claim, claim_of, end, enqueue, finish, id, ids, task, want};
use crate::ledger::{Ending, NewTask, Selection, State, Want};

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
fn a_turn_by_age_passes_those_that_were_next_by_priority_too() {
    each(|store| {
        let of = |priority, number| NewTask {
            priority,
            ..task(number, "f")
        };
        enqueue(store, (1..=6).map(|number| of(5, number)).collect());
        assert_eq!(claim(store, "f", 6).len(), 6);
        enqueue(store, vec![of(1, 11), of(9, 12), of(1, 13), of(1, 14)]);
        // The second of them goes by age, and the oldest is the first.
        let order = ids(&claim(store, "f", 3));
        assert_eq!(order, [11, 12, 13].map(id));
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
        let first = claim_of(store, want("f", 9), NOW);
        assert_eq!(ids(&first), [1, 2, 3, 4, 6, 8].map(id));
        assert!(claim_of(store, want("f", 9), NOW).is_empty());
        assert_eq!(
            ids(&claim_of(
                store,
                Want {
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
fn tasks_of_many_limit_keys_go_by_priority_and_age_like_others() {
    each(|store| {
        let of = |number: u64| NewTask {
            limit_key: Some(format!("tenant {}", number % 70)),
            priority: if number.is_multiple_of(3) { 1 } else { 5 },
            ..task(number, "f")
        };
        enqueue(store, (1..=300).map(of).collect());
        ask(|done| store.cancel(Selection::Task(id(3)), false, NOW, done)).unwrap();
        let mut claimed = Vec::new();
        loop {
            let last = claim(store, "f", 7);
            if last.is_empty() {
                break;
            }
            claimed.extend(ids(&last));
            if claimed.len() == 56 {
                // It comes back, and has its old place.
                finish(store, end(&last[0], Ending::Released), NOW);
            }
        }
        let mut waiting: Vec<u64> = (1..=300).filter(|number| *number != 3).collect();
        let mut expected = Vec::new();
        while !waiting.is_empty() {
            let is_by_age = expected.len() % 8 == 7;
            let rank = |number: &u64| (!is_by_age && !number.is_multiple_of(3), *number);
            let next = waiting.iter().copied().min_by_key(rank).unwrap();
            waiting.retain(|number| *number != next);
            expected.push(next);
            if expected.len() == 56 {
                waiting.push(expected[49]);
            }
        }
        assert_eq!(claimed, expected.into_iter().map(id).collect::<Vec<_>>());
    });
}
