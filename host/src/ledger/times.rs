//! The times of a task that follow from its state.

use super::states::State;
use super::store::Limits;

/// A clock that was set back by more than this, in milliseconds, doesn't have what was written before it wait for it.
pub(super) const CLOCK_TOLERANCE_MS: i64 = 60_000;

/// When time alone changes a task: its wait is over, or its deadline is there.
pub(super) fn wake_at(state: State, available_at: i64, deadline_at: Option<i64>) -> Option<i64> {
    match state {
        State::Scheduled | State::Retryable => {
            Some(deadline_at.map_or(available_at, |deadline| deadline.min(available_at)))
        }
        State::Available => deadline_at,
        _ => None,
    }
}

/// How long a task is kept after its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keep {
    pub(super) result_ttl_ms: i64,
    pub(super) unique_until: Option<i64>,
}

impl Keep {
    /// When a task that ended so is forgotten; never, where a person has to decide. It stays for as long as its key does,
    /// since whoever sends the key again is told its id.
    pub(super) fn forget_at(self, state: State, limits: Limits, now: i64) -> Option<i64> {
        let ttl_ms = match state {
            State::Completed | State::Cancelled => self.result_ttl_ms,
            State::Discarded => self.result_ttl_ms.max(limits.discarded_ttl_ms),
            _ => return None,
        };
        let at = now.saturating_add(ttl_ms.max(0));
        Some(self.unique_until.map_or(at, |until| at.max(until)))
    }
}
