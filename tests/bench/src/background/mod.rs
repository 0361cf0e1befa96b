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
pub(crate) use desk::Desk;

use crate::error::BenchError;
use crate::machine::{self, raise_open_files_limit};
use crate::program::stop_all_when_told_to_end;

/// For servers too: 500 connections, and what they have open otherwise.
const OPEN_FILES: u64 = 2000;

type Measure = fn(&BackgroundArgs) -> Result<String, BenchError>;

/// Measures, and says it as Markdown.
pub(crate) fn run(args: &BackgroundArgs) -> Result<String, BenchError> {
    const ALL: [(&str, Measure); 5] = [
        ("enqueue", enqueue::measure),
        ("lives", lives::measure),
        ("million", million::measure),
        ("deaths", deaths::measure),
        ("foreground", foreground::measure),
    ];
    stop_all_when_told_to_end()?;
    raise_open_files_limit(OPEN_FILES)?;
    let mut page = format!(
        "\n## Background tasks\n\n{}.\n",
        machine::made_with(&args.rounds)
    );
    for (name, measure) in ALL {
        if args.measures(name) {
            page.push('\n');
            page.push_str(&measure(args)?);
        }
    }
    Ok(page)
}
