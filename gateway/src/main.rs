//! `gateway`: the WebSocket-to-task bridge.

use std::process::ExitCode;

fn main() -> ExitCode {
    gateway::cli::run()
}
