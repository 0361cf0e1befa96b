//! The token that a request carries in its header or its cookie.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use super::{Body, Site, reply};
use crate::access::{Denied, Identity};

/// The answer to requests without a token.
pub(super) const TOKEN_NEEDED: &str = "a token is needed: `Authorization: Bearer TOKEN`";

/// Who has sent a request.
pub(super) enum Credentials {
    Identity(Arc<Identity>),
    /// It has no token, and needs one.
    Missing,
    Denied(Denied),
}

/// Reads the token from the header or the cookie.
pub(super) async fn credentials(site: &Site, headers: &HeaderMap) -> Credentials {
    let access = &site.gateway.access;
    if !access.is_required() {
        return Credentials::Identity(Arc::new(access.anonymous()));
    }
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let cookie = site.settings.cookie.as_deref().and_then(|name| {
        headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, token)| token)
    });
    match bearer.or(cookie) {
        None => Credentials::Missing,
        Some(token) => match access.authenticate(token).await {
            Ok(identity) => Credentials::Identity(Arc::new(identity)),
            Err(denied) => Credentials::Denied(denied),
        },
    }
}

/// Answers the request if its token allows it.
pub(super) async fn identified(
    site: &Site,
    head: &Parts,
    answer: impl FnOnce(&Identity) -> Bytes,
) -> Response<Body> {
    match credentials(site, &head.headers).await {
        Credentials::Identity(identity) => reply::json(StatusCode::OK, answer(&identity)),
        Credentials::Missing => reply::unauthorized(&site.gateway, TOKEN_NEEDED),
        Credentials::Denied(denied) => reply::denied(&site.gateway, &denied),
    }
}
