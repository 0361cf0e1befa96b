//! From a request to a WebSocket.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use service::sync::lock;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::credentials::{Credentials, credentials, credentials_without_cookie};
use super::pace::Paced;
use super::peer::Peer;
use super::{Body, Site, reply};
use crate::socket::{self, Client, Mode, TASKS_V1};

/// Lets the connection of a request become a WebSocket.
pub(super) async fn upgrade<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    site: &Site,
    peer: &Peer,
    head: &Parts,
    upgraded: OnUpgrade,
) -> Response<Body> {
    let key = match handshake(head) {
        Ok(key) => key,
        Err(Refused::NoHandshake) => return upgrade_required(),
        Err(Refused::Wrong(why)) => {
            let message = format!("{why} (RFC 6455, section 4.2.1)\n");
            return reply::text(StatusCode::BAD_REQUEST, &message);
        }
    };
    let client = match admit(site, peer, head).await {
        Ok(client) => client,
        Err(refusal) => return refusal,
    };
    site.gateway.metrics.connected();
    let response = switching_protocols(&key, client.mode);
    let gateway = Arc::clone(&site.gateway);
    let settings = Arc::clone(&site.socket);
    tokio::spawn(async move {
        let Ok(upgraded) = upgraded.await else { return };
        // The connection itself, without the layers that HTTP needed.
        match upgraded.downcast::<TokioIo<Paced<S>>>() {
            Ok(parts) => {
                let stream = parts.io.into_inner().into_inner();
                socket::serve(gateway, settings, stream, parts.read_buf, client).await;
            }
            Err(upgraded) => {
                let stream = TokioIo::new(upgraded);
                let serving = socket::serve(gateway, settings, stream, Bytes::new(), client);
                Box::pin(serving).await;
            }
        }
    });
    response
}

/// What is known of the client, or the response if it may not have a WebSocket.
async fn admit(site: &Site, peer: &Peer, head: &Parts) -> Result<Client, Response<Body>> {
    let headers = &head.headers;
    let mode = mode(headers).ok_or_else(|| {
        let message = format!("use the subprotocol {TASKS_V1}, or none\n");
        reply::text(StatusCode::BAD_REQUEST, &message)
    })?;
    let said = if token_follows(head) {
        credentials_without_cookie(site, headers).await
    } else {
        credentials(site, headers).await
    };
    let identity = match said {
        Credentials::Identity(identity) => Some(identity),
        // It may say who it is in its first message.
        Credentials::Missing => None,
        Credentials::Denied(denied) => return Err(reply::denied(&site.gateway, &denied)),
    };
    if !site.gateway.is_serving() {
        return Err(reply::unavailable("the gateway is about to stop"));
    }
    let mut permit = lock(&peer.permit).take().ok_or_else(|| {
        let message = "the connection is a WebSocket already\n";
        reply::text(StatusCode::BAD_REQUEST, message)
    })?;
    if let Some(address) = peer.asks_for(&site.settings.trusted_proxies, headers)
        && permit.of_address(address).is_err()
    {
        *lock(&peer.permit) = Some(permit);
        return Err(reply::unavailable("too many connections"));
    }
    Ok(Client {
        identity,
        mode,
        permit,
    })
}

/// Whether the client announces a token in its first message.
fn token_follows(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    query.split('&').any(|pair| pair == "token=follows")
}

fn upgrade_required() -> Response<Body> {
    let mut response = reply::text(
        StatusCode::UPGRADE_REQUIRED,
        "/ws takes WebSocket connections (RFC 6455, version 13)\n",
    );
    let wanted = response.headers_mut();
    wanted.insert(UPGRADE, HeaderValue::from_static("websocket"));
    wanted.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    response
}

fn switching_protocols(key: &HeaderValue, mode: Mode) -> Response<Body> {
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

/// Why a request does not become a WebSocket.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// It does not want to, or in another version.
    NoHandshake,
    /// It is not as RFC 6455 has it.
    Wrong(&'static str),
}

/// The key of a request for a WebSocket.
///
/// # Errors
/// It isn't one by RFC 6455, section 4.2.1.
fn handshake(head: &Parts) -> Result<HeaderValue, Refused> {
    let headers = &head.headers;
    let names = |header: HeaderName, wanted: &str| {
        headers
            .get_all(header)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    if !names(UPGRADE, "websocket") {
        return Err(Refused::NoHandshake);
    }
    let wrong = |why| Err(Refused::Wrong(why));
    if head.method != Method::GET {
        return wrong("a WebSocket is opened by GET");
    }
    if head.version < Version::HTTP_11 {
        return wrong("a WebSocket is opened by HTTP/1.1");
    }
    if !names(CONNECTION, "upgrade") {
        return wrong("`Connection` has to say `upgrade`");
    }
    let mut versions = headers.get_all(SEC_WEBSOCKET_VERSION).iter();
    match (versions.next(), versions.next()) {
        (Some(version), None) if version.as_bytes() == b"13" => {}
        (None, None) => return wrong("`Sec-WebSocket-Version` is missing"),
        _ => return Err(Refused::NoHandshake),
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let is_key = |key: &HeaderValue| STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    match (keys.next(), keys.next()) {
        (Some(key), None) if is_key(key) => Ok(key.clone()),
        _ => wrong("`Sec-WebSocket-Key` has to be there once, 16 bytes in base64"),
    }
}

/// How the client wants to be spoken to; none if it names subprotocols, and ours isn't among them.
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
