//! What is served and to which pages, as the configuration says.

use service::config::ConfigError;

use super::origin::Origin;
use crate::access::Proxies;

/// What is served, and to which pages.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) console: bool,
    /// Origins that may connect besides the gateway's own.
    pub(crate) origins: Vec<Origin>,
    /// The cookie that may hold the token.
    pub(crate) cookie: Option<String>,
    pub(crate) trusted_proxies: Proxies,
}

/// Keys at the top of the file.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) console: bool,
    pub(crate) origins: Vec<String>,
    pub(crate) cookie: Option<String>,
    pub(crate) trusted_proxies: Vec<String>,
}

impl Settings {
    /// # Errors
    /// An origin, an address or a network can't be read.
    pub(crate) fn check(keys: Keys) -> Result<Self, ConfigError> {
        Ok(Self {
            console: keys.console,
            origins: keys
                .origins
                .iter()
                .map(|text| origin(text))
                .collect::<Result<_, _>>()?,
            cookie: keys.cookie,
            trusted_proxies: Proxies::check(&keys.trusted_proxies)?,
        })
    }
}

fn origin(text: &str) -> Result<Origin, ConfigError> {
    Origin::parse(text).ok_or_else(|| {
        let problem = format!(
            "{text:?} is not an origin: write scheme, full name and, unless it is the usual one, port, like \"https://app.example\" or \"http://localhost:3000\""
        );
        ConfigError::value("origins", problem)
    })
}
