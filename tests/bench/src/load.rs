//! The load generator: connections on a few threads, a warm-up, and a window in which everything is measured.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{self, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::connection::{Phase, PhaseCell, drive};
use crate::cpu::CpuTimes;
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::workload::{Dialect, Job, Workload};

/// More threads would not make the client stronger than the server, with which it shares the cores.
const THREADS_MAX: usize = 2;

/// Connections that a thread opens at once: a server's backlog is bounded, and whoever finds it full waits for seconds.
const CONNECTING_MAX: usize = 64;

/// How long all requests in flight may take to be answered once no more are sent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// One server under one kind of load.
pub(crate) struct Load {
    pub(crate) addr: SocketAddr,
    pub(crate) pid: u32,
    /// A process that the server has its work done by; it and its children count as the server's workers.
    pub(crate) upstream: Option<u32>,
    pub(crate) dialect: Dialect,
    pub(crate) shape: Shape,
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
    pub(crate) cpu: CpuTimes,
}

impl Report {
    pub(crate) fn tasks_per_second(&self) -> f64 {
        self.tasks() / self.elapsed.as_secs_f64()
    }

    /// CPU time divided among the tasks, in microseconds.
    pub(crate) fn us_per_task(&self, cpu_time: Duration) -> f64 {
        cpu_time.as_secs_f64() * 1e6 / self.tasks().max(1.0)
    }

    /// CPU time that neither the server nor the client used, as a share of all cores' time.
    pub(crate) fn foreign_share(&self) -> f64 {
        let ours = self.cpu.server + self.cpu.workers + self.cpu.client;
        self.of_all_cores(self.cpu.machine.saturating_sub(ours))
    }

    /// CPU time that other virtual machines took, as a share of all cores' time.
    pub(crate) fn stolen_share(&self) -> f64 {
        self.of_all_cores(self.cpu.stolen)
    }

    fn of_all_cores(&self, cpu_time: Duration) -> f64 {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        cpu_time.as_secs_f64() / self.elapsed.as_secs_f64() / cores as f64
    }

    fn tasks(&self) -> f64 {
        self.latencies.count() as f64
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99] = [50, 99].map(|percent| self.latencies.percentile(percent));
        let [server, workers, client] = [self.cpu.server, self.cpu.workers, self.cpu.client]
            .map(|cpu_time| self.us_per_task(cpu_time));
        writeln!(
            f,
            "{:.0} tasks/s, p50 {p50:.0?}, p99 {p99:.0?}, max {:.0?}; CPU a task: server {server:.1} µs, \
             its workers {workers:.1} µs, client {client:.1} µs; other processes {:.0} %, stolen {:.0} %",
            self.tasks_per_second(),
            self.latencies.max(),
            self.foreign_share() * 100.0,
            self.stolen_share() * 100.0,
        )
    }
}

/// Loads the server, measures, and waits for the last replies.
pub(crate) fn run(load: &Load) -> Result<Report, BenchError> {
    let phase = Arc::new(PhaseCell::new(Phase::WarmUp));
    thread::scope(|scope| {
        let phase = &phase;
        let clients: Vec<_> = shares(load.shape.connections)
            .map(|connections| scope.spawn(move || client(load, connections, phase)))
            .collect();
        thread::sleep(load.warm_up);
        let before = CpuTimes::now(load.pid, load.upstream);
        let start = Instant::now();
        phase.set(Phase::Measure);
        thread::sleep(load.duration);
        phase.set(Phase::Over);
        let elapsed = start.elapsed();
        let after = CpuTimes::now(load.pid, load.upstream);
        let mut latencies = Histogram::new();
        for client in clients {
            latencies.merge(&client.join().expect("a client does not panic")?);
        }
        Ok(Report {
            latencies,
            elapsed,
            cpu: after? - before?,
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
) -> Result<Histogram, BenchError> {
    let workload = Arc::new(Workload {
        dialect: load.dialect,
        with_ids: load.shape.with_ids,
        job: Job::Echo {
            text: "x".repeat(load.shape.text_len),
        },
    });
    let deadline = load.warm_up + load.duration + SILENCE_MAX;
    let connecting = Arc::new(Semaphore::new(CONNECTING_MAX));
    block_on(deadline, async {
        let mut all: JoinSet<_> = (0..connections)
            .map(|_| {
                let (addr, depth) = (load.addr, load.shape.depth);
                let (workload, phase) = (Arc::clone(&workload), Arc::clone(phase));
                let connecting = Arc::clone(&connecting);
                async move { drive(addr, &workload, depth, &phase, &connecting).await }
            })
            .collect();
        let mut latencies = Histogram::new();
        while let Some(joined) = all.join_next().await {
            latencies.merge(&joined.expect("a connection does not panic")?);
        }
        Ok(latencies)
    })
}

/// Runs a client on this thread, until the deadline at the latest.
pub(crate) fn block_on<T>(
    deadline: Duration,
    client: impl Future<Output = Result<T, BenchError>>,
) -> Result<T, BenchError> {
    runtime()?.block_on(async {
        tokio::time::timeout(deadline, client)
            .await
            .unwrap_or(Err(BenchError::Silent {
                seconds: deadline.as_secs(),
            }))
    })
}

/// A runtime on the thread that uses it.
pub(crate) fn runtime() -> Result<Runtime, BenchError> {
    runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(BenchError::io("can't start a runtime"))
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
