//! How much the database reads for what is asked, however odd its statistics are.

use std::collections::BTreeMap;

use super::{Database, Session, run, try_run_at, wait_until};
use crate::ledger::postgres::Postgres;
use crate::ledger::record::{PageAsk, Selection};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{NOW, ask, claim, completed, end, enqueue, finish, id, task};
use crate::ledger::{NewTask, TaskId};

/// Tasks that come after the statements were planned.
const MANY: u64 = 20_000;
/// How often each is asked then.
const TURNS: u64 = 30;

/// Rows that were read of the tables of tasks and of their indexes, by their names.
fn read(database: &Database) -> BTreeMap<String, u64> {
    let tables = "relname IN ('task', 'live', 'ended')";
    let sql = format!(
        "SELECT relname || ' ' || seq_tup_read FROM pg_stat_user_tables WHERE {tables} \
         UNION ALL SELECT indexrelname || ' ' || idx_tup_read FROM pg_stat_user_indexes WHERE {tables}"
    );
    let rows = try_run_at(&database.url(), &sql).unwrap();
    let parts = rows.iter().map(|row| row.split_once(' ').unwrap());
    parts
        .map(|(name, rows)| (name.to_owned(), rows.parse().unwrap()))
        .collect()
}

/// Until its sessions have ended, so that they have said what they have done.
fn close(store: Postgres, database: &Database) {
    drop(store);
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}'",
        database.0
    );
    wait_until("its sessions to end", || run(&sessions) == ["0"]);
}

fn claim_and_finish(store: &Postgres, count: u32) {
    let claimed = claim(store, "f", count);
    assert_eq!(claimed.len(), count as usize);
    for task in claimed {
        finish(store, end(&task, completed("1")), NOW);
    }
}

fn beat(store: &Postgres) {
    let claimed = claim(store, "f", 1);
    let runs: Vec<(TaskId, i64)> = claimed.iter().map(|task| (task.id, task.lease)).collect();
    ask(|done| store.beat(runs, NOW, done)).unwrap();
}

fn look(store: &Postgres, number: u64) {
    let found = ask(|done| store.get(id(number), done)).unwrap();
    assert!(found.is_some());
}

fn cancel(store: &Postgres, number: u64) {
    let selection = Selection::Task(id(number));
    let cancelled = ask(|done| store.cancel(selection, false, NOW, done)).unwrap();
    assert_eq!(cancelled, 1);
}

fn list(store: &Postgres) {
    let page = PageAsk {
        limit: 5,
        ..PageAsk::default()
    };
    let page = ask(|done| store.list(page, done)).unwrap();
    assert!(!page.tasks.is_empty());
}

fn tend(store: &Postgres) {
    ask(|done| store.sweep(NOW, 100, done)).unwrap();
    ask(|done| store.prune(NOW, 100, done)).unwrap();
}

fn keyed(store: &Postgres, number: u64) {
    let new = NewTask {
        key: Some(format!("key {number}")),
        ..task(number, "f")
    };
    enqueue(store, vec![new]);
}

#[test]
fn what_was_planned_when_there_was_nothing_reads_no_more_when_there_is_much() {
    let database = Database::new();
    let store = database.open();
    for table in ["task", "live", "ended"] {
        let sql = format!("ALTER TABLE task_server.{table} SET (autovacuum_enabled = off)");
        try_run_at(&database.url(), &sql).unwrap();
    }
    // Often enough for plans to stay.
    for number in 1..=20 {
        enqueue(&store, vec![task(number, "f"), task(100 + number, "f")]);
        claim_and_finish(&store, 1);
        beat(&store);
        look(&store, number);
        list(&store);
        tend(&store);
        keyed(&store, 200 + number);
        cancel(&store, 200 + number);
    }
    for first in (1_000..1_000 + MANY).step_by(1_000) {
        let tasks = (first..first + 1_000).map(|number| task(number, "f"));
        enqueue(&store, tasks.collect());
    }
    for turn in 1..=TURNS {
        claim_and_finish(&store, 5);
        beat(&store);
        look(&store, 10_000 + turn);
        list(&store);
        tend(&store);
        keyed(&store, 300 + turn);
        cancel(&store, 11_000 + turn);
    }
    close(store, &database);
    for (name, rows) in read(&database) {
        // A few rows of a few tasks; all of them would be 20,000 a turn.
        assert!(rows < TURNS * 200, "{rows} rows were read of {name}");
    }
}

/// Runs so many tasks from beginning to end.
fn run_through(store: &Postgres, first: u64, count: u64) {
    let tasks = (first..first + count).map(|number| task(number, "f"));
    enqueue(store, tasks.collect());
    let claimed = claim(store, "f", u32::try_from(count).unwrap());
    assert_eq!(claimed.len(), usize::try_from(count).unwrap());
    let ends = claimed.iter().map(|task| end(task, completed("1")));
    ask(|done| store.finish(ends.collect(), NOW, done)).unwrap();
}

/// Somebody who holds a snapshot. Without a number of its own, for which the sessions of other databases would have to keep
/// what is dead, too.
fn holder(database: &Database) -> Session {
    let holder = Session::connect(&database.url());
    holder.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1");
    holder
}

/// Tasks that are gone while a snapshot is held, and how often it is claimed then.
const GONE: u64 = 20_000;
const CLAIMS: u64 = 200;

#[test]
fn tasks_that_are_gone_are_not_looked_at_by_each_claim_while_a_snapshot_is_held() {
    let database = Database::new();
    let store = database.open();
    enqueue(&store, vec![task(1, "other")]);
    let holder = holder(&database);
    for first in (1_000..1_000 + GONE).step_by(1_000) {
        run_through(&store, first, 1_000);
    }
    for turn in 0..CLAIMS {
        run_through(&store, 100_000 + turn, 1);
    }
    holder.run("ROLLBACK");
    drop(holder);
    // What comes in before is found all the same.
    enqueue(&store, vec![task(2, "f")]);
    wait_until("it to be found", || claim(&store, "f", 1).len() == 1);
    close(store, &database);
    let rows = read(&database)["live_ready"];
    // By each claim it would be four million.
    assert!(rows < CLAIMS * GONE / 4, "{rows} rows were read");
}
