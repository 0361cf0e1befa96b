//! What is measured.

use std::path::PathBuf;

use clap::Args;

use crate::rounds::RoundsArgs;

#[derive(Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    pub(super) rounds: RoundsArgs,
    /// The folder into which npm has installed graphile-worker
    #[arg(long)]
    pub(super) graphile: PathBuf,
    /// The program `node`, of a version that graphile-worker takes
    #[arg(long)]
    pub(super) node: PathBuf,
}
