//! Where a server listens.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// How the host marks an address where it speaks TLS.
const TLS: &str = "tls://";
/// How it tells a Unix socket's path from an address.
const UNIX: &str = "unix:";

/// An address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    /// Where TLS is spoken.
    Tls(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

/// What is no address and port is a path.
impl FromStr for Address {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let by_tls = text.strip_prefix(TLS).map(str::parse);
        Ok(match (by_tls, text.parse()) {
            (Some(Ok(addr)), _) => Self::Tls(addr),
            (_, Ok(addr)) => Self::Tcp(addr),
            _ => Self::Unix(text.strip_prefix(UNIX).unwrap_or(text).into()),
        })
    }
}

/// As the host says it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Tls(addr) => write!(f, "{TLS}{addr}"),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        let v6: SocketAddr = "[::1]:80".parse().unwrap();
        let path = || Address::Unix("/run/host.sock".into());
        for (text, address) in [
            ("[::1]:80", Address::Tcp(v6)),
            ("tls://[::1]:80", Address::Tls(v6)),
            ("unix:/run/host.sock", path()),
        ] {
            assert_eq!(text.parse(), Ok(address.clone()));
            assert_eq!(address.to_string(), text);
        }
        assert_eq!("/run/host.sock".parse(), Ok(path()));
    }
}
