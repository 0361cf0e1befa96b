//! A pooler between host and database that gives each transaction another session.

use std::sync::Arc;

use databases::Pooler;

use super::feed::{Ear, claim_as, watch};
use super::{LIMITS, Schema, server, wait_until};
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{NOW, ask, claim, completed, end, enqueue, finish, id, task, view};
use crate::ledger::{NewTask, RunReport, State};

fn open(pooler: &Pooler, schema: &Schema, node: &str) -> Postgres {
    Postgres::open(PostgresOptions {
        url: pooler.socket_url(),
        node: node.into(),
        ..schema.options(LIMITS)
    })
    .unwrap()
}

#[test]
fn a_ledger_works_through_a_pooler_of_transactions() {
    let pooler = Pooler::start(server());
    let schema = Schema::new();
    // More connections than the pooler has sessions, of which each gets now this one and now that.
    let hosts = ["a", "b", "c"].map(|node| open(&pooler, &schema, node));
    std::thread::scope(|scope| {
        for (at, host) in hosts.iter().enumerate() {
            scope.spawn(move || {
                for round in 0..40_u64 {
                    let number = 1 + round * 10 + at as u64;
                    let new = NewTask {
                        key: Some(format!("{number}")),
                        ..task(number, "f")
                    };
                    enqueue(host, vec![new]);
                    ask(|done| host.stats(done)).unwrap();
                    for claimed in claim(host, "f", 2) {
                        finish(host, end(&claimed, completed("1")), NOW);
                    }
                    assert!(view(host, id(number)).is_some());
                }
            });
        }
    });
    loop {
        let rest = claim(&hosts[0], "f", 100);
        if rest.is_empty() {
            break;
        }
        for claimed in rest {
            finish(&hosts[0], end(&claimed, completed("1")), NOW);
        }
    }
    let stats = ask(|done| hosts[1].stats(done)).unwrap();
    assert_eq!(stats.functions[0].counts[State::Completed.index()], 120);
    drop(hosts);
    assert_eq!(schema.miscounts(), Vec::<String>::new());
}

#[test]
fn hosts_hear_of_one_another_through_a_pooler_of_transactions() {
    let pooler = Pooler::start(server());
    let schema = Schema::new();
    let [listens, runs] = ["listens", "runs"].map(|node| open(&pooler, &schema, node));
    let [ear, runner] = [(); 2].map(|()| Arc::<Ear>::default());
    listens.watch(ear.clone());
    runs.watch(runner.clone());
    enqueue(&runs, vec![task(1, "f")]);
    ear.wants.lock().unwrap().ends.push(id(1));
    ear.wants.lock().unwrap().progress.push(id(1));
    watch(&schema, &listens, &ear);
    let claimed = claim_as(&runs, "runs", 1).remove(0);
    let report = RunReport {
        task: claimed.id,
        lease: claimed.lease,
        number: 1,
        done: 1,
        total: 2,
        message: "half".to_owned(),
    };
    runner.runs.lock().unwrap().push(report.clone());
    wait_until("its progress is told", || {
        *ear.progress.lock().unwrap() == [report.clone()]
    });
    finish(&runs, end(&claimed, completed("1")), NOW);
    wait_until("its end is seen", || !ear.ended.lock().unwrap().is_empty());
    wait_until("its changes are heard", || {
        ear.states().get(&id(1)) == Some(&vec![State::Running, State::Completed])
    });
}
