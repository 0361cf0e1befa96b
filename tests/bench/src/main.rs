//! Measures the host and the gateway beside their limits and their peers, on loopback: tasks a second, latencies, and
//! processor time a task. `run.sh` builds what is needed and starts [`compare`] and the others like it; the other commands
//! are their parts, for profiling.

mod address;
mod axis;
mod background;
mod bare_server;
mod burst;
mod cli;
mod client;
mod cluster;
mod compare;
mod connection;
mod contender;
mod curve;
mod curves;
mod error;
mod fairness;
mod figures;
mod gateway;
mod gearman;
mod handshakes;
mod histogram;
mod hop;
mod keeper;
mod load;
mod machine;
mod memory;
mod numbers;
mod plugins;
mod program;
mod queues;
mod reload;
mod rounds;
mod runtime;
mod say;
mod server;
mod shaker;
mod svg;
mod sys;
mod table;
mod transports;
mod usage;
mod websocket;
mod wire;
mod workload;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::error::BenchError;
use crate::keeper::Keeper;

fn main() -> ExitCode {
    let report = match Cli::parse().command {
        Command::LineEcho(listen) => bare_server::run(listen.addr, bare_server::line_echo, None),
        Command::JsonEcho(listen) => bare_server::run(listen.addr, bare_server::json_echo, None),
        Command::GroupCommit(args) => Keeper::open(&args.folder).and_then(|keeper| {
            bare_server::run(args.listen.addr, bare_server::line_echo, Some(keeper))
        }),
        Command::Hop(hop) => hop::run(hop.listen.addr, hop.by),
        Command::GearmanWorkers(workers) => {
            gearman::workers(workers.server.addr, workers.processes)
        }
        Command::GearmanWorker(server) => gearman::work(server.addr),
        Command::WebSocketEcho(listen) => websocket::echo(listen.addr),
        Command::Load(args) => args
            .try_into()
            .and_then(|load| load::run(&load))
            .map(|report| format!("{report}\n")),
        Command::Burst(args) => args
            .try_into()
            .and_then(|burst| burst::run(&burst))
            .map(|report| report.to_string()),
        Command::Shake(args) => args.try_into().and_then(|shaker| shaker::run(&shaker)),
        Command::Compare(args) => compare::run(&args),
        Command::Fairness(args) => fairness::run(&args),
        Command::Curves(args) => curves::run(&args),
        Command::Transports(args) => transports::run(&args),
        Command::Handshakes(args) => handshakes::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Gateway(args) => gateway::run(&args),
        Command::Background(args) => background::run(&args),
        Command::Cluster(args) => cluster::run(&args),
    };
    let printed = report
        .and_then(|report| say::print(&report).map_err(BenchError::io("can't write to stdout")));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::note(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}
