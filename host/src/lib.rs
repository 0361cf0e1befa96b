//! The task server: a host that runs handlers out of plugins, each in worker processes of its own binary.
//!
//! `main` → [`cli`] parses → `app` builds, serves and drains. A line's way: `net` (connection) → `router` (function to
//! plugin) → `plugin` (pool, scheduler, process) → `link` → [`worker`] (the child) and back. `reload` brings files into
//! the router. `docs/ARCHITECTURE.md` says why.

mod app;
mod budget;
mod call;
mod check;
pub mod cli;
mod clock;
mod config;
mod link;
mod net;
mod plugin;
mod rate;
mod reload;
mod router;
mod stats;
mod task;
pub mod worker;
