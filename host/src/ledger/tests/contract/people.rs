//! What people do to tasks.

use super::{claim_one, each, state};
use crate::ledger::tests::{NOW, ask, completed, end, enqueue, failed, finish, id, task, view};
use crate::ledger::{Filter, NewTask, RetryPolicy, Selection, State, StoreErrorKind};

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
