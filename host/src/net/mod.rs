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
mod output;
mod unread;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use protocol::{ErrorCode, Reply, TaskFailure};
use rustix::net::sockopt;
use service::life::{Phase, Phases};
use service::listen::Listener;
use tokio::net::TcpStream;

use self::connection::Connection;
pub(crate) use self::unread::Unread;
use crate::admin::Admin;
use crate::admit::{Door, RETRY_AFTER};
use crate::config::Limits;
use crate::stats::{Stats, count};

/// Unanswered questions after which a client counts as gone.
const KEEP_ALIVE_PROBES: u32 = 3;

/// Descriptors that connections leave to workers and plugins.
const KEPT_DESCRIPTORS_MIN: u64 = 32;
const KEPT_DESCRIPTORS_MAX: u64 = 4096;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) door: Door,
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

/// Accepts connections, and serves each, until the phase is no longer `Serving`; then stops listening.
pub(crate) async fn accept(listener: Arc<Listener>, shared: Arc<Shared>) {
    let mut phases = shared.phases.clone();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = phases.wait_for(|phase| *phase > Phase::Serving) => return,
        };
        serve(stream, peer, &shared);
    }
}

fn serve(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    let open = shared.stats.connect();
    let connections_max = shared.limits.connections_max;
    if open.number() > connections_max as u64 {
        count(&shared.stats.requests_refused);
        refuse(&stream, connections_max);
        return;
    }
    if let Err(error) = keep_alive(&stream, shared.limits.keep_alive) {
        tracing::debug!(%peer, "a client that goes without a word will not be noticed: {error}");
    }
    let shared = Arc::clone(shared);
    tracing::debug!(%peer, "connected");
    tokio::spawn(async move {
        Connection::new(stream, shared).run().await;
        drop(open);
        tracing::debug!(%peer, "disconnected");
    });
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
fn refuse(stream: &TcpStream, connections_max: usize) {
    let message = format!(
        "the host serves {connections_max} connections already (connections_max); try again later"
    );
    let failure = TaskFailure::new(ErrorCode::Overloaded, message);
    let outcome = Err(failure.with_retry_after(RETRY_AFTER));
    let mut line = Vec::new();
    Reply { id: None, outcome }.encode(&mut line);
    let _ = stream.try_write(&line);
}
