//! What is measured over and over: the host with its plugins, and how often and how long.

use std::path::PathBuf;

use clap::Args;

#[derive(Args)]
pub(crate) struct RoundsArgs {
    /// The host's binary
    #[arg(long)]
    pub(crate) host: PathBuf,
    /// A folder that holds the `good` fixture plugin
    #[arg(long)]
    pub(crate) plugins: PathBuf,
    /// How often each server is measured in each shape; the tables show medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warm_up_seconds: f64,
    #[arg(long, default_value_t = 3.0)]
    pub(crate) seconds: f64,
}
