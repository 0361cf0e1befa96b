//! Sockets: who may connect, and one loop for each who has.
//!
//! Architecture invariant: this room never sees a process. It turns lines into requests and outcomes into lines.

mod connection;
mod foreign;
mod inbox;
mod input;
mod lanes;
mod output;

use std::net::SocketAddr;
use std::sync::Arc;

use protocol::{ErrorCode, Reply, TaskFailure};
use service::life::{Phase, Phases};
use service::listen::Listener;
use tokio::net::TcpStream;

use self::connection::Connection;
use crate::admin::Admin;
use crate::admit::Door;
use crate::config::Limits;
use crate::stats::{Stats, count};

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) door: Door,
    pub(crate) admin: Arc<Admin>,
    pub(crate) stats: Arc<Stats>,
    pub(crate) limits: Limits,
    pub(crate) phases: Phases,
}

impl Shared {
    fn phase(&self) -> Phase {
        *self.phases.borrow()
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
    let shared = Arc::clone(shared);
    tracing::debug!(%peer, "connected");
    tokio::spawn(async move {
        Connection::new(stream, shared).run().await;
        drop(open);
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
