//! HTTP: accepts connections and routes requests.

mod accept;
mod assets;
mod credentials;
mod forwarded;
mod metrics;
mod openapi;
mod origin;
mod peer;
mod reply;
mod settings;
mod tasks;
mod upgrade;

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use self::accept::accept;
use self::credentials::identified;
use self::peer::Peer;
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

async fn route<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    site: Arc<Site>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let get = method == Method::GET || method == Method::HEAD;
    match path.as_str() {
        "/ws" if get => upgrade::upgrade::<S>(&site, &peer, request),
        "/tasks" if method == Method::POST => tasks::run(site, peer, request).await,
        "/tasks" | "/openapi.json" | "/functions.json" if method == Method::OPTIONS => {
            origin::preflight(&site, &peer, &request)
        }
        "/openapi.json" if get => identified(&site, &peer, &request, |identity| {
            openapi::document(&site.gateway, identity)
        }),
        "/functions.json" if get => identified(&site, &peer, &request, |identity| {
            openapi::functions(&site.gateway, identity)
        }),
        "/healthz" if get => reply::text(StatusCode::OK, "alive\n"),
        "/readyz" if get => ready(&site.gateway),
        "/metrics" if get => {
            if peer.address.ip().to_canonical().is_loopback()
                && !forwarded::is_forwarded(request.headers())
            {
                reply::text(StatusCode::OK, &metrics::page(&site.gateway))
            } else {
                reply::text(StatusCode::FORBIDDEN, "metrics are for this machine only\n")
            }
        }
        _ if get => assets::serve(&site.settings, &path),
        "/ws" | "/tasks" | "/openapi.json" | "/functions.json" | "/healthz" | "/readyz"
        | "/metrics" | "/" => reply::method_not_allowed(&path),
        _ => reply::not_found(),
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
