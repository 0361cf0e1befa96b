//! Which pages may speak with the gateway: its own, and those that are listed.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HOST, HeaderMap, HeaderValue, ORIGIN,
    VARY,
};
use hyper::{Request, Response, StatusCode};

use super::{Body, Peer, reply};
use crate::app::Gateway;

/// What a request may do, judged by the page that it comes from.
///
/// # Errors
/// The answer for pages that may not.
pub(super) fn check(
    gateway: &Gateway,
    peer: &Peer,
    headers: &HeaderMap,
) -> Result<(), Response<Body>> {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    // Where nobody has to say who they are, a page elsewhere could have its name lead to this machine, and then be of
    // the same origin as the gateway. What it can't do is to change the name under which it asks.
    if !gateway.config.access.is_required() && !is_local(host) {
        return Err(refused(
            gateway,
            "without authentication the gateway answers as localhost only",
        ));
    }
    let Some(origin) = headers.get(ORIGIN) else {
        // No page, but a program.
        return Ok(());
    };
    let scheme = if peer.is_https(headers) {
        "https"
    } else {
        "http"
    };
    let is_own = origin.as_bytes() == format!("{scheme}://{host}").as_bytes();
    if is_own || is_listed(gateway, origin) {
        return Ok(());
    }
    Err(refused(
        gateway,
        "pages of this origin may not speak with the gateway; its configuration lists under `origins` which may",
    ))
}

/// With what lets the page of a listed origin read it.
pub(super) fn allow(
    gateway: &Gateway,
    request: &HeaderMap,
    mut response: Response<Body>,
) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = request.get(ORIGIN)
        && is_listed(gateway, origin)
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if gateway.config.cookie.is_some() {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
    response
}

/// What a browser asks before it lets a page ask.
pub(super) fn preflight<B>(gateway: &Gateway, peer: &Peer, request: &Request<B>) -> Response<Body> {
    if let Err(refusal) = check(gateway, peer, request.headers()) {
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
    allow(gateway, request.headers(), response)
}

fn refused(gateway: &Gateway, reason: &str) -> Response<Body> {
    gateway.metrics.denied();
    reply::text(StatusCode::FORBIDDEN, &format!("{reason}\n"))
}

fn is_listed(gateway: &Gateway, origin: &HeaderValue) -> bool {
    gateway
        .config
        .origins
        .iter()
        .any(|listed| listed.as_bytes() == origin.as_bytes())
}

/// Whether a `Host` header names this machine.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_local;

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
