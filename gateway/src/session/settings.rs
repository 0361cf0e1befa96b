//! How much is kept for clients, and for how long, as the configuration says.

use std::time::Duration;

use serde::Deserialize;
use service::config::{ConfigError, within};
use values::units::{Size, Time};

use super::log::LogLimits;

/// How sessions are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// How long a session waits for its client to come back.
    pub(crate) resume_window: Duration,
    /// Sessions that may wait for their clients.
    pub(crate) detached_max: usize,
    pub(crate) limits: SessionLimits,
    /// Bytes that all sessions may keep for their clients together.
    pub(crate) kept_len_max: usize,
    /// Whether tasks are cancelled when their session ends.
    pub(crate) cancel_tasks: bool,
}

/// How much of each session is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionLimits {
    pub(crate) log: LogLimits,
    /// Bytes that the socket has not taken; beyond it the client reads too slowly.
    pub(crate) unsent_len_max: usize,
}

/// `[session]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Table {
    resume_window: Time,
    detached_max: usize,
    kept_max: usize,
    kept_len_max: Size,
    unsent_len_max: Size,
    all_kept_len_max: Size,
    cancel_tasks: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            resume_window: Time(Duration::from_secs(120)),
            detached_max: 20_000,
            kept_max: 10_000,
            kept_len_max: Size(32 << 20),
            unsent_len_max: Size(16 << 20),
            all_kept_len_max: Size(512 << 20),
            cancel_tasks: false,
        }
    }
}

impl Settings {
    /// # Errors
    /// A number is out of its range.
    pub(crate) fn check(table: &Table) -> Result<Self, ConfigError> {
        Ok(Self {
            resume_window: table.resume_window.0,
            detached_max: table.detached_max,
            limits: SessionLimits {
                log: LogLimits {
                    count_max: within("session.kept_max", table.kept_max, 1..=1 << 20)?,
                    len_max: table.kept_len_max.to_usize(),
                },
                unsent_len_max: table.unsent_len_max.to_usize(),
            },
            kept_len_max: table.all_kept_len_max.to_usize(),
            cancel_tasks: table.cancel_tasks,
        })
    }
}
