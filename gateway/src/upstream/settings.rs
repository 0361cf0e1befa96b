//! How hosts are reached, as the configuration says.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use service::remote::{Remote, Trust};
use values::secret::SecretSource;
use values::units::Time;

use service::config::{ConfigError, within};

const HOST_DEFAULT: &str = "127.0.0.1:12345";

/// How hosts are reached.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Their addresses, each once.
    pub(crate) hosts: Vec<String>,
    /// The same, in the same order.
    pub(crate) remotes: Vec<Remote>,
    /// How hosts are known, and the gateway shows itself, by TLS.
    pub(crate) trust: Trust,
    /// By which the gateway shows itself; read anew for each connection, so that it can be exchanged.
    pub(crate) token: Option<SecretSource>,
    /// Whether hosts are told on whose behalf a task is.
    pub(crate) tells_subject: bool,
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
    token: Option<SecretSource>,
    subject: bool,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
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
            token: None,
            subject: false,
            ca: None,
            certificate: None,
            key: None,
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
        let remotes: Vec<Remote> = hosts
            .iter()
            .map(|host| {
                host.parse()
                    .map_err(|problem: String| ConfigError::value("hosts", problem))
            })
            .collect::<Result<_, _>>()?;
        let trust = check_trust(table, &remotes)?;
        if let Some(token) = &table.token {
            token
                .read()
                .map_err(|error| ConfigError::value("upstream.token", error.to_string()))?;
        }
        Ok(Self {
            hosts,
            remotes,
            trust,
            token: table.token.clone(),
            tells_subject: table.subject,
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
    Ok(())
}

fn check_trust(table: &Table, remotes: &[Remote]) -> Result<Trust, ConfigError> {
    let certificate = match (&table.certificate, &table.key) {
        (Some(certificate), Some(key)) => Some((certificate.clone(), key.clone())),
        (None, None) => None,
        _ => {
            return Err(ConfigError::value(
                "upstream",
                "`certificate` and `key` belong together",
            ));
        }
    };
    let trust = Trust {
        ca: table.ca.clone(),
        certificate,
    };
    let has_tls = remotes.iter().any(Remote::is_tls);
    if !has_tls && trust != Trust::default() {
        return Err(ConfigError::value(
            "upstream",
            "`ca`, `certificate` and `key` are for TLS, and no host is reached by it: write one like \"tls://tasks.example:12346\"",
        ));
    }
    if has_tls {
        trust
            .config()
            .map_err(|problem| ConfigError::value("upstream", problem))?;
    }
    Ok(trust)
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
