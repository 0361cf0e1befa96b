//! Many sleeping tasks at once on one connection: how near the pool comes to running all its workers all the time.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::connection::{Phase, PhaseCell, drive};
use crate::error::BenchError;
use crate::histogram::Histogram;
use crate::runtime::block_on;
use crate::wire::Way;
use crate::workload::{Dialect, Functions, Job, Workload};

const SILENCE_MAX: Duration = Duration::from_secs(60);

/// So many tasks at once, each of which only sleeps.
pub(crate) struct Burst {
    pub(crate) way: Way,
    pub(crate) tasks: usize,
    pub(crate) ms: u64,
    /// How many tasks the server can run at once.
    pub(crate) workers: usize,
}

/// How long it took.
#[derive(Clone)]
pub(crate) struct BurstReport {
    pub(crate) total: Duration,
    pub(crate) ideal: Duration,
    pub(crate) latencies: Histogram,
}

impl BurstReport {
    pub(crate) fn ratio_to_ideal(&self) -> f64 {
        self.total.as_secs_f64() / self.ideal.as_secs_f64()
    }
}

impl fmt::Display for BurstReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} tasks in {:.2?}, {:.2} × the ideal {:.2?}",
            self.latencies.count(),
            self.total,
            self.ratio_to_ideal(),
            self.ideal,
        )
    }
}

/// Sends all requests in one go and waits for the last reply.
pub(crate) fn run(burst: &Burst) -> Result<BurstReport, BenchError> {
    let workload = Workload {
        dialect: Dialect::Text,
        with_ids: true,
        job: Job::Sleep { ms: burst.ms },
        functions: Functions::Good,
    };
    let phase = PhaseCell::new(Phase::Once);
    let start = Instant::now();
    let latencies = block_on(
        SILENCE_MAX,
        drive(
            &burst.way,
            &workload,
            burst.tasks,
            &phase,
            &Semaphore::new(1),
        ),
    )?;
    let rounds = burst.tasks.div_ceil(burst.workers.max(1)) as u64;
    Ok(BurstReport {
        total: start.elapsed(),
        ideal: Duration::from_millis(burst.ms * rounds),
        latencies,
    })
}
