//! The task server.
#![allow(dead_code, reason = "being laid out")]
mod budget;
mod clock;
mod link;
mod plugin;
mod rate;
mod stats;
mod task;
pub mod worker;
