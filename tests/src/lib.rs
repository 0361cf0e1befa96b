//! The harness of the end-to-end suite: starts real hosts with real plugins, and speaks to them over real sockets.
//!
//! Everything here fails by a panic that says what was waited for or what came instead, because its only user is a test.
//! Nothing sleeps to let something happen: [`wait_for`] and [`wait_until`] look again until [`DEADLINE`].
#![expect(
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::print_stderr,
    reason = "a harness reports to the test that uses it, by failing it"
)]

mod artifacts;
mod browser;
mod cgroup;
mod client;
mod clock;
mod command;
mod gateway;
mod host;
mod log_pipe;
mod markdown;
mod newer_api;
mod plugin_watch;
mod port;
mod process;
mod proxy;
mod relay;
mod server;
mod smtp;
mod socket;
mod tools;
mod versioned;
mod wait;

pub use artifacts::{Plugin, as_from_a_shell, target_dir};
pub use browser::{Browser, Look};
pub use cgroup::Cgroup;
pub use client::{Client, Failure, Reply};
pub use clock::Clock;
pub use command::{Finished, run, run_with_input, within};
pub use gateway::{Gateway, GatewaySetup};
pub use host::{Host, Setup};
pub use log_pipe::LogPipe;
pub use markdown::{Block, blocks};
pub use newer_api::built_with_newer_plugin_api;
pub use plugin_watch::PluginWatch;
pub use port::lasting_port;
pub use process::{Process, raise_open_files_limit};
pub use proxy::{Proxy, ProxyProgram};
pub use relay::Relay;
pub use smtp::{Mail, SmtpServer};
pub use socket::{HttpAnswer, Session, Socket};
pub use tools::{axe, node, node_modules, npm, php, python, venv_python, workspace_dir};
pub use versioned::Versioned;
pub use wait::{DEADLINE, wait_for, wait_until};
