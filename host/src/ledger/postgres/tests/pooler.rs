//! A pooler between host and database that gives each transaction another session.

use databases::Pooler;

use super::{LIMITS, Schema, server};
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{NOW, ask, claim, completed, end, enqueue, finish, id, task, view};
use crate::ledger::{NewTask, State};

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
