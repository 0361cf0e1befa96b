//! Sockets: who may connect, and one loop for each who has.
//!
//! Architecture invariant: this room never sees a process. It turns lines into requests and outcomes into lines.

mod connection;
mod foreign;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod inbox;
mod input;
mod lanes;
mod listen;
mod member;
mod output;
mod plain;
mod porch;
mod proxy;
mod socket;
mod strangers;
mod tls;
mod unread;

use std::sync::Arc;
use std::time::Duration;

use protocol::{ErrorCode, Reply, TaskFailure};
use rustix::net::sockopt;
use service::life::{Phase, Phases};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use self::connection::Connection;
pub(crate) use self::listen::{Doorway, DoorwayError};
use self::member::Member;
use self::plain::Plain;
use self::porch::Known;
use self::socket::{Peer, Socket};
pub(crate) use self::strangers::Strangers;
pub(crate) use self::unread::Unread;
use crate::access::Access;
use crate::admin::Admin;
use crate::admit::{Door, RETRY_AFTER};
use crate::config::Limits;
use crate::stats::{OpenConnection, Stats, count};

/// Unanswered questions after which a client counts as gone.
const KEEP_ALIVE_PROBES: u32 = 3;

/// Descriptors that connections leave to workers and plugins.
const KEPT_DESCRIPTORS_MIN: u64 = 32;
const KEPT_DESCRIPTORS_MAX: u64 = 4096;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) door: Door,
    pub(crate) access: Arc<Access>,
    pub(crate) strangers: Arc<Strangers>,
    /// Turns for the work of TLS handshakes.
    pub(crate) handshakes: Semaphore,
    pub(crate) admin: Arc<Admin>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) limits: Limits,
    pub(crate) unread: Arc<Unread>,
    pub(crate) phases: Phases,
}

impl Shared {
    fn phase(&self) -> Phase {
        *self.phases.borrow()
    }
}

/// Lowers the number of connections where the process may not have that many descriptors beside those that workers and
/// plugins need: a quarter of all is kept back for them.
pub(crate) fn fit(limits: &mut Limits, descriptors: u64) {
    let kept = (descriptors / 4).clamp(KEPT_DESCRIPTORS_MIN, KEPT_DESCRIPTORS_MAX);
    let room = usize::try_from(descriptors.saturating_sub(kept)).unwrap_or(usize::MAX);
    let room = room.max(1);
    if limits.connections_max > room {
        tracing::warn!(
            "at most {room} connections at a time instead of {} (connections_max): the process may have {descriptors} open files, and {kept} of them are kept for workers; raise its limit (`ulimit -n`, `LimitNOFILE=`)",
            limits.connections_max
        );
        limits.connections_max = room;
    }
}

/// How many TLS handshakes are worked at, at a time: they leave half of the processors to others.
pub(crate) fn handshakes() -> Semaphore {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new((processors / 2).max(1))
}

/// A connection that has come in, and of which nothing was read.
struct Arrival {
    plain: Plain,
    peer: Peer,
    door: Arc<Doorway>,
}

/// Accepts connections, and serves each, until it is `over`; then refuses all that come, but none that has come before.
pub(crate) async fn accept(
    door: Arc<Doorway>,
    shared: Arc<Shared>,
    mut over: watch::Receiver<bool>,
) {
    loop {
        let arrival = tokio::select! {
            arrival = door.accept() => arrival,
            _ = over.wait_for(|is_over| *is_over) => break,
        };
        receive(arrival, &shared);
    }
    for arrival in door.close() {
        receive(arrival, &shared);
    }
}

/// Serves a client that need not say who it is, and hears another one first.
fn receive(arrival: Arrival, shared: &Arc<Shared>) {
    let open = shared.stats.connect();
    let Arrival { plain, peer, door } = arrival;
    let connections_max = shared.limits.connections_max;
    let is_full = open.number() > connections_max as u64;
    if let Plain::Tcp(stream) = &plain
        && !is_full
        && let Err(error) = keep_alive(stream, shared.limits.keep_alive)
    {
        tracing::debug!(%peer, "a client that goes without a word will not be noticed: {error}");
    }
    let socket = Socket::Plain(plain);
    let pass = match door.is_proxy(&peer) || door.tls().is_some() {
        false => porch::identify(&socket, &peer, &door, shared),
        true => None,
    };
    let Socket::Plain(plain) = socket else { return };
    if is_full {
        count(&shared.stats.requests_refused);
        // Who has not shown who they are learns nothing.
        if pass.is_some() {
            refuse(&plain, connections_max);
        }
        return;
    }
    let shared = Arc::clone(shared);
    if let Some(pass) = pass {
        let known = Known {
            socket: Socket::Plain(plain),
            pass,
            peer,
            bytes: bytes::BytesMut::new(),
        };
        tokio::spawn(serve(known, shared, open));
        return;
    }
    let arrival = Arrival { plain, peer, door };
    // On the heap, and gone when the client is known: what waits for a request is small.
    let introduced = Box::pin(async move {
        if let Some(known) = porch::introduce(arrival, &shared).await {
            tokio::spawn(serve(known, shared, open));
        }
    });
    tokio::spawn(introduced);
}

/// Serves a client that is known, or need not be, to its end.
async fn serve(known: Known, shared: Arc<Shared>, open: OpenConnection) {
    let Known {
        socket,
        pass,
        peer,
        bytes,
    } = known;
    let client = pass.to_string();
    match Member::enter(&shared.access, pass, peer.origin()) {
        Ok(member) => {
            tracing::debug!(%peer, client, "connected");
            Connection::new(socket, shared, member, &bytes).run().await;
        }
        Err(failure) => {
            count(&shared.stats.requests_refused);
            porch::refuse(&socket, None, failure).await;
        }
    }
    drop(open);
    tracing::debug!(%peer, client, "disconnected");
}

/// Has the system find out whether a client is still there that says nothing for so long: it asks three times in as long
/// again. The same holds for one that doesn't confirm what it was sent.
fn keep_alive(stream: &TcpStream, after: Duration) -> rustix::io::Result<()> {
    let pause = (after / KEEP_ALIVE_PROBES).max(Duration::from_secs(1));
    let lost = after + pause * KEEP_ALIVE_PROBES;
    sockopt::set_tcp_keepidle(stream, after)?;
    sockopt::set_tcp_keepintvl(stream, pause)?;
    sockopt::set_tcp_keepcnt(stream, KEEP_ALIVE_PROBES)?;
    sockopt::set_tcp_user_timeout(stream, u32::try_from(lost.as_millis()).unwrap_or(u32::MAX))?;
    sockopt::set_socket_keepalive(stream, true)
}

/// A line that nobody has asked for: a connection that can't be had is better told so than closed in silence.
fn refuse(plain: &Plain, connections_max: usize) {
    let message = format!(
        "the host serves {connections_max} connections already (connections_max); try again later"
    );
    let failure = TaskFailure::new(ErrorCode::Overloaded, message);
    let outcome = Err(failure.with_retry_after(RETRY_AFTER));
    let mut line = Vec::new();
    Reply { id: None, outcome }.encode(&mut line);
    let _ = plain.try_write(&line);
}
