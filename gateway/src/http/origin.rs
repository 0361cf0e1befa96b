//! Which pages may connect: the gateway's own, and those that are listed.

use std::net::{IpAddr, Ipv6Addr};

use hyper::header::{HOST, HeaderMap, HeaderValue};

use super::forwarded;
use super::peer::Peer;

/// Where a page comes from: scheme, host and port (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    is_https: bool,
    /// In lower case, an IPv6 address in its shortest form.
    host: String,
    port: u16,
}

/// Origins that may connect, as the configuration lists them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OriginPattern {
    /// Without the label that may be any.
    origin: Origin,
    /// Whether one label of any name stands before the host, as in `https://*.example.com`.
    is_wildcard: bool,
}

impl OriginPattern {
    /// # Errors
    /// No page has such an origin: what to write, as a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let not = |problem: &str| format!("{text:?} is not an origin: {problem}");
        let (scheme, rest) = text
            .split_once("://")
            .ok_or_else(|| not("write its scheme, like \"https://app.example\""))?;
        if rest.contains(['/', '?', '#']) {
            return Err(not(
                "write it without what comes after host and port, like \"https://app.example\"",
            ));
        }
        let (is_wildcard, host) = match rest.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, rest),
        };
        if host.contains('*') {
            return Err(not(
                "`*` stands for one whole label at the beginning, like \"https://*.example.com\"",
            ));
        }
        if !host.is_ascii() {
            return Err(not(
                "write the host as browsers send it, like \"https://xn--bcher-kva.example\"",
            ));
        }
        let origin = Origin::parse(&format!("{scheme}://{host}")).ok_or_else(|| {
            not("write scheme, full name and, unless it is the usual one, port, like \"https://app.example\" or \"http://localhost:3000\"")
        })?;
        let is_name = !origin.host.starts_with('[') && origin.host.parse::<IpAddr>().is_err();
        if is_wildcard && !(is_name && origin.host.contains('.')) {
            return Err(not(
                "behind `*.` comes a name of two labels or more, like \"https://*.example.com\"",
            ));
        }
        Ok(Self {
            origin,
            is_wildcard,
        })
    }

    pub(crate) fn matches(&self, page: &Origin) -> bool {
        if !self.is_wildcard {
            return self.origin == *page;
        }
        let label = page
            .host
            .strip_suffix(&self.origin.host)
            .and_then(|rest| rest.strip_suffix('.'));
        self.origin.is_https == page.is_https
            && self.origin.port == page.port
            && label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
    }
}

impl Origin {
    /// None if it isn't written as browsers do, like `https://app.example` or `http://localhost:3000`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_https = forwarded::scheme_is_https(scheme)?;
        let (host, port) = host_and_port(rest)?;
        Some(Self {
            is_https,
            host: plain(host),
            port: port.unwrap_or(port_of(is_https)),
        })
    }

    /// Whether the gateway itself has served the page, as seen from its client.
    pub(super) fn is_own(&self, peer: &Peer, headers: &HeaderMap) -> bool {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let Some((host, port)) = host.and_then(host_and_port) else {
            return false;
        };
        let is_https = peer.is_https(headers);
        // Some proxies leave the port out of `Host` and say it in `X-Forwarded-Port`. That may also be a port that only their
        // container has, so a `Host` without a port still means the usual one as well.
        let elsewhere = peer.forwarded_port(headers).filter(|_| port.is_none());
        let port = port.unwrap_or(port_of(is_https));
        self.is_https == is_https
            && self.host == plain(host)
            && (self.port == port || Some(self.port) == elsewhere)
    }
}

fn port_of(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

/// The parts of a `Host` header, and of an origin after its scheme.
fn host_and_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match text.rsplit_once(':') {
        // Otherwise the colon is one of an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let port = match port {
        "" => None,
        _ if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        _ => return None,
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_host = match bare(host) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(is_name),
    };
    is_host.then_some((host, port))
}

/// An IPv6 address without its brackets.
fn bare(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

/// The one way to write a host.
fn plain(host: &str) -> String {
    match bare(host).map(str::parse::<Ipv6Addr>) {
        Some(Ok(address)) => format!("[{address}]"),
        _ => host.to_ascii_lowercase(),
    }
}

pub(super) fn read(sent: &HeaderValue) -> Option<Origin> {
    sent.to_str().ok().and_then(Origin::parse)
}

/// Whether a `Host` header is one.
pub(super) fn is_host(value: &HeaderValue) -> bool {
    value
        .to_str()
        .is_ok_and(|host| host_and_port(host).is_some())
}

/// Whether a `Host` header names this machine.
pub(super) fn is_local(value: &HeaderValue) -> bool {
    let host = value.to_str().ok().and_then(host_and_port);
    host.is_some_and(|(host, _)| {
        let address = bare(host).unwrap_or(host).parse();
        host.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address: IpAddr| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use hyper::header::HeaderName;

    use super::*;

    fn headers(lines: &str) -> HeaderMap {
        let lines = lines.split("; ").map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            let name: HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        lines.collect()
    }

    fn peer(is_proxy: bool, is_tls: bool) -> Peer {
        Peer {
            address: "127.0.0.1:4711".parse().unwrap(),
            is_tls,
            is_proxy,
            permit: Mutex::new(None),
        }
    }

    #[test]
    #[rustfmt::skip]
    fn pages_that_came_by_a_proxy() {
        // As a WebSocket, and as another request; at another port; behind a load balancer that it trusts.
        const TRAEFIK: [&str; 4] = [
            "Host: own.example; X-Forwarded-Host: own.example; X-Forwarded-Port: 443; X-Forwarded-Proto: wss",
            "Host: own.example; X-Forwarded-Host: own.example; X-Forwarded-Port: 443; X-Forwarded-Proto: https",
            "Host: own.example:8443; X-Forwarded-Host: own.example:8443; X-Forwarded-Port: 8443; X-Forwarded-Proto: wss",
            "Host: own.example; X-Forwarded-Host: own.example; X-Forwarded-Port: 8443; X-Forwarded-Proto: https",
        ];
        const TRAEFIK_WITHOUT_TLS: &str =
            "Host: own.example:8000; X-Forwarded-Host: own.example:8000; X-Forwarded-Port: 8000; X-Forwarded-Proto: ws";
        // With `$http_host`, `$host`, `$host:$server_port`; with `$host` and `X-Forwarded-Port $server_port`.
        const NGINX: [&str; 4] = [
            "Host: own.example:18443; X-Forwarded-Proto: https",
            "Host: own.example; X-Forwarded-Proto: https",
            "Host: own.example:443; X-Forwarded-Proto: https",
            "Host: own.example; X-Forwarded-Proto: https; X-Forwarded-Port: 18443",
        ];
        const CADDY: &str =
            "Host: Own.Example:18443; X-Forwarded-Host: Own.Example:18443; X-Forwarded-Proto: https";
        // By `http-request set-header X-Forwarded-Proto https if { ssl_fc }`.
        const HAPROXY: [&str; 2] =
            ["Host: own.example:18443; X-Forwarded-Proto: https", "Host: own.example:8000"];
        for (sent, origin, expected) in [
            (TRAEFIK[0], "https://own.example", true),
            (TRAEFIK[0], "http://own.example", false),
            (TRAEFIK[0], "https://own.example:8443", false),
            (TRAEFIK[0], "https://evil.example", false),
            (TRAEFIK[1], "https://own.example", true),
            (TRAEFIK[1], "https://evil.example", false),
            (TRAEFIK[2], "https://own.example:8443", true),
            (TRAEFIK[2], "https://own.example", false),
            (TRAEFIK[3], "https://own.example:8443", true),
            (TRAEFIK[3], "https://evil.example:8443", false),
            (TRAEFIK_WITHOUT_TLS, "http://own.example:8000", true),
            (TRAEFIK_WITHOUT_TLS, "https://own.example:8000", false),
            (TRAEFIK_WITHOUT_TLS, "http://own.example", false),
            (NGINX[0], "https://own.example:18443", true),
            (NGINX[0], "https://own.example:18444", false),
            (NGINX[0], "https://own.example", false),
            (NGINX[0], "https://evil.example:18443", false),
            (NGINX[1], "https://own.example", true),
            (NGINX[1], "https://own.example:18443", false),
            (NGINX[2], "https://own.example", true),
            (NGINX[2], "https://own.example:443", true),
            (NGINX[2], "https://own.example:80", false),
            (NGINX[3], "https://own.example:18443", true),
            // In a container, whose port 18443 is the machine's 443.
            (NGINX[3], "https://own.example", true),
            (NGINX[3], "https://own.example:8443", false),
            (NGINX[3], "http://own.example:18443", false),
            (CADDY, "https://own.example:18443", true),
            (CADDY, "https://evil.example:18443", false),
            (HAPROXY[0], "https://own.example:18443", true),
            (HAPROXY[0], "https://own.example.evil.example:18443", false),
            (HAPROXY[1], "http://own.example:8000", true),
            (HAPROXY[1], "https://own.example:8000", false),
            ("Host: [2001:DB8::7]:8443; X-Forwarded-Proto: https", "https://[2001:db8::7]:8443", true),
            ("Host: [2001:db8::7]; X-Forwarded-Proto: https", "https://[2001:db8::8]", false),
            ("X-Forwarded-Host: own.example; X-Forwarded-Proto: https", "https://own.example", false),
        ] {
            let origin = Origin::parse(origin).unwrap();
            let is_own = origin.is_own(&peer(true, false), &headers(sent));
            assert_eq!(is_own, expected, "{origin:?}: {sent}");
        }
    }

    #[test]
    fn who_is_no_proxy_says_nothing_of_itself() {
        let sent = headers("Host: own.example; X-Forwarded-Port: 8443; X-Forwarded-Proto: https");
        for (is_tls, origin, expected) in [
            (false, "http://own.example", true),
            (false, "https://own.example", false),
            (false, "http://own.example:8443", false),
            (true, "https://own.example", true),
            (true, "https://own.example:8443", false),
        ] {
            let page = Origin::parse(origin).unwrap();
            let is_own = page.is_own(&peer(false, is_tls), &sent);
            assert_eq!(is_own, expected, "{origin}, TLS: {is_tls}");
        }
    }

    #[test]
    fn a_proxy_that_speaks_tls_with_the_gateway_may_not_with_its_client() {
        let page = Origin::parse("http://own.example").unwrap();
        let plain = headers("Host: own.example; X-Forwarded-Proto: http");
        assert!(page.is_own(&peer(true, true), &plain));
        let silent = headers("Host: own.example");
        assert!(!page.is_own(&peer(true, true), &silent));
    }

    #[test]
    fn what_is_no_origin() {
        for text in [
            "",
            "null",
            "own.example",
            "https://",
            "https://:443",
            "https://own.example/",
            "https://own.example:+443",
            "https://own.example:65536",
            "https://own.example:443:443",
            "https://own.example@evil.example",
            "https://*.example",
            "https://own.example, https://evil.example",
            "https://2001:db8::7",
            "https://[own.example]",
            "https://[::1",
            "chrome-extension://abcdefgh",
        ] {
            assert_eq!(Origin::parse(text), None, "{text}");
        }
    }

    #[test]
    fn names_of_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.8.8.8",
            "[::1]:80",
            "[::1]",
        ] {
            assert!(is_local(&HeaderValue::from_static(host)), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:8080",
            "10.0.0.1:8080",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_local(&HeaderValue::from_static(host)), "{host}");
        }
    }
    #[test]
    fn what_is_listed_matches_what_browsers_send() {
        for (listed, sent, expected) in [
            ("https://App.Example", "https://app.example", true),
            ("https://app.example:443", "https://app.example", true),
            ("wss://app.example", "https://app.example", true),
            ("http://app.example:80", "http://app.example", true),
            (
                "http://[2001:DB8:0::7]:8080",
                "http://[2001:db8::7]:8080",
                true,
            ),
            ("https://app.example", "http://app.example", false),
            ("https://*.example.com", "https://app.example.com", true),
            ("https://*.Example.com:443", "https://app.example.com", true),
            ("https://*.example.com", "https://a.b.example.com", false),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://.example.com", false),
            ("https://*.example.com", "https://evilexample.com", false),
            (
                "https://*.example.com",
                "https://app.example.com:8443",
                false,
            ),
            (
                "https://*.example.com:8443",
                "https://app.example.com:8443",
                true,
            ),
            ("https://*.example.com", "http://app.example.com", false),
            (
                "https://*.example.com",
                "https://app.example.com.evil.example",
                false,
            ),
        ] {
            let pattern = OriginPattern::parse(listed).unwrap();
            let page = Origin::parse(sent).unwrap();
            assert_eq!(pattern.matches(&page), expected, "{listed}: {sent}");
        }
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_what_to_write() {
        for (listed, told) in [
            ("app.example", "its scheme"),
            ("*", "its scheme"),
            ("null", "its scheme"),
            ("https://app.example/", "without what comes after"),
            ("https://app.example/path", "without what comes after"),
            ("https://*", "one whole label"),
            ("https://app-*.example", "one whole label"),
            ("https://*.*.example", "one whole label"),
            ("https://*.com", "two labels"),
            ("https://*.10.0.0.1", "two labels"),
            ("https://b\u{fc}cher.example", "xn--"),
            ("file:///home", "without what comes after"),
            ("chrome-extension://abcdefgh", "full name"),
        ] {
            let problem = OriginPattern::parse(listed).unwrap_err();
            assert!(problem.contains(told), "{listed}: {problem}");
        }
    }
}
