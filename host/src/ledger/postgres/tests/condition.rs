//! A database that doesn't keep up, and who is to blame for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::{Database, Session, open_at, run, wait_until};
use crate::ledger::State;
use crate::ledger::condition::{Alarms, Condition};
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{NOW, ask, claim, completed, end, enqueue, id, task};
use crate::ledger::work::{Look, Owed};

/// What is told of at once, where the product waits for minutes.
const SOON: Alarms = Alarms {
    dead_rows: 100,
    held_for: Duration::from_millis(300),
};

/// Has the condition looked at now.
fn looked_at(store: &Postgres) -> Condition {
    ask(|done| {
        let look = Look::Condition(SOON, Owed::new(done));
        assert!(store.shared.looks.push(look).is_ok());
    })
    .unwrap();
    store.condition().unwrap()
}

/// Takes in, runs and ends tasks, of which none is left.
fn come_and_go(store: &Postgres, from: u64, count: u64) {
    for first in (from..from + count).step_by(100) {
        let tasks = first..(first + 100).min(from + count);
        let tasks: Vec<_> = tasks.map(|number| task(number, "f")).collect();
        let len = tasks.len();
        enqueue(store, tasks);
        let claimed = claim(store, "f", 1_000);
        assert_eq!(claimed.len(), len);
        let ends = claimed.iter().map(|task| end(task, completed("1")));
        let ends = ends.collect();
        ask(|done| store.finish(ends, NOW, done)).unwrap();
    }
}

#[test]
fn dead_rows_that_nobody_removes_are_warned_of() {
    // Snapshots of other databases hold nothing back.
    let database = Database::new();
    let store = database.open();
    let other = Session::connect(&database.url());
    for table in ["live", "tally", "writer", "node"] {
        other.run(&format!(
            "ALTER TABLE task_server.{table} SET (autovacuum_enabled = off)"
        ));
    }
    come_and_go(&store, 1, 300);
    let rows = |condition: &Condition| {
        let mut tables = condition.dead_rows.iter();
        tables.find(|(table, _)| table == "live").unwrap().1
    };
    let of_rows = |condition: &Condition| {
        let warnings = condition.warnings.iter();
        let mut of_rows = warnings.filter(|said| said.contains("table task_server.live has "));
        of_rows.next().cloned()
    };
    let mut seen = Condition::default();
    wait_until("the dead rows are seen", || {
        seen = looked_at(&store);
        of_rows(&seen).is_some()
    });
    assert!(rows(&seen) > SOON.dead_rows, "{seen:?}");
    let said = of_rows(&seen).unwrap();
    assert!(said.contains("\"VACUUM task_server.live\""), "{said}");
    wait_until("they are gone", || {
        other.run("VACUUM task_server.live");
        seen = looked_at(&store);
        rows(&seen) <= SOON.dead_rows && of_rows(&seen).is_none()
    });
}

#[test]
fn who_holds_a_snapshot_is_named_and_the_tasks_go_on() {
    const TASKS: u64 = 3_000;
    let database = Database::new();
    let store = database.open();
    let other = Session::connect(&(database.url() + " application_name=yearly_report"));
    other.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM task_server.live");
    come_and_go(&store, 1, TASKS);
    let process = other.process();
    let parts = [
        format!("session {process} "),
        "user \"shop\", application \"yearly_report\", idle in transaction".to_owned(),
        format!("pg_terminate_backend({process})"),
    ];
    let mut seen = Condition::default();
    wait_until("it is warned of", || {
        seen = looked_at(&store);
        let mut warnings = seen.warnings.iter();
        warnings.any(|said| parts.iter().all(|part| said.contains(part)))
    });
    assert!(seen.oldest_snapshot_ms >= 300, "{seen:?}");
    wait_until("its dead rows are put down to it", || {
        let warnings = looked_at(&store).warnings;
        let mut of_rows = warnings
            .iter()
            .filter(|said| said.contains("table task_server.live has "));
        of_rows.any(|said| said.ends_with("end what holds the old snapshot"))
    });
    let stats = ask(|done| store.stats(done)).unwrap();
    assert_eq!(stats.functions[0].counts[State::Completed.index()], TASKS);
    other.run("ROLLBACK");
    wait_until("it is over", || {
        let warnings = looked_at(&store).warnings;
        !warnings.iter().any(|said| said.contains(&parts[0]))
    });
}

/// Others' transactions are seen without the right to read others' statistics, but not their age.
#[test]
fn a_host_of_few_rights_goes_by_how_long_it_has_seen_it() {
    let database = Database::new();
    run("CREATE ROLE modest LOGIN PASSWORD 'secret'");
    let other = Session::connect(&(database.url() + " application_name=hold"));
    other.run("CREATE SCHEMA task_server AUTHORIZATION modest");
    let store = Postgres::open(PostgresOptions {
        url: database.url().replace("user=shop", "user=modest"),
        ..database.options()
    })
    .unwrap();
    enqueue(&store, vec![task(1, "f")]);
    // The number of its own transaction holds back as much as a snapshot.
    other.run("BEGIN; SELECT pg_current_xact_id()");
    let held = format!("session {} ", other.process());
    // Each of its snapshots has that number too, and is no older than a statement.
    let busy = Session::connect(&(database.url() + " application_name=busy"));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                busy.run("SELECT pg_sleep(0.1)");
            }
        });
        let mut looks = 0;
        wait_until("it is warned of", || {
            let warnings = looked_at(&store).warnings;
            looks += 1;
            assert!(
                !warnings.iter().any(|said| said.contains("\"busy\"")),
                "{warnings:?}"
            );
            let Some(said) = warnings.iter().find(|said| said.contains(&held)) else {
                return false;
            };
            assert!(
                said.contains("(user \"shop\", application \"hold\") has"),
                "{said}"
            );
            true
        });
        assert!(looks > 1, "it can't have known at once");
    });
    other.run("ROLLBACK");
    other.run("GRANT pg_read_all_stats TO modest");
    other.run("BEGIN; SELECT pg_current_xact_id(), pg_sleep(0.4)");
    let warnings = looked_at(&store).warnings;
    let said = warnings.iter().find(|said| said.contains(&held)).unwrap();
    assert!(said.contains("idle in transaction"), "{said}");
    other.run("ROLLBACK");
    drop(store);
    drop(database);
    run("DROP ROLE modest");
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_prepared_transaction_and_a_replicas_slot_are_named_too() {
    let server = databases::Postgres::start(&["max_prepared_transactions=2"]);
    let url = server.socket_url();
    let store = open_at(&server);
    let other = Session::connect(&url);
    other.run("BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'forgotten'");
    wait_until("it is named", || {
        let warnings = looked_at(&store).warnings;
        warnings.iter().any(|said| {
            said.starts_with("transaction \"forgotten\" of user \"shop\"")
                && said.contains("ROLLBACK PREPARED")
        })
    });
    other.run("ROLLBACK PREPARED 'forgotten'");

    let settings = [
        "max_prepared_transactions=2",
        "hot_standby_feedback=on",
        "wal_receiver_status_interval=1",
    ];
    let replica = server.replica_by_slot("reports", &settings);
    let reader = Session::connect(&replica.socket_url());
    reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM task_server.live");
    wait_until("it is named", || {
        let warnings = looked_at(&store).warnings;
        let mut of_slots = warnings
            .iter()
            .filter(|said| said.starts_with("replication slot \"reports\""));
        of_slots.any(|said| said.contains("(active)") && said.contains("its standby"))
    });
}

#[test]
fn what_cannot_be_looked_at_disturbs_nothing() {
    let database = Database::new();
    let store = database.open();
    enqueue(&store, vec![task(1, "f")]);
    looked_at(&store);
    let other = Session::connect(&database.url());
    other.run("ALTER TABLE task_server.tally RENAME TO away");
    let failed = ask(|done| {
        let look = Look::Condition(SOON, Owed::new(done));
        assert!(store.shared.looks.push(look).is_ok());
    });
    assert!(failed.is_err(), "{failed:?}");
    assert_eq!(store.condition(), None);
    assert!(ask(|done| store.get(id(1), done)).unwrap().is_some());
    other.run("ALTER TABLE task_server.away RENAME TO tally");
    looked_at(&store);
}
