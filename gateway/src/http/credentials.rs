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
    judge(site, bearer(headers).or_else(|| cookie(site, headers))).await
}

/// The same, of a client that has said that its token follows: a browser sends its cookie all the same, and it may be
/// an old one.
pub(super) async fn credentials_without_cookie(site: &Site, headers: &HeaderMap) -> Credentials {
    judge(site, bearer(headers)).await
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn cookie<'a>(site: &Site, headers: &'a HeaderMap) -> Option<&'a str> {
    let name = site.settings.cookie.as_deref()?;
    let values = headers.get_all(COOKIE).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, token)| token)
}

async fn judge(site: &Site, token: Option<&str>) -> Credentials {
    let access = &site.gateway.access;
    if !access.is_required() {
        return Credentials::Identity(Arc::new(access.anonymous()));
    }
    match token {
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
