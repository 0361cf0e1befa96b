//! How sockets are kept, as the configuration says.

use std::time::Duration;

use serde::Deserialize;
use values::units::Time;

/// How sockets are kept.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) heartbeat: Heartbeat,
    /// What the plain mode answers after a success, in place of the reply.
    pub(crate) notify_text: Option<String>,
}

/// How often clients are asked whether they are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) interval: Duration,
    /// Pings in a row that a client may leave unanswered.
    pub(crate) missed_max: u32,
}

/// `[heartbeat]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HeartbeatTable {
    interval: Time,
    missed_max: u32,
}

impl Default for HeartbeatTable {
    fn default() -> Self {
        Self {
            interval: Time(Duration::from_secs(25)),
            missed_max: 2,
        }
    }
}

impl Settings {
    pub(crate) fn check(heartbeat: &HeartbeatTable, notify_text: Option<String>) -> Self {
        Self {
            heartbeat: Heartbeat {
                interval: heartbeat.interval.0,
                missed_max: heartbeat.missed_max.max(1),
            },
            notify_text,
        }
    }
}

impl Heartbeat {
    /// How long a client may take none of what it is sent.
    pub(super) fn stalled_after(self) -> Duration {
        self.interval * self.missed_max
    }
}
