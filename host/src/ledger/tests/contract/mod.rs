//! What every store promises. Each test runs on each store.

mod claims;
mod ends;
mod keeping;
mod keys;
mod lists;
mod people;

use super::model::Model;
use super::{DISCARDED_TTL_MS, NOW, ask, claim_of, view, want};
use crate::ledger::postgres::tests::each_release;
use crate::ledger::{Claimed, Durability, Limits, Options, Sqlite, State, Store, TaskId};

pub(in crate::ledger::tests) const NO_LIMITS: Limits = Limits {
    waiting_max: u64::MAX,
    stored_len_max: u64::MAX,
    discarded_ttl_ms: DISCARDED_TTL_MS,
};

/// Runs a test on a new store of each kind.
pub(in crate::ledger::tests) fn each(test: impl Fn(&dyn Store)) {
    each_within(NO_LIMITS, test);
}

fn each_within(limits: Limits, test: impl Fn(&dyn Store)) {
    test(&Model::new(limits));
    let folder = tempfile::tempdir().unwrap();
    test(
        &Sqlite::open(
            folder.path(),
            Options {
                durability: Durability::Write,
                limits,
            },
            NOW,
        )
        .unwrap(),
    );
    let checked = crate::ledger::sqlite::check(folder.path()).unwrap();
    assert!(checked.faults.is_empty(), "{checked:?}");
    each_release(|schema| {
        test(&schema.open(limits));
        assert_eq!(schema.miscounts(), Vec::<String>::new());
    });
}

fn state(store: &dyn Store, id: TaskId) -> State {
    view(store, id).unwrap().summary.state
}

fn claim_one(store: &dyn Store, now: i64) -> Claimed {
    let mut claimed = claim_of(store, want("f", 1), now);
    assert_eq!(claimed.len(), 1);
    claimed.remove(0)
}

fn sweep(store: &dyn Store, now: i64) -> crate::ledger::Swept {
    ask(|done| store.sweep(now, 1_000, done)).unwrap()
}
