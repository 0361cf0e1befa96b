//! The database's clock, by which all hosts that share the ledger go: theirs may be anything.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::ledger::clock::unix_ms;

/// What the database's clock shows now, as far as this host can tell: not more than the time that an answer took from what
/// it showed then.
pub(super) struct Clock {
    origin: Duration,
    /// What it showed at the origin, in milliseconds of Unix time.
    at_origin: AtomicI64,
}

/// Since this machine was started; goes on while it is suspended.
pub(super) fn moment() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl Clock {
    /// As long as the database has said nothing, it is taken for this machine's.
    pub(super) fn new() -> Self {
        Self {
            origin: moment(),
            at_origin: AtomicI64::new(unix_ms()),
        }
    }

    /// In milliseconds of Unix time.
    pub(super) fn now(&self) -> i64 {
        self.at(moment())
    }

    fn at(&self, moment: Duration) -> i64 {
        let since = millis(moment.saturating_sub(self.origin));
        self.at_origin.load(Ordering::Relaxed).saturating_add(since)
    }

    /// The database, asked and heard at these moments, said that its clock showed this. Slow answers say less: what agrees
    /// with them stays. Only one task may tell this.
    pub(super) fn heard(&self, asked: Duration, said: i64, heard: Duration) {
        let taken = millis(heard.saturating_sub(asked));
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
    fn it_goes_back_with_the_databases() {
        // It was set back by a minute; the answer takes three seconds.
        let told = [(1_000, 1_003, 1_008), (10_000, -50_000, 13_000)];
        assert_eq!(after(&told), 60_000 - 60_000);
    }

    #[test]
    fn what_agrees_with_an_answer_stays() {
        assert_eq!(after(&[(1_000, 1_003, 1_008)]), 60_000);
        // It took three seconds, as an answer does that waited.
        assert_eq!(after(&[(1_000, 3_900, 4_000)]), 60_000);
    }
}
