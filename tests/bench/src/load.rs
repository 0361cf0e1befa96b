//! The load generator: connections on a few threads, a warm-up, and a window in which everything is measured.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::connection::{Phase, PhaseCell, drive};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::numbers::{ms, us};
use crate::runtime::block_on;
use crate::usage::{Processes, Usage};
use crate::wire::Way;
use crate::workload::{Dialect, Functions, Job, Workload};

/// More threads would not make the client stronger than the server, with which it shares the processors.
const THREADS_MAX: usize = 2;

/// Connections that a thread opens at once: a server's backlog is bounded, and whoever finds it full waits for seconds.
const CONNECTING_MAX: usize = 64;

/// Connections that are opened in a second, at the least; the warm-up is longer by what that takes.
const CONNECTS_PER_SECOND: f64 = 1000.0;

/// How long all requests in flight may take to be answered once no more are sent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Where a load goes: a server, what it speaks, and the processes whose time is its.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) way: Way,
    pub(crate) dialect: Dialect,
    pub(crate) processes: Processes,
}

/// One server under one kind of load.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) target: Target,
    pub(crate) shape: Shape,
    pub(crate) functions: Functions,
    /// Milliseconds that each task sleeps; without it they echo.
    pub(crate) sleep_ms: Option<u64>,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
}

/// How much is asked at once, and in what form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Requests in flight on each connection; 1 if they have no ids.
    pub(crate) depth: usize,
    pub(crate) with_ids: bool,
    /// Of a string in the args, in bytes.
    pub(crate) text_len: usize,
}

/// A short text; args with it are of 90 bytes.
pub(crate) const SMALL: usize = 64;

impl Shape {
    /// Requests with ids and a short text.
    pub(crate) const fn new(connections: usize, depth: usize) -> Self {
        Self {
            connections,
            depth,
            with_ids: true,
            text_len: SMALL,
        }
    }

    /// One request at a time on each connection, without ids.
    pub(crate) const fn without_ids(connections: usize) -> Self {
        Self {
            with_ids: false,
            ..Self::new(connections, 1)
        }
    }

    /// With a text of so many bytes.
    pub(crate) const fn with_text(self, text_len: usize) -> Self {
        Self { text_len, ..self }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.connections, self.depth)?;
        if !self.with_ids {
            f.write_str(", no id")?;
        }
        if self.text_len >= 1024 {
            write!(f, ", {} KiB", self.text_len / 1024)?;
        }
        Ok(())
    }
}

/// What one load showed.
#[derive(Clone)]
pub(crate) struct Report {
    pub(crate) latencies: Histogram,
    pub(crate) elapsed: Duration,
    pub(crate) usage: Usage,
}

impl Report {
    pub(crate) fn tasks_per_second(&self) -> f64 {
        self.tasks() / self.elapsed.as_secs_f64()
    }

    /// Processor time divided among the tasks, in microseconds.
    pub(crate) fn us_per_task(&self, time: Duration) -> f64 {
        us(time) / self.tasks().max(1.0)
    }

    /// Of the server and its workers.
    pub(crate) fn servers_us_per_task(&self) -> f64 {
        self.us_per_task(self.usage.server + self.usage.workers)
    }

    /// A count divided among the tasks.
    pub(crate) fn per_task(&self, count: u64) -> f64 {
        count as f64 / self.tasks().max(1.0)
    }

    /// The latency that so many in a hundred tasks don't exceed, in microseconds.
    pub(crate) fn percentile_us(&self, percent: u64) -> f64 {
        us(self.latencies.percentile(percent))
    }

    /// The same in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: u64) -> f64 {
        ms(self.latencies.percentile(percent))
    }

    /// The 99th of a hundred, in milliseconds.
    pub(crate) fn p99_ms(&self) -> f64 {
        self.percentile_ms(99)
    }

    /// What others had of the processors, as a share of all of their time.
    pub(crate) fn others_share(&self) -> f64 {
        self.usage.others_share()
    }

    fn tasks(&self) -> f64 {
        self.latencies.count() as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [50, 99].map(|percent| self.latencies.percentile(percent));
        let usage = &self.usage;
        let [server, workers, client] =
            [usage.server, usage.workers, usage.client].map(|time| self.us_per_task(time));
        write!(
            f,
            "{:.0} tasks/s, p50 {p50:.0?}, p99 {p99:.0?}, max {:.0?}; CPU a task: server {server:.1} µs, \
             its workers {workers:.1} µs, client {client:.1} µs; switches a task: {:.2} voluntary, {:.2} forced; \
             others {:.0} %",
            self.tasks_per_second(),
            self.latencies.max(),
            self.per_task(usage.switches.voluntary),
            self.per_task(usage.switches.forced),
            self.others_share() * 100.0,
        )
    }
}

/// Loads the server, measures, and waits for the last replies.
pub(crate) fn run(load: &Load) -> Result<Report, BenchError> {
    let phase = Arc::new(PhaseCell::new(Phase::WarmUp));
    let connecting = load.shape.connections as f64 / CONNECTS_PER_SECOND;
    let warm_up = load.warm_up + Duration::from_secs_f64(connecting);
    let deadline = warm_up + load.duration + SILENCE_MAX;
    thread::scope(|scope| {
        let phase = &phase;
        let clients: Vec<_> = shares(load.shape.connections)
            .map(|connections| scope.spawn(move || client(load, connections, phase, deadline)))
            .collect();
        thread::sleep(warm_up);
        let before = Usage::now(&load.target.processes);
        let start = Instant::now();
        phase.set(Phase::Measure);
        thread::sleep(load.duration);
        phase.set(Phase::Over);
        let elapsed = start.elapsed();
        let after = Usage::now(&load.target.processes);
        let mut latencies = Histogram::new();
        for client in clients {
            latencies.merge(&client.join().expect("a client does not panic")?);
        }
        Ok(Report {
            latencies,
            elapsed,
            usage: after? - before?,
        })
    })
}

/// How many connections each thread has.
fn shares(connections: usize) -> impl Iterator<Item = usize> {
    let threads = connections.clamp(1, THREADS_MAX);
    (0..threads).map(move |index| (connections + index) / threads)
}

fn client(
    load: &Load,
    connections: usize,
    phase: &Arc<PhaseCell>,
    deadline: Duration,
) -> Result<Histogram, BenchError> {
    let workload = Arc::new(Workload {
        dialect: load.target.dialect,
        with_ids: load.shape.with_ids,
        job: match load.sleep_ms {
            Some(ms) => Job::Sleep { ms },
            None => Job::Echo {
                text: "x".repeat(load.shape.text_len),
            },
        },
        functions: load.functions.clone(),
    });
    let way = Arc::new(load.target.way.clone());
    let connecting = Arc::new(Semaphore::new(CONNECTING_MAX));
    block_on(deadline, async {
        let mut all: JoinSet<_> = (0..connections)
            .map(|_| {
                let depth = load.shape.depth;
                let (way, workload) = (Arc::clone(&way), Arc::clone(&workload));
                let (phase, connecting) = (Arc::clone(phase), Arc::clone(&connecting));
                async move { drive(&way, &workload, depth, &phase, &connecting).await }
            })
            .collect();
        let mut latencies = Histogram::new();
        while let Some(joined) = all.join_next().await {
            latencies.merge(&joined.expect("a connection does not panic")?);
        }
        Ok(latencies)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_has_a_thread() {
        for connections in 1..10 {
            let shares: Vec<_> = shares(connections).collect();
            assert_eq!(shares.iter().sum::<usize>(), connections);
            assert!(shares.iter().all(|share| *share > 0));
        }
    }
}
