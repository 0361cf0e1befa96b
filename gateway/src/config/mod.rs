//! The gateway's configuration: what a file may say ([`raw`]), and what the gateway holds once it has been checked.

mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::access::{
    Access, Fill, JwtSettings, JwtVerifier, KeySource, Pattern, ROLE_DEFAULT, Role, TokenEntry,
    Tokens,
};
use crate::http::{Origin, Proxies};
use crate::limits::{Allowance, CapSettings, Rate};
use crate::session::{LogLimits, SessionLimits};

pub(crate) const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
pub(crate) const HOST_DEFAULT: &str = "127.0.0.1:12345";

/// What the command line says; each entry wins over the file's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) listen: Option<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) allow: Vec<String>,
    pub(crate) notify_text: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) console: bool,
    /// What the plain mode answers after a success, in place of the reply.
    pub(crate) notify_text: Option<String>,
    /// Origins that may connect besides the gateway's own.
    pub(crate) origins: Vec<Origin>,
    /// The cookie that may hold the token.
    pub(crate) cookie: Option<String>,
    pub(crate) trusted_proxies: Proxies,
    pub(crate) access: Access,
    pub(crate) upstream: UpstreamConfig,
    pub(crate) session: SessionConfig,
    pub(crate) limits: Limits,
    pub(crate) heartbeat: Heartbeat,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) drain_grace: Duration,
}

/// How hosts are reached.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamConfig {
    pub(crate) hosts: Vec<String>,
    /// To each host.
    pub(crate) connections: usize,
    pub(crate) connect_timeout: Duration,
    /// How long a task waits for a host.
    pub(crate) connect_wait: Duration,
    /// How many wait.
    pub(crate) waiting_max: usize,
    pub(crate) ping_interval: Duration,
    /// A host that is silent for so long gets nothing new.
    pub(crate) suspect_after: Duration,
    /// A host that is silent for so long is given up.
    pub(crate) ping_timeout: Duration,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionConfig {
    pub(crate) resume_window: Duration,
    /// Sessions that wait for their client.
    pub(crate) detached_max: usize,
    pub(crate) limits: SessionLimits,
    /// Bytes that all sessions keep for their clients together.
    pub(crate) kept_len_max: usize,
    /// Whether tasks are cancelled when their session ends.
    pub(crate) cancel_tasks: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) caps: CapSettings,
    /// Of a message from a client, in bytes.
    pub(crate) message_len_max: usize,
    /// To say who one is.
    pub(crate) auth_timeout: Duration,
    /// For a request's head.
    pub(crate) header_timeout: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) interval: Duration,
    /// Unanswered pings in a row.
    pub(crate) missed_max: u32,
}

/// PEM files.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificates: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug)]
pub(crate) enum ConfigError {
    Read {
        file: PathBuf,
        error: std::io::Error,
    },
    Parse {
        file: PathBuf,
        error: Box<toml::de::Error>,
    },
    Value {
        key: String,
        problem: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, error } => {
                write!(f, "{} can't be read: {error}", file.display())
            }
            Self::Parse { file, error } => {
                write!(f, "the configuration {} is wrong:\n{error}", file.display())
            }
            Self::Value { key, problem } => write!(f, "`{key}`: {problem}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads the file, where there is one, lets the command line win, and checks what came of it.
    pub(crate) fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let raw = match file {
            None => raw::File::default(),
            Some(file) => {
                let text = read(file)?;
                toml::from_str(&text).map_err(|error| ConfigError::Parse {
                    file: file.to_owned(),
                    error: Box::new(error),
                })?
            }
        };
        Self::check(raw, overrides)
    }

    fn check(raw: raw::File, overrides: Overrides) -> Result<Self, ConfigError> {
        let listen = overrides
            .listen
            .or(raw.listen)
            .unwrap_or_else(|| LISTEN_DEFAULT.to_owned());
        let listen = resolve("listen", &listen, LISTEN_DEFAULT)?;
        let is_loopback = listen.iter().all(|address| address.ip().is_loopback());
        let mut hosts = if overrides.hosts.is_empty() {
            raw.hosts
        } else {
            overrides.hosts
        };
        if hosts.is_empty() {
            hosts.push(HOST_DEFAULT.to_owned());
        }
        for (number, host) in hosts.iter().enumerate() {
            if hosts[..number].contains(host) {
                return Err(value("hosts", format!("{host:?} stands there twice")));
            }
            if host
                .rsplit_once(':')
                .is_none_or(|(name, port)| name.is_empty() || port.parse::<u16>().is_err())
            {
                let problem = format!("{host:?} is no address of a host, like {HOST_DEFAULT:?}");
                return Err(value("hosts", problem));
            }
        }
        let mut roles = raw.roles;
        let allow = if overrides.allow.is_empty() {
            raw.allow
        } else {
            overrides.allow
        };
        if roles.contains_key(ROLE_DEFAULT) {
            let problem = "the default role is what `allow` at the top says".to_owned();
            return Err(value("roles.default", problem));
        }
        roles.insert(ROLE_DEFAULT.to_owned(), raw::RoleTable { allow });
        let access = check_access(roles, raw.tokens, raw.jwt, &raw.fill)?;
        if !access.is_required() && !is_loopback {
            let problem = "everybody could call functions at this address: configure `[[tokens]]` or `[jwt]`, or listen on a loopback address like \"127.0.0.1:8080\"".to_owned();
            return Err(value("listen", problem));
        }
        let tls = match (raw.tls.certificates, raw.tls.key) {
            (Some(certificates), Some(key)) => Some(TlsFiles { certificates, key }),
            (None, None) => None,
            _ => {
                return Err(value(
                    "tls",
                    "`certificates` and `key` belong together".to_owned(),
                ));
            }
        };
        let origins = raw
            .origins
            .iter()
            .map(|text| origin(text))
            .collect::<Result<_, _>>()?;
        let trusted_proxies = raw
            .trusted_proxies
            .iter()
            .map(|text| proxy(text))
            .collect::<Result<_, _>>()?;
        let limits = raw.limits;
        Ok(Self {
            trusted_proxies: Proxies(trusted_proxies),
            console: raw.console.unwrap_or(is_loopback),
            listen,
            notify_text: overrides.notify_text.or(raw.notify_text),
            origins,
            cookie: raw.cookie,
            access,
            upstream: UpstreamConfig {
                connections: within("upstream.connections", raw.upstream.connections, 1, 64)?,
                connect_timeout: raw.upstream.connect_timeout.0,
                connect_wait: raw.upstream.connect_wait.0,
                waiting_max: raw.upstream.waiting_max,
                ping_interval: raw.upstream.ping_interval.0,
                suspect_after: raw.upstream.suspect_after.0,
                ping_timeout: raw.upstream.ping_timeout.0,
                backoff_min: raw.upstream.backoff_min.0,
                backoff_max: raw.upstream.backoff_max.0.max(raw.upstream.backoff_min.0),
                hosts,
            },
            session: SessionConfig {
                resume_window: raw.session.resume_window.0,
                detached_max: raw.session.detached_max,
                limits: SessionLimits {
                    log: LogLimits {
                        count_max: within("session.kept_max", raw.session.kept_max, 1, 1 << 20)?,
                        len_max: raw.session.kept_len_max.to_usize(),
                    },
                    unsent_len_max: raw.session.unsent_len_max.to_usize(),
                },
                kept_len_max: raw.session.all_kept_len_max.to_usize(),
                cancel_tasks: raw.session.cancel_tasks,
            },
            limits: Limits {
                caps: CapSettings {
                    connections_max: within(
                        "limits.connections_max",
                        limits.connections_max,
                        1,
                        1 << 20,
                    )?,
                    user: allowance("limits.user", &limits.user)?,
                    address: allowance("limits.address", &limits.address)?,
                    connection_rate: rate("limits.rate", limits.rate.as_deref())?,
                    connection_in_flight_max: within(
                        "limits.in_flight_max",
                        limits.in_flight_max,
                        1,
                        1 << 20,
                    )?,
                    requests_len_max: limits.requests_len_max.to_usize(),
                },
                message_len_max: within(
                    "limits.message_len_max",
                    limits.message_len_max.to_usize(),
                    1024,
                    512 << 20,
                )?
                // Whatever is longer could never be taken.
                .min(limits.requests_len_max.to_usize()),
                auth_timeout: limits.auth_timeout.0,
                header_timeout: limits.header_timeout.0,
            },
            heartbeat: Heartbeat {
                interval: raw.heartbeat.interval.0,
                missed_max: raw.heartbeat.missed_max.max(1),
            },
            tls,
            drain_grace: raw.drain.grace.0,
        })
    }
}

fn origin(text: &str) -> Result<Origin, ConfigError> {
    Origin::parse(text).ok_or_else(|| {
        let problem = format!(
            "{text:?} is no origin: write scheme, full name and, unless it is the usual one, port, like \"https://app.example\" or \"http://localhost:3000\""
        );
        value("origins", problem)
    })
}

/// An address, or a network.
fn proxy(text: &str) -> Result<IpNet, ConfigError> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| address()).map_err(|_| {
        let problem = format!(
            "{text:?} is no address, like \"127.0.0.1\", and no network, like \"10.0.0.0/8\""
        );
        value("trusted_proxies", problem)
    })
}

fn check_access(
    roles: BTreeMap<String, raw::RoleTable>,
    tables: Vec<raw::TokenTable>,
    jwt: Option<raw::JwtTable>,
    fill: &BTreeMap<String, String>,
) -> Result<Access, ConfigError> {
    let roles = roles
        .into_iter()
        .map(|(name, table)| {
            let allow = table
                .allow
                .iter()
                .map(|text| Pattern::new(text))
                .collect::<Result<_, _>>()
                .map_err(|problem| value(&format!("roles.{name}.allow"), problem))?;
            let role = Role {
                name: name.clone(),
                allow,
            };
            Ok((name, Arc::new(role)))
        })
        .collect::<Result<BTreeMap<_, _>, _>>()?;
    let mut tokens = Tokens::default();
    for table in tables {
        const TOKEN_LEN_MIN: usize = 16;
        if table.token.len() < TOKEN_LEN_MIN {
            let problem = format!(
                "the token of {:?} is shorter than {TOKEN_LEN_MIN} bytes, and could be guessed; `openssl rand -hex 32` makes a good one",
                table.user
            );
            return Err(value("tokens", problem));
        }
        if let Some(role) = &table.role
            && !roles.contains_key(role)
        {
            let problem = format!(
                "{:?} has the role {role:?}, which `[roles.{role}]` would have to describe",
                table.user
            );
            return Err(value("tokens", problem));
        }
        let entry = TokenEntry {
            user: table.user.as_str().into(),
            role: table.role,
        };
        if !tokens.add(&table.token, entry) {
            let problem = format!("the token of {:?} stands there twice", table.user);
            return Err(value("tokens", problem));
        }
    }
    let jwt = jwt.map(check_jwt).transpose()?;
    let fill = fill
        .iter()
        .map(|(arg, claim)| Fill::new(arg, claim).map_err(|problem| value("fill", problem)))
        .collect::<Result<_, _>>()?;
    Ok(Access {
        roles,
        tokens,
        jwt,
        fill,
    })
}

fn check_jwt(table: raw::JwtTable) -> Result<JwtVerifier, ConfigError> {
    let problem = |problem: &str| value("jwt", problem.to_owned());
    let keys = match (table.secret_file, table.public_key_file, table.jwks_file) {
        (Some(file), None, None) => {
            let secret = read(&file)?.trim_end().as_bytes().to_vec();
            const SECRET_LEN_MIN: usize = 32;
            if secret.len() < SECRET_LEN_MIN {
                return Err(problem(
                    "the secret has less than 32 bytes, the least that HS256 asks for (RFC 7518)",
                ));
            }
            KeySource::Secret(secret)
        }
        (None, Some(file), None) => KeySource::Pem(read(&file)?.into_bytes()),
        (None, None, Some(file)) => KeySource::Jwks(file),
        _ => {
            return Err(problem(
                "give one of `secret_file`, `public_key_file` and `jwks_file`",
            ));
        }
    };
    let algorithms = table
        .algorithms
        .iter()
        .map(|name| match name.as_str() {
            "HS256" | "RS256" | "ES256" | "EdDSA" => name
                .parse()
                .map_err(|_| problem("the algorithm is not known")),
            other => Err(problem(&format!(
                "there is no algorithm {other:?} here, but HS256, RS256, ES256 and EdDSA"
            ))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    if algorithms.is_empty() {
        return Err(problem("`algorithms` is empty"));
    }
    JwtVerifier::new(JwtSettings {
        keys,
        algorithms,
        issuer: table.issuer,
        audience: table.audience,
        user_claim: table.user_claim,
        role_claim: table.role_claim,
        leeway: table.leeway.0,
    })
    .map_err(|error| value("jwt", error))
}

fn allowance(key: &str, table: &raw::AllowanceTable) -> Result<Allowance, ConfigError> {
    Ok(Allowance {
        connections_max: table.connections_max,
        in_flight_max: table.in_flight_max,
        rate: rate(&format!("{key}.rate"), table.rate.as_deref())?,
    })
}

/// `"100/s"`, `"100/s burst 500"`.
fn rate(key: &str, text: Option<&str>) -> Result<Option<Rate>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    let parse = || {
        let (rate, burst) = match text.split_once(" burst ") {
            Some((rate, burst)) => (rate, Some(burst.trim().parse::<u32>().ok()?)),
            None => (text, None),
        };
        let (count, unit) = rate.trim().split_once('/')?;
        let seconds = match unit {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let count = f64::from(count.trim().parse::<u32>().ok()?);
        let per_second = count / seconds;
        let burst = burst.map_or_else(|| per_second.max(1.0), f64::from);
        (per_second > 0.0 && burst >= 1.0).then_some(Rate { per_second, burst })
    };
    match parse() {
        Some(rate) => Ok(Some(rate)),
        None => Err(value(
            key,
            format!("{text:?} is no rate, like \"100/s\", \"30/m\" or \"100/s burst 500\""),
        )),
    }
}

fn read(file: &Path) -> Result<String, ConfigError> {
    fs::read_to_string(file).map_err(|error| ConfigError::Read {
        file: file.to_owned(),
        error,
    })
}

fn value(key: &str, problem: String) -> ConfigError {
    ConfigError::Value {
        key: key.to_owned(),
        problem,
    }
}

fn within(key: &str, number: usize, min: usize, max: usize) -> Result<usize, ConfigError> {
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    Err(value(
        key,
        format!("must be from {min} to {max}, not {number}"),
    ))
}

fn resolve(key: &str, address: &str, example: &str) -> Result<Vec<SocketAddr>, ConfigError> {
    let problem = |error: &dyn fmt::Display| {
        value(
            key,
            format!("{address:?} is no address to listen on, like {example:?}: {error}"),
        )
    };
    let addresses: Vec<_> = address
        .to_socket_addrs()
        .map_err(|error| problem(&error))?
        .collect();
    if addresses.is_empty() {
        return Err(problem(&"it stands for no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests;
