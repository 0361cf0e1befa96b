//! The ledger in the host's data folder: an `SQLite` database that this process alone writes.
//!
//! One thread writes (`writer`), in transactions of all that has gathered; two read. A task is durable when its transaction
//! is: `SQLite`'s write-ahead log is synced at each commit. `desk` changes states, `book` counts in memory what the database
//! counts too, `schema` says what stands where.

mod book;
mod claim;
mod desk;
mod enqueue;
pub(in crate::ledger) mod export;
mod fault;
mod find;
mod finish;
mod folder;
mod known;
mod read;
mod readers;
mod schema;
mod select;
mod statements;
mod tend;
#[cfg(test)]
mod tests;
mod tools;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

pub(crate) use tools::{backup, check, restore};

use self::desk::Desk;
use self::fault::Fault;
use self::folder::Folder;
use self::writer::Shared;
use super::answer::Done;
use super::error::{StoreError, StoreErrorKind};
use super::id::TaskId;
use super::queue::{Queue, Refused, Weight};
use super::record::{
    Claimed, Enqueued, Finish, Finished, NewTask, Page, PageAsk, Selection, TaskView,
};
use super::states::Event;
use super::store::{
    ClaimAsk, Durability, Held, KnownFunction, Limits, Listener, Node, NodeAbout, OnlyNode, Pruned,
    Stats, Store, Swept,
};
use super::work::{Ask, LOOKS_BATCH, LOOKS_BOUND, Look, Owed, Progress, WORK_BOUND, Work};

/// So much is written at once, so that nobody waits for others for long.
const WORK_BATCH: Weight = Weight {
    tasks: 8_192,
    bytes: 32 << 20,
};
const READERS: usize = 2;
/// The log is moved into the database when it has so many pages of 4 KiB, or when nothing else is to be done.
const LOG_PAGES_MAX: i32 = 4_096;
/// Runs of a dead predecessor that are ended in one transaction.
const RECOVERED_AT_ONCE: usize = 1_000;

/// How a ledger is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// [`Durability::Fsync`] or [`Durability::Write`].
    pub(crate) durability: Durability,
    pub(crate) limits: Limits,
}

/// The ledger. Dropped, it finishes what it was asked to do, which takes its time, and lets go of the folder.
pub(crate) struct Sqlite {
    durability: Durability,
    shared: Arc<Shared>,
    node: OnlyNode,
    readers: Vec<JoinHandle<()>>,
    /// Gives back what it worked with.
    writer: Option<JoinHandle<(Connection, Folder)>>,
}

impl Sqlite {
    /// Whether there is a ledger in this folder, or what is left of one.
    pub(crate) fn is_there(folder: &Path) -> bool {
        ["", "-wal"].iter().any(|ending| {
            let file = folder.join(format!("{}{ending}", folder::DATABASE));
            // What can't be looked at may be there.
            file.try_exists().unwrap_or(true)
        })
    }

    /// Opens the ledger in this folder, makes folder and ledger where there are none, and ends what a dead predecessor ran.
    /// Blocks while the disk works: briefly, unless many tasks ran.
    ///
    /// # Errors
    /// With a sentence for the operator: the folder can't be made or written, is in use, holds another version's ledger, a
    /// damaged one, or another program's database.
    pub(crate) fn open(folder: &Path, options: Options, now: i64) -> Result<Self, StoreError> {
        Self::try_open(folder, options, LOG_PAGES_MAX, now).map_err(Fault::into_store_error)
    }

    /// With a log of so many pages.
    fn try_open(
        path: &Path,
        options: Options,
        log_pages_max: i32,
        now: i64,
    ) -> Result<Self, Fault> {
        let folder = Folder::take(path)?;
        folder.prepare()?;
        let database = folder.database();
        let connection = schema::open_writer(&database, options.durability)?;
        recover(&connection, options.limits, now)?;
        let shared = Arc::new(Shared {
            work: Queue::new(WORK_BOUND, WORK_BATCH),
            looks: Queue::new(LOOKS_BOUND, LOOKS_BATCH),
            listener: Mutex::new(None),
        });
        let mut readers = Vec::new();
        for _ in 0..READERS {
            let reader = schema::open_reader(&database)?;
            let files: Vec<PathBuf> = folder.files();
            let shared = Arc::clone(&shared);
            readers.push(spawn("ledger-reader", move || {
                readers::run(&shared.looks, &reader, &files);
            })?);
        }
        let for_writer = Arc::clone(&shared);
        let limits = options.limits;
        let writer = spawn("ledger-writer", move || {
            writer::run(&for_writer, &connection, &folder, limits, log_pages_max);
            (connection, folder)
        })?;
        Ok(Self {
            durability: options.durability,
            shared,
            node: OnlyNode::default(),
            readers,
            writer: Some(writer),
        })
    }

    fn ask(&self, ask: Ask, now: i64) {
        match self.shared.work.push(Work { ask, now }) {
            Ok(()) => {}
            Err(Refused::Full(work)) => work.refuse(StoreError::new(
                StoreErrorKind::Overloaded,
                "more background tasks come in than the ledger's disk takes",
            )),
            // Dropped, it answers that the ledger is closed.
            Err(Refused::Closed(_)) => {}
        }
    }

    fn look(&self, look: Look) {
        match self.shared.looks.push(look) {
            Ok(()) => {}
            Err(Refused::Full(look)) => look.refuse(StoreError::new(
                StoreErrorKind::Overloaded,
                "too many wait to read from the ledger",
            )),
            Err(Refused::Closed(_)) => {}
        }
    }

    fn change(&self, selection: Selection, event: Event, dry_run: bool, now: i64, done: Done<u64>) {
        let owed = Owed::new(done);
        if dry_run {
            self.look(Look::Count(selection, event, owed));
        } else {
            self.ask(
                Ask::Change(selection, event, Progress::default(), owed),
                now,
            );
        }
    }
}

impl Store for Sqlite {
    fn durability(&self) -> Durability {
        self.durability
    }

    fn enqueue(&self, tasks: Vec<NewTask>, now: i64, done: Done<Vec<Enqueued>>) {
        self.ask(Ask::Enqueue(tasks, Owed::new(done)), now);
    }

    fn claim(&self, ask: ClaimAsk, now: i64, done: Done<Vec<Claimed>>) {
        self.ask(Ask::Claim(ask, Owed::new(done)), now);
    }

    fn finish(&self, ends: Vec<Finish>, now: i64, done: Done<Vec<Finished>>) {
        self.ask(Ask::Finish(ends, Owed::new(done)), now);
    }

    fn beat(&self, runs: Vec<(TaskId, i64)>, now: i64, done: Done<Vec<Held>>) {
        self.ask(Ask::Beat(runs, Owed::new(done)), now);
    }

    fn sweep(&self, now: i64, limit: usize, done: Done<Swept>) {
        self.ask(Ask::Sweep(limit, Owed::new(done)), now);
    }

    fn prune(&self, now: i64, limit: usize, done: Done<Pruned>) {
        self.ask(Ask::Prune(limit, Owed::new(done)), now);
    }

    fn get(&self, id: TaskId, done: Done<Option<Box<TaskView>>>) {
        self.look(Look::Get(id, Owed::new(done)));
    }

    fn list(&self, ask: PageAsk, done: Done<Page>) {
        self.look(Look::List(ask, Owed::new(done)));
    }

    fn cancel(&self, selection: Selection, dry_run: bool, now: i64, done: Done<u64>) {
        self.change(selection, Event::Cancel, dry_run, now, done);
    }

    fn retry(&self, selection: Selection, dry_run: bool, now: i64, done: Done<u64>) {
        self.change(selection, Event::Retry, dry_run, now, done);
    }

    fn discard(&self, selection: Selection, dry_run: bool, now: i64, done: Done<u64>) {
        self.change(selection, Event::Discard, dry_run, now, done);
    }

    fn pause(&self, function: Arc<str>, paused: bool, now: i64, done: Done<()>) {
        self.ask(Ask::Pause(function, paused, Owed::new(done)), now);
    }

    fn know(&self, functions: Vec<Arc<str>>, now: i64, done: Done<()>) {
        self.ask(Ask::Know(functions, Owed::new(done)), now);
    }

    fn known(&self, done: Done<Vec<KnownFunction>>) {
        self.ask(Ask::Known(Owed::new(done)), 0);
    }

    fn stats(&self, done: Done<Stats>) {
        self.ask(Ask::Stats(Owed::new(done)), 0);
    }

    fn introduce(&self, node: NodeAbout, done: Done<()>) {
        self.node.set(node);
        done(Ok(()));
    }

    fn nodes(&self, done: Done<Vec<Node>>) {
        done(Ok(self.node.get()));
    }

    fn watch(&self, listener: Arc<dyn Listener>) {
        *self
            .shared
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // The writer hands counts on to the readers, so it goes first. But its connection is closed last: who closes last moves
        // the log into the database, which those who only read can't.
        self.shared.work.close();
        let writer = self.writer.take().map(JoinHandle::join);
        self.shared.looks.close();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if let Some(Ok((connection, folder))) = writer {
            let _ = connection.close();
            drop(folder);
        }
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Fault> {
    let thread = std::thread::Builder::new().name(name.into()).spawn(run);
    thread.map_err(|error| fault::of_io("the ledger's threads can't be started", &error))
}

fn recover(connection: &Connection, limits: Limits, now: i64) -> Result<(), Fault> {
    let mut desk = Desk::open(connection, limits)?;
    loop {
        desk.statements.begin.execute([])?;
        desk.heed_clock(now)?;
        desk.tidy()?;
        let recovered = desk.recover(now, RECOVERED_AT_ONCE)?;
        desk.book.write(connection)?;
        desk.statements.commit.execute([])?;
        if recovered < RECOVERED_AT_ONCE {
            return Ok(());
        }
    }
}
