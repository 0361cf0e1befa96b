//! How often something may happen.

use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// So many a second in the long run, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct Rate {
    /// In the long run, each second.
    pub per_second: f64,
    /// At once.
    pub burst: f64,
}

impl Rate {
    /// So many a second, and at once.
    #[must_use]
    pub fn per_second(count: u32) -> Self {
        let count = f64::from(count);
        Self {
            per_second: count,
            burst: count,
        }
    }
}

/// `"100/s"`, `"30/m"`, `"100/s burst 500"`.
impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (rate, burst) = match text.split_once(" burst ") {
                Some((rate, burst)) => (rate, Some(burst.trim().parse::<u32>().ok()?)),
                None => (text, None),
            };
            let (count, unit) = rate.trim().split_once('/')?;
            let seconds = match unit {
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
            let per_second = f64::from(count.trim().parse::<u32>().ok()?) / seconds;
            let burst = burst.map_or_else(|| per_second.max(1.0), f64::from);
            (per_second > 0.0 && burst >= 1.0).then_some(Self { per_second, burst })
        };
        parse().ok_or_else(|| {
            format!(
                "{text:?} is not a rate: write a number and `/s`, `/m` or `/h`, like \"100/s\", \"30/m\" or \"100/s burst 500\""
            )
        })
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// A token bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: Rate,
    /// How many may happen, as of `at`.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            tokens: rate.burst,
            at: Instant::now(),
        }
    }

    /// Counts one.
    ///
    /// # Errors
    /// It may not happen yet, but after that time.
    pub fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.take_for(1, now)
    }

    /// Counts one that weighs as much as so many. What weighs more than may happen at once weighs as much as that.
    ///
    /// # Errors
    /// It may not happen yet, but after that time.
    pub fn take_for(&mut self, weight: u32, now: Instant) -> Result<(), Duration> {
        self.tokens = self.tokens_at(now);
        self.at = now;
        let weight = f64::from(weight).min(self.rate.burst);
        if self.tokens >= weight {
            self.tokens -= weight;
            return Ok(());
        }
        let wait = (weight - self.tokens) / self.rate.per_second;
        Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
    }

    /// Whether it is as if nothing had ever happened.
    #[must_use]
    pub fn is_full(&self, now: Instant) -> bool {
        self.tokens_at(now) >= self.rate.burst
    }

    fn tokens_at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        passed
            .mul_add(self.rate.per_second, self.tokens)
            .min(self.rate.burst)
    }
}

/// Things of which only so many are shown, and the rest counted.
#[derive(Debug)]
pub struct Sample {
    bucket: Bucket,
    left_out: u64,
}

impl Sample {
    /// Shows so many.
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self {
            bucket: Bucket::new(rate),
            left_out: 0,
        }
    }

    /// `None`: leave this one out. Otherwise how many were left out since the last one that was shown.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        self.take_for(1, now)
    }

    /// As [`Sample::take`], for one that weighs as much as so many.
    pub fn take_for(&mut self, weight: u32, now: Instant) -> Option<u64> {
        if self.bucket.take_for(weight, now).is_err() {
            self.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut self.left_out))
    }
}

/// How much something of `len` bytes weighs, where `usual` bytes are what one usually has: once, and once more for each
/// `usual` bytes.
#[must_use]
pub fn weight(len: usize, usual: usize) -> u32 {
    u32::try_from(len / usual).map_or(u32::MAX, |more| more.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_weighs_more_counts_as_several() {
        let mut sample = Sample::new(Rate::per_second(10));
        let now = Instant::now();
        assert_eq!(sample.take_for(6, now), Some(0));
        assert_eq!(sample.take_for(6, now), None);
        assert_eq!(sample.take_for(4, now), Some(1));
        let later = now + Duration::from_secs(1);
        assert_eq!(
            sample.take_for(1000, later),
            Some(0),
            "as much as may happen at once"
        );
        assert_eq!(sample.take(later), None);
    }

    #[test]
    fn rates_are_read() {
        let rate = |per_second, burst| Ok(Rate { per_second, burst });
        assert_eq!("100/s".parse(), rate(100.0, 100.0));
        assert_eq!("30/m burst 5".parse(), rate(0.5, 5.0));
        for text in ["", "5", "0/s", "1/day", "1/s burst 0", "-1/s", "1/s  5"] {
            let error = text.parse::<Rate>().unwrap_err();
            assert!(error.contains("100/s burst 500"), "{text}: {error}");
        }
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(Rate {
            per_second: 10.0,
            burst: 3.0,
        });
        let start = Instant::now();
        for _ in 0..3 {
            bucket.take(start).unwrap();
        }
        let wait = bucket.take(start).unwrap_err();
        assert!(
            wait <= Duration::from_millis(100) && wait > Duration::from_millis(50),
            "{wait:?}"
        );
        let later = start + Duration::from_millis(100);
        bucket.take(later).unwrap();
        assert!(bucket.take(later).is_err());
        assert!(!bucket.is_full(later));
        let much_later = start + Duration::from_secs(60);
        assert!(bucket.is_full(much_later));
        for _ in 0..3 {
            bucket.take(much_later).unwrap();
        }
        assert!(bucket.take(much_later).is_err());
    }

    #[test]
    fn what_is_left_out_is_told_with_the_next() {
        let mut sample = Sample::new(Rate::per_second(2));
        let start = Instant::now();
        assert_eq!(sample.take(start), Some(0));
        assert_eq!(sample.take(start), Some(0));
        assert_eq!(sample.take(start), None);
        assert_eq!(sample.take(start), None);
        let later = start + Duration::from_secs(1);
        assert_eq!(sample.take(later), Some(2));
        assert_eq!(sample.take(later), Some(0));
        assert_eq!(sample.take(later), None);
    }
}
