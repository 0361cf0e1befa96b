//! How often something may happen.

use std::time::{Duration, Instant};

/// So many a second in the long run, and so many at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) per_second: f64,
    pub(crate) burst: f64,
}

/// A token bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// How many may happen, as of then.
    tokens: f64,
    at: Instant,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            tokens: rate.burst,
            at: Instant::now(),
        }
    }

    /// # Errors
    /// It may not happen yet, but after that time.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.tokens = self.tokens_at(now);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        let wait = (1.0 - self.tokens) / self.rate.per_second;
        Err(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX))
    }

    /// Whether it is as if nothing had ever happened.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.tokens_at(now) >= self.rate.burst
    }

    fn tokens_at(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        passed
            .mul_add(self.rate.per_second, self.tokens)
            .min(self.rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
