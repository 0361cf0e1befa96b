//! Proxies that are trusted.

use std::net::IpAddr;

use ipnet::IpNet;

use service::config::ConfigError;

/// Proxies that are believed in what they say of their clients.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Addresses and networks, as `trusted_proxies` lists them.
    ///
    /// # Errors
    /// One of them is neither.
    pub(crate) fn check(list: &[String]) -> Result<Self, ConfigError> {
        let net = |text: &String| {
            let address = || text.parse::<IpAddr>().map(IpNet::from);
            text.parse().or_else(|_| address()).map_err(|_| {
                let problem = format!(
                    "{text:?} is neither an address, like \"127.0.0.1\", nor a network, like \"10.0.0.0/8\""
                );
                ConfigError::value("trusted_proxies", problem)
            })
        };
        list.iter().map(net).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}
