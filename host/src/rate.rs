//! So many a second, and a count of those that were left out.

use std::time::Duration;

use crate::clock::Moment;

#[derive(Debug)]
pub(crate) struct Rate {
    per_second_max: u32,
    window_start: Moment,
    taken: u32,
    left_out: u64,
}

impl Rate {
    pub(crate) fn new(per_second_max: u32) -> Self {
        Self {
            per_second_max,
            window_start: Moment::default(),
            taken: 0,
            left_out: 0,
        }
    }

    /// `None`: one too many, leave it out. Otherwise how many have been left out since the last one taken.
    pub(crate) fn take(&mut self, now: Moment) -> Option<u64> {
        if now.since(self.window_start) >= Duration::from_secs(1) {
            self.window_start = now;
            self.taken = 0;
        }
        if self.taken >= self.per_second_max {
            self.left_out += 1;
            return None;
        }
        self.taken += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_the_rate_is_left_out_and_counted() {
        let mut rate = Rate::new(2);
        let start = Moment::from_nanos(5_000_000_000);
        assert_eq!(rate.take(start), Some(0));
        assert_eq!(rate.take(start), Some(0));
        assert_eq!(rate.take(start), None);
        assert_eq!(rate.take(start + Duration::from_millis(999)), None);
        assert_eq!(rate.take(start + Duration::from_secs(1)), Some(2));
        assert_eq!(rate.take(start + Duration::from_secs(1)), Some(0));
    }
}
