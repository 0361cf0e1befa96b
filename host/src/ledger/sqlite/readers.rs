//! The threads that read.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

use super::fault::Fault;
use super::read;
use super::select;
use crate::ledger::error::StoreError;
use crate::ledger::queue::{Batch, Closing, Queue};
use crate::ledger::store::Stats;
use crate::ledger::work::Look;

/// How long to sleep where nobody asks; no work is late for it.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Answers until the queue is closed and empty. `files` are those of which the ledger consists.
pub(super) fn run(looks: &Queue<Look>, connection: &Connection, files: &[PathBuf]) {
    // When one ends, whether in order or by a panic, there is nobody to rely on.
    let _closing = Closing(looks);
    loop {
        match looks.take(PATIENCE) {
            Batch::Work(batch) => {
                for look in batch {
                    answer(connection, files, look);
                }
            }
            Batch::Idle => {}
            Batch::Closed => return,
        }
    }
}

fn answer(connection: &Connection, files: &[PathBuf], look: Look) {
    match look {
        Look::Get(id, owed) => owed.pay(said(read::get(connection, id))),
        Look::List(ask, owed) => owed.pay(said(read::list(connection, &ask))),
        Look::Count(selection, event, owed) => {
            owed.pay(said(select::count(connection, &selection, event)));
        }
        // Answered without a reader: there is but one host.
        Look::Nodes(owed) => owed.pay(Ok(Vec::new())),
        // A file does without.
        Look::Condition(_, owed) => owed.pay(Ok(())),
        Look::Stats(stats, owed) => owed.pay(said(complete(connection, files, stats))),
    }
}

fn said<T>(answer: Result<T, Fault>) -> Result<T, StoreError> {
    answer.map_err(Fault::into_store_error)
}

fn complete(connection: &Connection, files: &[PathBuf], mut stats: Stats) -> Result<Stats, Fault> {
    for function in &mut stats.functions {
        read::find_oldest(connection, function)?;
    }
    let lens = files
        .iter()
        .filter_map(|file| file.metadata().ok())
        .map(|file| file.len());
    stats.file_len = Some(lens.sum());
    Ok(stats)
}
