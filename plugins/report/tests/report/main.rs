//! The plugin as a worker calls it: real files, real databases, every error.
#![expect(
    clippy::needless_pass_by_value,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and so does what it is made of; JSON is written where it is used"
)]

mod bench;
mod databases;
mod decimals;
mod delimiters;
mod dialects;
mod empty;
mod limits;
mod names;
mod nested;
mod numbers;
mod outputs;
mod queries;
mod servers;
mod sources;
mod stopping;
mod types;
mod zones;
