//! `listen`: where the host takes connections, one address or several.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;
use service::config::ConfigError;
use service::listen::Listen;
use service::remote::{TLS, UNIX};

use crate::access::User;

/// What an address could be, for messages.
pub(crate) const LISTEN_DEFAULT: &str = "127.0.0.1:12345";
/// Who may connect to a Unix socket unless the configuration says so: its owner, or whoever is listed.
const MODE_DEFAULT: u32 = 0o600;
const MODE_OF_USERS: u32 = 0o666;

/// The value of `listen`: a text, a table, or a list of these.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "toml::Value")]
pub(super) struct ListenKey(pub(super) Vec<ListenTable>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenTable {
    address: String,
    #[serde(default)]
    tls: bool,
    /// Who connects here need not be a client.
    #[serde(default)]
    guests: bool,
    mode: Option<toml::Value>,
    users: Option<Vec<User>>,
}

impl ListenTable {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            tls: false,
            guests: false,
            mode: None,
            users: None,
        }
    }
}

impl TryFrom<toml::Value> for ListenKey {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        let one = |value: toml::Value| match value {
            toml::Value::String(address) => Ok(ListenTable::new(&address)),
            toml::Value::Table(table) => table
                .try_into()
                .map_err(|error: toml::de::Error| error.message().to_owned()),
            other => Err(format!(
                "{other} is no address; write one like {LISTEN_DEFAULT:?}, or a table with an `address`"
            )),
        };
        match value {
            toml::Value::Array(values) => values.into_iter().map(one).collect(),
            value => one(value).map(|one| vec![one]),
        }
        .map(Self)
    }
}

/// Where the host takes connections, and from whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) place: Place,
    pub(crate) is_tls: bool,
    pub(crate) takes_guests: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(Listen),
    Unix(UnixPlace),
}

/// A Unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnixPlace {
    pub(crate) path: PathBuf,
    /// Of the socket's file.
    pub(crate) mode: u32,
    /// Who may connect; none: whom the file's mode lets.
    pub(crate) users: Option<Vec<u32>>,
}

impl Listening {
    /// Whether only this machine can reach it.
    pub(crate) fn is_local(&self) -> bool {
        match &self.place {
            Place::Tcp(listen) => listen.is_loopback(),
            Place::Unix(_) => true,
        }
    }
}

impl Listening {
    pub(super) fn is_unix(&self) -> bool {
        matches!(self.place, Place::Unix(_))
    }
}

/// As messages call it.
impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.is_tls { TLS } else { "" };
        match &self.place {
            Place::Tcp(listen) => write!(f, "{tls}{}", listen.text()),
            Place::Unix(place) => write!(f, "{tls}{UNIX}{}", place.path.display()),
        }
    }
}

/// Checks all addresses.
///
/// # Errors
/// One of them can't be an address, or stands there twice.
pub(super) fn check(tables: Vec<ListenTable>) -> Result<Vec<Listening>, ConfigError> {
    if tables.is_empty() {
        return Err(ConfigError::value(
            "listen",
            format!("the host has to listen somewhere; write {LISTEN_DEFAULT:?}"),
        ));
    }
    let mut all: Vec<Listening> = Vec::with_capacity(tables.len());
    for table in tables {
        let one = table.check()?;
        if all.iter().any(|other| other.clashes_with(&one)) {
            let problem = format!("{one} is listed twice");
            return Err(ConfigError::value("listen", problem));
        }
        all.push(one);
    }
    // Alone, `[::]` takes what comes by IPv4 as well.
    let has_all_of_ipv4 = |port: u16| {
        let wanted = std::net::SocketAddr::from(([0, 0, 0, 0], port));
        all.iter().any(|one| match &one.place {
            Place::Tcp(listen) => listen.addresses().contains(&wanted),
            Place::Unix(_) => false,
        })
    };
    let ports: Vec<bool> = all
        .iter()
        .map(|one| match &one.place {
            Place::Tcp(listen) => {
                let mut addresses = listen.addresses().iter();
                addresses.any(|address| address.port() != 0 && has_all_of_ipv4(address.port()))
            }
            Place::Unix(_) => false,
        })
        .collect();
    for (one, only_v6) in all.iter_mut().zip(ports) {
        if let Place::Tcp(listen) = &mut one.place {
            listen.keep_to_ipv6(only_v6);
        }
    }
    Ok(all)
}

impl Listening {
    fn clashes_with(&self, other: &Self) -> bool {
        match (&self.place, &other.place) {
            (Place::Tcp(one), Place::Tcp(other)) => one
                .addresses()
                .iter()
                .any(|address| address.port() != 0 && other.addresses().contains(address)),
            (Place::Unix(one), Place::Unix(other)) => one.path == other.path,
            _ => false,
        }
    }
}

impl ListenTable {
    fn check(self) -> Result<Listening, ConfigError> {
        let wrong = |problem: String| ConfigError::value("listen", problem);
        let (address, says_tls) = match self.address.strip_prefix(TLS) {
            Some(address) => (address, true),
            None => (self.address.as_str(), false),
        };
        if address.starts_with('/') {
            return Err(wrong(format!(
                "{address:?} is a path; write \"{UNIX}{address}\" for a Unix socket"
            )));
        }
        if address.contains("://") && !address.starts_with(UNIX) {
            return Err(wrong(format!(
                "{:?} begins with what the host doesn't speak; write {LISTEN_DEFAULT:?}, \"{TLS}0.0.0.0:12346\" or \"{UNIX}/run/tasks.sock\"",
                self.address
            )));
        }
        let Some(path) = address.strip_prefix(UNIX) else {
            if self.mode.is_some() || self.users.is_some() {
                return Err(wrong(format!(
                    "`mode` and `users` are for Unix sockets (unix:/path), not for {address:?}"
                )));
            }
            return Ok(Listening {
                place: Place::Tcp(Listen::parse("listen", address, LISTEN_DEFAULT)?),
                is_tls: self.tls || says_tls,
                takes_guests: self.guests,
            });
        };
        if path.is_empty() {
            return Err(wrong(format!(
                "{address:?} has no path; write unix:/run/tasks.sock"
            )));
        }
        let users = self
            .users
            .map(|users| users.iter().map(User::number).collect());
        let users: Option<Vec<u32>> = users
            .transpose()
            .map_err(|problem| ConfigError::value("listen.users", problem))?;
        let mode = match &self.mode {
            Some(written) => mode_of(written).ok_or_else(|| {
                let problem =
                    format!("{written} is no mode of a file; write one in quotes, like \"0660\"");
                ConfigError::value("listen.mode", problem)
            })?,
            None if users.is_some() => MODE_OF_USERS,
            None => MODE_DEFAULT,
        };
        Ok(Listening {
            place: Place::Unix(UnixPlace {
                path: path.into(),
                mode,
                users,
            }),
            is_tls: self.tls || says_tls,
            takes_guests: self.guests,
        })
    }
}

/// A number would be read as a decimal one, and nobody means that.
fn mode_of(written: &toml::Value) -> Option<u32> {
    let mode = u32::from_str_radix(written.as_str()?, 8).ok()?;
    (mode <= 0o777).then_some(mode)
}
