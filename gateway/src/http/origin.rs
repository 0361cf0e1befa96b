//! Which pages may connect: the gateway's own, and those that are listed.

use std::net::{IpAddr, Ipv6Addr};

use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HOST, HeaderMap, HeaderValue, ORIGIN,
    VARY,
};
use hyper::{Request, Response, StatusCode};

use super::peer::Peer;
use super::{Body, Site, forwarded, reply};
use crate::gateway::Gateway;

/// Where a page comes from: scheme, host and port (RFC 6454).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    is_https: bool,
    /// In lower case.
    host: String,
    port: u16,
}

impl Origin {
    /// None if it isn't written as browsers do, like `https://app.example` or `http://localhost:3000`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_https = forwarded::scheme_is_https(scheme)?;
        let (host, port) = host_and_port(rest)?;
        Some(Self {
            is_https,
            host: host.to_ascii_lowercase(),
            port: port.unwrap_or(port_of(is_https)),
        })
    }

    /// Whether the gateway itself has served the page, as seen from its client.
    fn is_own(&self, peer: &Peer, headers: &HeaderMap) -> bool {
        let Some((host, port)) = host_and_port(host(headers)) else {
            return false;
        };
        let is_https = peer.is_https(headers);
        // Some proxies leave the port out of `Host` and say it in `X-Forwarded-Port`. That may also be a port that only their
        // container has, so a `Host` without a port still means the usual one as well.
        let elsewhere = peer.forwarded_port(headers).filter(|_| port.is_none());
        let port = port.unwrap_or(port_of(is_https));
        self.is_https == is_https
            && self.host.eq_ignore_ascii_case(host)
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

fn host(headers: &HeaderMap) -> &str {
    headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default()
}

/// Whether the page that a request comes from may send it.
///
/// # Errors
/// It may not: the response.
pub(super) fn check(site: &Site, peer: &Peer, headers: &HeaderMap) -> Result<(), Response<Body>> {
    // Without authentication, a page elsewhere could have its name lead to this machine, and then be of the same origin
    // as the gateway. What it can't do is to change the name under which it asks.
    if !site.gateway.access.is_required() && !is_local(host(headers)) {
        return Err(refused(
            &site.gateway,
            "without authentication, the gateway answers only requests to localhost",
        ));
    }
    let Some(sent) = headers.get(ORIGIN) else {
        // Not a page, but a program.
        return Ok(());
    };
    if let Some(origin) = read(sent)
        && (origin.is_own(peer, headers) || site.settings.origins.contains(&origin))
    {
        return Ok(());
    }
    Err(refused(
        &site.gateway,
        "pages of this origin may not connect; the gateway's configuration lists under `origins` those that may",
    ))
}

/// Adds the headers that let pages of listed origins read the response.
pub(super) fn allow(
    site: &Site,
    request: &HeaderMap,
    mut response: Response<Body>,
) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("origin"));
    if let Some(sent) = request.get(ORIGIN)
        && read(sent).is_some_and(|origin| site.settings.origins.contains(&origin))
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, sent.clone());
        if site.settings.cookie.is_some() {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
    response
}

/// Answers a browser that asks whether a page may send a request.
pub(super) fn preflight<B>(site: &Site, peer: &Peer, request: &Request<B>) -> Response<Body> {
    if let Err(refusal) = check(site, peer, request.headers()) {
        return refusal;
    }
    let mut response = Response::new(reply::body(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed = HeaderValue::from_static("authorization, content-type");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    allow(site, request.headers(), response)
}

fn refused(gateway: &Gateway, reason: &str) -> Response<Body> {
    gateway.metrics.denied();
    reply::text(StatusCode::FORBIDDEN, &format!("{reason}\n"))
}

fn read(sent: &HeaderValue) -> Option<Origin> {
    sent.to_str().ok().and_then(Origin::parse)
}

/// Whether a `Host` header names this machine.
fn is_local(host: &str) -> bool {
    host_and_port(host).is_some_and(|(host, _)| {
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
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:8080",
            "10.0.0.1:8080",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
