//! The life of a generation: one loaded version of one plugin.
//!
//! ```text
//!              opened                superseded, removed, rolled back              drained
//! candidate ──────────▶ live ─────────────────────────────────────────▶ draining ─────────▶ retired
//!   │   │               │ ▲                                                 ▲
//!   │   │ refused  crash│ │recovered                                        │
//!   │   ▼           loop▼ │            superseded, removed, rolled back     │
//!   │ rejected      quarantined ────────────────────────────────────────────┘
//!   │                live, quarantined, draining ──────▶ retired
//!   └─────▶ superseded                            lost
//!     superseded, removed
//! ```
//!
//! A pure state machine: [`State::after`] says what an [`Event`] makes of a state, or that it cannot happen there.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// Its first worker opens it; nothing is routed to it.
    Candidate,
    /// Its functions are routed to it.
    Live,
    /// Routed, but its workers crashed over and over: its tasks are refused until the next try.
    Quarantined,
    /// Takes nothing new and finishes what it has.
    Draining,
    /// Its last worker has gone, or its pool was lost.
    Retired,
    /// Never went live: something is wrong with it.
    Rejected,
    /// Never went live: something newer took its place before it was opened.
    Superseded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// Its first worker has opened it, and its names are free.
    Opened,
    /// It could not be opened, or its names are taken.
    Refused,
    /// Its workers crash over and over.
    CrashLoop,
    /// A worker of a quarantined generation has returned a task.
    Recovered,
    /// A newer generation of its plugin has gone live, or is opened in its place.
    Superseded,
    /// Its file is gone, or the host ends.
    Removed,
    /// It crashed over and over in its first moments; the one before it serves again.
    RolledBack,
    /// Its last worker has gone.
    Drained,
    /// Its pool has panicked: workers and tasks are gone, and it is opened anew as another generation.
    Lost,
}

impl State {
    /// The state after `event`; `None`: the event cannot happen in this state and changes nothing.
    pub(crate) fn after(self, event: Event) -> Option<Self> {
        use Event::{
            CrashLoop, Drained, Lost, Opened, Recovered, Refused, Removed, RolledBack, Superseded,
        };
        Some(match (self, event) {
            (Self::Candidate, Opened) => Self::Live,
            (Self::Candidate, Refused) => Self::Rejected,
            (Self::Candidate, Superseded | Removed) => Self::Superseded,
            (Self::Live, CrashLoop) => Self::Quarantined,
            (Self::Quarantined, Recovered) => Self::Live,
            (Self::Live | Self::Quarantined, Superseded | Removed | RolledBack) => Self::Draining,
            (Self::Draining, Drained) | (Self::Live | Self::Quarantined | Self::Draining, Lost) => {
                Self::Retired
            }
            _ => return None,
        })
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Live => "live",
            Self::Quarantined => "quarantined",
            Self::Draining => "draining",
            Self::Retired => "retired",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [State; 7] = [
        State::Candidate,
        State::Live,
        State::Quarantined,
        State::Draining,
        State::Retired,
        State::Rejected,
        State::Superseded,
    ];
    const EVENTS: [Event; 9] = [
        Event::Opened,
        Event::Refused,
        Event::CrashLoop,
        Event::Recovered,
        Event::Superseded,
        Event::Removed,
        Event::RolledBack,
        Event::Drained,
        Event::Lost,
    ];

    /// Rows are states, columns events, both in the order above; a dot is an event that cannot happen.
    const TABLE: [&str; 7] = [
        // Opened Refused CrashLoop Recovered Superseded Removed RolledBack Drained Lost
        "live rejected . . superseded superseded . . .",
        ". . quarantined . draining draining draining . retired",
        ". . . live draining draining draining . retired",
        ". . . . . . . retired retired",
        ". . . . . . . . .",
        ". . . . . . . . .",
        ". . . . . . . . .",
    ];

    #[test]
    fn every_state_and_event() {
        for (state, row) in STATES.iter().zip(TABLE) {
            let row: Vec<&str> = row.split(' ').collect();
            assert_eq!(row.len(), EVENTS.len());
            for (event, expected) in EVENTS.iter().zip(row) {
                let after = state.after(*event).map_or(".", State::as_str);
                assert_eq!(after, expected, "{state} after {event:?}");
            }
        }
    }
}
