//! Measures the host and the gateway beside servers that do next to nothing, on loopback: tasks a second, latencies, and
//! CPU time a task. `run.sh` builds what is needed and starts [`compare`]; the other commands are its parts, for profiling.
#![forbid(unsafe_code)]

mod bare_server;
mod burst;
mod cli;
mod compare;
mod connection;
mod cpu;
mod error;
mod gateway;
mod histogram;
mod load;
mod machine;
mod reload;
mod results;
mod rounds;
mod server;
mod table;
mod websocket;
mod workload;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::error::BenchError;

fn main() -> ExitCode {
    let report = match Cli::parse().command {
        Command::LineEcho(listen) => bare_server::run(listen.addr, bare_server::line_echo),
        Command::JsonEcho(listen) => bare_server::run(listen.addr, bare_server::json_echo),
        Command::WebSocketEcho(listen) => websocket::echo(listen.addr),
        Command::Load(args) => load::run(&args.into()).map(|report| report.to_string()),
        Command::Burst(args) => burst::run(&args.into()).map(|report| report.to_string()),
        Command::Compare(args) => compare::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Gateway(args) => gateway::run(&args),
    };
    match report.and_then(|report| print(&report)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("bench: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn print(report: &str) -> Result<(), BenchError> {
    io::stdout()
        .write_all(report.as_bytes())
        .map_err(BenchError::io("can't write to stdout"))
}

/// What is going on, for whoever watches; the report itself goes to stdout.
#[expect(clippy::print_stderr, reason = "the one place that does")]
fn note(message: &str) {
    eprintln!("{message}");
}
