//! What proxies say about their clients.

use std::net::IpAddr;

use hyper::header::HeaderMap;

use crate::access::Proxies;

const FORWARDED_FOR: &str = "x-forwarded-for";
const FORWARDED_PROTO: &str = "x-forwarded-proto";
const FORWARDED_PORT: &str = "x-forwarded-port";

/// The client of one of these proxies: the last address in the list that isn't a proxy's. Anybody may have written what
/// stands before it.
pub(super) fn client(proxies: &Proxies, headers: &HeaderMap) -> Option<IpAddr> {
    headers
        .get_all(FORWARDED_FOR)
        .iter()
        .rev()
        .flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b','))
        .map(|bytes| str::from_utf8(bytes).ok().and_then(address))
        .find(|address| address.is_none_or(|address| !proxies.contains(address)))
        .flatten()
}

/// Whether the proxy's client uses TLS, if the proxy says so.
pub(super) fn is_https(headers: &HeaderMap) -> Option<bool> {
    scheme_is_https(last(headers, FORWARDED_PROTO)?)
}

/// Whether that scheme means TLS; none if it is another one. Of a WebSocket, Traefik says `wss` or `ws`.
pub(super) fn scheme_is_https(scheme: &str) -> Option<bool> {
    match scheme.to_ascii_lowercase().as_str() {
        "https" | "wss" => Some(true),
        "http" | "ws" => Some(false),
        _ => None,
    }
}

/// The port that the proxy's client has connected to, if the proxy says so.
pub(super) fn port(headers: &HeaderMap) -> Option<u16> {
    last(headers, FORWARDED_PORT)?.parse().ok()
}

/// The value that the last proxy has set.
fn last<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let value = headers.get_all(name).iter().next_back()?;
    value.to_str().ok()?.rsplit(',').next().map(str::trim)
}

/// Whether the request has come through a proxy, trusted or not.
pub(super) fn is_forwarded(headers: &HeaderMap) -> bool {
    ["forwarded", FORWARDED_FOR, "x-real-ip", "via"]
        .into_iter()
        .any(|name| headers.contains_key(name))
}

/// Reads an address, after which some proxies write the port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next())
        .unwrap_or(text);
    bare.parse()
        .ok()
        .or_else(|| bare.rsplit_once(':')?.0.parse().ok())
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn client(lines: &[&'static str]) -> Option<String> {
        let trusted = ["127.0.0.0/8", "2001:db8::/32"].map(str::to_owned);
        let proxies = Proxies::check(&trusted).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                FORWARDED_FOR,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        super::client(&proxies, &headers).map(|address| address.to_string())
    }

    #[test]
    fn the_last_that_is_no_proxy_asks() {
        for (lines, expected) in [
            (&["203.0.113.7"][..], Some("203.0.113.7")),
            (&["10.0.0.1, 203.0.113.7"], Some("203.0.113.7")),
            (
                &["203.0.113.7, 127.0.0.1", "2001:db8::1"],
                Some("203.0.113.7"),
            ),
            (&["203.0.113.7:4711"], Some("203.0.113.7")),
            (&["[2001:db9::7]:4711"], Some("2001:db9::7")),
            (&["2001:db9::7"], Some("2001:db9::7")),
            (&["::ffff:203.0.113.7"], Some("203.0.113.7")),
            (&["203.0.113.7, unknown"], None),
            (&["\u{ff}, 203.0.113.7"], Some("203.0.113.7")),
            (&["127.0.0.1"], None),
            (&[""], None),
            (&[], None),
        ] {
            assert_eq!(client(lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_last_proxy_says_how_the_client_speaks() {
        for (line, expected) in [
            ("https", Some(true)),
            ("http, https", Some(true)),
            ("https, http", Some(false)),
            ("wss", Some(true)),
            ("WS", Some(false)),
            ("gopher", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static(line));
            assert_eq!(is_https(&headers), expected, "{line}");
        }
        assert_eq!(is_https(&HeaderMap::new()), None);
    }
}
