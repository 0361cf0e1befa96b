//! How much the database reads for what is asked, however odd its statistics are.

use std::collections::BTreeMap;

use super::{LIMITS, Schema, run, wait_until};
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::record::{PageAsk, Selection};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{NOW, ask, claim, completed, end, enqueue, finish, id, task};
use crate::ledger::{NewTask, TaskId};

/// Tasks that come after the statements were planned.
const MANY: u64 = 20_000;
/// How often each is asked then.
const TURNS: u64 = 30;

/// Rows that were read of the tables of tasks and of their indexes, by their names.
fn read(schema: &Schema) -> BTreeMap<String, u64> {
    let name = &schema.0;
    let tables = format!("schemaname = '{name}' AND relname IN ('task', 'live', 'ended')");
    let sql = format!(
        "SELECT relname || ' ' || seq_tup_read FROM pg_stat_user_tables WHERE {tables} \
         UNION ALL SELECT indexrelname || ' ' || idx_tup_read FROM pg_stat_user_indexes WHERE {tables}"
    );
    let rows = run(&sql);
    let parts = rows.iter().map(|row| row.split_once(' ').unwrap());
    parts
        .map(|(name, rows)| (name.to_owned(), rows.parse().unwrap()))
        .collect()
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
    let schema = Schema::new();
    let options = schema.options(LIMITS);
    let store = Postgres::open(PostgresOptions {
        url: format!("{} application_name=plans", options.url),
        ..options
    })
    .unwrap();
    let name = &schema.0;
    for table in ["task", "live", "ended"] {
        run(&format!(
            "ALTER TABLE {name}.{table} SET (autovacuum_enabled = off)"
        ));
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
    // A session that ends says what it has done.
    drop(store);
    wait_until("its sessions to end", || {
        let sessions = "SELECT FROM pg_stat_activity WHERE application_name = 'plans'";
        run(&format!("SELECT count(*) FROM ({sessions}) AS them")) == ["0"]
    });
    for (name, rows) in read(&schema) {
        // A few rows of a few tasks; all of them would be 20,000 a turn.
        assert!(rows < TURNS * 200, "{rows} rows were read of {name}");
    }
}
