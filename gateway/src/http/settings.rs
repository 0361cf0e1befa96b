//! What is served and to which pages, as the configuration says.

use service::config::ConfigError;

use super::origin::OriginPattern;
use crate::access::Proxies;

/// What is served, and to which pages.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) console: bool,
    /// Origins that may connect besides the gateway's own.
    pub(crate) origins: Vec<OriginPattern>,
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
    /// An origin, a cookie's name, an address or a network can't be read, or could never match.
    pub(crate) fn check(keys: Keys) -> Result<Self, ConfigError> {
        Ok(Self {
            console: keys.console,
            origins: keys
                .origins
                .iter()
                .map(|text| {
                    OriginPattern::parse(text)
                        .map_err(|problem| ConfigError::value("origins", problem))
                })
                .collect::<Result<_, _>>()?,
            cookie: keys.cookie.map(cookie).transpose()?,
            trusted_proxies: Proxies::check(&keys.trusted_proxies)?,
        })
    }
}

/// The name of a cookie, if it is one (RFC 6265, section 4.1.1).
fn cookie(name: String) -> Result<String, ConfigError> {
    let is_token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_token) {
        return Ok(name);
    }
    let problem = format!("{name:?} is not the name of a cookie, like \"session\"");
    Err(ConfigError::value("cookie", problem))
}
