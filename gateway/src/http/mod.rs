//! HTTP: connections in, requests to their places.

mod assets;
mod forwarded;
mod openapi;
mod origin;
mod reply;
mod tasks;
mod upgrade;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::{ErrorCode, TaskFailure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

pub(crate) use self::forwarded::Proxies;
pub(crate) use self::origin::Origin;
use crate::access::Identity;
use crate::app::{Gateway, Phase};
use crate::limits::ConnectionPermit;
use crate::metrics;
use crate::tls::Tls;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Of a request's head.
const HEAD_LEN_MAX: usize = 32 * 1024;
/// After an error that may pass, like too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// For a connection that is refused to take its answer, and how much it may have to say.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);
const REFUSED_LEN_MAX: u64 = 64 * 1024;
/// Connections that are being refused; more than these get no answer.
const REFUSALS_MAX: usize = 1024;
/// For the handshake.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// Takes connections for as long as it runs.
pub(crate) async fn accept(gateway: Arc<Gateway>, listener: TcpListener, tls: Option<Tls>) {
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Without it an answer may wait for the acknowledgement of the one before.
        drop(stream.set_nodelay(true));
        let gateway = Arc::clone(&gateway);
        let tls = tls.clone();
        let address = peer.ip().to_canonical();
        // Those for whom a proxy asks are counted one by one, as they ask.
        let is_proxy = gateway.config.trusted_proxies.contains(address);
        let Ok(permit) = gateway.caps.connect((!is_proxy).then_some(address)) else {
            if tls.is_none()
                && let Ok(refusal) = Arc::clone(&refusals).try_acquire_owned()
            {
                tokio::spawn(async move {
                    refuse(stream).await;
                    drop(refusal);
                });
            }
            continue;
        };
        let peer = Arc::new(Peer {
            address: peer,
            is_tls: tls.is_some(),
            is_proxy,
            permit: Mutex::new(Some(permit)),
        });
        tokio::spawn(async move {
            match tls {
                None => serve(gateway, stream, peer).await,
                Some(tls) => {
                    let handshake = timeout(TLS_TIMEOUT, tls.acceptor().accept(stream));
                    if let Ok(Ok(stream)) = handshake.await {
                        serve(gateway, stream, peer).await;
                    }
                }
            }
        });
    }
}

/// One connection too many. What it has sent is read, or the kernel would take the answer back.
async fn refuse(mut stream: TcpStream) {
    const REPLY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n";
    let refuse = async {
        stream.write_all(REPLY).await?;
        stream.shutdown().await?;
        copy(&mut stream.take(REFUSED_LEN_MAX), &mut sink()).await
    };
    drop(timeout(REFUSAL_TIMEOUT, refuse).await);
}

/// What is known of a connection.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) is_tls: bool,
    /// Whether it is believed when it says for whom it asks.
    pub(super) is_proxy: bool,
    /// Taken by the WebSocket that the connection becomes.
    pub(super) permit: Mutex<Option<ConnectionPermit>>,
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    gateway: Arc<Gateway>,
    stream: S,
    peer: Arc<Peer>,
) {
    let service = service_fn(|request| {
        let gateway = Arc::clone(&gateway);
        let peer = Arc::clone(&peer);
        async move { Ok::<_, Infallible>(route::<S>(gateway, peer, request).await) }
    });
    let mut phase = gateway.phase();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(gateway.config.limits.header_timeout)
        .max_buf_size(HEAD_LEN_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let stopping = phase.wait_for(|phase| *phase >= Phase::Draining);
    let done = tokio::select! {
        done = &mut connection => Some(done),
        _ = stopping => None,
    };
    let done = match done {
        Some(done) => done,
        None => {
            // The request that is being answered still is.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        tracing::debug!(peer = %peer.address, %error, "a connection ended badly");
    }
}

async fn route<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    gateway: Arc<Gateway>,
    peer: Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let method = request.method().clone();
    let get = method == Method::GET || method == Method::HEAD;
    match path.as_str() {
        "/ws" if get => upgrade::upgrade::<S>(gateway, &peer, request),
        "/tasks" if method == Method::POST => tasks::run(gateway, peer, request).await,
        "/tasks" | "/openapi.json" | "/functions.json" if method == Method::OPTIONS => {
            origin::preflight(&gateway, &peer, &request)
        }
        "/openapi.json" if get => identified(&gateway, &peer, &request, |identity| {
            openapi::document(&gateway, identity)
        }),
        "/functions.json" if get => identified(&gateway, &peer, &request, |identity| {
            openapi::functions(&gateway, identity)
        }),
        "/healthz" if get => reply::text(StatusCode::OK, "alive\n"),
        "/readyz" if get => ready(&gateway),
        "/metrics" if get => {
            if peer.address.ip().to_canonical().is_loopback()
                && !forwarded::is_forwarded(request.headers())
            {
                reply::text(StatusCode::OK, &metrics::page(&gateway))
            } else {
                reply::text(StatusCode::FORBIDDEN, "metrics are for this machine only\n")
            }
        }
        _ if get => assets::serve(&gateway, &path),
        "/ws" | "/tasks" | "/openapi.json" | "/functions.json" | "/healthz" | "/readyz"
        | "/metrics" | "/" => reply::method_not_allowed(&path),
        _ => reply::not_found(),
    }
}

/// For load balancers: whether a task would find its way.
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
                _ if host.draining => "draining".to_owned(),
                Some(error) => error,
                None => "not connected yet".to_owned(),
            };
            format!("no host: {}: {why}\n", host.address)
        })
        .collect();
    reply::text(StatusCode::SERVICE_UNAVAILABLE, &hosts.concat())
}

/// Answers those who may ask, as they may.
fn identified(
    gateway: &Gateway,
    peer: &Peer,
    request: &Request<Incoming>,
    answer: impl FnOnce(&Identity) -> Bytes,
) -> Response<Body> {
    if let Err(refusal) = origin::check(gateway, peer, request.headers()) {
        return refusal;
    }
    match credentials(gateway, request.headers()) {
        Credentials::Identity(identity) => origin::allow(
            gateway,
            request.headers(),
            reply::json(StatusCode::OK, answer(&identity)),
        ),
        Credentials::Missing => {
            reply::unauthorized(gateway, "a token is needed: `Authorization: Bearer TOKEN`")
        }
        Credentials::Denied(reason) => reply::unauthorized(gateway, &reason),
    }
}

/// What a request says of who asks.
pub(super) enum Credentials {
    Identity(Arc<Identity>),
    /// Nothing, and it should.
    Missing,
    Denied(String),
}

/// Looks into the header, and the cookie.
pub(super) fn credentials(gateway: &Gateway, headers: &HeaderMap) -> Credentials {
    let access = &gateway.config.access;
    if !access.is_required() {
        return Credentials::Identity(Arc::new(access.anonymous()));
    }
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim());
    let cookie = gateway.config.cookie.as_deref().and_then(|name| {
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
        Some(token) => match access.authenticate(token) {
            Ok(identity) => Credentials::Identity(Arc::new(identity)),
            Err(denied) => {
                gateway.metrics.denied();
                Credentials::Denied(denied.to_string())
            }
        },
    }
}

impl Peer {
    /// For whom it asks, if it is a proxy.
    pub(super) fn asks_for(&self, gateway: &Gateway, headers: &HeaderMap) -> Option<IpAddr> {
        let proxies = &gateway.config.trusted_proxies;
        self.is_proxy.then(|| proxies.client(headers)).flatten()
    }

    /// Whether nobody on the client's way to the first proxy, or to the gateway, can listen.
    pub(super) fn is_https(&self, headers: &HeaderMap) -> bool {
        let proxy_says = self
            .is_proxy
            .then(|| forwarded::is_https(headers))
            .flatten();
        proxy_says.unwrap_or(self.is_tls)
    }

    /// The port at which a proxy was asked, if it says so.
    pub(super) fn forwarded_port(&self, headers: &HeaderMap) -> Option<u16> {
        self.is_proxy.then(|| forwarded::port(headers)).flatten()
    }

    /// The permit, if no WebSocket has taken it.
    pub(super) fn with_permit<T>(
        &self,
        ask: impl FnOnce(&ConnectionPermit) -> Result<T, TaskFailure>,
    ) -> Result<T, TaskFailure> {
        let permit = self.permit.lock().unwrap_or_else(PoisonError::into_inner);
        match &*permit {
            Some(permit) => ask(permit),
            None => Err(TaskFailure::new(
                ErrorCode::BadRequest,
                "the connection has become a WebSocket",
            )),
        }
    }
}
