//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::address::Address;
use crate::background::BackgroundArgs;
use crate::burst::Burst;
use crate::cluster::ClusterArgs;
use crate::curves::CurvesArgs;
use crate::error::BenchError;
use crate::fairness::FairnessArgs;
use crate::gateway::GatewayArgs;
use crate::handshakes::HandshakesArgs;
use crate::hop::By;
use crate::load::{Load, Shape, Target};
use crate::reload::ReloadArgs;
use crate::rounds::RoundsArgs;
use crate::shaker::{Manner, Shaker};
use crate::transports::TransportsArgs;
use crate::usage::Processes;
use crate::wire::{Trust, Way};
use crate::workload::{Dialect, Functions};

/// Measures the task server beside servers that do nothing.
#[derive(Parser)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// A server that sends every line back
    LineEcho(ListenArgs),
    /// A server that parses every request and replies with its args, in the same thread
    JsonEcho(ListenArgs),
    /// A server that writes every line into a database, all that has gathered in one transaction, and sends it back
    GroupCommit(GroupCommitArgs),
    /// A server that has another process send everything back
    Hop(HopArgs),
    /// Processes that work for a gearmand
    GearmanWorkers(GearmanWorkersArgs),
    /// One of these
    GearmanWorker(ConnectArgs),
    /// A server that sends every WebSocket message back
    WebSocketEcho(ListenArgs),
    /// Loads one server with `echo` requests, once
    Load(LoadArgs),
    /// Sends many `sleep` requests at once on one connection
    Burst(BurstArgs),
    /// Makes TLS handshakes with one server, again and again
    Shake(ShakeArgs),
    /// Starts the host and the bare servers, measures them in turns, prints Markdown tables
    Compare(RoundsArgs),
    /// Measures who suffers from others: a quick function beside a slow one, one client beside a greedy one
    Fairness(FairnessArgs),
    /// Measures how the host grows, and draws it
    Curves(CurvesArgs),
    /// Measures what ways to connect cost: TCP, a Unix socket, TLS, and TLS with a token
    Transports(TransportsArgs),
    /// Measures who suffers from TLS handshakes
    Handshakes(HandshakesArgs),
    /// Measures reloads: how long one takes, how long a refusal, and what clients notice
    Reload(ReloadArgs),
    /// Measures the gateway beside a WebSocket echo: round trips, memory of idle clients, and who suffers from a flood
    Gateway(GatewayArgs),
    /// Measures background tasks: how fast they are taken in, beside peers, and run; a million of them; workers that die;
    /// and who suffers from them
    Background(BackgroundArgs),
    /// Measures hosts that share a ledger in `PostgreSQL`, and what a task costs them and the database
    Cluster(ClusterArgs),
}

#[derive(Args)]
pub(crate) struct ListenArgs {
    #[arg(long = "listen", default_value = "127.0.0.1:0")]
    pub(crate) addr: SocketAddr,
}

#[derive(Args)]
pub(crate) struct GroupCommitArgs {
    /// Where the database is begun
    #[arg(long)]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}

#[derive(Args)]
pub(crate) struct HopArgs {
    #[arg(long)]
    pub(crate) by: By,
    #[command(flatten)]
    pub(crate) listen: ListenArgs,
}

#[derive(Args)]
pub(crate) struct ConnectArgs {
    #[arg(long = "connect")]
    pub(crate) addr: SocketAddr,
}

#[derive(Args)]
pub(crate) struct GearmanWorkersArgs {
    #[command(flatten)]
    pub(crate) server: ConnectArgs,
    #[arg(long)]
    pub(crate) processes: usize,
}

/// A server, and how to reach it.
#[derive(Args)]
pub(crate) struct WayArgs {
    /// Where the server listens, as the host says it: an address and port, with `tls://` before it where it speaks TLS, or
    /// `unix:` and the path of a Unix socket
    #[arg(long, default_value = "127.0.0.1:12345")]
    connect: Address,
    /// PEM file of the authorities that vouch for a server that speaks TLS, by its address
    #[arg(long)]
    ca: Option<PathBuf>,
    /// Show this token first, by a `host.hello`
    #[arg(long)]
    token: Option<String>,
}

impl TryFrom<WayArgs> for Way {
    type Error = BenchError;

    fn try_from(args: WayArgs) -> Result<Self, BenchError> {
        Ok(Self {
            trust: args.ca.as_deref().map(Trust::of).transpose()?,
            token: args.token.map(Into::into),
            address: args.connect,
        })
    }
}

#[derive(Args)]
pub(crate) struct ShakeArgs {
    #[arg(long = "connect")]
    addr: SocketAddr,
    /// PEM file of the authorities that vouch for the server, by its address
    #[arg(long)]
    ca: PathBuf,
    /// Connections at once
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// Send a byte each so many milliseconds, and never come to an end
    #[arg(long)]
    trickle_ms: Option<u64>,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

impl TryFrom<ShakeArgs> for Shaker {
    type Error = BenchError;

    fn try_from(args: ShakeArgs) -> Result<Self, BenchError> {
        let manner = |pause| Manner::Trickle(Duration::from_millis(pause));
        Ok(Self {
            addr: args.addr,
            trust: Trust::of(&args.ca)?,
            connections: args.connections,
            manner: args.trickle_ms.map_or(Manner::Fast, manner),
            duration: Duration::from_secs_f64(args.seconds),
        })
    }
}

#[derive(Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    way: WayArgs,
    /// The server's process, for its CPU time
    #[arg(long)]
    pid: u32,
    /// Processes that work for the server and are not its children
    #[arg(long)]
    helper: Vec<u32>,
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Requests in flight on each connection
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Send no ids; the depth must be 1
    #[arg(long)]
    without_ids: bool,
    /// The length of a string in the args, in bytes
    #[arg(long, default_value_t = 64)]
    text_len: usize,
    /// Expect each line back as it was sent, instead of a reply
    #[arg(long)]
    line_echo: bool,
    #[arg(long, default_value_t = 1.0)]
    warm_up_seconds: f64,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

impl TryFrom<LoadArgs> for Load {
    type Error = BenchError;

    fn try_from(args: LoadArgs) -> Result<Self, BenchError> {
        Ok(Self {
            target: Target {
                way: args.way.try_into()?,
                dialect: if args.line_echo {
                    Dialect::LineEcho
                } else {
                    Dialect::Text
                },
                processes: Processes {
                    server: args.pid,
                    helpers: args.helper,
                },
            },
            functions: Functions::Good,
            sleep_ms: None,
            shape: Shape {
                connections: args.connections,
                depth: if args.without_ids { 1 } else { args.depth },
                with_ids: !args.without_ids,
                text_len: args.text_len,
            },
            warm_up: Duration::from_secs_f64(args.warm_up_seconds),
            duration: Duration::from_secs_f64(args.seconds),
        })
    }
}

#[derive(Args)]
pub(crate) struct BurstArgs {
    #[command(flatten)]
    way: WayArgs,
    #[arg(long, default_value_t = 1000)]
    tasks: usize,
    /// How long each task sleeps, in milliseconds
    #[arg(long, default_value_t = 50)]
    ms: u64,
    /// How many tasks the server can run at once, for the ideal time
    #[arg(long)]
    workers: usize,
}

impl TryFrom<BurstArgs> for Burst {
    type Error = BenchError;

    fn try_from(args: BurstArgs) -> Result<Self, BenchError> {
        Ok(Self {
            way: args.way.try_into()?,
            tasks: args.tasks,
            ms: args.ms,
            workers: args.workers,
        })
    }
}
