//! Sockets: who may connect, and one loop for each who has.
//!
//! Architecture invariant: this room never sees a process. It turns lines into tasks and outcomes into lines.

mod connection;
mod foreign;
mod inbox;
mod input;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use protocol::{ErrorCode, Reply, TaskFailure};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use self::connection::Connection;
use crate::budget::Budget;
use crate::clock::Moment;
use crate::config::Limits;
use crate::router::Router;
use crate::stats::{Stats, count};

/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 4096;
/// How long accepting rests when the process has no descriptors left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// How far the host's life has come, as connections need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Serving,
    /// New requests are refused, those received are finished.
    Draining,
    /// What has not begun is refused; connections close when they have nothing more to say.
    Closing,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) router: Router,
    pub(crate) stats: Arc<Stats>,
    pub(crate) limits: Limits,
    pub(crate) budget: Budget,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) up_since: Moment,
    pub(crate) task_last: AtomicU64,
}

impl Shared {
    fn phase(&self) -> Phase {
        *self.phase.borrow()
    }
}

/// Listens on the first of `addresses` that can be had.
pub(crate) fn listen(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut last = io::Error::other("no address to listen on");
    for address in addresses {
        let bound = || {
            let socket = if address.is_ipv4() {
                TcpSocket::new_v4()
            } else {
                TcpSocket::new_v6()
            }?;
            socket.set_reuseaddr(true)?;
            socket.bind(*address)?;
            socket.listen(BACKLOG)
        };
        match bound() {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Accepts connections, and serves each, until the phase is no longer `Serving`; then stops listening.
pub(crate) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut phase = shared.phase.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phase.wait_for(|phase| *phase > Phase::Serving) => return,
        };
        match accepted {
            Ok((stream, peer)) => serve(stream, peer, &shared),
            Err(error) => {
                // Out of descriptors, mostly. The connection stays in the backlog; asking again at once would only spin.
                tracing::warn!("a connection could not be accepted: {error}");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

fn serve(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    let open = shared.stats.connections.fetch_add(1, Ordering::Relaxed);
    let shared = Arc::clone(shared);
    let guard = OpenConnection {
        stats: Arc::clone(&shared.stats),
    };
    // Replies are small and have to leave at once; the connection itself sends no more packets than it has to.
    let _ = stream.set_nodelay(true);
    if open >= shared.limits.connections_max as u64 {
        count(&shared.stats.requests_refused);
        refuse(&stream, shared.limits.connections_max);
        return;
    }
    tracing::debug!(%peer, "connected");
    tokio::spawn(async move {
        Connection::new(stream, shared).run().await;
        drop(guard);
        tracing::debug!(%peer, "disconnected");
    });
}

/// A line that nobody has asked for: a connection that can't be had is better told so than closed in silence.
fn refuse(stream: &TcpStream, connections_max: usize) {
    let message = format!(
        "the host serves {connections_max} connections already (connections_max); try again later"
    );
    let outcome = Err(TaskFailure::new(ErrorCode::Overloaded, message));
    let mut line = Vec::new();
    Reply { id: None, outcome }.encode(&mut line);
    let _ = stream.try_write(&line);
}

struct OpenConnection {
    stats: Arc<Stats>,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.stats.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
