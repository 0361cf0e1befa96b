//! The ledger's tests: the tables of states and endings, and what every store promises.

mod any_order;
mod contract;
mod copy;
mod endings;
mod model;
mod states;

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::{
    Change, ClaimAsk, Claimed, Done, Ending, Enqueued, Failure, Finish, Listener, NewTask,
    RetryPolicy, Store, StoreError, TaskId, TaskView, Want,
};

/// A time like today's, in milliseconds of Unix time.
pub(crate) const NOW: i64 = 1_790_000_000_000;

pub(crate) const DAY_MS: i64 = 24 * 3600 * 1000;

/// For so long discarded tasks are kept in these tests.
pub(crate) const DISCARDED_TTL_MS: i64 = 14 * DAY_MS;

/// Waits for the answer to what `start` asks.
pub(crate) fn ask<T: Send + 'static>(start: impl FnOnce(Done<T>)) -> Result<T, StoreError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    start(Box::new(move |answer| sender.send(answer).unwrap()));
    let answer = receiver.recv_timeout(Duration::from_secs(120));
    answer.expect("the store answers in time, and exactly once")
}

/// An id that `number` determines; ids ascend with numbers.
pub(crate) fn id(number: u64) -> TaskId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    // Spread, as random halves are.
    bytes[8..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    TaskId::from_bytes(bytes)
}

/// A task as a client gets it who asks for nothing.
pub(crate) fn task(number: u64, function: &str) -> NewTask {
    NewTask {
        id: id(number),
        function: function.into(),
        args: Bytes::from_static(b"{}"),
        key: None,
        unique_until: None,
        available_at: NOW,
        priority: 5,
        retry: RetryPolicy::default(),
        deadline_at: None,
        result_ttl_ms: DAY_MS,
        timeout_ms: None,
        at_most_once: false,
        subject: None,
        limit_key: None,
        version: None,
        parent: None,
        batch: None,
        traceparent: None,
        client: None,
    }
}

pub(crate) fn enqueue(store: &dyn Store, tasks: Vec<NewTask>) -> Vec<Enqueued> {
    enqueue_at(store, tasks, NOW)
}

pub(crate) fn enqueue_at(store: &dyn Store, tasks: Vec<NewTask>, now: i64) -> Vec<Enqueued> {
    ask(|done| store.enqueue(tasks, now, done)).unwrap()
}

pub(crate) fn want(function: &str, count: u32) -> Want {
    Want {
        function: function.into(),
        version: "1".into(),
        count,
    }
}

pub(crate) fn claim_of(store: &dyn Store, want: Want, now: i64) -> Vec<Claimed> {
    let ask_of = ClaimAsk {
        node: "node-a".into(),
        wants: vec![want],
    };
    ask(|done| store.claim(ask_of, now, done)).unwrap()
}

pub(crate) fn claim(store: &dyn Store, function: &str, count: u32) -> Vec<Claimed> {
    claim_of(store, want(function, count), NOW)
}

pub(crate) fn ids(claimed: &[Claimed]) -> Vec<TaskId> {
    claimed.iter().map(|claimed| claimed.id).collect()
}

pub(crate) fn end(claimed: &Claimed, ending: Ending) -> Finish {
    Finish {
        id: claimed.id,
        lease: claimed.lease,
        started_at: None,
        version: Arc::from("1.2.3"),
        ending,
    }
}

pub(crate) fn finish(store: &dyn Store, end: Finish, now: i64) -> super::Finished {
    let answers = ask(|done| store.finish(vec![end], now, done)).unwrap();
    assert_eq!(answers.len(), 1);
    answers[0]
}

pub(crate) fn completed(result: &'static str) -> Ending {
    Ending::Completed {
        result: Bytes::from_static(result.as_bytes()),
    }
}

pub(crate) fn failed(error: &'static str) -> Ending {
    Ending::Failed {
        error: Bytes::from_static(error.as_bytes()),
        failure: Failure::default(),
    }
}

pub(crate) fn view(store: &dyn Store, id: TaskId) -> Option<TaskView> {
    ask(|done| store.get(id, done)).unwrap().map(|view| *view)
}

/// What a store has told who watches.
#[derive(Default)]
pub(in crate::ledger) struct Heard {
    pub(in crate::ledger) available: Mutex<Vec<Arc<str>>>,
    pub(in crate::ledger) changes: Mutex<Vec<Change>>,
}

impl Listener for Heard {
    fn available(&self, functions: &[Arc<str>]) {
        self.available.lock().unwrap().extend_from_slice(functions);
    }

    fn wants_changes(&self) -> bool {
        true
    }

    fn changed(&self, changes: &[Change]) {
        self.changes.lock().unwrap().extend_from_slice(changes);
    }
}
