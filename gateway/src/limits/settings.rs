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
    /// How long a connection may be idle between requests.
    pub(crate) idle_timeout: Duration,
}

/// All limits that count across connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CapSettings {
    pub(crate) connections_max: usize,
    pub(crate) user: Allowance,
    pub(crate) address: Allowance,
    /// Addresses of IPv6 that begin with the same bits, this many of them, count as one.
    pub(crate) ipv6_prefix: u8,
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
    idle_timeout: Time,
    user: AllowanceTable,
    address: AddressTable,
}

/// `[limits.address]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AddressTable {
    connections_max: usize,
    in_flight_max: usize,
    rate: Option<Rate>,
    ipv6_prefix: u8,
}

/// `[limits.user]`.
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
            // Longer than most proxies keep a connection: who closes first must not be the one who is asked.
            idle_timeout: Time(Duration::from_secs(75)),
            user: AllowanceTable::default(),
            address: AddressTable::default(),
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

impl Default for AddressTable {
    fn default() -> Self {
        let AllowanceTable {
            connections_max,
            in_flight_max,
            rate,
        } = AllowanceTable::default();
        Self {
            connections_max,
            in_flight_max,
            rate,
            // What a provider gives to one customer.
            ipv6_prefix: 64,
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
                address: table.address.allowance().check(),
                ipv6_prefix: within(
                    "limits.address.ipv6_prefix",
                    table.address.ipv6_prefix,
                    1..=128,
                )?,
                connection_rate: table.rate,
                connection_in_flight_max: count("limits.in_flight_max", table.in_flight_max)?,
                requests_len_max,
            },
            // Whatever is longer could never be taken.
            message_len_max: message_len_max.min(requests_len_max),
            auth_timeout: table.auth_timeout.0,
            header_timeout: table.header_timeout.0,
            idle_timeout: table.idle_timeout.0,
        })
    }
}

impl AddressTable {
    fn allowance(&self) -> AllowanceTable {
        AllowanceTable {
            connections_max: self.connections_max,
            in_flight_max: self.in_flight_max,
            rate: self.rate,
        }
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
