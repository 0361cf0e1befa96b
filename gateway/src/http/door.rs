//! Who may come in: `Host`, `Origin` and CORS, decided here for every path.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW,
    HOST, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode, Version};

use super::origin::{self, Origin};
use super::peer::Peer;
use super::routes::{Audience, Route};
use super::{Body, Site, forwarded, reply};

/// What pages may read of an answer besides its body.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after, www-authenticate");

/// Whether the request may be made.
///
/// # Errors
/// It may not: the response.
pub(super) fn check(
    site: &Site,
    peer: &Peer,
    route: &Route,
    head: &mut Parts,
) -> Result<(), Response<Body>> {
    settle_host(head)
        .map_err(|problem| reply::text(StatusCode::BAD_REQUEST, &format!("{problem}\n")))?;
    let refusal = refusal(site, peer, route, &head.headers);
    refusal.map_or(Ok(()), |reason| {
        site.gateway.metrics.denied();
        Err(reply::text(StatusCode::FORBIDDEN, &format!("{reason}\n")))
    })
}

/// Leaves one `Host` at most, the one that counts (RFC 9112, section 3.2).
///
/// # Errors
/// It is missing, there are several, or it is not a host: a sentence.
fn settle_host(head: &mut Parts) -> Result<(), &'static str> {
    if head.headers.get_all(HOST).iter().count() > 1 {
        return Err("there is more than one `Host`");
    }
    if let Some(authority) = head.uri.authority() {
        let authority = HeaderValue::from_str(authority.as_str())
            .map_err(|_| "the request's target has no valid host")?;
        head.headers.insert(HOST, authority);
    }
    match head.headers.get(HOST) {
        None if head.version > Version::HTTP_10 => Err("`Host` is missing"),
        None => Ok(()),
        Some(host) if origin::is_host(host) => Ok(()),
        Some(_) => Err("`Host` is not a host"),
    }
}

/// Why the request is refused, if it is.
fn refusal(site: &Site, peer: &Peer, route: &Route, headers: &HeaderMap) -> Option<&'static str> {
    // A page elsewhere could have its name lead to this machine, and then be of the same origin as the gateway. What it
    // can't do is to change the name under which it asks.
    let names_this_machine = headers.get(HOST).is_none_or(origin::is_local);
    if route.audience == Audience::Machine {
        let is_here = peer.address.ip().to_canonical().is_loopback();
        if !is_here || forwarded::is_forwarded(headers) || !names_this_machine {
            return Some("this is for programs on this machine only, and under its own name");
        }
    }
    if !site.gateway.access.is_required() && !names_this_machine {
        return Some("without authentication, the gateway answers only requests to localhost");
    }
    // Who sends none is a program, or the gateway's own page.
    let sent = headers.get(ORIGIN)?;
    let may = route.audience == Audience::Everybody
        || origin::read(sent)
            .is_some_and(|origin| origin.is_own(peer, headers) || is_listed(site, &origin));
    (!may).then_some(
        "pages of this origin may not connect; the gateway's configuration lists under `origins` those that may",
    )
}

fn is_listed(site: &Site, origin: &Origin) -> bool {
    let listed = &site.settings.origins;
    listed.iter().any(|pattern| pattern.matches(origin))
}

/// Adds to a response, whatever it is, what lets pages read it that may.
pub(super) fn label(
    site: &Site,
    route: &Route,
    sent: Option<&HeaderValue>,
    response: &mut Response<Body>,
) {
    let headers = response.headers_mut();
    if route.audience == Audience::Everybody {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        return;
    }
    headers.append(VARY, HeaderValue::from_static("origin"));
    if let Some(sent) = sent
        && origin::read(sent).is_some_and(|origin| is_listed(site, &origin))
    {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, sent.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
        if site.settings.cookie.is_some() {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
}

/// Answers whoever asks what may be done: a browser, before a page's request.
pub(super) fn options(route: &Route) -> Response<Body> {
    let mut response = Response::new(reply::body(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static(route.methods);
    headers.insert(ALLOW, methods.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed = HeaderValue::from_static("authorization, content-type");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}
