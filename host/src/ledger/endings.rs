//! What the end of a run means for its task.

use super::record::Ending;
use super::retry::{self, Failure, RetryPolicy};
use super::states::Event;

/// What of a running task decides how it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    pub(crate) id: &'a [u8; 16],
    pub(crate) policy: &'a RetryPolicy,
    /// Attempts that counted before this one, since a person last wanted it to run.
    pub(crate) tries: u32,
    pub(crate) deadline_at: Option<i64>,
    pub(crate) at_most_once: bool,
    pub(crate) cancel_asked: bool,
}

/// How a running task goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) event: Event,
    /// Whether this was an attempt.
    pub(crate) counts: bool,
    /// With [`Event::TryAgain`]: not before.
    pub(crate) available_at: i64,
}

impl Run<'_> {
    /// What the end of this run means at `now`.
    pub(crate) fn end(&self, ending: &Ending, now: i64) -> Next {
        let next = |event, counts| Next {
            event,
            counts,
            available_at: now,
        };
        let is_over = self.deadline_at.is_some_and(|deadline| deadline <= now);
        let failure = match *ending {
            Ending::Completed { .. } => return next(Event::Complete, true),
            Ending::Cancelled { .. } => return next(Event::Stop, true),
            Ending::Released if self.cancel_asked => return next(Event::Stop, false),
            Ending::Released if is_over => return next(Event::GiveUp, false),
            Ending::Released => return next(Event::Release, false),
            Ending::Lost { .. } | Ending::Failed { .. } if self.cancel_asked => {
                return next(Event::Stop, true);
            }
            Ending::Lost { .. } if self.at_most_once => return next(Event::LoseTrack, true),
            Ending::Lost { .. } => Failure {
                retryable: true,
                ..Failure::default()
            },
            Ending::Failed { failure, .. } => failure,
        };
        if self.at_most_once {
            return next(Event::GiveUp, true);
        }
        let attempts = self.tries.saturating_add(1);
        let wait = retry::wait_ms(
            self.policy,
            attempts,
            failure,
            retry::spread(self.id, attempts),
        );
        let at = wait.map(|wait| now.saturating_add(wait));
        // One that can't begin before the deadline is none.
        let at = at.filter(|at| self.deadline_at.is_none_or(|deadline| *at < deadline));
        match at {
            Some(available_at) => Next {
                event: Event::TryAgain,
                counts: true,
                available_at,
            },
            None => next(Event::GiveUp, true),
        }
    }
}
