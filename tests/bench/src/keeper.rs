//! The least that keeping things on disk by `SQLite` can cost: one thread writes all that has gathered as rows, in one
//! transaction.

use std::io;
use std::iter;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use bytes::Bytes;
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::BenchError;
use crate::say::note;

/// As the ledger of the host has it: each transaction is on disk when it has ended.
const PRAGMAS: &str =
    "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32768";
const TABLE: &str = "CREATE TABLE line (id INTEGER PRIMARY KEY, text TEXT NOT NULL)";

/// Hands lines to the thread that writes them.
#[derive(Clone)]
pub(crate) struct Keeper {
    /// As long as there are connections, each of which waits until it goes on.
    work: Sender<Work>,
}

struct Work {
    lines: Vec<Bytes>,
    /// Told when they are on disk; dropped if they can't be written.
    kept: oneshot::Sender<()>,
}

impl Keeper {
    /// Begins a database in this folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, BenchError> {
        let open = || {
            let connection = Connection::open(folder.join("lines.db"))?;
            connection.execute_batch(PRAGMAS)?;
            connection.execute_batch(TABLE)?;
            Ok(connection)
        };
        let connection = open()
            .map_err(|error: rusqlite::Error| io::Error::other(error))
            .map_err(BenchError::io("can't begin a database"))?;
        let (work, gathered) = mpsc::channel();
        thread::spawn(move || {
            if let Err(error) = write(&connection, &gathered) {
                note(&format!("can't write lines: {error}"));
            }
        });
        Ok(Self { work })
    }

    /// Waits until these lines are on disk.
    pub(crate) async fn keep(&self, lines: Vec<Bytes>) -> io::Result<()> {
        let (kept, is_kept) = oneshot::channel();
        self.work
            .send(Work { lines, kept })
            .map_err(|_| io::Error::other("nobody writes any more"))?;
        is_kept.await.map_err(io::Error::other)
    }
}

/// Until all who hand lines over are gone.
fn write(connection: &Connection, gathered: &Receiver<Work>) -> rusqlite::Result<()> {
    let mut begin = connection.prepare("BEGIN IMMEDIATE")?;
    let mut insert = connection.prepare("INSERT INTO line (text) VALUES (?)")?;
    let mut commit = connection.prepare("COMMIT")?;
    while let Ok(first) = gathered.recv() {
        let batch: Vec<Work> = iter::once(first).chain(gathered.try_iter()).collect();
        begin.execute([])?;
        for line in batch.iter().flat_map(|work| &work.lines) {
            insert.execute([String::from_utf8_lossy(line)])?;
        }
        commit.execute([])?;
        for work in batch {
            // A connection that has gone has no one to tell.
            work.kept.send(()).ok();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::block_on;

    #[test]
    fn lines_are_rows_once_they_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let keeper = Keeper::open(folder.path()).unwrap();
        let lines = ["one", "two"].map(Bytes::from).to_vec();
        let deadline = std::time::Duration::from_secs(30);
        let kept = async { keeper.keep(lines).await.map_err(BenchError::io("not kept")) };
        block_on(deadline, kept).unwrap();
        let connection = Connection::open(folder.path().join("lines.db")).unwrap();
        let mut rows = connection
            .prepare("SELECT text FROM line ORDER BY id")
            .unwrap();
        let rows = rows.query_map([], |row| row.get(0)).unwrap();
        let rows: Vec<String> = rows.collect::<Result<_, _>>().unwrap();
        assert_eq!(rows, ["one", "two"]);
    }
}
