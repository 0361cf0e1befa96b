//! Tasks for which no host has room at the moment.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::super::task::Task;

/// The name of a line: a function, or none for all functions that no host is known to have.
pub(super) type LaneName = Option<Box<str>>;

/// By function, so that a function whose hosts are busy keeps no other waiting. Each in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Queue {
    lanes: FxHashMap<LaneName, Lane>,
    len: usize,
}

/// Never empty.
#[derive(Debug, Default)]
struct Lane {
    tasks: VecDeque<Task>,
    /// Since when there has been no host for them, busy or not.
    lonely_since: Option<Instant>,
}

/// Why a task waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Cancelled,
    NoHost,
    /// Its time limit has passed.
    Late,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn push(&mut self, lane: LaneName, task: Task) {
        self.lane(lane).tasks.push_back(task);
        self.len += 1;
    }

    /// Puts the task at the head of its line.
    pub(super) fn push_front(&mut self, lane: LaneName, task: Task) {
        self.lane(lane).tasks.push_front(task);
        self.len += 1;
    }

    fn lane(&mut self, name: LaneName) -> &mut Lane {
        self.lanes.entry(name).or_default()
    }

    /// Of the tasks that find room, the one that came first, and its line.
    pub(super) fn pop(&mut self, finds_room: impl Fn(&str) -> bool) -> Option<(LaneName, Task)> {
        let name = self
            .lanes
            .iter()
            .filter_map(|(name, lane)| Some((name, lane.tasks.front()?)))
            .filter(|(_, first)| finds_room(&first.request.function))
            .min_by_key(|(_, first)| first.terms.since)
            .map(|(name, _)| name.clone())?;
        let tasks = &mut self.lanes.get_mut(&name)?.tasks;
        let task = tasks.pop_front()?;
        self.len -= 1;
        if tasks.is_empty() {
            self.lanes.remove(&name);
        }
        Some((name, task))
    }

    /// Takes out all that wait, in the order in which they came.
    pub(super) fn take_all(&mut self) -> Vec<Task> {
        self.len = 0;
        let mut all: Vec<_> = mem::take(&mut self.lanes)
            .into_values()
            .flat_map(|lane| lane.tasks)
            .collect();
        all.sort_by_key(|task| task.terms.since);
        all
    }

    /// Takes out those whose time is up, that are cancelled, or for which there has been no host for `lonely_max`.
    pub(super) fn take_over(
        &mut self,
        lonely_max: Duration,
        now: Instant,
        has_host: impl Fn(&str) -> bool,
    ) -> Vec<(Over, Task)> {
        let mut over = Vec::new();
        self.lanes.retain(|_, lane| {
            let is_lonely = lane
                .tasks
                .front()
                .is_some_and(|first| !has_host(&first.request.function));
            lane.lonely_since = is_lonely.then(|| lane.lonely_since.unwrap_or(now));
            let lonely_since = lane.lonely_since;
            let why = |task: &Task| {
                if task.sink.is_cancelled() {
                    return Some(Over::Cancelled);
                }
                let lonely_for = lonely_since
                    .map(|since| now.saturating_duration_since(since.max(task.terms.since)));
                if lonely_for.is_some_and(|lonely| lonely >= lonely_max) {
                    return Some(Over::NoHost);
                }
                task.is_late(now).then_some(Over::Late)
            };
            for task in mem::take(&mut lane.tasks) {
                match why(&task) {
                    Some(why) => over.push((why, task)),
                    None => lane.tasks.push_back(task),
                }
            }
            !lane.tasks.is_empty()
        });
        self.len -= over.len();
        over
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use protocol::Request;

    use super::super::super::task::Nobody;
    use super::*;

    fn push(queue: &mut Queue, function: &str, limit: Option<Duration>) {
        let mut task = Task::new(Request::new(function), Instant::now(), Arc::new(Nobody));
        task.terms.limit = limit;
        queue.push(Some(function.into()), task);
    }

    fn pop(queue: &mut Queue, finds_room: impl Fn(&str) -> bool) -> Option<String> {
        let (_, task) = queue.pop(finds_room)?;
        Some(task.request.function)
    }

    #[test]
    fn the_first_that_finds_room_goes() {
        let mut queue = Queue::default();
        for function in ["report", "report", "mail"] {
            push(&mut queue, function, None);
        }
        assert_eq!(pop(&mut queue, |_| false), None);
        assert_eq!(pop(&mut queue, |name| name == "mail").unwrap(), "mail");
        assert_eq!(pop(&mut queue, |name| name == "mail"), None);
        assert_eq!(pop(&mut queue, |_| true).unwrap(), "report");
        let (lane, first) = queue.pop(|_| true).unwrap();
        assert!(queue.is_empty());
        push(&mut queue, "report", None);
        let since = first.terms.since;
        queue.push_front(lane, first);
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.take_all()[0].terms.since, since);
        assert!(queue.is_empty());
    }

    #[test]
    fn who_has_waited_for_too_long_is_taken_out() {
        let mut queue = Queue::default();
        push(&mut queue, "gone", None);
        push(&mut queue, "busy", None);
        push(&mut queue, "busy", Some(Duration::ZERO));
        let now = Instant::now();
        let over = queue.take_over(Duration::ZERO, now, |name| name == "busy");
        let mut over: Vec<_> = over
            .into_iter()
            .map(|(why, task)| (task.request.function, why))
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
        let over = queue.take_over(Duration::from_secs(3600), now, |_| false);
        assert!(over.is_empty(), "there has been no host for a moment only");
    }
}
