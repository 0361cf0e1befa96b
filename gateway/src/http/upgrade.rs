//! From a request to a WebSocket.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Body, Credentials, Peer, credentials, origin, reply};
use crate::app::Gateway;
use crate::socket::{self, Client, Mode, TASKS_V1};

pub(super) fn upgrade<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    gateway: Arc<Gateway>,
    peer: &Peer,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let headers = request.headers();
    let Some(key) = websocket_key(headers) else {
        let mut response = reply::text(
            StatusCode::UPGRADE_REQUIRED,
            "this is the place for WebSockets (RFC 6455), version 13\n",
        );
        let wanted = response.headers_mut();
        wanted.insert(UPGRADE, HeaderValue::from_static("websocket"));
        wanted.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return response;
    };
    if let Err(refusal) = origin::check(&gateway, peer, headers) {
        return refusal;
    }
    let mode = match mode(headers) {
        Some(mode) => mode,
        None => {
            let message = format!("the subprotocol is {TASKS_V1}, or none\n");
            return reply::text(StatusCode::BAD_REQUEST, &message);
        }
    };
    let identity = match credentials(&gateway, headers) {
        Credentials::Identity(identity) => Some(identity),
        // It may say so in its first message.
        Credentials::Missing => None,
        Credentials::Denied(reason) => return reply::unauthorized(&gateway, &reason),
    };
    if !gateway.is_serving() {
        return reply::unavailable("the gateway is about to stop");
    }
    let permit = peer
        .permit
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some(mut permit) = permit else {
        return reply::text(
            StatusCode::BAD_REQUEST,
            "the connection is a WebSocket already\n",
        );
    };
    if let Some(address) = peer.asks_for(&gateway, headers)
        && permit.of_address(address).is_err()
    {
        *peer.permit.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
        return reply::unavailable("too many connections");
    }
    gateway.metrics.connected();
    let client = Client {
        identity,
        mode,
        permit,
    };
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        // The connection itself, without the layers that HTTP needed.
        match upgraded.downcast::<TokioIo<S>>() {
            Ok(parts) => {
                let stream = parts.io.into_inner();
                socket::serve(gateway, stream, parts.read_buf, client).await;
            }
            Err(upgraded) => {
                let stream = TokioIo::new(upgraded);
                Box::pin(socket::serve(gateway, stream, Bytes::new(), client)).await;
            }
        }
    });
    let mut response = Response::new(reply::body(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if mode == Mode::TasksV1 {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(TASKS_V1));
    }
    response
}

/// The key of a request that is as RFC 6455, section 4.2.1, wants it.
fn websocket_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let names = |header: HeaderName, wanted: &str| {
        headers
            .get_all(header)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    let is_upgrade = names(CONNECTION, "upgrade")
        && names(UPGRADE, "websocket")
        && headers
            .get(SEC_WEBSOCKET_VERSION)
            .is_some_and(|version| version.as_bytes() == b"13");
    headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| is_upgrade && key.len() == 24)
        .cloned()
}

/// None if the client names subprotocols, and ours isn't among them.
fn mode(headers: &HeaderMap) -> Option<Mode> {
    let mut named = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .peekable();
    if named.peek().is_none() {
        return Some(Mode::Plain);
    }
    named
        .any(|name| name == TASKS_V1.as_bytes())
        .then_some(Mode::TasksV1)
}
