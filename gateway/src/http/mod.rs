//! HTTP: accepts connections and routes requests.

mod accept;
mod assets;
mod body;
mod credentials;
mod door;
mod forwarded;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod metrics;
mod openapi;
mod origin;
mod pace;
mod peer;
mod reply;
mod routes;
mod schema;
mod settings;
mod tasks;
mod upgrade;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, ORIGIN};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use self::accept::accept;
use self::body::RequestBody;
use self::credentials::identified;
use self::pace::{Answer, Exchange};
use self::peer::Peer;
use self::routes::{Page, Route};
pub(crate) use self::settings::{Keys, Settings};
use crate::gateway::Gateway;
use crate::socket;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What every request is answered with.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) settings: Settings,
    pub(crate) socket: Arc<socket::Settings>,
}

/// Answers a request, whatever it is.
async fn respond<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    site: Arc<Site>,
    peer: Arc<Peer>,
    mut request: Request<Incoming>,
    exchange: Exchange,
) -> Response<Answer> {
    let upgraded = hyper::upgrade::on(&mut request);
    let (mut head, incoming) = request.into_parts();
    let mut body = RequestBody::new(incoming, &head.headers);
    let route = Route::of(head.uri.path(), &site.settings);
    let sent_origin = head.headers.get(ORIGIN).cloned();
    let mut response = match door::check(&site, &peer, &route, &mut head) {
        Ok(()) => serve::<S>(&site, &peer, &route, &head, &mut body, upgraded).await,
        Err(refusal) => refusal,
    };
    door::label(&site, &route, sent_origin.as_ref(), &mut response);
    if body.may_never_come() {
        // What comes next may be the body or another request: nobody can tell.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response.map(|answer| exchange.answer(answer, body))
}

/// Answers a request that may be made.
async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    site: &Site,
    peer: &Peer,
    route: &Route,
    head: &Parts,
    body: &mut RequestBody,
    upgraded: OnUpgrade,
) -> Response<Body> {
    if matches!(route.page, Page::None) {
        return reply::not_found();
    }
    if !route.takes(&head.method) {
        return reply::method_not_allowed(head.uri.path(), route.methods);
    }
    if head.method == Method::OPTIONS {
        return door::options(route);
    }
    match route.page {
        Page::Socket => upgrade::upgrade::<S>(site, peer, head, upgraded).await,
        Page::Tasks => tasks::run(site, peer, head, body).await,
        Page::OpenApi => {
            identified(site, head, |identity| {
                openapi::document(&site.gateway, identity)
            })
            .await
        }
        Page::Functions => {
            identified(site, head, |identity| {
                openapi::functions(&site.gateway, identity)
            })
            .await
        }
        Page::Health => reply::text(StatusCode::OK, "alive\n"),
        Page::Readiness => ready(&site.gateway),
        Page::Metrics => reply::text(StatusCode::OK, &metrics::page(&site.gateway)),
        Page::Asset(asset) => assets::serve(asset),
        Page::None => reply::not_found(),
    }
}

/// For load balancers: whether a task would reach a host.
fn ready(gateway: &Gateway) -> Response<Body> {
    if !gateway.is_serving() {
        return reply::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
    }
    if gateway.upstream.is_ready() {
        return reply::text(StatusCode::OK, "ready\n");
    }
    let hosts: Vec<_> = gateway
        .upstream
        .hosts()
        .into_iter()
        .map(|host| {
            let why = match host.last_error {
                _ if host.is_draining => "draining".to_owned(),
                Some(error) => error,
                None => "not connected yet".to_owned(),
            };
            format!("no host: {}: {why}\n", host.address)
        })
        .collect();
    reply::text(StatusCode::SERVICE_UNAVAILABLE, &hosts.concat())
}
