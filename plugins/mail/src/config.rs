//! The plugin's configuration: as it is written, and as it is used. Everything wrong with it shows when it is opened.

use std::{borrow::Cow, net::Ipv6Addr, path::PathBuf, time::Duration};

use kit::{
    secret::{self, Secret, SecretSource},
    units,
};
use plugin_api::PluginError;
use serde::{
    Deserialize,
    de::{
        IntoDeserializer,
        value::{CowStrDeserializer, Error as ValueError},
    },
};
use url::Url;

use crate::{
    address::Mailbox,
    args, fields,
    smtp::{Credentials, Settings, TlsMode, TlsSettings},
};

/// The table `[plugins.mail.config]`, or `[config]` of the file `mail.toml`. Every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MailConfig {
    /// Where mail goes: `smtp://HOST[:25]` or `smtps://HOST[:465]`. `?tls=…` does what `tls` does, and
    /// `USER:PASSWORD@` what `username` and `password` do. Without it, messages are written to `outbox`.
    pub url: Option<Secret>,
    /// `none`, `opportunistic` (the default of `smtp://`), `required` or `implicit` (the default of `smtps://`).
    pub tls: Option<Tls>,
    /// A PEM file with the certificates to trust, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// The name to log in with.
    pub username: Option<String>,
    /// The password to log in with, or `{ file = "…" }`, or `{ env = "…" }`.
    pub password: Option<SecretSource>,
    /// What `password = { file = "…" }` says, too: a file with nothing but the password in it, and perhaps a line end.
    pub password_file: Option<PathBuf>,
    /// The token to log in with, in place of a password, by XOAUTH2 or OAUTHBEARER; it is read for each connection.
    pub access_token: Option<SecretSource>,
    /// How many connections to the server a worker may have, 1 to 100; `send_bulk` uses them all.
    pub connections: usize,
    /// How many messages to send over a connection before it is replaced; by default as many as the server takes.
    pub messages_per_connection_max: Option<usize>,
    /// How many messages a worker may send in a second; by default as many as it can.
    pub messages_per_second_max: Option<f64>,
    /// How long to try again what the server refuses for now.
    #[serde(deserialize_with = "units::duration")]
    pub retry_for: Duration,
    /// How long to try to connect, name resolution included.
    #[serde(deserialize_with = "units::duration")]
    pub connect_timeout: Duration,
    /// How long to wait for the reply to a command.
    #[serde(deserialize_with = "units::duration")]
    pub command_timeout: Duration,
    /// How long to wait for the reply to a whole message.
    #[serde(deserialize_with = "units::duration")]
    pub data_timeout: Duration,
    /// How long to keep an unused connection.
    #[serde(deserialize_with = "units::duration")]
    pub idle_timeout: Duration,
    /// What to call this machine when greeting the server; by default its host name.
    pub hello_name: Option<String>,
    /// The sender of messages whose `from` is missing.
    pub from: Option<args::Address>,
    /// The longest message, in bytes, or like `"32MiB"`.
    #[serde(deserialize_with = "units::size")]
    pub message_len_max: u64,
    /// The folder for messages when there is no `url`; made when the first message comes.
    pub outbox: PathBuf,
}

/// When the connection to the server is encrypted. Wherever it is, the server's certificate must be valid.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// Never.
    None,
    /// By STARTTLS, if the server offers it; without it no password is sent.
    Opportunistic,
    /// By STARTTLS; a server that doesn't offer it is refused.
    Required,
    /// From the first byte.
    Implicit,
}

impl Default for MailConfig {
    fn default() -> Self {
        Self {
            url: None,
            tls: None,
            ca_file: None,
            username: None,
            password: None,
            password_file: None,
            access_token: None,
            connections: 8,
            messages_per_connection_max: None,
            messages_per_second_max: None,
            retry_for: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            command_timeout: Duration::from_secs(30),
            data_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(30),
            hello_name: None,
            from: None,
            message_len_max: 32 << 20,
            outbox: PathBuf::from("outbox"),
        }
    }
}

/// A configuration that was checked.
pub(crate) struct Checked {
    pub(crate) transport: TransportConfig,
    pub(crate) from: Option<Mailbox>,
    pub(crate) message_len_max: usize,
}

pub(crate) enum TransportConfig {
    Smtp(Box<Settings>),
    Outbox(PathBuf),
}

impl MailConfig {
    /// Checks everything that can be checked without a connection.
    pub(crate) fn check(self) -> Result<Checked, PluginError> {
        let from = self.from.as_ref().map(|from| fields::mailbox("from", from));
        let from = from
            .transpose()
            .map_err(|error| PluginError::new(error.to_string()))?;
        units::at_least_one(&[("message_len_max", self.message_len_max)])?;
        let message_len_max = usize::try_from(self.message_len_max).unwrap_or(usize::MAX);
        let transport = match &self.url {
            Some(url) => TransportConfig::Smtp(Box::new(self.settings(url.expose())?)),
            None => {
                self.refuse_keys_without_url()?;
                TransportConfig::Outbox(self.outbox)
            }
        };
        Ok(Checked {
            transport,
            from,
            message_len_max,
        })
    }

    /// Mail that is believed to be sent, and is written to a folder, would be a bad surprise.
    fn refuse_keys_without_url(&self) -> Result<(), PluginError> {
        let keys = [
            ("tls", self.tls.is_some()),
            ("ca_file", self.ca_file.is_some()),
            ("username", self.username.is_some()),
            ("password", self.password.is_some()),
            ("password_file", self.password_file.is_some()),
            ("access_token", self.access_token.is_some()),
        ];
        match keys.into_iter().find(|(_, is_set)| *is_set) {
            None => Ok(()),
            Some((key, _)) => Err(PluginError::new(format!(
                "`{key}` is set, but no `url`; without one nothing is sent anywhere"
            ))),
        }
    }

    fn settings(&self, url: &str) -> Result<Settings, PluginError> {
        let url = ServerUrl::parse(url)?;
        let tls_mode = self.tls_mode(&url)?;
        if !(1..=100).contains(&self.connections) {
            return Err(PluginError::new("`connections` must be 1 to 100"));
        }
        if self.messages_per_connection_max == Some(0) {
            return Err(PluginError::new(
                "`messages_per_connection_max` must be 1 or more",
            ));
        }
        let is_rate = |rate: f64| (0.001..=1e6).contains(&rate);
        if !self.messages_per_second_max.is_none_or(is_rate) {
            return Err(PluginError::new(
                "`messages_per_second_max` must be 0.001 to 1000000",
            ));
        }
        let tls = match &self.ca_file {
            None => TlsSettings::default(),
            Some(_) if tls_mode == TlsMode::None => {
                return Err(PluginError::new("`ca_file` is set, but `tls` is `none`"));
            }
            Some(path) => TlsSettings::from_ca_file(path).map_err(PluginError::new)?,
        };
        let port = url.port.unwrap_or(if url.is_smtps { 465 } else { 25 });
        Ok(Settings {
            server: server_name(&url.host, port).into(),
            credentials: self.credentials(&url)?,
            host: url.host,
            port,
            tls_mode,
            tls,
            hello_name: self.hello_name()?,
            connect_timeout: self.connect_timeout,
            command_timeout: self.command_timeout,
            data_timeout: self.data_timeout,
            idle_timeout: self.idle_timeout,
            connections: self.connections,
            messages_per_connection_max: self.messages_per_connection_max,
            messages_per_second_max: self.messages_per_second_max,
            retry_for: self.retry_for,
        })
    }

    fn tls_mode(&self, url: &ServerUrl) -> Result<TlsMode, PluginError> {
        let default = if url.is_smtps {
            Tls::Implicit
        } else {
            Tls::Opportunistic
        };
        let tls = match (self.tls, url.tls) {
            (Some(a), Some(b)) if a != b => {
                return Err(PluginError::new(
                    "`tls` and the `tls` of `url` say different things",
                ));
            }
            (a, b) => a.or(b).unwrap_or(default),
        };
        if (tls == Tls::Implicit) != url.is_smtps {
            return Err(PluginError::new(
                "`tls = \"implicit\"` and `smtps://` go together, and neither goes without the other",
            ));
        }
        Ok(match tls {
            Tls::None => TlsMode::None,
            Tls::Opportunistic => TlsMode::Opportunistic,
            Tls::Required => TlsMode::Required,
            Tls::Implicit => TlsMode::Implicit,
        })
    }

    fn credentials(&self, url: &ServerUrl) -> Result<Option<Credentials>, PluginError> {
        let of_keys = secret::read_one_of([
            ("password", self.password.clone()),
            (
                "password_file",
                self.password_file.clone().map(SecretSource::File),
            ),
        ])?;
        let username = one_of("username", self.username.clone(), url.username.clone())?;
        let password = one_of("password", of_keys, url.password.clone())?;
        if let Some(token) = &self.access_token {
            return match (username, password) {
                (Some(username), None) => Ok(Some(Credentials::Token {
                    username,
                    token: token.clone(),
                })),
                (None, _) => Err(PluginError::new(
                    "there is an `access_token`, but no `username`",
                )),
                (_, Some(_)) => Err(PluginError::new(
                    "there are both a password and an `access_token`; one of them is to be used",
                )),
            };
        }
        match (username, password) {
            (None, None) => Ok(None),
            (Some(username), Some(password)) => {
                if [&username, password.expose()]
                    .iter()
                    .any(|text| text.contains('\0'))
                {
                    return Err(PluginError::new("name and password must not contain NUL"));
                }
                Ok(Some(Credentials::Password { username, password }))
            }
            (Some(_), None) => Err(PluginError::new(
                "there is a `username`, but no `password`, `password_file` or `access_token`",
            )),
            (None, Some(_)) => Err(PluginError::new("there is a password, but no `username`")),
        }
    }

    fn hello_name(&self) -> Result<String, PluginError> {
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
        match &self.hello_name {
            Some(name) if is_name(name) => Ok(name.clone()),
            Some(_) => Err(PluginError::new(
                "`hello_name` must be a domain, or an address in brackets",
            )),
            None => {
                let uname = rustix::system::uname();
                let name = uname.nodename().to_str().ok().filter(|name| is_name(name));
                Ok(name.unwrap_or("localhost").to_owned())
            }
        }
    }
}

struct ServerUrl {
    is_smtps: bool,
    host: String,
    port: Option<u16>,
    tls: Option<Tls>,
    username: Option<String>,
    password: Option<Secret>,
}

impl ServerUrl {
    /// The errors never repeat the URL: there may be a password in it.
    fn parse(text: &str) -> Result<Self, PluginError> {
        let refuse = |reason: &str| {
            PluginError::new(format!(
                "`url` {reason}; write it like `smtp://mail.example.com:587`"
            ))
        };
        let url = Url::parse(text).map_err(|error| refuse(&format!("is not a URL: {error}")))?;
        let is_smtps = match url.scheme() {
            "smtp" => false,
            "smtps" => true,
            _ => return Err(refuse("begins neither with `smtp://` nor with `smtps://`")),
        };
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(refuse("has a path, which means nothing here"));
        }
        let mut tls = None;
        for (key, value) in url.query_pairs() {
            if key != "tls" || tls.is_some() {
                return Err(refuse("may have one parameter, `tls`"));
            }
            let value: CowStrDeserializer<'_, ValueError> = value.into_deserializer();
            tls = Some(
                Tls::deserialize(value)
                    .map_err(|error| refuse(&format!("has a wrong `tls`: {error}")))?,
            );
        }
        let decode = |part: &str| {
            let decoded = percent_encoding::percent_decode_str(part)
                .decode_utf8()
                .map(Cow::into_owned);
            decoded.map_err(|_| refuse("is not UTF-8"))
        };
        let host = decode(url.host_str().unwrap_or_default())?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&host);
        let host = if host.is_ascii() {
            host.to_owned()
        } else {
            idna::domain_to_ascii(host).map_err(|_| refuse("has an invalid host"))?
        };
        if host.is_empty() || url.port() == Some(0) {
            return Err(refuse("needs a host, and a port above 0 if any"));
        }
        Ok(Self {
            is_smtps,
            host,
            port: url.port(),
            tls,
            username: Some(decode(url.username())?).filter(|name| !name.is_empty()),
            password: url.password().map(decode).transpose()?.map(Secret::from),
        })
    }
}

fn server_name(host: &str, port: u16) -> String {
    if host.parse::<Ipv6Addr>().is_ok() {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

fn one_of<T>(what: &str, of_key: Option<T>, of_url: Option<T>) -> Result<Option<T>, PluginError> {
    match (of_key, of_url) {
        (Some(_), Some(_)) => Err(PluginError::new(format!(
            "the {what} is there twice: in the `url`, and in a key of its own"
        ))),
        (of_key, of_url) => Ok(of_key.or(of_url)),
    }
}

#[cfg(test)]
mod tests;
