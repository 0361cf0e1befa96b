//! The WebSocket-to-task bridge: browsers hand over tasks, hosts run them, answers arrive.

mod access;
mod app;
mod cli;
mod config;
mod gateway;
mod http;
mod limits;
mod message;
mod metrics;
mod session;
mod socket;
mod tls;
mod upstream;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
