//! What hosts hear of one another.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::{LIMITS, Schema, run, server, wait_until};
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::store::{Change, ClaimAsk, Listener, Store as _};
use crate::ledger::tests::{NOW, ask, completed, end, enqueue, finish, id, task, want};
use crate::ledger::{Claimed, RunReport, Selection, State, TaskId, Wants};

/// Somebody who waits and watches, and what they hear; or who runs something, and how far it is.
#[derive(Default)]
pub(super) struct Ear {
    pub(super) wants: Mutex<Wants>,
    pub(super) watches: AtomicBool,
    pub(super) runs: Mutex<Vec<RunReport>>,
    /// How often it was asked how far its runs are.
    asked: AtomicU64,
    pub(super) ended: Mutex<Vec<TaskId>>,
    pub(super) progress: Mutex<Vec<RunReport>>,
    pub(super) heard: Mutex<Vec<Change>>,
    missed: AtomicBool,
}

impl Listener for Ear {
    fn available(&self, _: &[Arc<str>]) {}

    fn wants_changes(&self) -> bool {
        false
    }

    fn changed(&self, _: &[Change]) {}

    fn wants(&self) -> Wants {
        self.wants.lock().unwrap().clone()
    }

    fn ended(&self, tasks: &[TaskId]) {
        self.ended.lock().unwrap().extend(tasks);
    }

    fn progressed(&self, report: RunReport) {
        self.progress.lock().unwrap().push(report);
    }

    fn watches(&self) -> bool {
        self.watches.load(Ordering::SeqCst)
    }

    fn heard(&self, changes: &[Change]) {
        self.heard.lock().unwrap().extend_from_slice(changes);
    }

    fn missed(&self) {
        self.missed.store(true, Ordering::SeqCst);
    }

    fn has_runs(&self) -> bool {
        !self.runs.lock().unwrap().is_empty()
    }

    fn reports(&self, tasks: &[TaskId]) -> Vec<RunReport> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let runs = self.runs.lock().unwrap();
        let of = runs.iter().filter(|report| tasks.contains(&report.task));
        of.cloned().collect()
    }
}

impl Ear {
    fn missed_any(&self) -> bool {
        self.missed.load(Ordering::SeqCst)
    }

    /// The states that each task came into, in order.
    pub(super) fn states(&self) -> BTreeMap<TaskId, Vec<State>> {
        let mut states = BTreeMap::<TaskId, Vec<State>>::new();
        for change in &*self.heard.lock().unwrap() {
            states.entry(change.id).or_default().push(change.state);
        }
        states
    }
}

fn open_as(schema: &Schema, node: &str) -> Postgres {
    let options = PostgresOptions {
        node: node.into(),
        ..schema.options(LIMITS)
    };
    Postgres::open(options).unwrap()
}

fn with_ear(schema: &Schema, node: &str) -> (Postgres, Arc<Ear>) {
    let (store, ear) = (open_as(schema, node), Arc::<Ear>::default());
    store.watch(ear.clone());
    (store, ear)
}

pub(super) fn claim_as(store: &Postgres, node: &str, count: u32) -> Vec<Claimed> {
    let ask_of = ClaimAsk {
        node: node.into(),
        wants: vec![want("f", count)],
    };
    ask(|done| store.claim(ask_of, NOW, done)).unwrap()
}

fn count_of(schema: &Schema, table: &str) -> String {
    let name = &schema.0;
    run(&format!("SELECT count(*) FROM {name}.{table}")).concat()
}

/// Begins to watch, and waits until the others know.
pub(super) fn watch(schema: &Schema, store: &Postgres, ear: &Ear) {
    let sql = format!("SELECT node FROM {}.listener WHERE watches", schema.0);
    let before = run(&sql).len();
    ear.watches.store(true, Ordering::SeqCst);
    store.heed();
    wait_until("the others know", || run(&sql).len() > before);
}

fn report(claimed: &Claimed, number: u64) -> RunReport {
    RunReport {
        task: claimed.id,
        lease: claimed.lease,
        number,
        done: number,
        total: 10,
        message: format!("step {number}"),
    }
}

#[test]
fn what_is_waited_for_is_seen_to_end_elsewhere_and_no_sooner() {
    let schema = Schema::new();
    let runs = open_as(&schema, "runs");
    let (waits, ear) = with_ear(&schema, "waits");
    // More than fit into a look; the last is nowhere.
    let tasks = (1..=2_100).map(|number| task(number, "f"));
    enqueue(&runs, tasks.collect());
    ear.wants.lock().unwrap().ends = (1..=2_101).map(id).collect();
    waits.heed();
    wait_until("what isn't there is said not to be", || {
        *ear.ended.lock().unwrap() == [id(2_101)]
    });
    let claimed = claim_as(&runs, "runs", 2_100);
    for end in claimed
        .iter()
        .filter(|claimed| claimed.id == id(7) || claimed.id == id(2_007))
    {
        finish(&runs, self::end(end, completed("1")), NOW);
    }
    let mut ended = Vec::new();
    wait_until("both are seen to end", || {
        ended.clone_from(&ear.ended.lock().unwrap());
        ended.sort_unstable();
        ended.dedup();
        ended.len() >= 3
    });
    assert_eq!(ended, [id(7), id(2_007), id(2_101)]);
    // Who only waits is no trouble to others.
    assert_eq!(count_of(&schema, "listener"), "0");
}

#[test]
fn progress_is_told_where_it_is_wanted_and_only_that_of_the_run_that_counts() {
    let schema = Schema::new();
    let (runs, runner) = with_ear(&schema, "runs");
    let (waits, ear) = with_ear(&schema, "waits");
    enqueue(&runs, vec![task(1, "f"), task(2, "f")]);
    let claimed = claim_as(&runs, "runs", 2);
    let stale = |claimed: &Claimed| RunReport {
        lease: claimed.lease - 1,
        ..report(claimed, 99)
    };
    *runner.runs.lock().unwrap() = claimed.iter().map(stale).collect();
    *ear.wants.lock().unwrap() = Wants {
        ends: vec![id(1), id(2)],
        progress: vec![id(1)],
    };
    waits.heed();
    wait_until("its host says what is out of date", || {
        runner.asked.load(Ordering::SeqCst) > 3
    });
    let odd = RunReport {
        done: u64::MAX - 1,
        total: u64::MAX,
        message: format!("a\0b {}", "é".repeat(5_000)),
        ..report(&claimed[0], 1)
    };
    *runner.runs.lock().unwrap() = vec![odd.clone(), report(&claimed[1], 1)];
    wait_until("it is told", || !ear.progress.lock().unwrap().is_empty());
    let told = ear.progress.lock().unwrap().remove(0);
    let len = told.message.len();
    assert!((4_090..=4_096).contains(&len), "{len}");
    assert!(odd.message.starts_with(&told.message));
    assert_eq!(
        RunReport {
            message: odd.message.clone(),
            ..told
        },
        odd
    );
    *runner.runs.lock().unwrap() = vec![report(&claimed[0], 2), report(&claimed[1], 2)];
    wait_until("the next is told", || {
        !ear.progress.lock().unwrap().is_empty()
    });
    assert_eq!(*ear.progress.lock().unwrap(), [report(&claimed[0], 2)]);

    // Nobody waits any more, so nobody says any more.
    *ear.wants.lock().unwrap() = Wants::default();
    wait_until("nobody listens", || count_of(&schema, "listener") == "0");
    wait_until("nobody is asked", || runs.shared.ears.followed().is_empty());
    finish(&runs, end(&claimed[0], completed("1")), NOW);
    run(&format!(
        "UPDATE {}.progress SET at = at - interval '61 seconds'",
        schema.0
    ));
    ask(|done| runs.prune(NOW, 9, done)).unwrap();
    assert_eq!(count_of(&schema, "progress"), "0");
}

#[test]
fn each_change_of_each_host_is_heard_once_and_in_order_whatever_else_goes_on() {
    const TASKS: u64 = 900;
    let schema = Schema::new();
    let hosts = ["a", "b", "c"].map(|name| (name, open_as(&schema, name)));
    let (watches, ear) = with_ear(&schema, "watches");
    watch(&schema, &watches, &ear);
    // Another program's transaction, which has written and goes on for longer than all of this.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (client, connection) = runtime
        .block_on(tokio_postgres::connect(
            &server().socket_url(),
            tokio_postgres::NoTls,
        ))
        .unwrap();
    runtime.spawn(connection);
    let late = id(TASKS + 1);
    // It also says something of a task, with a number that is lower than those to come.
    let begin = format!(
        "BEGIN; INSERT INTO {0}.function (name, known_at) VALUES ('g', 0); \
         INSERT INTO {0}.change (id, state, function, cancel_asked) \
         SELECT '{late}', 1, number, false FROM {0}.function WHERE name = 'g'",
        schema.0
    );
    runtime.block_on(client.batch_execute(&begin)).unwrap();

    std::thread::scope(|scope| {
        for (at, (name, host)) in hosts.iter().enumerate() {
            scope.spawn(move || {
                for number in (1..=TASKS).filter(|number| number % 3 == at as u64) {
                    enqueue(host, vec![task(number, "f")]);
                    for claimed in claim_as(host, name, 2) {
                        finish(host, end(&claimed, completed("1")), NOW);
                    }
                }
                loop {
                    let claimed = claim_as(host, name, 50);
                    if claimed.is_empty() {
                        break;
                    }
                    let ends = claimed.iter().map(|task| end(task, completed("1")));
                    let ends = ends.collect();
                    ask(|done| host.finish(ends, NOW, done)).unwrap();
                }
            });
        }
    });
    // What others were just claiming was passed over.
    let (name, host) = &hosts[0];
    wait_until("all to be run", || {
        for claimed in claim_as(host, name, 900) {
            finish(host, end(&claimed, completed("1")), NOW);
        }
        count_of(&schema, "live") == "0"
    });
    wait_until("all is heard", || {
        ear.heard.lock().unwrap().len() as u64 >= 3 * TASKS
    });
    let expected = vec![State::Available, State::Running, State::Completed];
    let states = ear.states();
    assert_eq!(states.len() as u64, TASKS);
    for (task, states) in &states {
        assert_eq!(*states, expected, "{task}");
    }
    runtime.block_on(client.batch_execute("COMMIT")).unwrap();
    wait_until("what was committed late is heard", || {
        ear.states().contains_key(&late)
    });
    assert!(!ear.missed_any());
    assert_eq!(ear.heard.lock().unwrap().len() as u64, 3 * TASKS + 1);
}

#[test]
fn a_run_that_is_called_off_is_heard_of_and_what_is_heard_says_whose_it_is() {
    let schema = Schema::new();
    let other = open_as(&schema, "other");
    let (watches, ear) = with_ear(&schema, "watches");
    let mut of_ann = task(1, "f");
    of_ann.subject = Some("ann".into());
    enqueue(&other, vec![of_ann]);
    claim_as(&other, "other", 1);
    watch(&schema, &watches, &ear);
    ask(|done| other.cancel(Selection::Task(id(1)), false, NOW, done)).unwrap();
    wait_until("it is heard", || !ear.heard.lock().unwrap().is_empty());
    let expected = Change {
        id: id(1),
        state: State::Running,
        function: "f".into(),
        subject: Some("ann".into()),
        cancel_asked: true,
    };
    assert_eq!(*ear.heard.lock().unwrap(), [expected]);
}

#[test]
fn while_nobody_watches_nothing_is_written_and_what_is_left_is_forgotten() {
    let schema = Schema::new();
    let other = open_as(&schema, "other");
    let (watches, ear) = with_ear(&schema, "watches");
    enqueue(&other, vec![task(1, "f")]);
    assert_eq!(count_of(&schema, "change"), "0");
    watch(&schema, &watches, &ear);
    enqueue(&other, vec![task(2, "f")]);
    wait_until("it is heard", || !ear.heard.lock().unwrap().is_empty());
    assert_eq!(count_of(&schema, "change"), "1");
    ear.watches.store(false, Ordering::SeqCst);
    wait_until("nobody listens", || count_of(&schema, "listener") == "0");
    enqueue(&other, vec![task(3, "f")]);
    assert_eq!(count_of(&schema, "change"), "1");

    // A host that died while it listened.
    let old = "now() - interval '3 minutes'";
    run(&format!(
        "INSERT INTO {0}.listener VALUES ('dead', {old}, true, '{{}}'); UPDATE {0}.change SET at = {old}",
        schema.0
    ));
    enqueue(&other, vec![task(4, "f")]);
    assert_eq!(count_of(&schema, "change"), "1");
    ask(|done| other.prune(NOW, 9, done)).unwrap();
    assert_eq!(count_of(&schema, "change"), "0");
    assert_eq!(count_of(&schema, "listener"), "0");
}

#[test]
fn who_may_have_missed_something_is_told_so_and_hears_what_follows() {
    let schema = Schema::new();
    let other = open_as(&schema, "other");
    let (watches, ear) = with_ear(&schema, "watches");
    watch(&schema, &watches, &ear);
    // As a crash of the database leaves it.
    run(&format!("TRUNCATE {0}.listener, {0}.change", schema.0));
    wait_until("it is told", || ear.missed_any());
    wait_until("the others know again", || {
        count_of(&schema, "listener") == "1"
    });
    enqueue(&other, vec![task(1, "f")]);
    wait_until("it is heard", || ear.states().contains_key(&id(1)));
}
