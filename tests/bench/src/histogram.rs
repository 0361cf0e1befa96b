//! Latencies, counted in buckets whose width grows with the value.

use std::time::Duration;

/// The span from each power of two to the next is cut into so many buckets, so that a percentile is off by less than
/// 1 %. What is below has buckets of one nanosecond.
const STEPS: usize = 128;
const STEPS_BITS: u32 = STEPS.ilog2();
const BUCKETS: usize = (u64::BITS - STEPS_BITS + 1) as usize * STEPS;

/// How often each duration was seen, to less than 1 %.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    max_ns: u64,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            counts: vec![0; BUCKETS],
            count: 0,
            max_ns: 0,
        }
    }

    pub(crate) fn record(&mut self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.counts[bucket(ns)] += 1;
        self.count += 1;
        self.max_ns = self.max_ns.max(ns);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.max_ns = self.max_ns.max(other.max_ns);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// The duration that `percent` of all do not exceed; zero if there are none.
    pub(crate) fn percentile(&self, percent: u64) -> Duration {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank && *count > 0 {
                return Duration::from_nanos(highest(index).min(self.max_ns));
            }
        }
        Duration::ZERO
    }
}

/// How far a value is shifted to the right to be below twice the steps.
fn shift(ns: u64) -> u32 {
    (ns | 1).ilog2().saturating_sub(STEPS_BITS)
}

fn bucket(ns: u64) -> usize {
    let shift = shift(ns);
    let step = usize::try_from(ns >> shift).expect("it is below twice the steps");
    shift as usize * STEPS + step
}

/// The largest value that falls into a bucket.
fn highest(index: usize) -> u64 {
    let shift = (index / STEPS).saturating_sub(1);
    let lowest = ((index - shift * STEPS) as u64) << shift;
    lowest + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_its_highest_value_and_not_the_next() {
        for ns in (0..100_000).chain([1 << 40, u64::MAX / 2, u64::MAX - 1, u64::MAX]) {
            let index = bucket(ns);
            let highest = highest(index);
            assert!(index < BUCKETS, "{ns}");
            assert!(
                highest >= ns && highest - ns <= ns / 128,
                "{ns} is counted as {highest}"
            );
            assert_eq!(bucket(highest), index);
            if let Some(next) = highest.checked_add(1) {
                assert_eq!(bucket(next), index + 1);
            }
        }
    }

    #[test]
    fn percentiles_of_a_thousand() {
        let mut histogram = Histogram::new();
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }
        for percent in [1, 50, 99] {
            let got = histogram.percentile(percent).as_secs_f64() * 1000.0;
            let exact = f64::from(u32::try_from(percent * 10).unwrap());
            assert!(
                got >= exact && got <= exact * 1.01,
                "p{percent} of 1..=1000 is {got}"
            );
        }
        assert_eq!(histogram.percentile(100), Duration::from_secs(1));
        assert_eq!(histogram.max(), Duration::from_secs(1));
        assert_eq!(histogram.count(), 1000);
    }

    #[test]
    fn nothing_seen_is_zero() {
        assert_eq!(Histogram::new().percentile(50), Duration::ZERO);
    }
}
