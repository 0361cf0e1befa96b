//! A process that is killed while it writes, and what the next one finds.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;

use super::{Killed, OPTIONS, child, child_folder, new_ids, open};
use crate::ledger::sqlite::{Sqlite, check};
use crate::ledger::store::Store;
use crate::ledger::tests::{
    DAY_MS, Heard, NOW, ask, claim, completed, end, enqueue, failed, finish, id, task, view,
};
use crate::ledger::{Enqueued, Filter, Finished, NewTask, PageAsk, Selection, State, TaskId};

/// Says what the ledger has answered, a line each, until it is killed.
#[test]
#[ignore = "a child of another test"]
fn a_child_that_writes() {
    let Some(folder) = child_folder() else { return };
    let (store, ids) = (Arc::new(open(&folder)), new_ids());
    write_on(&store, &ids, &|line| println!("{line}"));
}

/// Takes tasks in and runs them, and says what was answered. Several are on their way at a time.
pub(super) fn write_on(
    store: &Arc<Sqlite>,
    ids: &Arc<crate::ledger::TaskIds>,
    say: &(dyn Fn(&str) + Sync),
) {
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let tasks = (0..5).map(|at| NewTask {
                        id: ids.next(NOW),
                        args: Bytes::from(vec![b'1'; if at == 0 { 5_000 } else { 100 }]),
                        ..task(0, "f")
                    });
                    let tasks: Vec<NewTask> = tasks.collect();
                    let new: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
                    enqueue(&**store, tasks);
                    say(&new
                        .iter()
                        .map(|id| format!("stored {id}"))
                        .collect::<Vec<_>>()
                        .join("\n"));
                    for claimed in claim(&**store, "f", 3) {
                        say(&format!("claimed {}", claimed.id));
                        finish(&**store, end(&claimed, completed("1")), NOW);
                        say(&format!("completed {}", claimed.id));
                    }
                }
            });
        }
    });
}

/// What lines of [`write_on`] promise is so.
pub(super) fn check_promises<'a>(store: &Sqlite, lines: impl Iterator<Item = &'a str>) -> usize {
    let mut promised: BTreeMap<TaskId, bool> = BTreeMap::new();
    for line in lines {
        match line.split_once(' ') {
            Some(("stored", id)) => drop(promised.entry(id.parse().unwrap()).or_insert(false)),
            Some(("completed", id)) => drop(promised.insert(id.parse().unwrap(), true)),
            _ => {}
        }
    }
    for (id, is_completed) in &promised {
        let view = view(store, *id).unwrap_or_else(|| panic!("{id} was promised, and isn't there"));
        assert!(
            !is_completed || view.summary.state == State::Completed,
            "{id} is {}",
            view.summary.state
        );
        assert!(matches!(view.args.len(), 100 | 5_000));
    }
    promised.len()
}

#[test]
fn what_was_answered_is_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = String::new();
    for round in 1..=5 {
        let process = child(&[], "life::a_child_that_writes", folder.path())
            .stdout(Stdio::piped())
            .spawn();
        let mut process = Killed(process.unwrap());
        let mut output = BufReader::new(process.0.stdout.take().unwrap());
        for _ in 0..round * 60 {
            assert!(output.read_line(&mut said).unwrap() > 0, "it writes on");
        }
        drop(process);
        output.read_to_string(&mut said).unwrap();
        // The last line may have been cut.
        said.truncate(said.rfind('\n').map_or(0, |end| end + 1));
        let store = open(folder.path());
        assert!(check_promises(&store, said.lines()) > round * 5);
        let running = PageAsk {
            filter: Filter {
                state: Some(State::Running),
                ..Filter::default()
            },
            after: None,
            limit: 1,
        };
        assert!(
            ask(|done| store.list(running, done))
                .unwrap()
                .tasks
                .is_empty()
        );
        drop(store);
        let checked = check(folder.path()).unwrap();
        assert_eq!(checked.faults, [] as [String; 0]);
    }
}

#[test]
fn what_a_dead_host_ran_counts_as_an_attempt() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let once = NewTask {
        at_most_once: true,
        ..task(2, "f")
    };
    let last = NewTask {
        retry: crate::ledger::RetryPolicy {
            max: 0,
            ..task(3, "f").retry
        },
        ..task(3, "f")
    };
    let called_off = task(4, "f");
    enqueue(&store, vec![task(1, "f"), once, last, called_off]);
    let claimed = claim(&store, "f", 4);
    ask(|done| store.cancel(Selection::Task(id(4)), false, NOW, done)).unwrap();
    drop(store);
    let store = Sqlite::open(folder.path(), OPTIONS, NOW + 9).unwrap();
    let state = |number| view(&store, id(number)).unwrap().summary.state;
    assert_eq!(
        [1, 2, 3, 4].map(state),
        [
            State::Retryable,
            State::Unknown,
            State::Discarded,
            State::Cancelled
        ]
    );
    let attempts = view(&store, id(1)).unwrap().attempts;
    assert_eq!(attempts.len(), 1);
    assert_eq!(
        (attempts[0].node.as_str(), attempts[0].version.as_str()),
        ("node-a", "1")
    );
    assert_eq!(
        (attempts[0].started_at, attempts[0].ended_at),
        (NOW, NOW + 9)
    );
    let error = String::from_utf8(attempts[0].error.as_ref().unwrap().to_vec()).unwrap();
    assert!(error.contains("worker_crashed"), "{error}");
    // The dead one's word counts for nothing any more.
    assert_eq!(
        finish(&store, end(&claimed[0], completed("1")), NOW),
        Finished::Stale
    );
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_wait_longer_than_it_was_told_to() {
    const YEARS_MS: i64 = 14 * 365 * 24 * 3_600_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let later = NOW + YEARS_MS;
    let keyed = |number| NewTask {
        key: Some("k".into()),
        unique_until: Some(later + 5_000),
        ..task(number, "f")
    };
    enqueue(&store, vec![task(1, "f")]);
    // The clock jumps forward: one fails and is to wait, one is scheduled, one's key stays taken for a while.
    let claimed =
        crate::ledger::tests::claim_of(&store, crate::ledger::tests::want("f", 1), later).remove(0);
    finish(&store, end(&claimed, failed("{}")), later);
    let scheduled = NewTask {
        available_at: later + 7_000,
        ..task(2, "f")
    };
    let tasks = vec![scheduled, keyed(3)];
    ask(|done| store.enqueue(tasks, later, done)).unwrap();
    ask(|done| store.cancel(Selection::Task(id(3)), false, later, done)).unwrap();
    // And back.
    let swept = ask(|done| store.sweep(NOW + 10, 100, done)).unwrap();
    assert_eq!(swept.due, 0);
    assert!(
        swept
            .next_at
            .is_some_and(|at| (NOW + 510..=NOW + 1_010).contains(&at)),
        "{swept:?}"
    );
    let swept = ask(|done| store.sweep(NOW + 1_010, 100, done)).unwrap();
    assert_eq!((swept.due, swept.next_at), (1, Some(NOW + 7_010)));
    assert_eq!(
        ask(|done| store.prune(NOW + 10 + DAY_MS, 9, done))
            .unwrap()
            .forgotten,
        1,
        "nor is what has ended kept for years"
    );
    let answers = ask(|done| store.enqueue(vec![keyed(4)], NOW + 1_010, done)).unwrap();
    assert_eq!(
        answers,
        [Enqueued::Stored(State::Available)],
        "a key isn't taken for years"
    );
}

#[test]
fn after_its_end_a_store_owes_nobody_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (sender, receiver) = std::sync::mpsc::channel();
    for number in 0..500 {
        let sender = sender.clone();
        store.enqueue(
            vec![task(number, "f")],
            NOW,
            Box::new(move |answer| sender.send(answer.is_ok()).unwrap()),
        );
    }
    drop(store);
    drop(sender);
    assert_eq!(
        receiver.iter().filter(|is_ok| *is_ok).count(),
        500,
        "what was asked for before its end was done"
    );
    let store = open(folder.path());
    assert!(view(&store, id(499)).is_some());
}

#[test]
fn what_takes_long_is_no_clock_that_was_set_back() {
    const TASKS: u64 = 20_000;
    const LATER_MS: i64 = 600_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    enqueue(
        &store,
        (1..=TASKS).map(|number| task(number, "f")).collect(),
    );
    // It is done in parts, of which each has the time at which it began.
    let all = Selection::Filter(Filter {
        function: Some("f".into()),
        ..Filter::default()
    });
    let (sender, cancelled) = std::sync::mpsc::channel();
    let told = move |answer| sender.send(answer).unwrap();
    store.cancel(all, false, NOW, Box::new(told));
    let later = NOW + LATER_MS;
    let delayed = NewTask {
        available_at: later + LATER_MS,
        ..task(TASKS + 1, "g")
    };
    ask(|done| store.enqueue(vec![delayed], later, done)).unwrap();
    assert_eq!(cancelled.recv().unwrap(), Ok(TASKS));
    let swept = ask(|done| store.sweep(later, 100, done)).unwrap();
    assert_eq!(swept.next_at, Some(later + LATER_MS));
}

#[test]
fn what_stands_behind_tasks_that_are_too_late_is_told_of() {
    const LATE: u64 = 500;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let late = (1..=LATE).map(|number| NewTask {
        deadline_at: Some(NOW + 5),
        ..task(number, "f")
    });
    enqueue(&store, late.chain([task(LATE + 1, "f")]).collect());
    let heard = Arc::new(Heard::default());
    store.watch(heard.clone());
    let claim = || {
        let claimed =
            crate::ledger::tests::claim_of(&store, crate::ledger::tests::want("f", 1), NOW + 5);
        // What is told of the last call comes before the answer of the next.
        ask(|done| store.sweep(NOW, 1, done)).unwrap();
        claimed
    };
    let mut claims = 0;
    while claim().is_empty() {
        claims += 1;
        let told = std::mem::take(&mut *heard.available.lock().unwrap());
        assert_eq!(told, [Arc::from("f")], "after {claims} claims");
    }
    assert!(claims > 1, "all was found at once");
}
