//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::address::Address;
use crate::burst::Burst;
use crate::curves::CurvesArgs;
use crate::fairness::FairnessArgs;
use crate::gateway::GatewayArgs;
use crate::hop::By;
use crate::load::{Load, Shape, Target};
use crate::reload::ReloadArgs;
use crate::rounds::RoundsArgs;
use crate::usage::Processes;
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
    /// Starts the host and the bare servers, measures them in turns, prints Markdown tables
    Compare(RoundsArgs),
    /// Measures who suffers from others: a quick function beside a slow one, one client beside a greedy one
    Fairness(FairnessArgs),
    /// Measures how the host grows, and draws it
    Curves(CurvesArgs),
    /// Measures reloads: how long one takes, how long a refusal, and what clients notice
    Reload(ReloadArgs),
    /// Measures the gateway beside a WebSocket echo: round trips, memory of idle clients, and who suffers from a flood
    Gateway(GatewayArgs),
}

#[derive(Args)]
pub(crate) struct ListenArgs {
    #[arg(long = "listen", default_value = "127.0.0.1:0")]
    pub(crate) addr: SocketAddr,
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

#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Where the server listens: an address and port, or the path of a Unix socket
    #[arg(long, default_value = "127.0.0.1:12345")]
    connect: Address,
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

impl From<LoadArgs> for Load {
    fn from(args: LoadArgs) -> Self {
        Self {
            target: Target {
                address: args.connect,
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
        }
    }
}

#[derive(Args)]
pub(crate) struct BurstArgs {
    #[arg(long, default_value = "127.0.0.1:12345")]
    connect: Address,
    #[arg(long, default_value_t = 1000)]
    tasks: usize,
    /// How long each task sleeps, in milliseconds
    #[arg(long, default_value_t = 50)]
    ms: u64,
    /// How many tasks the server can run at once, for the ideal time
    #[arg(long)]
    workers: usize,
}

impl From<BurstArgs> for Burst {
    fn from(args: BurstArgs) -> Self {
        Self {
            address: args.connect,
            tasks: args.tasks,
            ms: args.ms,
            workers: args.workers,
        }
    }
}
