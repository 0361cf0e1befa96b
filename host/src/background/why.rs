//! Why a task waits: one list, for every place that shows it. Pure.

use crate::ledger::{Pool, State};

/// What a task waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The time that its sender asked for.
    Delay,
    /// The wait before another attempt.
    BackOff,
    /// An operator has paused its function.
    Paused,
    /// No plugin exports its function now.
    FunctionAway,
    /// Another version of the plugin than the one that it asks for is live.
    VersionAway,
    /// The plugin is being opened.
    PoolStarting,
    /// The plugin crashed over and over.
    Quarantined,
    /// Background tasks have all the workers that they may have.
    WorkersBusy,
    /// Requests whose clients wait have the workers.
    ForegroundFirst,
    /// Its turn comes now.
    Next,
}

impl Why {
    /// The word of the protocol.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Delay => "delay",
            Self::BackOff => "back_off",
            Self::Paused => "paused",
            Self::FunctionAway => "function_away",
            Self::VersionAway => "version_away",
            Self::PoolStarting => "pool_starting",
            Self::Quarantined => "quarantined",
            Self::WorkersBusy => "workers_busy",
            Self::ForegroundFirst => "foreground_first",
            Self::Next => "next",
        }
    }
}

/// Where a task's function is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Away,
    Opening,
    Live {
        version: String,
        quarantined: bool,
        pool: Pool,
    },
}

/// Why a task in this state waits; none if it doesn't.
pub(super) fn why(
    state: State,
    version: Option<&str>,
    is_paused: bool,
    place: &Place,
) -> Option<Why> {
    match state {
        State::Scheduled => return Some(Why::Delay),
        State::Retryable => return Some(Why::BackOff),
        State::Available => {}
        _ => return None,
    }
    Some(match place {
        _ if is_paused => Why::Paused,
        Place::Away => Why::FunctionAway,
        Place::Opening => Why::PoolStarting,
        Place::Live { version: live, .. } if version.is_some_and(|one| one != live.as_str()) => {
            Why::VersionAway
        }
        Place::Live {
            quarantined: true, ..
        } => Why::Quarantined,
        Place::Live { pool, .. } if pool.free() > 0 => Why::Next,
        Place::Live { pool, .. } if pool.running < pool.background_max() => Why::ForegroundFirst,
        Place::Live { .. } => Why::WorkersBusy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_would_have_to_change_is_told() {
        let pool = Pool {
            slots: 4,
            ..Pool::default()
        };
        let with = |pool, quarantined| Place::Live {
            version: "1.0".to_owned(),
            quarantined,
            pool,
        };
        let busy = Pool { running: 3, ..pool };
        let asked = Pool {
            requests: 4,
            ..pool
        };
        let live = || with(pool, false);
        let available = State::Available;
        for (state, version, paused, place, expected) in [
            (State::Scheduled, None, true, Place::Away, Some(Why::Delay)),
            (
                State::Retryable,
                None,
                true,
                Place::Away,
                Some(Why::BackOff),
            ),
            (available, None, true, Place::Away, Some(Why::Paused)),
            (available, None, false, Place::Away, Some(Why::FunctionAway)),
            (
                available,
                None,
                false,
                Place::Opening,
                Some(Why::PoolStarting),
            ),
            (
                available,
                Some("2.0"),
                false,
                with(pool, true),
                Some(Why::VersionAway),
            ),
            (
                available,
                Some("1.0"),
                false,
                with(pool, true),
                Some(Why::Quarantined),
            ),
            (
                available,
                None,
                false,
                with(busy, false),
                Some(Why::WorkersBusy),
            ),
            (
                available,
                None,
                false,
                with(asked, false),
                Some(Why::ForegroundFirst),
            ),
            (available, Some("1.0"), false, live(), Some(Why::Next)),
            (State::Running, None, true, Place::Away, None),
            (State::Completed, None, false, live(), None),
            (State::Discarded, None, false, live(), None),
        ] {
            assert_eq!(why(state, version, paused, &place), expected);
        }
    }
}
