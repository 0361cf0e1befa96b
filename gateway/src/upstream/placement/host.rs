//! What is known of one host: its connections, its health, its functions.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{ConnectionKey, HostStatus};

/// With fewer tasks than this a connection has little to do.
const PACKED_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Host<C> {
    address: String,
    connections: Vec<Option<Connection<C>>>,
    /// It takes nothing new. Ends with the next connection that it accepts.
    pub(super) is_draining: bool,
    pub(super) was_asked: bool,
    /// None until it has told.
    functions: Option<BTreeSet<String>>,
    pub(super) last_error: Option<String>,
}

#[derive(Debug)]
pub(super) struct Connection<C> {
    number: u64,
    connection: C,
    pub(super) in_flight: usize,
    /// 0 until the host has said what it allows.
    pub(super) tasks_max: usize,
    pub(super) is_clogged: bool,
    pub(super) health: Health,
}

/// Whether a host answers on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Health {
    /// When the host last said anything.
    pub(super) heard_at: Instant,
    /// When the ping was sent that has not been answered.
    pub(super) pinged_at: Option<Instant>,
}

/// What a host that is well has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vacancy {
    /// The connection to use; none where all have as much as they take.
    pub(super) index: Option<usize>,
    /// Tasks on all of them.
    pub(super) in_flight: usize,
}

impl Health {
    /// How long a ping has been without an answer, and the host silent.
    pub(super) fn silence(self, now: Instant) -> Option<Duration> {
        let since = self.pinged_at?.max(self.heard_at);
        Some(now.saturating_duration_since(since))
    }
}

impl<C> Connection<C> {
    fn is_up(&self) -> bool {
        self.tasks_max > 0
    }

    fn has_room(&self) -> bool {
        !self.is_clogged && self.in_flight < self.tasks_max
    }
}

impl<C: Clone> Host<C> {
    pub(super) fn new(address: String) -> Self {
        Self {
            address,
            connections: Vec::new(),
            is_draining: false,
            was_asked: false,
            functions: None,
            last_error: None,
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn open(&mut self, index: usize, number: u64, connection: C, now: Instant) {
        while self.connections.len() <= index {
            self.connections.push(None);
        }
        self.connections[index] = Some(Connection {
            number,
            connection,
            in_flight: 0,
            tasks_max: 0,
            is_clogged: false,
            health: Health {
                heard_at: now,
                pinged_at: None,
            },
        });
    }

    /// The connection, unless it has ended.
    pub(super) fn connection(&mut self, key: ConnectionKey) -> Option<&mut Connection<C>> {
        let connection = self.connections.get_mut(key.index)?.as_mut();
        connection.filter(|connection| connection.number == key.number)
    }

    pub(super) fn close(&mut self, key: ConnectionKey) {
        if self.connection(key).is_some() {
            self.connections[key.index] = None;
        }
    }

    /// Counts one more task for the connection: its number, and what the user has of it. None if there is none.
    pub(super) fn take_place(&mut self, index: usize) -> Option<(u64, C)> {
        let connection = self.connections.get_mut(index)?.as_mut()?;
        connection.in_flight += 1;
        Some((connection.number, connection.connection.clone()))
    }

    /// True if they are others than before.
    pub(super) fn set_functions(&mut self, functions: BTreeSet<String>) -> bool {
        let functions = Some(functions);
        let has_changed = self.functions != functions;
        self.functions = functions;
        has_changed
    }

    /// Whether it has that function, or had it when it was there last.
    pub(super) fn has(&self, function: &str) -> bool {
        self.functions
            .as_ref()
            .is_some_and(|functions| functions.contains(function))
    }

    /// Whether it has ever told what functions it has.
    pub(super) fn has_told(&self) -> bool {
        self.functions.is_some()
    }

    /// The first connection with little to do, or the one with the least; none if the host should get nothing new.
    pub(super) fn vacancy(&self, now: Instant, suspect_after: Duration) -> Option<Vacancy> {
        if self.is_draining || !self.was_asked {
            return None;
        }
        let mut vacancy = None;
        let mut least = usize::MAX;
        for (index, connection) in self.connections.iter().enumerate() {
            let Some(connection) = connection.as_ref().filter(|connection| connection.is_up())
            else {
                continue;
            };
            let silence = connection.health.silence(now);
            if silence.is_some_and(|silence| silence > suspect_after) {
                continue;
            }
            let vacancy = vacancy.get_or_insert(Vacancy {
                index: None,
                in_flight: 0,
            });
            vacancy.in_flight += connection.in_flight;
            // Tasks that share a connection share its reads and writes, so that few of them stay together.
            let cost = if connection.in_flight < PACKED_MAX {
                0
            } else {
                connection.in_flight
            };
            if cost < least && connection.has_room() {
                least = cost;
                vacancy.index = Some(index);
            }
        }
        vacancy
    }

    pub(super) fn status(&self, now: Instant, suspect_after: Duration) -> HostStatus {
        let up = || {
            self.connections
                .iter()
                .flatten()
                .filter(|connection| connection.is_up())
        };
        HostStatus {
            address: self.address.clone(),
            connections: up().count(),
            in_flight: up().map(|connection| connection.in_flight).sum(),
            is_draining: self.is_draining,
            is_well: self.vacancy(now, suspect_after).is_some(),
            last_error: self.last_error.clone(),
        }
    }
}
