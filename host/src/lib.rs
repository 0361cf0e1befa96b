//! The task server: a host that runs handlers out of plugins, each in worker processes of its own binary.
//!
//! `main` → [`cli`] parses → `app` builds, serves and drains. A line's way: `net` (connection) → `admit` (door) → `router`
//! (function to runner) → `plugin` (pool, scheduler, process) → `link` → [`worker`] (the child) and back. `reload` stages
//! files, `generations` decides what becomes of them, `admin` tells of it all. `docs/ARCHITECTURE.md` says why.

mod access;
mod admin;
mod admit;
mod app;
mod background;
mod call;
mod check;
mod children;
pub mod cli;
mod clock;
mod config;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod generations;
mod ledger;
mod link;
mod net;
mod plugin;
mod reload;
mod router;
mod stats;
mod task;
mod token;
pub mod worker;
