//! How to reach the server, checked.

use std::{sync::Arc, time::Duration};

use kit::secret::{Secret, SecretSource};

use super::tls::TlsSettings;

/// When a connection is encrypted. Wherever it is, the server's certificate has to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsMode {
    /// Never.
    None,
    /// By STARTTLS, when the server offers it.
    Opportunistic,
    /// By STARTTLS; a server without it is refused.
    Required,
    /// From the first byte.
    Implicit,
}

/// Who we are, and how we show it.
#[derive(Clone, Debug)]
pub(crate) enum Credentials {
    /// For PLAIN and LOGIN.
    Password { username: String, password: Secret },
    /// For XOAUTH2 and OAUTHBEARER. The token is read for each connection: it lives for an hour or so, and something
    /// else puts the next one in its place.
    Token {
        username: String,
        token: SecretSource,
    },
}

#[derive(Debug)]
pub(crate) struct Settings {
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Host and port, for messages.
    pub(crate) server: Arc<str>,
    pub(crate) tls_mode: TlsMode,
    pub(crate) tls: TlsSettings,
    pub(crate) credentials: Option<Credentials>,
    /// What we call ourselves: a domain, or an address in brackets.
    pub(crate) hello_name: String,
    pub(crate) connect_timeout: Duration,
    /// How long the server may take over a reply to a command.
    pub(crate) command_timeout: Duration,
    /// How long it may take over the reply to a whole message.
    pub(crate) data_timeout: Duration,
    /// How long an unused connection is kept.
    pub(crate) idle_timeout: Duration,
    /// How many connections there are at most.
    pub(crate) connections: usize,
    /// How many messages a connection carries at most.
    pub(crate) messages_per_connection_max: Option<usize>,
    /// How many messages there are at most in a second; above 0.
    pub(crate) messages_per_second_max: Option<f64>,
    /// How long a server that says "not now" is tried again.
    pub(crate) retry_for: Duration,
}

#[cfg(any(test, fuzzing))]
impl Settings {
    /// Of a server that nobody connects to, without any limit.
    pub(crate) fn made_up(tls_mode: TlsMode, credentials: Option<Credentials>) -> Self {
        Self {
            host: "mx".to_owned(),
            port: 25,
            server: "mx:25".into(),
            tls_mode,
            tls: TlsSettings::default(),
            credentials,
            hello_name: "me".to_owned(),
            connect_timeout: Duration::MAX,
            command_timeout: Duration::MAX,
            data_timeout: Duration::MAX,
            idle_timeout: Duration::MAX,
            connections: 1,
            messages_per_connection_max: None,
            messages_per_second_max: None,
            retry_for: Duration::MAX,
        }
    }
}
