//! How long a claim takes among very many tasks. Takes a minute, and asserts nothing:
//!
//! `cargo test --release -p host --lib ledger::postgres::tests::bench -- --ignored --nocapture`

use std::time::{Duration, Instant};

use super::LIMITS;
use crate::ledger::postgres::{Postgres, PostgresOptions};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{NOW, ask, claim, completed, end, enqueue, task};

/// Tasks that wait, and as many that have finished.
const TASKS: u64 = 100_000;
const AT_ONCE: u64 = 1_000;
const CLAIMS: usize = 2_000;

fn fill(store: &Postgres, from: u64) {
    for first in (from..from + TASKS).step_by(usize::try_from(AT_ONCE).unwrap()) {
        enqueue(
            store,
            (first..first + AT_ONCE)
                .map(|number| task(number, "f"))
                .collect(),
        );
    }
}

fn finish_all(store: &Postgres, count: u32) -> usize {
    let claimed = claim(store, "f", count);
    let ends = claimed.iter().map(|task| end(task, completed("1")));
    ask(|done| store.finish(ends.collect(), NOW, done)).unwrap();
    claimed.len()
}

#[test]
#[ignore = "a benchmark"]
fn a_claim_among_very_many() {
    let server = databases::Postgres::start(&["fsync=on", "shared_buffers=256MB"]);
    let store = Postgres::open(PostgresOptions {
        url: server.socket_url(),
        schema: "task_server".into(),
        limits: LIMITS,
        node: "node-a".into(),
        is_pooled: false,
    })
    .unwrap();
    fill(&store, 1);
    while finish_all(&store, 1_000) > 0 {}
    fill(&store, 1 + TASKS);
    // With synced commits, each claim alone in its transaction, and finished before the next.
    let mut times: Vec<Duration> = Vec::with_capacity(CLAIMS);
    for _ in 0..CLAIMS {
        let begun = Instant::now();
        let claimed = claim(&store, "f", 10);
        times.push(begun.elapsed());
        assert_eq!(claimed.len(), 10);
        let ends = claimed.iter().map(|task| end(task, completed("1")));
        ask(|done| store.finish(ends.collect(), NOW, done)).unwrap();
    }
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    println!(
        "claims of 10 among {TASKS} that wait and {TASKS} that have finished: p50 {:.2} ms, p99 {:.2} ms, at most {:.2} ms",
        at(50),
        at(99),
        at(100)
    );
}
