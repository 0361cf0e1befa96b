//! Proxies that are trusted.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::config::ConfigError;

/// Proxies that are believed in what they say of their clients.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Addresses and networks, as `trusted_proxies` lists them.
    ///
    /// # Errors
    /// One of them is neither.
    pub fn check(list: &[String]) -> Result<Self, ConfigError> {
        let net = |text: &String| {
            let address = || text.parse::<IpAddr>().map(IpNet::from);
            text.parse().or_else(|_| address()).map_err(|_| {
                let problem = format!(
                    "{text:?} is neither an address, like \"127.0.0.1\", nor a network, like \"10.0.0.0/8\""
                );
                ConfigError::value("trusted_proxies", problem)
            })
        };
        let plain = |net: IpNet| match net {
            // Peers are known by the plain form of such an address.
            IpNet::V6(mapped) if mapped.prefix_len() >= 96 => {
                match mapped.addr().to_ipv4_mapped() {
                    Some(address) => {
                        Ipv4Net::new(address, mapped.prefix_len() - 96).map_or(net, IpNet::V4)
                    }
                    None => net,
                }
            }
            _ => net,
        };
        list.iter()
            .map(|text| net(text).map(plain))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is the address of one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv4_is_one_however_it_is_written() {
        let listed = ["::ffff:10.0.0.1", "::ffff:10.1.0.0/112", "2001:db8::/32"].map(str::to_owned);
        let proxies = Proxies::check(&listed).unwrap();
        for (address, expected) in [
            ("10.0.0.1", true),
            ("10.0.0.2", false),
            ("10.1.7.7", true),
            ("10.2.0.1", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(
                proxies.contains(address.parse().unwrap()),
                expected,
                "{address}"
            );
        }
    }
}
