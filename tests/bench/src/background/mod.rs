//! Background tasks: how fast they are taken in, beside a bare limit and peers, and run; what a million of them cost; how
//! soon they begin again when workers die; and what requests that wait for their reply notice of them.

mod args;
mod deaths;
mod desk;
mod enqueue;
mod foreground;
mod lives;
mod million;

pub(crate) use args::BackgroundArgs;

use crate::error::BenchError;
use crate::machine::{self, raise_open_files_limit};
use crate::program::stop_all_when_told_to_end;

/// For servers too: 500 connections, and what they have open otherwise.
const OPEN_FILES: u64 = 2000;

/// Measures, and says it as Markdown.
pub(crate) fn run(args: &BackgroundArgs) -> Result<String, BenchError> {
    stop_all_when_told_to_end()?;
    raise_open_files_limit(OPEN_FILES)?;
    Ok(format!(
        "\n## Background tasks\n\n{}.\n\n{}\n{}\n{}\n{}\n{}",
        machine::made_with(&args.rounds),
        enqueue::measure(args)?,
        lives::measure(args)?,
        million::measure(args)?,
        deaths::measure(args)?,
        foreground::measure(args)?,
    ))
}
