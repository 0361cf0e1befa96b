//! The end-to-end suite: one binary, so that everything is built and linked once.
//!
//! Each test starts hosts of its own, so tests run side by side and in any order.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod access;
mod background;
mod bad_input;
mod bad_libraries;
mod cancel;
mod clients;
mod cluster;
mod command_line;
mod config;
mod crashes;
mod documents;
mod endings;
mod evil;
mod features;
mod gateway;
mod host_functions;
mod house;
mod images_and_reports;
mod leaks;
mod life;
mod limits;
mod lines;
mod mail;
mod make_run;
mod many_connections;
mod operators;
mod order;
mod other_protocols;
mod plugin_pages;
mod progress;
mod reload;
mod shortage;
mod soak;
mod surroundings;
mod task_commands;
mod timeouts;
mod unread_log;
mod worker_ends;
