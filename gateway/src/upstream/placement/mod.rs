//! Which host and which connection a task goes to, who waits, and what becomes of what a host gave back. Decisions only:
//! no I/O, no clock, no locks.
//!
//! After a change that may have made room, [`Placement::next`] is to be called until it has nothing more to hand out.

mod failure;
mod host;
mod queue;

use std::collections::BTreeSet;
use std::mem;
use std::time::{Duration, Instant};

use protocol::{ErrorCode, Outcome, TaskFailure};

use self::host::{Host, Vacancy};
use self::queue::{Over, Queue};
use super::task::Task;

/// A task is given up after so many hosts have given it back.
const ATTEMPTS_MAX: u32 = 5;

/// What is fixed for as long as the gateway runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How long a task waits for a host.
    pub(super) connect_wait: Duration,
    /// A host that is silent for so long gets nothing new.
    pub(super) suspect_after: Duration,
    /// Tasks that may wait.
    pub(super) waiting_max: usize,
}

/// All hosts, and the tasks that wait for one. `C` is what the user has of a connection.
#[derive(Debug)]
pub(super) struct Placement<C> {
    rules: Rules,
    hosts: Vec<Host<C>>,
    queue: Queue,
    began: Instant,
    /// Connections that were ever opened.
    opened: u64,
}

/// Names a connection. No other connection ever has the same key, not even the next one in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionKey {
    host: usize,
    index: usize,
    number: u64,
}

/// What is to be done with a task.
#[derive(Debug)]
pub(super) enum Step<C> {
    /// Put it on this connection, where it counts from now on.
    Hand(ConnectionKey, C, Task),
    /// Tell it that it has failed.
    Fail(Task, TaskFailure),
    /// Nothing: it waits.
    Wait,
}

/// What is known of a host, for whoever operates it.
#[derive(Clone, Debug)]
pub(crate) struct HostStatus {
    pub(crate) address: String,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) is_draining: bool,
    /// Whether it gets tasks.
    pub(crate) is_well: bool,
    pub(crate) last_error: Option<String>,
}

/// What there is for a task at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Connection {
        host: usize,
        index: usize,
    },
    /// The hosts that have its function have as much as they take.
    Full,
    /// No host that has its function is there.
    Nobody,
}

impl<C: Clone> Placement<C> {
    /// Hosts without connections.
    pub(super) fn new(addresses: Vec<String>, rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            hosts: addresses.into_iter().map(Host::new).collect(),
            queue: Queue::default(),
            began: now,
            opened: 0,
        }
    }

    // ---- tasks ----

    /// What becomes of a new task.
    pub(super) fn submit(&mut self, task: Task, now: Instant) -> Step<C> {
        self.place_or_wait(task, now)
    }

    /// What becomes of a task that a connection did not take. It no longer counts there.
    pub(super) fn refused(&mut self, key: ConnectionKey, task: Task, now: Instant) -> Step<C> {
        self.ended(key, 1);
        match self.place(task, now) {
            Ok(step) => step,
            Err(task) => {
                // It has waited already, or would have been the first to be handed out.
                let lane = self.lane(&task.request.function);
                self.queue.push_front(lane, task);
                Step::Wait
            }
        }
    }

    /// What becomes of a task that was on a connection when it ended, or that its host has given back.
    pub(super) fn orphaned(
        &mut self,
        key: ConnectionKey,
        mut task: Task,
        may_have_started: bool,
        now: Instant,
    ) -> Step<C> {
        if may_have_started {
            let failure = failure::broken(self.hosts[key.host].address());
            return Step::Fail(task, failure);
        }
        task.terms.attempts += 1;
        task.shorten(now);
        self.place_or_wait(task, now)
    }

    /// The task that has waited the longest of those for which there is room.
    pub(super) fn next(&mut self, now: Instant) -> Option<Step<C>> {
        if self.queue.is_empty() {
            return None;
        }
        let mut queue = mem::take(&mut self.queue);
        let first =
            queue.pop(|function| matches!(self.choose(function, now), Choice::Connection { .. }));
        self.queue = queue;
        let (lane, mut task) = first?;
        if task.sink.is_cancelled() {
            return Some(Step::Fail(task, failure::cancelled()));
        }
        task.shorten(now);
        match self.place(task, now) {
            Ok(step) => Some(step),
            Err(task) => {
                self.queue.push_front(lane, task);
                None
            }
        }
    }

    /// Takes out tasks that have waited for too long, or were cancelled.
    pub(super) fn take_over(&mut self, now: Instant) -> Vec<(Task, TaskFailure)> {
        let mut queue = mem::take(&mut self.queue);
        let has_host = |function: &str| self.choose(function, now) != Choice::Nobody;
        let over = queue.take_over(self.rules.connect_wait, now, has_host);
        self.queue = queue;
        let is_ready = self.is_ready(now);
        over.into_iter()
            .map(|(over, task)| {
                let failure = match over {
                    Over::Cancelled => failure::cancelled(),
                    Over::Late => failure::late(),
                    Over::NoHost if is_ready => failure::host_is_away(&task.request.function),
                    Over::NoHost => failure::no_host("no host can be reached"),
                };
                (task, failure)
            })
            .collect()
    }

    /// Tasks that wait for a host, or for room at one.
    pub(super) fn waiting(&self) -> usize {
        self.queue.len()
    }

    // ---- connections ----

    /// A connection to the host of that number, the host's own connection of that index. It gets no tasks yet.
    pub(super) fn opened(
        &mut self,
        host: usize,
        index: usize,
        connection: C,
        now: Instant,
    ) -> ConnectionKey {
        self.opened += 1;
        let number = self.opened;
        self.hosts[host].open(index, number, connection, now);
        ConnectionKey {
            host,
            index,
            number,
        }
    }

    /// The connection takes so many tasks at a time from now on. A host that accepts one no longer drains.
    pub(super) fn is_up(&mut self, key: ConnectionKey, tasks_max: usize) {
        let Some(connection) = self.hosts[key.host].connection(key) else {
            return;
        };
        connection.tasks_max = tasks_max;
        self.hosts[key.host].is_draining = false;
        self.hosts[key.host].last_error = None;
    }

    /// The connection has ended. True if the error is another one than its host's last.
    pub(super) fn is_gone(&mut self, key: ConnectionKey, error: &str) -> bool {
        self.hosts[key.host].close(key);
        self.failed(key.host, error)
    }

    /// The host can't be reached. True if the error is another one than its last.
    pub(super) fn failed(&mut self, host: usize, error: &str) -> bool {
        let last = &mut self.hosts[host].last_error;
        let is_new = last.as_deref() != Some(error);
        if is_new {
            *last = Some(error.to_owned());
        }
        is_new
    }

    /// The connection takes no tasks while too many bytes wait for its writer.
    pub(super) fn clogged(&mut self, key: ConnectionKey, is_clogged: bool) {
        if let Some(connection) = self.hosts[key.host].connection(key) {
            connection.is_clogged = is_clogged;
        }
    }

    /// So many of the connection's tasks have ended.
    pub(super) fn ended(&mut self, key: ConnectionKey, count: usize) {
        if let Some(connection) = self.hosts[key.host].connection(key) {
            connection.in_flight -= count;
        }
    }

    /// The host has said something on the connection.
    pub(super) fn heard(&mut self, key: ConnectionKey, now: Instant) {
        if let Some(connection) = self.hosts[key.host].connection(key) {
            connection.health.heard_at = now;
        }
    }

    /// A ping was sent on the connection.
    pub(super) fn pinged(&mut self, key: ConnectionKey, now: Instant) {
        if let Some(connection) = self.hosts[key.host].connection(key) {
            connection.health.pinged_at = Some(now);
        }
    }

    /// The ping was answered.
    pub(super) fn ponged(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.hosts[key.host].connection(key) {
            connection.health.pinged_at = None;
        }
    }

    /// How long a ping has been without an answer, and the host silent. None where no ping is on its way.
    pub(super) fn silence(&mut self, key: ConnectionKey, now: Instant) -> Option<Duration> {
        self.hosts[key.host].connection(key)?.health.silence(now)
    }

    // ---- hosts ----

    /// The host takes nothing new. True if it did before.
    pub(super) fn drains(&mut self, key: ConnectionKey) -> bool {
        !mem::replace(&mut self.hosts[key.host].is_draining, true)
    }

    /// The host was asked for its functions. It gets no tasks before: those of the first moment would all go to the host
    /// that told first. True the first time.
    pub(super) fn was_asked(&mut self, host: usize) -> bool {
        !mem::replace(&mut self.hosts[host].was_asked, true)
    }

    /// The host has these functions, and no others.
    pub(super) fn has_functions(&mut self, host: usize, functions: BTreeSet<String>) {
        if self.hosts[host].set_functions(functions) {
            // Who waits in which line may be another matter now.
            let mut queue = mem::take(&mut self.queue);
            for task in queue.take_all() {
                self.queue.push(self.lane(&task.request.function), task);
            }
        }
    }

    /// The address of the connection's host.
    pub(super) fn address_of(&self, key: ConnectionKey) -> &str {
        self.hosts[key.host].address()
    }

    pub(super) fn hosts(&self, now: Instant) -> Vec<HostStatus> {
        self.hosts
            .iter()
            .map(|host| host.status(now, self.rules.suspect_after))
            .collect()
    }

    /// Whether a task would find a host now, though perhaps no room at it.
    pub(super) fn is_ready(&self, now: Instant) -> bool {
        let suspect_after = self.rules.suspect_after;
        self.hosts
            .iter()
            .any(|host| host.vacancy(now, suspect_after).is_some())
    }

    // ---- decisions ----

    fn place_or_wait(&mut self, task: Task, now: Instant) -> Step<C> {
        match self.place(task, now) {
            Ok(step) => step,
            Err(task) => self.wait(task, now),
        }
    }

    /// Finds a place for the task, or gives it back.
    fn place(&mut self, task: Task, now: Instant) -> Result<Step<C>, Task> {
        if task.terms.attempts >= ATTEMPTS_MAX {
            let failure = failure::no_host("no host took the task, though several were tried");
            return Ok(Step::Fail(task, failure));
        }
        match self.choose(&task.request.function, now) {
            Choice::Connection { host, index } => match self.hosts[host].take_place(index) {
                Some((number, connection)) => {
                    let key = ConnectionKey {
                        host,
                        index,
                        number,
                    };
                    Ok(Step::Hand(key, connection, task))
                }
                None => Err(task),
            },
            Choice::Full | Choice::Nobody => Err(task),
        }
    }

    fn wait(&mut self, task: Task, now: Instant) -> Step<C> {
        if self.queue.len() >= self.rules.waiting_max {
            let failure = match self.choose(&task.request.function, now) {
                Choice::Nobody => failure::no_host(
                    "no host can be reached, and too many tasks wait for one already",
                ),
                Choice::Full | Choice::Connection { .. } => failure::queue_is_full(),
            };
            return Step::Fail(task, failure);
        }
        self.queue.push(self.lane(&task.request.function), task);
        Step::Wait
    }

    /// Of the hosts that are well, have the function, and have room, the one with the least in flight.
    fn choose(&self, function: &str, now: Instant) -> Choice {
        // A single host is asked for every function.
        let is_known = self.hosts.len() > 1 && self.is_known(function);
        if self.hosts.len() > 1 && !is_known && self.is_to_hear_more(now) {
            return Choice::Nobody;
        }
        let mut choice = Choice::Nobody;
        let mut least = usize::MAX;
        for (number, host) in self.hosts.iter().enumerate() {
            if is_known && !host.has(function) {
                continue;
            }
            match host.vacancy(now, self.rules.suspect_after) {
                Some(Vacancy {
                    index: Some(index),
                    in_flight,
                }) if in_flight < least => {
                    least = in_flight;
                    choice = Choice::Connection {
                        host: number,
                        index,
                    };
                }
                Some(_) if choice == Choice::Nobody => choice = Choice::Full,
                _ => {}
            }
        }
        choice
    }

    /// Whether a host has it, or had it before it went.
    fn is_known(&self, function: &str) -> bool {
        self.hosts.iter().any(|host| host.has(function))
    }

    /// Whether a host that has not told its functions may still do so: at the beginning.
    fn is_to_hear_more(&self, now: Instant) -> bool {
        now.duration_since(self.began) < self.rules.connect_wait
            && self.hosts.iter().any(|host| !host.has_told())
    }

    /// Where a task waits: with those of its function, or with all whose function no host is known to have.
    fn lane(&self, function: &str) -> Option<Box<str>> {
        self.is_known(function).then(|| function.into())
    }
}

/// Whether a host has refused a task only because it takes nothing new, or nothing from this connection any more.
pub(super) fn is_handed_back(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Err(TaskFailure {
            code: ErrorCode::ShuttingDown | ErrorCode::Unauthorized,
            started: false,
            ..
        })
    )
}

#[cfg(test)]
mod tests;
