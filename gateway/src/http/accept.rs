//! Accepts connections.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use service::life::Phase;
use service::listen::Listener;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, sink};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::pace::{Pace, Paced};
use super::peer::Peer;
use super::{Site, respond};
use crate::tls::Tls;

/// Longest request head, in bytes.
const HEAD_LEN_MAX: usize = 32 * 1024;
/// How long a refused connection may take to read its answer, and how many bytes of its request are read meanwhile.
const REFUSAL_TIMEOUT: Duration = Duration::from_millis(500);
const REFUSED_LEN_MAX: u64 = 64 * 1024;
/// Connections that are being refused; more than these get no answer.
const REFUSALS_MAX: usize = 1024;
/// How long a TLS handshake may take.
const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts connections until it is `over`; then refuses all that come, but none that has come before.
pub(crate) async fn accept(
    site: Arc<Site>,
    listener: Arc<Listener>,
    tls: Option<Tls>,
    mut over: watch::Receiver<bool>,
) {
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    loop {
        let arrival = tokio::select! {
            arrival = listener.accept() => arrival,
            _ = over.wait_for(|is_over| *is_over) => break,
        };
        receive(arrival, &site, tls.as_ref(), &refusals);
    }
    for arrival in listener.close() {
        receive(arrival, &site, tls.as_ref(), &refusals);
    }
}

/// Serves a connection, or tells it that it is one too many.
fn receive(
    (stream, peer): (TcpStream, SocketAddr),
    site: &Arc<Site>,
    tls: Option<&Tls>,
    refusals: &Arc<Semaphore>,
) {
    let address = peer.ip().to_canonical();
    // A proxy's clients are counted one by one, as it asks for them.
    let is_proxy = site.settings.trusted_proxies.contains(address);
    let Ok(permit) = site.gateway.caps.connect((!is_proxy).then_some(address)) else {
        if tls.is_none()
            && let Ok(refusal) = Arc::clone(refusals).try_acquire_owned()
        {
            tokio::spawn(async move {
                refuse(stream).await;
                drop(refusal);
            });
        }
        return;
    };
    let peer = Arc::new(Peer {
        address: peer,
        is_tls: tls.is_some(),
        is_proxy,
        permit: Mutex::new(Some(permit)),
    });
    let (site, tls) = (Arc::clone(site), tls.cloned());
    tokio::spawn(async move {
        match tls {
            None => serve(site, stream, peer).await,
            Some(tls) => {
                let handshake = timeout(TLS_TIMEOUT, tls.acceptor().accept(stream));
                if let Ok(Ok(stream)) = handshake.await {
                    serve(site, stream, peer).await;
                }
            }
        }
    });
}

/// Answers a connection that is one too many. What it sends is read, or the kernel would discard the answer.
async fn refuse(mut stream: TcpStream) {
    const REPLY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\nContent-Length: 21\r\n\r\ntoo many connections\n";
    let refuse = async {
        stream.write_all(REPLY).await?;
        stream.shutdown().await?;
        copy(&mut stream.take(REFUSED_LEN_MAX), &mut sink()).await
    };
    drop(timeout(REFUSAL_TIMEOUT, refuse).await);
}

pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    site: Arc<Site>,
    stream: S,
    peer: Arc<Peer>,
) {
    let limits = &site.gateway.limits;
    let pace = Pace::new(limits.header_timeout, limits.idle_timeout);
    let service = service_fn(|request| {
        let site = Arc::clone(&site);
        let peer = Arc::clone(&peer);
        let exchange = pace.begin();
        async move { Ok::<_, Infallible>(respond::<S>(site, peer, request, exchange).await) }
    });
    let mut phase = site.gateway.life.phases();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Its clock would count the time between requests, too.
        .header_read_timeout(None)
        .max_buf_size(HEAD_LEN_MAX)
        .serve_connection(TokioIo::new(Paced::new(stream, Arc::clone(&pace))), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let stopping = phase.wait_for(|phase| *phase >= Phase::Draining);
    let mut timer = std::pin::pin!(sleep(limits.header_timeout));
    let over = poll_fn(|cx| pace.poll_over(cx, timer.as_mut()));
    let done = tokio::select! {
        biased;
        done = &mut connection => Some(done),
        _ = stopping => None,
        () = over => {
            tracing::debug!(peer = %peer.address, "a connection was idle, or began a request, for too long");
            return;
        }
    };
    let done = match done {
        Some(done) => done,
        None => {
            // The request in progress is still answered.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = done {
        tracing::debug!(peer = %peer.address, %error, "a connection ended badly");
    }
}
