//! The plugin as a worker calls it: real files, real databases, every error.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so does what it is made of"
)]

mod bench;
mod databases;
mod limits;
mod outputs;
mod queries;
mod servers;
mod sources;
mod stopping;
