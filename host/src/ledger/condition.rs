//! What a database says of its own condition, as far as the ledger depends on it.

use std::time::Duration;

/// As it was last looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// Rows that are gone and still in the way, by the name of their table.
    pub(crate) dead_rows: Vec<(String, u64)>,
    /// For how long the oldest snapshot has been held, in milliseconds; 0 where none is.
    pub(crate) oldest_snapshot_ms: u64,
    /// What an operator should do something about, a sentence each.
    pub(crate) warnings: Vec<String>,
}

/// What is worth a warning.
#[derive(Clone, Copy, Debug)]
pub(in crate::ledger) struct Alarms {
    /// More dead rows in one table.
    pub(in crate::ledger) dead_rows: u64,
    /// A snapshot that has been held for so long.
    pub(in crate::ledger) held_for: Duration,
}

impl Default for Alarms {
    fn default() -> Self {
        Self {
            dead_rows: 20_000,
            held_for: Duration::from_secs(300),
        }
    }
}
