//! The command line: parse, call.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use service::life::{self, EXIT_USAGE};
use service::log;
use service::remote::Trust;
use values::units::parse_time;

use crate::call::Target;
use crate::config::{Config, DATA_DEFAULT, LISTEN_DEFAULT, Overrides, PLUGINS_DIR_DEFAULT};
use crate::{app, call, check, token};

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
    Call(Call),
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

#[derive(Debug, Args)]
struct Call {
    /// Name of the function
    function: String,
    /// Its arguments, as JSON
    #[arg(default_value = "{}")]
    args: String,
    /// Address of the host: ADDRESS:PORT, tls://NAME:PORT or unix:PATH
    #[arg(long, value_name = "ADDR", default_value = LISTEN_DEFAULT)]
    connect: String,
    /// File with the token to show; without it, the environment variable `HOST_TOKEN` may have one
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM file of the authority that the host's certificate comes from [default: those that the system trusts]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file of the certificate to show
    #[arg(long, value_name = "FILE", requires = "key")]
    certificate: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, value_name = "FILE", requires = "certificate")]
    key: Option<PathBuf>,
    /// Caps the task's whole time, like 500ms, 30s, 5m
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    timeout: Option<Duration>,
}

/// Does what the command line says; the exit code is the process's.
pub fn main() -> ExitCode {
    debug_assert_eq!(PLUGINS_DIR_DEFAULT, "./plugins", "as the help says");
    debug_assert_eq!(DATA_DEFAULT, "./data", "as the help says");
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Call(flags)) => {
            let target = Target {
                connect: flags.connect,
                token_file: flags.token_file,
                trust: Trust {
                    ca: flags.ca,
                    certificate: flags.certificate.zip(flags.key),
                },
            };
            call::run(&target, flags.function, flags.args, flags.timeout)
        }
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
