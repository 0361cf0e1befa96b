//! `[clients.NAME]`: as it is written, and as it holds once it has been checked.

use std::collections::BTreeMap;
use std::fmt;
use std::time::SystemTime;

use rustls::pki_types::ServerName;
use serde::Deserialize;
use service::config::{ConfigError, within};
use service::pattern::Pattern;
use service::rate::Rate;

use super::date;
use super::token::TokenHash;
use super::users::User;

/// The longest name of a client, in bytes.
const NAME_LEN_MAX: usize = 64;
/// Not a client's name: those who need not show themselves are called so.
pub(crate) const ANONYMOUS: &str = "anonymous";

/// `[clients.NAME]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientTable {
    #[serde(default)]
    tokens: Vec<TokenTable>,
    #[serde(default)]
    certificates: Vec<String>,
    #[serde(default)]
    users: Vec<User>,
    functions: Vec<String>,
    #[serde(default)]
    vouch: bool,
    connections_max: Option<usize>,
    in_flight_max: Option<usize>,
    rate: Option<Rate>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
struct TokenTable {
    sha256: String,
    until: Option<toml::value::Datetime>,
}

/// Read by hand: what stands there by mistake may be the token itself, and serde's errors would show it.
impl TryFrom<toml::Value> for TokenTable {
    type Error = &'static str;

    fn try_from(value: toml::Value) -> Result<Self, Self::Error> {
        const WRONG: &str = "a token is written as { sha256 = \"…\" }, or { sha256 = \"…\", until = 2030-12-31 }; `host token new NAME` makes one";
        let toml::Value::Table(mut table) = value else {
            return Err(WRONG);
        };
        let Some(toml::Value::String(sha256)) = table.remove("sha256") else {
            return Err(WRONG);
        };
        let until = match table.remove("until") {
            None => None,
            Some(toml::Value::Datetime(until)) => Some(until),
            Some(_) => return Err(WRONG),
        };
        if table.is_empty() {
            Ok(Self { sha256, until })
        } else {
            Err(WRONG)
        }
    }
}

/// A client, checked.
#[derive(Clone, Debug)]
pub(crate) struct ClientSettings {
    pub(super) name: String,
    /// How it shows itself, and until when that counts.
    pub(super) shows: Vec<(Shown, Option<SystemTime>)>,
    pub(super) rules: Rules,
}

impl ClientSettings {
    /// Whether it may show itself by a user of this machine.
    pub(crate) fn has_users(&self) -> bool {
        let mut shows = self.shows.iter();
        shows.any(|(shown, _)| matches!(shown, Shown::User(_)))
    }

    /// Whether it may show itself by a certificate.
    pub(crate) fn has_certificates(&self) -> bool {
        let mut shows = self.shows.iter();
        shows.any(|(shown, _)| matches!(shown, Shown::Certificate(_)))
    }
}

/// Its name.
impl fmt::Display for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// How a client shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// It need not.
    Nothing,
    Token(TokenHash),
    /// A certificate with this name among its alternative names.
    Certificate(ServerName<'static>),
    /// A process of this user, on a Unix socket.
    User(u32),
}

/// What a client may do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rules {
    functions: Vec<Pattern>,
    /// Of `host.*` beside its own: a pattern has to name them, `*` alone doesn't.
    host_functions: Vec<Pattern>,
    pub(super) vouch: bool,
    pub(super) connections_max: usize,
    pub(super) in_flight_max: usize,
    pub(super) rate: Option<Rate>,
    /// As it is written, for the client itself.
    pub(super) written: Vec<String>,
}

/// What every client may ask the host: about itself, and about what it may call.
const OWN: [&str; 6] = [
    "host.ping",
    "host.hello",
    "host.functions",
    "host.status",
    "host.cancel",
    "host.task",
];

impl Rules {
    /// All is allowed.
    pub(super) fn everything() -> Self {
        let written = ["*", "host.*"].map(str::to_owned).to_vec();
        let patterns = |texts: &[&str]| {
            texts
                .iter()
                .filter_map(|text| Pattern::new(text).ok())
                .collect()
        };
        Self {
            functions: patterns(&["*"]),
            host_functions: patterns(&["host.*"]),
            vouch: true,
            connections_max: usize::MAX,
            in_flight_max: usize::MAX,
            rate: None,
            written,
        }
    }

    pub(super) fn may_call(&self, function: &str) -> bool {
        if function.starts_with(protocol::HOST_PREFIX) {
            OWN.contains(&function) || self.is_operator_of(function)
        } else {
            self.functions.iter().any(|one| one.matches(function))
        }
    }

    /// Whether it may call the function for what it says of others.
    pub(super) fn is_operator_of(&self, function: &str) -> bool {
        self.host_functions.iter().any(|one| one.matches(function))
    }
}

/// Checks all clients.
///
/// # Errors
/// One of them is wrong, or two show themselves by the same.
pub(crate) fn check(
    tables: BTreeMap<String, ClientTable>,
) -> Result<Vec<ClientSettings>, ConfigError> {
    let mut clients: Vec<ClientSettings> = Vec::with_capacity(tables.len());
    for (name, table) in tables {
        let client = table.check(name)?;
        let shown_by = |other: &&ClientSettings| {
            let shows = other.shows.iter();
            shows
                .into_iter()
                .any(|(shown, _)| client.shows.iter().any(|(own, _)| own == shown))
        };
        if let Some(other) = clients.iter().find(shown_by) {
            return Err(ConfigError::value(
                format!("clients.{}", client.name),
                format!(
                    "shows itself by the same as `clients.{}`; which of them is it?",
                    other.name
                ),
            ));
        }
        clients.push(client);
    }
    Ok(clients)
}

/// Checks what a client is to be called.
///
/// # Errors
/// It can't be a client's name, as the rest of a sentence that begins with it.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.bytes().all(is_plain) {
        return Err(format!(
            "can't be a client's name, which has 1 to {NAME_LEN_MAX} of the characters a-z, A-Z, 0-9, `_`, `-` and `.`"
        ));
    }
    if name == ANONYMOUS {
        return Err(
            "is what the host calls those whom it doesn't know; choose another name".to_owned(),
        );
    }
    Ok(())
}

impl ClientTable {
    fn check(self, name: String) -> Result<ClientSettings, ConfigError> {
        let wrong = |key: &str, problem: String| {
            ConfigError::value(format!("clients.{name}{key}"), problem)
        };
        check_name(&name).map_err(|problem| wrong("", problem))?;
        let mut shows = Vec::new();
        for TokenTable { sha256, until } in &self.tokens {
            let hash = sha256.parse().map_err(|problem| {
                wrong(".tokens", format!("what stands as `sha256` {problem}"))
            })?;
            let until = until.as_ref().map(date::end_of).transpose();
            let until = until.map_err(|problem| wrong(".tokens.until", problem.to_owned()))?;
            shows.push((Shown::Token(hash), until));
        }
        for text in &self.certificates {
            let shown = ServerName::try_from(text.clone()).map_err(|_| {
                wrong(".certificates", format!("{text:?} is not a name that a certificate can have; write one of its alternative names, like \"mailer.internal\""))
            })?;
            shows.push((Shown::Certificate(shown), None));
        }
        for user in &self.users {
            let number = user.number().map_err(|problem| wrong(".users", problem))?;
            shows.push((Shown::User(number), None));
        }
        if shows.is_empty() {
            return Err(wrong(
                "",
                format!(
                    "nobody can be this client: give it `tokens` (`host token new {name}` makes one), `certificates` or `users`"
                ),
            ));
        }
        let mut functions = Vec::new();
        let mut host_functions = Vec::new();
        for text in &self.functions {
            let pattern = Pattern::new(text).map_err(|problem| wrong(".functions", problem))?;
            if text.starts_with(protocol::HOST_PREFIX) {
                host_functions.push(pattern);
            } else {
                functions.push(pattern);
            }
        }
        let bounded = |key: &str, count: Option<usize>| {
            let key = format!("clients.{name}.{key}");
            count.map_or(Ok(usize::MAX), |count| within(&key, count, 1..=1 << 20))
        };
        let rules = Rules {
            functions,
            host_functions,
            vouch: self.vouch,
            connections_max: bounded("connections_max", self.connections_max)?,
            in_flight_max: bounded("in_flight_max", self.in_flight_max)?,
            rate: self.rate,
            written: self.functions,
        };
        Ok(ClientSettings { name, shows, rules })
    }
}
