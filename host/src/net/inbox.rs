//! What pools have to say to one connection, until it has time to listen.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use protocol::Outcome;
use service::sync::lock;
use tokio::sync::Notify;

use crate::task::Client;

/// Events that wait for one connection.
const EVENTS_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct ProgressEvent {
    pub(super) key: u64,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) message: String,
}

/// Bounded by the connection's requests in flight: at most one progress event and one outcome for each.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    arrived: Mutex<Arrived>,
    bell: Notify,
    /// Tasks that the client has cancelled and that have not ended.
    cancelled: Mutex<HashSet<u64>>,
    /// Whether the client has ever cancelled anything; most never do.
    has_cancelled: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) events: Vec<(u64, String, Bytes)>,
    /// To be told before the outcomes: none of them is of a task that has ended before it.
    pub(super) progress: Vec<ProgressEvent>,
    pub(super) finished: Vec<(u64, Outcome)>,
}

impl Inbox {
    pub(super) fn take(&self) -> Arrived {
        std::mem::take(&mut lock(&self.arrived))
    }

    /// Of a client that is slow: outcomes, and what is to be told before them. The rest stays, and is not added to.
    pub(super) fn take_finished(&self) -> Arrived {
        let mut arrived = lock(&self.arrived);
        let finished = std::mem::take(&mut arrived.finished);
        if finished.is_empty() {
            return Arrived::default();
        }
        let ended: HashSet<u64> = finished.iter().map(|(key, _)| *key).collect();
        let events = arrived
            .events
            .extract_if(.., |(key, ..)| ended.contains(key));
        let events = events.collect();
        let progress = arrived
            .progress
            .extract_if(.., |event| ended.contains(&event.key));
        let progress = progress.collect();
        Arrived {
            events,
            progress,
            finished,
        }
    }

    /// The client wants the task to end. Said before any pool is asked: a task that is on its way from one to another is
    /// in none of them.
    pub(super) fn cancel(&self, key: u64) {
        lock(&self.cancelled).insert(key);
        self.has_cancelled.store(true, Ordering::Release);
    }

    /// The task has ended, cancelled or not.
    pub(super) fn forget(&self, key: u64) {
        if self.has_cancelled.load(Ordering::Acquire) {
            lock(&self.cancelled).remove(&key);
        }
    }

    /// Something else has happened that the connection should look at.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    /// Returns when something has arrived since the last [`Inbox::take`].
    pub(super) async fn wait(&self) {
        self.bell.notified().await;
    }
}

impl Client for Inbox {
    fn finished(&self, key: u64, outcome: Outcome) {
        lock(&self.arrived).finished.push((key, outcome));
        self.bell.notify_one();
    }

    fn happened(&self, key: u64, name: &str, data: Bytes) -> bool {
        let mut arrived = lock(&self.arrived);
        if arrived.events.len() >= EVENTS_MAX {
            return false;
        }
        arrived.events.push((key, name.to_owned(), data));
        drop(arrived);
        self.bell.notify_one();
        true
    }

    fn has_cancelled(&self, key: u64) -> bool {
        self.has_cancelled.load(Ordering::Acquire) && lock(&self.cancelled).contains(&key)
    }

    fn progressed(&self, key: u64, done: u64, total: u64, message: String) {
        let event = ProgressEvent {
            key,
            done,
            total,
            message,
        };
        let mut arrived = lock(&self.arrived);
        match arrived
            .progress
            .iter_mut()
            .find(|earlier| earlier.key == key)
        {
            Some(earlier) => *earlier = event,
            None => arrived.progress.push(event),
        }
        drop(arrived);
        self.bell.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_client_that_is_slow_what_can_wait_stays_and_is_not_added_to() {
        let inbox = Inbox::default();
        let event = |key| inbox.happened(key, "task", Bytes::from_static(b"{}"));
        for key in [1, 2] {
            assert!(event(key));
            for done in [1, 2] {
                inbox.progressed(key, done, 9, String::new());
            }
        }
        assert!(inbox.take_finished().progress.is_empty());
        inbox.finished(2, Ok(Bytes::new()));
        let arrived = inbox.take_finished();
        assert!(matches!(arrived.finished[..], [(2, Ok(_))]));
        assert!(matches!(arrived.events[..], [(2, ..)]));
        let [progress] = &arrived.progress[..] else {
            panic!("{arrived:?}")
        };
        assert_eq!((progress.key, progress.done), (2, 2));
        let rest = (1..=EVENTS_MAX).filter(|_| event(1)).count();
        assert_eq!(rest, EVENTS_MAX - 1, "the others are not told");
        let arrived = inbox.take();
        assert_eq!(
            (arrived.events.len(), arrived.progress.len()),
            (EVENTS_MAX, 1)
        );
        assert!(arrived.finished.is_empty());
    }
}
