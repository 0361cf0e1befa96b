//! The command line: parse, call.

mod call;
mod ledger;
mod reach;
mod tasks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use service::life::{self, EXIT_USAGE};
use service::log;

use crate::config::{Config, DATA_DEFAULT, Overrides, PLUGINS_DIR_DEFAULT};
use crate::{app, check, token};

/// Exit code when what was asked for can't be done.
const EXIT_FAILURE: u8 = 1;

/// A task server: clients send one line of JSON over TCP, plugins do the work in worker processes.
#[derive(Debug, Parser)]
#[command(name = "host", version, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Sends one request to a running host and prints its result.
    Call(call::Call),
    /// Prints all that a running host knows of a background task; waits for its end, if asked to.
    Task(tasks::Task),
    /// Lists background tasks of a running host, the newest first.
    Tasks(tasks::Tasks),
    /// Has background tasks run now that wait for their time, or that ended otherwise than well.
    Retry(tasks::Change),
    /// Calls background tasks off: those that wait end, those that run are told to.
    Cancel(tasks::Change),
    /// Gives background tasks up that wait, or of which nobody knows whether they ran.
    Discard(tasks::Change),
    /// Has no more background tasks of a function begin; those that come wait.
    Pause(tasks::Pause),
    /// Has background tasks of a paused function begin again.
    Resume(tasks::Pause),
    /// Looks after the ledger, in which background tasks are kept.
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Says what a plugin's library is, and whether this host would take it.
    Check(Check),
    /// Makes a token by which a client can show who it is.
    #[command(subcommand)]
    Token(Token),
}

#[derive(Debug, Subcommand)]
enum Token {
    /// Prints a new token, and says on standard error what to write into the configuration.
    New {
        /// Name of the client
        name: String,
    },
}

#[derive(Debug, Args)]
struct Check {
    /// The library
    file: PathBuf,
    /// Configuration of the host, for the plugin's own in it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    log: log::Flags,
}

#[derive(Debug, Args)]
struct Serve {
    /// Folder of the plugins' libraries (*.so) [default: ./plugins]
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Folder in which background tasks are kept; made at the first one [default: ./data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address to listen on, several times for several: ADDRESS:PORT (port 0 takes a free one), tls://ADDRESS:PORT or
    /// unix:PATH [default: 127.0.0.1:12345]
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// What stands open beyond this machine, or sends tokens in the clear, is meant to
    #[arg(long)]
    insecure: bool,
    /// Configuration (TOML); flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address for operators' pages by HTTP (/metrics, /healthz, /readyz) [default: none]
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    #[command(flatten)]
    log: log::Flags,
}

/// Does what the command line says; the exit code is the process's.
pub fn main() -> ExitCode {
    debug_assert_eq!(PLUGINS_DIR_DEFAULT, "./plugins", "as the help says");
    debug_assert_eq!(DATA_DEFAULT, "./data", "as the help says");
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Call(flags)) => flags.run(),
        Some(Command::Task(flags)) => flags.run(),
        Some(Command::Tasks(flags)) => flags.run(),
        Some(Command::Retry(flags)) => flags.run("host.retry"),
        Some(Command::Cancel(flags)) => flags.run("host.cancel"),
        Some(Command::Discard(flags)) => flags.run("host.discard"),
        Some(Command::Pause(flags)) => flags.run("host.pause"),
        Some(Command::Resume(flags)) => flags.run("host.resume"),
        Some(Command::Ledger(command)) => command.run(),
        Some(Command::Check(flags)) => check(&flags),
        Some(Command::Token(Token::New { name })) => token::new(&name),
        None => serve(cli.serve),
    }
}

fn serve(flags: Serve) -> ExitCode {
    // Dropped when all is said.
    let log = match log::start(&flags.log) {
        Ok(log) => log,
        Err(error) => return usage_error(&error),
    };
    let overrides = Overrides {
        listen: flags.listen,
        insecure: flags.insecure,
        plugins_dir: flags.plugins,
        data: flags.data,
        http: flags.http,
    };
    let file = flags.config;
    let read = move || Config::load(file.as_deref(), overrides.clone());
    let config = match read() {
        Ok(config) => config,
        Err(error) => return usage_error(&error.to_string()),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(io_threads(config.cores()))
        .global_queue_interval(QUEUES_IN_TURNS)
        .enable_all()
        .build();
    let served = match runtime {
        Ok(runtime) => runtime.block_on(app::serve(config, log.levels(), read)),
        Err(error) => return usage_error(&format!("the runtime can't be started: {error}")),
    };
    match served {
        Ok(code) => code,
        Err(error) => usage_error(&error.to_string()),
    }
}

/// A thread's own queue has room for 256 connections that have something to do; others come into one that all threads share,
/// which is looked at so rarely otherwise that the last of a thousand connections wait ten times as long as the first.
const QUEUES_IN_TURNS: u32 = 2;

/// How many threads serve connections and workers' links. The other half of the processors is the workers': with a thread
/// for each processor they would only wake each other, and take turns with those that they serve.
fn io_threads(cores: usize) -> usize {
    (cores / 2).max(1)
}

fn check(flags: &Check) -> ExitCode {
    // What the plugin says and prints while it is opened.
    let _log = match log::start(&flags.log) {
        Ok(log) => log,
        Err(error) => return usage_error(&error),
    };
    let config = match Config::load(flags.config.as_deref(), Overrides::default()) {
        Ok(config) => config,
        Err(error) => return usage_error(&error.to_string()),
    };
    match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime.block_on(check::run(&flags.file, &config)),
        Err(error) => usage_error(&format!("the runtime can't be started: {error}")),
    }
}

fn usage_error(message: &str) -> ExitCode {
    life::fail("host", message, EXIT_USAGE)
}
