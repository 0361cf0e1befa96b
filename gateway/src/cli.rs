//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use service::life::{EXIT_USAGE, fail};
use service::log;

use crate::app;
use crate::config::{Config, Overrides};

/// Lets browsers hand tasks to a host, over WebSocket or HTTP, and brings them the answers.
#[derive(Debug, Parser)]
#[command(name = "gateway", version)]
struct Cli {
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address of a host; may be given several times [default: 127.0.0.1:12345]
    #[arg(long = "host", value_name = "ADDR")]
    hosts: Vec<String>,
    /// A function that clients may call, `*` standing for any part of its name; may be given several times [default: none]
    #[arg(long, value_name = "NAME")]
    allow: Vec<String>,
    /// Configuration (TOML); flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What clients without a subprotocol are told when a task has succeeded, in place of its result
    #[arg(long, value_name = "TEXT")]
    notify_text: Option<String>,
    #[command(flatten)]
    log: log::Flags,
}

/// Does what the command line says, until a signal ends it.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    // Dropped when all is said.
    let log = match log::start(&cli.log) {
        Ok(log) => log,
        Err(error) => return refuse(&error),
    };
    let overrides = Overrides {
        listen: cli.listen,
        hosts: cli.hosts,
        allow: cli.allow,
        notify_text: cli.notify_text,
    };
    let file = cli.config;
    let read = move || Config::load(file.as_deref(), overrides.clone());
    let config = match read() {
        Ok(config) => config,
        Err(error) => return refuse(&error.to_string()),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&error.to_string()),
    };
    match runtime.block_on(app::run(config, log.levels(), read)) {
        Ok(code) => {
            // Clients that are still connected are not waited for.
            runtime.shutdown_background();
            code
        }
        Err(error) => refuse(&error),
    }
}

fn refuse(problem: &str) -> ExitCode {
    fail("gateway", problem, EXIT_USAGE)
}
