//! The database's clock, by which all hosts that share the ledger go: theirs may be anything.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::ledger::clock::unix_ms;

/// What the database's clock shows now, as far as this host can tell: not more than the time that an answer took from what
/// it showed then.
pub(super) struct Clock {
    origin: Instant,
    /// What it showed at the origin, in milliseconds of Unix time.
    at_origin: AtomicI64,
}

impl Clock {
    /// As long as the database has said nothing, it is taken for this machine's.
    pub(super) fn new() -> Self {
        Self {
            origin: Instant::now(),
            at_origin: AtomicI64::new(unix_ms()),
        }
    }

    /// In milliseconds of Unix time.
    pub(super) fn now(&self) -> i64 {
        self.at(Instant::now())
    }

    fn at(&self, moment: Instant) -> i64 {
        let since = millis(moment.saturating_duration_since(self.origin));
        self.at_origin.load(Ordering::Relaxed).saturating_add(since)
    }

    /// The database, asked and heard at these moments, said that its clock showed this. Slow answers say less: what agrees
    /// with them stays. Only one task may tell this.
    pub(super) fn heard(&self, asked: Instant, said: i64, heard: Instant) {
        let taken = millis(heard.saturating_duration_since(asked));
        let here = self.at(heard);
        let right = here.clamp(said, said.saturating_add(taken));
        self.at_origin
            .fetch_add(right.saturating_sub(here), Ordering::Relaxed);
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a clock shows a minute after it was told these (after so many milliseconds asked, then said, after so many heard),
    /// counted from the first moment of all.
    fn after(told: &[(u64, i64, u64)]) -> i64 {
        let clock = Clock::new();
        clock.at_origin.store(1_000_000, Ordering::Relaxed);
        let at = |ms| clock.origin + Duration::from_millis(ms);
        for &(asked, said, heard) in told {
            clock.heard(at(asked), 1_000_000 + said, at(heard));
        }
        clock.at(at(60_000)) - 1_000_000
    }

    #[test]
    fn it_shows_what_the_database_says() {
        assert_eq!(after(&[]), 60_000);
        // Two hours ahead, and a day behind; the answer took 10 ms, of which nobody knows on which way.
        assert_eq!(after(&[(0, 7_200_000, 10)]), 7_200_000 + 60_000 - 10);
        assert_eq!(after(&[(0, -86_400_000, 10)]), 60_000 - 86_400_000);
        // It was set right meanwhile; said after 4 ms, and heard within 10.
        assert_eq!(
            after(&[(0, 7_200_000, 10), (5_000, 5_004, 5_010)]),
            60_000 + 4
        );
    }

    #[test]
    fn what_agrees_with_an_answer_stays() {
        assert_eq!(after(&[(1_000, 1_003, 1_008)]), 60_000);
        // It took three seconds, as an answer does that waited.
        assert_eq!(after(&[(1_000, 3_900, 4_000)]), 60_000);
    }
}
