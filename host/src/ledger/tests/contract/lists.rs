//! Lists, numbers, and who is told of changes.

use std::sync::Arc;

use bytes::Bytes;

use super::{claim_one, each, sweep};
use crate::ledger::tests::{Heard, NOW, ask, claim, end, enqueue, enqueue_at, finish, id, task};
use crate::ledger::{Ending, Filter, NewTask, PageAsk, Selection, State};

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
                let ask_of = PageAsk {
                    filter: filter.clone(),
                    after,
                    limit: 2,
                };
                let page = ask(|done| store.list(ask_of, done)).unwrap();
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
                version: Some("2.0".to_owned()),
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
        assert_eq!(of("f").oldest_version, None);
        assert_eq!(of("g").counts, [0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(of("g").oldest_available_at, Some(NOW + 7));
        assert_eq!(of("g").oldest_version.as_deref(), Some("2.0"));
    });
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
        // A store that others write too may say again what is still so.
        let mut available = heard.available.lock().unwrap().clone();
        available.dedup();
        assert_eq!(available, [Arc::from("f")]);
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
