//! The WebSocket-to-task bridge: browsers hand over tasks, hosts run them, answers arrive.

mod access;
mod app;
pub mod cli;
mod config;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod http;
mod limits;
mod message;
mod metrics;
mod session;
mod socket;
mod tls;
mod upstream;
