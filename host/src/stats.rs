//! What the host counts: per function how its tasks ended and how long they took.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use protocol::{ErrorCode, Outcome};
use serde::Serialize;
use service::sync::lock;

/// Counters of the whole host.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    functions: Mutex<BTreeMap<String, Arc<FunctionStats>>>,
    /// Replies whose client had gone.
    pub(crate) replies_dropped: AtomicU64,
    /// Requests answered with an error before they became tasks.
    pub(crate) requests_refused: AtomicU64,
    /// Connections that are open now.
    pub(crate) connections: AtomicU64,
    /// Requests received and not yet answered.
    pub(crate) in_flight: AtomicU64,
}

impl Stats {
    /// The counters of one function; they outlive the generation that exports it.
    pub(crate) fn function(&self, name: &str) -> Arc<FunctionStats> {
        Arc::clone(lock(&self.functions).entry(name.to_owned()).or_default())
    }

    /// All functions that have ever been live.
    pub(crate) fn functions(&self) -> BTreeMap<String, Arc<FunctionStats>> {
        lock(&self.functions).clone()
    }

    /// Counts a request as in flight until what it gives is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// Counts a connection as open until what it gives is dropped.
    pub(crate) fn connect(self: &Arc<Self>) -> OpenConnection {
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        OpenConnection {
            stats: Arc::clone(self),
            number,
        }
    }
}

/// A request that was received and is not answered yet.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Stats>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    stats: Arc<Stats>,
    number: u64,
}

impl OpenConnection {
    /// How many were open when it came, with itself.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.stats.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Adds to a counter that nothing is synchronised by.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How one function's tasks ended, and how long they took.
#[derive(Debug, Default)]
pub(crate) struct FunctionStats {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ok: u64,
    /// By error code.
    pub(crate) failed: BTreeMap<&'static str, u64>,
    /// From receipt to answer.
    pub(crate) latency: Histogram,
    /// In the handler.
    pub(crate) run: Histogram,
}

impl FunctionStats {
    /// Counts an answer, given `latency` after the request was received.
    pub(crate) fn answered(&self, outcome: &Outcome, latency: Duration) {
        let mut counts = lock(&self.counts);
        match outcome {
            Ok(_) => counts.ok += 1,
            Err(failure) => {
                *counts
                    .failed
                    .entry(ErrorCode::as_str(failure.code))
                    .or_default() += 1;
            }
        }
        counts.latency.add(latency);
    }

    /// Counts how long a handler ran.
    pub(crate) fn ran(&self, time: Duration) {
        lock(&self.counts).run.add(time);
    }

    /// Reads the counters, which are not counted on meanwhile.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&Counts) -> R) -> R {
        read(&lock(&self.counts))
    }

    pub(crate) fn report(&self) -> FunctionReport {
        let counts = lock(&self.counts);
        FunctionReport {
            ok: counts.ok,
            failed: counts.failed.clone(),
            latency_ms: counts.latency.report(),
            run_ms: counts.run.report(),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct FunctionReport {
    ok: u64,
    failed: BTreeMap<&'static str, u64>,
    latency_ms: TimesReport,
    run_ms: TimesReport,
}

#[derive(Debug, Serialize)]
struct TimesReport {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

/// Buckets per power of two: a quantile is at most a quarter too high.
const SUB_BUCKETS: u32 = 4;
const SUB_BITS: u32 = SUB_BUCKETS.ilog2();

/// Times in buckets that grow with the time itself.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [u64; (64 * SUB_BUCKETS) as usize],
    count: u64,
    sum: Duration,
    max: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [0; (64 * SUB_BUCKETS) as usize],
            count: 0,
            sum: Duration::ZERO,
            max: Duration::ZERO,
        }
    }
}

impl Histogram {
    fn add(&mut self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
        self.max = self.max.max(time);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn sum(&self) -> Duration {
        self.sum
    }

    /// How many times were not above the bound, with those that lie in one bucket with it left out.
    pub(crate) fn at_most(&self, bound: Duration) -> u64 {
        let bound = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        let buckets = self.buckets.iter().enumerate();
        buckets
            .take_while(|(index, _)| bucket_top(*index) <= bound)
            .map(|(_, count)| count)
            .sum()
    }

    /// A time that at least `per_cent` of all times don't exceed.
    fn quantile(&self, per_cent: u64) -> Duration {
        let wanted = (self.count * per_cent).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(bucket_top(index)).min(self.max);
            }
        }
        self.max
    }

    fn report(&self) -> TimesReport {
        TimesReport {
            p50: millis(self.quantile(50)),
            p90: millis(self.quantile(90)),
            p99: millis(self.quantile(99)),
            max: millis(self.max),
        }
    }
}

fn bucket(nanos: u64) -> usize {
    let nanos = nanos.max(u64::from(SUB_BUCKETS));
    let power = nanos.ilog2();
    let sub = (nanos >> (power - SUB_BITS)) & u64::from(SUB_BUCKETS - 1);
    power as usize * SUB_BUCKETS as usize + usize::try_from(sub).unwrap_or(0)
}

fn bucket_top(index: usize) -> u64 {
    let power = u32::try_from(index).unwrap_or(0) / SUB_BUCKETS;
    let sub = index as u64 % u64::from(SUB_BUCKETS);
    if power < SUB_BITS {
        return u64::from(SUB_BUCKETS);
    }
    let width = 1u64 << (power - SUB_BITS);
    (1u64 << power)
        .saturating_add(width.saturating_mul(sub + 1))
        .saturating_sub(1)
}

/// Milliseconds with microseconds behind the point.
pub(crate) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_never_too_low_and_at_most_a_quarter_too_high() {
        for nanos in [5u64, 100, 1000, 12_345, 1_000_000, 987_654_321, 1 << 40] {
            let mut histogram = Histogram::default();
            histogram.add(Duration::from_nanos(nanos));
            histogram.add(Duration::from_nanos(nanos.saturating_mul(100)));
            let p50 = u64::try_from(histogram.quantile(50).as_nanos()).unwrap();
            assert!(p50 >= nanos, "{p50} for {nanos}");
            assert!(p50 <= nanos + nanos / 4 + 1, "{p50} for {nanos}");
        }
    }

    #[test]
    fn an_empty_histogram_says_zero() {
        assert_eq!(Histogram::default().quantile(99), Duration::ZERO);
    }
}
