//! A task's progress: what of a handler's reports is sent, and when. Pure: the caller brings the moment.
//!
//! Reports that come quickly are merged, and the last one counts: it is sent when the interval is over, or with the
//! task's return, whichever comes first. What is done never falls, and is never more than there is to do.

use std::time::Duration;

use crate::clock::Moment;

/// Progress of one task is sent at most this often.
const INTERVAL: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) done: u64,
    /// 0: not known.
    pub(super) total: u64,
    pub(super) message: String,
}

/// What is to be done with a report.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    Now(Report),
    /// It is kept, and [`Progress::take`] gives it from this moment on.
    At(Moment),
    /// It is kept with another one, whose moment has been told.
    Merged,
}

#[derive(Debug, Default)]
pub(super) struct Progress {
    done: u64,
    not_before: Moment,
    kept: Option<Report>,
}

impl Progress {
    pub(super) fn report(&mut self, mut report: Report, now: Moment) -> Due {
        report.done = report.done.max(self.done);
        if report.total != 0 {
            report.total = report.total.max(report.done);
        }
        self.done = report.done;
        if now >= self.not_before && self.kept.is_none() {
            self.not_before = now + INTERVAL;
            return Due::Now(report);
        }
        match self.kept.replace(report) {
            Some(_) => Due::Merged,
            None => Due::At(self.not_before),
        }
    }

    /// The report that was kept, to be sent now.
    pub(super) fn take(&mut self, now: Moment) -> Option<Report> {
        self.not_before = now + INTERVAL;
        self.kept.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(done: u64, total: u64) -> Report {
        Report {
            done,
            total,
            message: format!("{done} of {total}"),
        }
    }

    fn at(ms: u64) -> Moment {
        Moment::from_nanos((1_000 + ms) * 1_000_000)
    }

    #[test]
    fn reports_within_an_interval_are_merged_into_the_last_one() {
        let mut progress = Progress::default();
        assert_eq!(progress.report(report(1, 9), at(0)), Due::Now(report(1, 9)));
        assert_eq!(progress.report(report(2, 9), at(1)), Due::At(at(20)));
        assert_eq!(progress.report(report(3, 9), at(2)), Due::Merged);
        assert_eq!(progress.take(at(20)), Some(report(3, 9)));
        assert_eq!(progress.take(at(21)), None);
        assert_eq!(progress.report(report(9, 9), at(22)), Due::At(at(41)));
        assert_eq!(
            progress.report(report(9, 9), at(60)),
            Due::Merged,
            "in their order"
        );
    }

    #[test]
    fn what_is_done_never_falls_and_is_never_more_than_all() {
        let mut progress = Progress::default();
        let mut sent = |done, total, ms| match progress.report(report(done, total), at(ms)) {
            Due::Now(report) => (report.done, report.total),
            other => panic!("{other:?}"),
        };
        assert_eq!(sent(5, 3, 0), (5, 5));
        assert_eq!(sent(2, 3, 100), (5, 5));
        assert_eq!(sent(6, 0, 200), (6, 0), "nobody knows how much there is");
        assert_eq!(sent(1, 10, 300), (6, 10));
    }
}
