//! How hosts are reached, as the configuration says.

use std::time::Duration;

use serde::Deserialize;
use values::units::Time;

use service::config::{ConfigError, within};

const HOST_DEFAULT: &str = "127.0.0.1:12345";

/// How hosts are reached.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Their addresses, each once.
    pub(crate) hosts: Vec<String>,
    /// Connections to each host.
    pub(crate) connections: usize,
    pub(crate) connect_timeout: Duration,
    /// How long a task waits for a host.
    pub(crate) connect_wait: Duration,
    /// Tasks that may wait.
    pub(crate) waiting_max: usize,
    pub(crate) ping_interval: Duration,
    /// A host that is silent for so long gets nothing new.
    pub(crate) suspect_after: Duration,
    /// A host that is silent for so long is given up.
    pub(crate) ping_timeout: Duration,
    /// How much later than a task's time limit its answer is waited for.
    pub(crate) answer_grace: Duration,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
}

/// `[upstream]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Table {
    connections: usize,
    connect_timeout: Time,
    connect_wait: Time,
    waiting_max: usize,
    ping_interval: Time,
    suspect_after: Time,
    ping_timeout: Time,
    answer_grace: Time,
    backoff_min: Time,
    backoff_max: Time,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            connections: 4,
            connect_timeout: Time(Duration::from_secs(3)),
            connect_wait: Time(Duration::from_secs(2)),
            waiting_max: 10_000,
            ping_interval: Time(Duration::from_secs(1)),
            suspect_after: Time(Duration::from_millis(500)),
            ping_timeout: Time(Duration::from_secs(5)),
            answer_grace: Time(Duration::from_secs(30)),
            backoff_min: Time(Duration::from_millis(50)),
            backoff_max: Time(Duration::from_secs(5)),
        }
    }
}

impl Settings {
    /// Checks the table and `hosts`, which stands above it in the file. No host stands for the usual one.
    ///
    /// # Errors
    /// A host's address is none, or a number is out of its range.
    pub(crate) fn check(mut hosts: Vec<String>, table: &Table) -> Result<Self, ConfigError> {
        if hosts.is_empty() {
            hosts.push(HOST_DEFAULT.to_owned());
        }
        for (number, host) in hosts.iter().enumerate() {
            check_host(host, &hosts[..number])?;
        }
        Ok(Self {
            hosts,
            connections: within("upstream.connections", table.connections, 1..=64)?,
            connect_timeout: table.connect_timeout.0,
            connect_wait: table.connect_wait.0,
            waiting_max: table.waiting_max,
            ping_interval: table.ping_interval.0,
            suspect_after: table.suspect_after.0,
            ping_timeout: table.ping_timeout.0,
            answer_grace: table.answer_grace.0,
            backoff_min: table.backoff_min.0,
            backoff_max: table.backoff_max.0.max(table.backoff_min.0),
        })
    }
}

fn check_host(host: &String, before: &[String]) -> Result<(), ConfigError> {
    if before.contains(host) {
        let problem = format!("{host:?} is listed twice");
        return Err(ConfigError::value("hosts", problem));
    }
    let is_address = host
        .rsplit_once(':')
        .is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok());
    if !is_address {
        let problem = format!("{host:?} is not the address of a host, like {HOST_DEFAULT:?}");
        return Err(ConfigError::value("hosts", problem));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_hosts_there_is_the_usual_one() {
        let settings = Settings::check(Vec::new(), &Table::default()).unwrap();
        assert_eq!(settings.hosts, [HOST_DEFAULT]);
    }
}
