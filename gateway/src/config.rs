//! The configuration: what the file and the command line say, checked by the rooms that it is for.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use values::units::Time;

use crate::access::{self, Access};
use crate::tls::{self, TlsFiles};
use crate::{http, limits, session, socket, upstream};
use service::config::{self, ConfigError};
use service::listen::Listen;

const LISTEN_DEFAULT: &str = "127.0.0.1:8080";

/// What the command line says; each entry wins over the file's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) listen: Option<String>,
    pub(crate) hosts: Vec<String>,
    pub(crate) allow: Vec<String>,
    pub(crate) notify_text: Option<String>,
}

/// What each room was configured to do.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) listen: Listen,
    /// What is logged, unless the command line says so.
    pub(crate) log: Option<String>,
    pub(crate) access: Access,
    pub(crate) http: http::Settings,
    pub(crate) limits: limits::Settings,
    pub(crate) session: session::Settings,
    pub(crate) socket: socket::Settings,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) upstream: upstream::Settings,
    /// How long a drain may take.
    pub(crate) drain_grace: Duration,
}

/// The file as it is written. Unknown keys are refused by name: a misspelt limit is no limit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<String>,
    log: Option<String>,
    hosts: Vec<String>,
    allow: Vec<String>,
    console: Option<bool>,
    notify_text: Option<String>,
    origins: Vec<String>,
    cookie: Option<String>,
    trusted_proxies: Vec<String>,
    roles: BTreeMap<String, access::RoleTable>,
    tokens: Vec<access::TokenTable>,
    jwt: Option<access::JwtTable>,
    fill: BTreeMap<String, String>,
    upstream: upstream::Table,
    session: session::Table,
    limits: limits::Table,
    heartbeat: socket::HeartbeatTable,
    tls: tls::Table,
    drain: DrainTable,
}

/// `[drain]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct DrainTable {
    grace: Time,
}

impl Default for DrainTable {
    fn default() -> Self {
        Self {
            grace: Time(Duration::from_secs(30)),
        }
    }
}

impl Config {
    /// Reads the file, where there is one, lets the command line win, and checks what came of it.
    ///
    /// # Errors
    /// The file can't be read, or a value can't be used.
    pub(crate) fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let mut file: File = config::read(file)?;
        file.overrule(overrides);
        Self::check(file)
    }

    /// Of a file's text.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let file = config::parse(text)?;
        Self::check(file).map_err(|error| error.to_string())
    }

    fn check(file: File) -> Result<Self, ConfigError> {
        let listen = file.listen.as_deref().unwrap_or(LISTEN_DEFAULT);
        let listen = Listen::parse("listen", listen, LISTEN_DEFAULT)?;
        let is_loopback = listen.is_loopback();
        let access = Access::check(file.allow, file.roles, file.tokens, file.jwt, &file.fill)?;
        if !access.is_required() && !is_loopback {
            return Err(ConfigError::value(
                "listen",
                "everybody could call functions at this address: configure `[[tokens]]` or `[jwt]`, or listen on a loopback address like \"127.0.0.1:8080\"",
            ));
        }
        Ok(Self {
            listen,
            log: file.log,
            access,
            http: http::Settings::check(http::Keys {
                console: file.console.unwrap_or(is_loopback),
                origins: file.origins,
                cookie: file.cookie,
                trusted_proxies: file.trusted_proxies,
            })?,
            limits: limits::Settings::check(&file.limits)?,
            session: session::Settings::check(&file.session)?,
            socket: socket::Settings::check(&file.heartbeat, file.notify_text),
            tls: file.tls.check()?,
            upstream: upstream::Settings::check(file.hosts, &file.upstream)?,
            drain_grace: file.drain.grace.0,
        })
    }
}

impl File {
    fn overrule(&mut self, overrides: Overrides) {
        let Overrides {
            listen,
            hosts,
            allow,
            notify_text,
        } = overrides;
        self.listen = listen.or(self.listen.take());
        self.notify_text = notify_text.or(self.notify_text.take());
        if !hosts.is_empty() {
            self.hosts = hosts;
        }
        if !allow.is_empty() {
            self.allow = allow;
        }
    }
}

#[cfg(test)]
mod tests;
