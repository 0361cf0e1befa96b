//! A ledger is copied from a folder into a database.

use std::path::Path;

use bytes::Bytes;

use super::contract::NO_LIMITS;
use super::{
    DAY_MS, NOW, ask, claim, claim_of, completed, end, enqueue, enqueue_at, failed, finish, id,
    task, view, want,
};
use crate::ledger::postgres::tests::{Schema, run, wait_until};
use crate::ledger::{
    CopyError, Durability, Ending, Enqueued, NewTask, Options, PageAsk, RetryPolicy, RowCounts,
    Selection, Sqlite, State, Stats, Store, StoreErrorKind, Target, TaskSummary, TaskView, copy,
};

/// How many tasks [`fill`] hands in.
const TASKS: u64 = 16;

fn sqlite(folder: &Path, now: i64) -> Sqlite {
    let options = Options {
        durability: Durability::Write,
        limits: NO_LIMITS,
    };
    Sqlite::open(folder, options, now).unwrap()
}

fn copy_to(
    folder: &Path,
    schema: &Schema,
    progress: &mut dyn FnMut(&RowCounts, &RowCounts),
) -> Result<RowCounts, CopyError> {
    let options = schema.options(NO_LIMITS);
    let target = Target {
        url: &options.url,
        schema: &options.schema,
    };
    copy(folder, target, NO_LIMITS, NOW + 50, progress)
}

fn try_once() -> RetryPolicy {
    RetryPolicy {
        max: 0,
        ..RetryPolicy::default()
    }
}

/// With all that a task may have.
fn full(number: u64, function: &str) -> NewTask {
    NewTask {
        args: Bytes::from(format!(
            "{{\"n\" : {number}, \"text\":\"{}\"}}",
            "ä\\u0000".repeat(200)
        )),
        key: Some(format!("key {number}")),
        unique_until: Some(NOW + DAY_MS),
        priority: 2,
        deadline_at: Some(NOW + 3 * DAY_MS),
        timeout_ms: Some(7_000),
        subject: Some("ada".into()),
        limit_key: Some("limit".into()),
        version: Some("1".into()),
        parent: Some(id(900)),
        batch: Some("batch".into()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        client: Some("shop".into()),
        retry: RetryPolicy {
            max: 9,
            base_ms: 11,
            cap_ms: 12_345,
            on: crate::ledger::RetryOn::Retryable,
        },
        ..task(number, function)
    }
}

fn lost() -> Ending {
    Ending::Lost {
        error: Bytes::from_static(b"{\"code\":\"worker_crashed\"}"),
    }
}

/// Tasks in each state; three of them run.
fn fill(store: &dyn Store) {
    let scheduled = NewTask {
        available_at: NOW + DAY_MS,
        ..full(1, "f")
    };
    let once = NewTask {
        at_most_once: true,
        ..task(5, "once")
    };
    let given_up = NewTask {
        retry: try_once(),
        ..task(6, "fails")
    };
    let runs_once = NewTask {
        at_most_once: true,
        ..task(7, "runs")
    };
    enqueue(
        store,
        vec![scheduled, full(2, "f"), task(3, "f"), full(4, "retried")],
    );
    enqueue(
        store,
        vec![once, given_up, runs_once, task(8, "runs"), task(9, "runs")],
    );
    let keyed = NewTask {
        key: Some("short".into()),
        ..task(12, "paused")
    };
    enqueue(store, vec![full(10, "done"), task(11, "cancelled"), keyed]);
    enqueue(
        store,
        vec![
            task(13, "again"),
            full(14, "done"),
            task(15, "done"),
            task(16, "lost"),
        ],
    );

    let claimed = claim(store, "retried", 1);
    finish(
        store,
        end(
            &claimed[0],
            Ending::Failed {
                error: Bytes::from_static(b"{\"code\" : \"handler_failed\"}"),
                failure: crate::ledger::Failure {
                    retryable: true,
                    never_again: false,
                    wait_ms: Some(77),
                },
            },
        ),
        NOW + 1,
    );
    let claimed = claim(store, "once", 1);
    finish(store, end(&claimed[0], lost()), NOW + 2);
    let claimed = claim(store, "fails", 1);
    finish(store, end(&claimed[0], failed("{\"code\":\"x\"}")), NOW + 3);
    let done = claim(store, "done", 9);
    for (claimed, result) in done.iter().zip(["null", "\"short\"", "[1, 2 ,3]"]) {
        finish(store, end(claimed, completed(result)), NOW + 4);
    }
    let gone = ask(|done| store.cancel(Selection::Task(id(11)), false, NOW + 5, done));
    assert_eq!(gone, Ok(1));
    // Tried again by hand: its attempts stay, its tries begin anew.
    for now in [NOW + 6, NOW + 8] {
        let claimed = claim_of(store, want("again", 1), now);
        finish(store, end(&claimed[0], failed("{}")), now);
        ask(|done| store.retry(Selection::Task(id(13)), false, now + 1, done)).unwrap();
    }
    let claimed = claim(store, "lost", 1);
    finish(store, end(&claimed[0], lost()), NOW + 9);
    assert_eq!(claim(store, "runs", 9).len(), 3);
    ask(|done| store.cancel(Selection::Task(id(9)), false, NOW + 10, done)).unwrap();
    ask(|done| store.pause("paused".into(), true, NOW, done)).unwrap();
    ask(|done| store.know(vec!["only known".into()], NOW, done)).unwrap();
}

fn views(store: &dyn Store) -> Vec<Option<TaskView>> {
    (1..=TASKS).map(|number| view(store, id(number))).collect()
}

fn list(store: &dyn Store) -> Vec<TaskSummary> {
    let all = PageAsk {
        limit: 100,
        ..PageAsk::default()
    };
    ask(|done| store.list(all, done)).unwrap().tasks
}

fn stats(store: &dyn Store) -> Stats {
    let mut stats = ask(|done| store.stats(done)).unwrap();
    stats.functions.sort_by(|a, b| a.function.cmp(&b.function));
    stats.file_len = None;
    stats
}

fn has_tasks(schema: &Schema) -> bool {
    run(&format!("SELECT EXISTS (SELECT FROM {}.task)", schema.0)) == ["t"]
}

#[test]
fn a_copy_has_all_that_the_ledger_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path(), NOW);
    fill(&store);
    let before = views(&store);
    drop(store);
    let schema = Schema::new();
    let mut told = Vec::new();
    let copied = copy_to(folder.path(), &schema, &mut |done, all| {
        told.push((*done, *all));
    });
    let copied = copied.unwrap();
    assert_eq!(told.last(), Some(&(copied, copied)));
    assert_eq!(
        (copied.tasks(), copied.functions, copied.keys),
        (TASKS, 11, 6)
    );
    assert_eq!(copied.attempts, 12);
    assert_eq!(schema.miscounts(), Vec::<String>::new());

    let (from, to) = (sqlite(folder.path(), NOW + 60), schema.open(NO_LIMITS));
    let after = views(&to);
    assert_eq!(after, views(&from));
    assert_eq!(list(&to), list(&from));
    assert_eq!(stats(&to), stats(&from));
    let known = |store: &dyn Store| {
        let mut known = ask(|done| store.known(done)).unwrap();
        known.sort_by(|a, b| a.name.cmp(&b.name));
        known
    };
    assert_eq!(known(&to), known(&from));
    let states: std::collections::BTreeSet<State> = after
        .iter()
        .map(|view| view.as_ref().unwrap().summary.state)
        .collect();
    assert_eq!(
        states.len(),
        State::ALL.len() - 1,
        "all but running: {states:?}"
    );

    // What ran is what a start of the host makes of it; the others are as they were.
    for (number, (before, after)) in (1..).zip(before.iter().zip(&after)) {
        let (before, after) = (before.as_ref().unwrap(), after.as_ref().unwrap());
        if before.summary.state != State::Running {
            assert_eq!(before, after);
            continue;
        }
        let expected = match number {
            7 => State::Unknown,
            8 => State::Retryable,
            _ => State::Cancelled,
        };
        assert_eq!((number, after.summary.state), (number, expected));
        assert_eq!(after.attempts.len(), 1);
        assert_eq!(after.attempts[0].node, "node-a");
    }
}

#[test]
fn a_copy_goes_on_as_the_ledger_would() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path(), NOW);
    fill(&store);
    drop(store);
    let schema = Schema::new();
    copy_to(folder.path(), &schema, &mut |_, _| ()).unwrap();
    let (from, to) = (sqlite(folder.path(), NOW + 60), schema.open(NO_LIMITS));
    let both = [&from as &dyn Store, &to];

    // Keys are taken as they were, and by the same arguments only.
    let again = |number| NewTask {
        id: id(100 + number),
        ..full(number, if number == 10 { "done" } else { "f" })
    };
    let other = NewTask {
        args: Bytes::from_static(b"1"),
        ..again(2)
    };
    let free = NewTask {
        id: id(120),
        key: Some("key 10".into()),
        ..task(120, "f")
    };
    let answers = both.map(|store| {
        enqueue_at(
            store,
            vec![
                again(1),
                again(10),
                NewTask {
                    id: id(121),
                    ..other.clone()
                },
                free.clone(),
            ],
            NOW + 60,
        )
    });
    assert_eq!(answers[0], answers[1]);
    assert!(
        matches!(answers[1][0], Enqueued::Duplicate { .. }),
        "{answers:?}"
    );
    assert!(
        matches!(answers[1][1], Enqueued::Duplicate { .. }),
        "{answers:?}"
    );
    assert!(
        matches!(answers[1][2], Enqueued::KeyConflict { .. }),
        "{answers:?}"
    );
    assert!(matches!(answers[1][3], Enqueued::Stored(_)), "{answers:?}");

    let later = NOW + 2 * DAY_MS;
    let swept = both.map(|store| ask(|done| store.sweep(later, 100, done)).unwrap());
    assert_eq!(swept[0], swept[1]);
    for function in ["f", "retried", "again", "runs", "paused", "lost"] {
        let claimed = both.map(|store| claim_of(store, want(function, 9), later));
        assert_eq!(claimed[0], claimed[1], "{function}");
        assert_eq!(claimed[0].is_empty(), function == "paused", "{function}");
        for (store, claimed) in both.iter().zip(&claimed) {
            for claimed in claimed {
                finish(*store, end(claimed, failed("{}")), later);
            }
        }
    }
    assert_eq!(views(&to), views(&from), "as many tries are left");
    let pruned = both.map(|store| ask(|done| store.prune(later, 100, done)).unwrap());
    assert_eq!(pruned[0], pruned[1]);
    assert!(pruned[0].forgotten > 0);
    assert_eq!(stats(&to), stats(&from));
    assert_eq!(schema.miscounts(), Vec::<String>::new());
}

#[test]
fn a_copy_is_made_once_and_only_of_a_ledger_that_nobody_has() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema::new();
    let nothing = copy_to(folder.path(), &schema, &mut |_, _| ()).unwrap_err();
    assert!(matches!(&nothing, CopyError::From(error) if error.message().contains("no ledger")));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let store = sqlite(folder.path(), NOW);
    fill(&store);
    let in_use = copy_to(folder.path(), &schema, &mut |_, _| ()).unwrap_err();
    assert!(matches!(&in_use, CopyError::From(error) if error.kind == StoreErrorKind::InUse));
    drop(store);

    copy_to(folder.path(), &schema, &mut |_, _| ()).unwrap();
    let twice = copy_to(folder.path(), &schema, &mut |_, _| ()).unwrap_err();
    assert!(
        matches!(&twice, CopyError::To(error) if error.message().contains("has tasks already"))
    );
    let to = schema.open(NO_LIMITS);
    assert_eq!(list(&to).len() as u64, TASKS);
    assert_eq!(schema.miscounts(), Vec::<String>::new());
}

#[test]
fn a_copy_that_is_interrupted_leaves_nothing_and_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path(), NOW);
    fill(&store);
    let many = (1_000..6_000).map(|number| task(number, "f"));
    enqueue(&store, many.collect());
    drop(store);
    // A host has begun to look at it, and knows a function by a number of its own.
    let schema = Schema::new();
    let to = schema.open(NO_LIMITS);
    ask(|done| to.know(vec!["zzz".into(), "done".into()], NOW, done)).unwrap();

    let mut batches = 0;
    let broken = copy_to(folder.path(), &schema, &mut |done, _| {
        batches += 1;
        if batches == 2 {
            assert!(done.tasks() > 2_000, "{done:?}");
            assert!(!has_tasks(&schema), "nobody else sees it");
            let ended = run(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE relation = '{}.task'::regclass \
                 AND mode = 'ShareRowExclusiveLock'",
                schema.0
            ));
            assert_eq!(ended, ["t"]);
        }
    });
    assert!(matches!(broken, Err(CopyError::To(_))), "{broken:?}");
    assert_eq!(batches, 2);
    assert!(!has_tasks(&schema));
    assert_eq!(schema.miscounts(), Vec::<String>::new());

    let copied = copy_to(folder.path(), &schema, &mut |_, _| ()).unwrap();
    assert_eq!(copied.tasks(), TASKS + 5_000);
    assert_eq!(schema.miscounts(), Vec::<String>::new());
    let from = sqlite(folder.path(), NOW + 60);
    assert_eq!(views(&to), views(&from));
    // It looks for functions that it doesn't know once a second.
    let mut claimed = Vec::new();
    wait_until("it goes on", || {
        claimed = claim(&to, "f", 100);
        !claimed.is_empty()
    });
    assert_eq!(claimed.len(), 100);
}

#[test]
fn what_a_database_cannot_keep_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path(), NOW);
    let odd = NewTask {
        key: Some("a\0b".into()),
        ..task(1, "f")
    };
    enqueue(&store, vec![odd, task(2, "f")]);
    drop(store);
    let schema = Schema::new();
    let error = copy_to(folder.path(), &schema, &mut |_, _| ()).unwrap_err();
    assert!(error.to_string().contains(&id(1).to_string()), "{error}");
    assert!(!has_tasks(&schema));
}

#[test]
fn a_ledger_that_is_not_whole_is_not_copied_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path(), NOW);
    fill(&store);
    drop(store);
    let schema = Schema::new();
    let tamper = |sql: &str| {
        let ledger = rusqlite::Connection::open(folder.path().join("ledger.db")).unwrap();
        assert_eq!(ledger.execute(sql, []), Ok(1), "{sql}");
    };
    for (break_it, mend_it, said) in [
        (
            "UPDATE attempt SET node = node + 1000 WHERE number = 2",
            "UPDATE attempt SET node = node - 1000 WHERE number = 2",
            "11 of 12 attempts",
        ),
        (
            "UPDATE task SET lane = lane + 1000 WHERE at_most_once AND state = 7 AND wake_at IS NULL AND tries = 1 \
             AND lane = (SELECT lane FROM lane JOIN function USING (function) WHERE name = 'once')",
            "UPDATE task SET lane = lane - 1000 WHERE lane > 1000",
            "15 of 16 tasks",
        ),
    ] {
        tamper(break_it);
        let error = copy_to(folder.path(), &schema, &mut |_, _| ()).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(!has_tasks(&schema));
        tamper(mend_it);
    }
    copy_to(folder.path(), &schema, &mut |_, _| ()).unwrap();
    assert_eq!(schema.miscounts(), Vec::<String>::new());
}
