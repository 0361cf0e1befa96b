//! Tasks for which no host has room at the moment.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::{Sink, Submit};

/// A task that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) submit: Submit,
    pub(super) sink: Arc<dyn Sink>,
}

/// By function, so that a function whose hosts are busy keeps no other waiting. Each in the order in which they came.
#[derive(Debug)]
pub(super) struct Queue {
    lanes: FxHashMap<Arc<str>, Lane>,
    /// Changes only with the queue, and is read by others.
    len: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// Since when there has been no host for them, busy or not.
    lonely_since: Option<Instant>,
}

impl Queue {
    /// An empty queue that keeps its length there.
    pub(super) fn new(len: Arc<AtomicUsize>) -> Self {
        Self {
            lanes: FxHashMap::default(),
            len,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(super) fn push(&mut self, lane: Arc<str>, waiting: Waiting) {
        let lane = self.lanes.entry(lane).or_default();
        lane.waiting.push_back(waiting);
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    /// Puts back what [`Queue::pop`] gave.
    pub(super) fn put_back(&mut self, lane: Arc<str>, waiting: Waiting) {
        let lane = self.lanes.entry(lane).or_default();
        lane.waiting.push_front(waiting);
        self.len.fetch_add(1, Ordering::Relaxed);
    }

    /// Of the tasks that find room, the one that came first, and its lane.
    pub(super) fn pop(&mut self, finds_room: impl Fn(&str) -> bool) -> Option<(Arc<str>, Waiting)> {
        let lane = self
            .lanes
            .iter()
            .filter_map(|(name, lane)| lane.waiting.front().map(|first| (name, &first.submit)))
            .filter(|(_, submit)| finds_room(&submit.function))
            .min_by_key(|(_, submit)| submit.since)
            .map(|(name, _)| Arc::clone(name))?;
        let tasks = &mut self.lanes.get_mut(&lane)?.waiting;
        let waiting = tasks.pop_front()?;
        self.len.fetch_sub(1, Ordering::Relaxed);
        if tasks.is_empty() {
            self.lanes.remove(&lane);
        }
        Some((lane, waiting))
    }

    /// Takes out all that wait.
    pub(super) fn take_all(&mut self) -> Vec<Waiting> {
        self.len.store(0, Ordering::Relaxed);
        let mut all: Vec<_> = mem::take(&mut self.lanes)
            .into_values()
            .flat_map(|lane| lane.waiting)
            .collect();
        all.sort_by_key(|waiting| waiting.submit.since);
        all
    }

    /// Takes out those whose time is up, that are cancelled, or for which there has been no host for too long.
    pub(super) fn take_over(
        &mut self,
        lonely_max: Duration,
        has_host: impl Fn(&str) -> bool,
    ) -> Vec<(Over, Waiting)> {
        let now = Instant::now();
        let mut over = Vec::new();
        self.lanes.retain(|_, lane| {
            let is_lonely = lane
                .waiting
                .front()
                .is_some_and(|first| !has_host(&first.submit.function));
            lane.lonely_since = is_lonely.then(|| lane.lonely_since.unwrap_or(now));
            let lonely_since = lane.lonely_since;
            let why = |waiting: &Waiting| {
                let submit = &waiting.submit;
                if waiting.sink.is_cancelled() {
                    return Some(Over::Cancelled);
                }
                let lonely_for =
                    lonely_since.map(|since| now.duration_since(since.max(submit.since)));
                if lonely_for.is_some_and(|lonely| lonely >= lonely_max) {
                    return Some(Over::NoHost);
                }
                submit.is_late(now).then_some(Over::Late)
            };
            for waiting in mem::take(&mut lane.waiting) {
                match why(&waiting) {
                    Some(why) => over.push((why, waiting)),
                    None => lane.waiting.push_back(waiting),
                }
            }
            !lane.waiting.is_empty()
        });
        self.len.fetch_sub(over.len(), Ordering::Relaxed);
        over
    }
}

/// Why a task waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Cancelled,
    NoHost,
    /// Its time limit has passed.
    Late,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::Nobody;
    use super::*;

    fn push(queue: &mut Queue, function: &str, limit: Option<Duration>) {
        let mut submit = Submit::new(function.into(), Bytes::new(), None, false);
        submit.limit = limit;
        let sink = Arc::new(Nobody);
        queue.push(function.into(), Waiting { submit, sink });
    }

    fn pop(queue: &mut Queue, finds_room: impl Fn(&str) -> bool) -> Option<String> {
        let (_, waiting) = queue.pop(finds_room)?;
        Some(waiting.submit.function.to_string())
    }

    #[test]
    fn the_first_that_finds_room_goes() {
        let mut queue = Queue::new(Arc::default());
        for function in ["report", "report", "mail"] {
            push(&mut queue, function, None);
        }
        assert_eq!(pop(&mut queue, |_| false), None);
        assert_eq!(pop(&mut queue, |name| name == "mail").unwrap(), "mail");
        assert_eq!(pop(&mut queue, |name| name == "mail"), None);
        assert_eq!(pop(&mut queue, |_| true).unwrap(), "report");
        let (lane, first) = queue.pop(|_| true).unwrap();
        assert_eq!(queue.len(), 0);
        push(&mut queue, "report", None);
        let since = first.submit.since;
        queue.put_back(lane, first);
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.take_all()[0].submit.since, since);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn who_has_waited_for_too_long_is_taken_out() {
        let mut queue = Queue::new(Arc::default());
        push(&mut queue, "gone", None);
        push(&mut queue, "busy", None);
        push(&mut queue, "busy", Some(Duration::ZERO));
        let over = queue.take_over(Duration::ZERO, |name| name == "busy");
        let mut over: Vec<_> = over
            .into_iter()
            .map(|(why, waiting)| (waiting.submit.function.to_string(), why))
            .collect();
        over.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(
            over,
            [
                ("busy".to_owned(), Over::Late),
                ("gone".to_owned(), Over::NoHost)
            ]
        );
        assert_eq!(queue.len(), 1);
        let over = queue.take_over(Duration::from_secs(3600), |_| false);
        assert!(over.is_empty(), "there has been no host for a moment only");
    }
}
