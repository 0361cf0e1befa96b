//! What is measured, and where the servers keep what they are handed.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use tempfile::TempDir;

use crate::contender::{Contender, myself, text};
use crate::error::BenchError;
use crate::rounds::RoundsArgs;

#[derive(Args)]
pub(crate) struct BackgroundArgs {
    #[command(flatten)]
    pub(super) rounds: RoundsArgs,
    /// The library of the `evil` fixture plugin
    #[arg(long)]
    pub(super) evil: PathBuf,
    /// How many tasks are there when it is measured what very many of them cost
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) tasks: u64,
    /// A folder on the disk that is asked about, in which all servers keep what they are handed; by default that of this
    /// program
    #[arg(long)]
    disk: Option<PathBuf>,
    /// Measure only these
    #[arg(long, value_parser = ["enqueue", "lives", "million", "deaths", "foreground"])]
    only: Vec<String>,
}

impl BackgroundArgs {
    /// Whether this is asked for: all is, unless somebody says otherwise.
    pub(super) fn measures(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    /// A folder for the time in which something is measured.
    pub(super) fn disk(&self) -> Result<Disk, BenchError> {
        let myself = myself()?;
        let folder = self.disk.as_deref().or(myself.parent());
        TempDir::new_in(folder.unwrap_or(Path::new(".")))
            .map(Disk)
            .map_err(BenchError::io("can't make a folder on the disk"))
    }

    /// A host with the fixture plugin `good`, which keeps its tasks in a folder of its own.
    pub(super) fn host(&self, disk: &Disk) -> Result<Contender, BenchError> {
        self.host_with(&self.rounds.plugins, disk)
    }

    /// The same with other plugins.
    pub(super) fn host_with(&self, plugins: &Path, disk: &Disk) -> Result<Contender, BenchError> {
        // The host makes it when the first task comes.
        let data = disk.0.path().join("host");
        let config = format!("data = {:?}\n", text(&data)?);
        Contender::host(&self.rounds.host, plugins, &config)
    }
}

/// Where servers keep what they are handed. It is removed with all that is in it, after they have been stopped.
pub(super) struct Disk(TempDir);

impl Disk {
    /// A new folder for a server.
    pub(super) fn folder(&self, server: &str) -> Result<PathBuf, BenchError> {
        let folder = self.0.path().join(server);
        fs::create_dir(&folder).map_err(BenchError::io("can't make a folder on the disk"))?;
        Ok(folder)
    }
}
