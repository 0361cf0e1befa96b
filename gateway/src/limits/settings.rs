//! How much clients may ask for, as the configuration says.

use std::time::Duration;

use serde::Deserialize;
use service::config::{ConfigError, within};
use service::rate::Rate;
use values::units::{Size, Time};

/// The highest count that may be configured.
const COUNT_MAX: usize = 1 << 20;

/// How much clients may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) caps: CapSettings,
    /// Longest message from a client, in bytes.
    pub(crate) message_len_max: usize,
    /// How long a client may take to say who it is.
    pub(crate) auth_timeout: Duration,
    /// How long the head of a request may take.
    pub(crate) header_timeout: Duration,
}

/// All limits that count across connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CapSettings {
    pub(crate) connections_max: usize,
    pub(crate) user: Allowance,
    pub(crate) address: Allowance,
    /// For each connection by itself.
    pub(crate) connection_rate: Option<Rate>,
    pub(crate) connection_in_flight_max: usize,
    /// Bytes of all requests that have not been answered, and again of all that are still on their way in.
    pub(crate) requests_len_max: usize,
}

/// What one user, or one address, may have at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) connections_max: usize,
    pub(crate) in_flight_max: usize,
    pub(crate) rate: Option<Rate>,
}

/// `[limits]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Table {
    connections_max: usize,
    in_flight_max: usize,
    rate: Option<Rate>,
    message_len_max: Size,
    requests_len_max: Size,
    auth_timeout: Time,
    header_timeout: Time,
    user: AllowanceTable,
    address: AllowanceTable,
}

/// `[limits.user]` and `[limits.address]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AllowanceTable {
    connections_max: usize,
    in_flight_max: usize,
    rate: Option<Rate>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            connections_max: 12_000,
            in_flight_max: 256,
            rate: None,
            message_len_max: Size(8 << 20),
            requests_len_max: Size(1 << 30),
            auth_timeout: Time(Duration::from_secs(5)),
            header_timeout: Time(Duration::from_secs(10)),
            user: AllowanceTable::default(),
            address: AllowanceTable::default(),
        }
    }
}

impl Default for AllowanceTable {
    fn default() -> Self {
        Self {
            connections_max: 12_000,
            in_flight_max: 10_000,
            rate: None,
        }
    }
}

impl Settings {
    /// # Errors
    /// A number is out of its range.
    pub(crate) fn check(table: &Table) -> Result<Self, ConfigError> {
        let count = |key: &str, count: usize| within(key, count, 1..=COUNT_MAX);
        let requests_len_max = table.requests_len_max.to_usize();
        let message_len_max = table.message_len_max.to_usize();
        let message_len_max = within("limits.message_len_max", message_len_max, 1024..=512 << 20)?;
        Ok(Self {
            caps: CapSettings {
                connections_max: count("limits.connections_max", table.connections_max)?,
                user: table.user.check(),
                address: table.address.check(),
                connection_rate: table.rate,
                connection_in_flight_max: count("limits.in_flight_max", table.in_flight_max)?,
                requests_len_max,
            },
            // Whatever is longer could never be taken.
            message_len_max: message_len_max.min(requests_len_max),
            auth_timeout: table.auth_timeout.0,
            header_timeout: table.header_timeout.0,
        })
    }
}

impl AllowanceTable {
    fn check(&self) -> Allowance {
        Allowance {
            connections_max: self.connections_max,
            in_flight_max: self.in_flight_max,
            rate: self.rate,
        }
    }
}
