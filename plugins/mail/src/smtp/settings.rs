//! How to reach the server, checked.

use std::{sync::Arc, time::Duration};

use kit::secret::Secret;

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

/// A name and a password.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) username: String,
    pub(crate) password: Secret,
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
}
