//! What is measured: what the host holds, and how long a small request takes.

use std::fmt;
use std::time::Duration;

use tests::Host;

/// Shown with `--nocapture`, as `make soak` runs the tests.
#[expect(
    clippy::print_stdout,
    reason = "figures for whoever runs the full size"
)]
pub(super) fn report(line: &str) {
    println!("{line}");
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Holdings {
    fds: usize,
    threads: usize,
    processes: usize,
    pub(super) rss: u64,
}

impl Holdings {
    pub(super) fn of(host: &Host) -> Self {
        let process = host.process();
        Self {
            fds: process.fds(),
            threads: process.threads(),
            processes: process.children().len(),
            rss: process.rss(),
        }
    }

    /// Memory aside.
    pub(super) fn is_no_more_than(&self, before: &Self) -> bool {
        self.fds <= before.fds
            && self.threads <= before.threads
            && self.processes <= before.processes
    }
}

/// How long each of many requests took.
#[derive(Default)]
pub(super) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(super) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    pub(super) fn p99(&self) -> Duration {
        self.quantile(99)
    }

    fn quantile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(at).copied().unwrap_or_default()
    }
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} small echoes: p50 {:.2?}, p99 {:.2?}, at most {:.2?}",
            self.0.len(),
            self.quantile(50),
            self.p99(),
            self.quantile(100)
        )
    }
}
