//! The one thread that writes: each transaction takes what has gathered while the one before was synced, and everyone in it
//! is answered after it.

use std::cell::Cell;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::book::Book;
use super::desk::{Desk, News};
use super::fault::Fault;
use super::folder::Folder;
use super::statements::Statements;
use crate::ledger::error::{StoreError, StoreErrorKind};
use crate::ledger::queue::{Batch, Closing, Queue};
use crate::ledger::states::State;
use crate::ledger::store::{FunctionStats, KnownFunction, Limits, Listener, Stats};
use crate::ledger::work::{Ask, Look, Told, Work};

/// After so long without work, there is nothing else to be done.
const IDLE: Duration = Duration::from_millis(500);

thread_local! {
    /// Pages in this thread's log after the last commit.
    static LOG_PAGES: Cell<i32> = const { Cell::new(0) };
}

/// What the writer shares with those that ask.
pub(super) struct Shared {
    pub(super) work: Queue<Work>,
    pub(super) looks: Queue<Look>,
    pub(super) listener: Mutex<Option<Arc<dyn Listener>>>,
}

impl Shared {
    fn listener(&self) -> Option<Arc<dyn Listener>> {
        self.listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Does what is asked until the queue is closed and empty.
pub(super) fn run(
    shared: &Shared,
    connection: &Connection,
    folder: &Folder,
    limits: Limits,
    log_pages_max: i32,
) {
    // What is dropped unanswered is answered so.
    let _closing = Closing(&shared.work);
    connection.wal_hook(Some(|_, pages| {
        LOG_PAGES.set(pages);
        Ok(())
    }));
    let mut desk = match Desk::open(connection, limits) {
        Ok(desk) => desk,
        Err(fault) => {
            let error = fault.into_store_error();
            tracing::error!(%error, "the ledger can't be worked on");
            return refuse_all(shared, &error);
        }
    };
    let mut writer = Writer {
        shared,
        place: Place::of(&folder.database()),
        is_stale: false,
        log_pages_max,
        log_pages_next: log_pages_max,
    };
    loop {
        match shared.work.take(IDLE) {
            Batch::Work(batch) => writer.batch(&mut desk, batch),
            Batch::Idle if LOG_PAGES.get() > 0 => writer.checkpoint(connection),
            Batch::Idle => {}
            Batch::Closed => break,
        }
    }
    writer.checkpoint(connection);
}

fn refuse_all(shared: &Shared, error: &StoreError) {
    shared.work.close();
    while let Batch::Work(batch) = shared.work.take(IDLE) {
        for work in batch {
            work.refuse(error.clone());
        }
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    place: Option<Place>,
    /// What is kept in memory isn't what is in the database.
    is_stale: bool,
    log_pages_max: i32,
    log_pages_next: i32,
}

impl<'c> Desk<'c> {
    pub(super) fn open(connection: &'c Connection, limits: Limits) -> Result<Self, Fault> {
        Ok(Self {
            connection,
            statements: Statements::prepare(connection)?,
            book: Book::load(connection)?,
            limits,
            news: News::default(),
        })
    }
}

impl Writer<'_> {
    fn batch(&mut self, desk: &mut Desk<'_>, batch: Vec<Work>) {
        let (from_memory, batch): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|work| matches!(work.ask, Ask::Known(_) | Ask::Stats(_)));
        self.commit(desk, batch);
        for work in from_memory {
            self.answer_from_memory(desk, work);
        }
        if LOG_PAGES.get() >= self.log_pages_next {
            self.checkpoint(desk.connection);
        }
    }

    fn commit(&mut self, desk: &mut Desk<'_>, batch: Vec<Work>) {
        if batch.is_empty() {
            return;
        }
        let listener = self.shared.listener();
        desk.news.are_wanted = listener
            .as_ref()
            .is_some_and(|listener| listener.wants_changes());
        match self.transact(desk, &batch) {
            Ok(told) => {
                for (work, told) in batch.into_iter().zip(told) {
                    self.answer(work, told);
                }
                let available = desk.news.available.take(&desk.book);
                let changes = std::mem::take(&mut desk.news.changes);
                if let Some(listener) = listener {
                    if !available.is_empty() {
                        listener.available(&available);
                    }
                    if !changes.is_empty() {
                        listener.changed(&changes);
                    }
                }
            }
            Err(fault) if fault.is_about_one() && batch.len() > 1 => {
                for work in batch {
                    self.commit(desk, vec![work]);
                }
            }
            Err(fault) => {
                let error = fault.into_store_error();
                for work in batch {
                    work.refuse(error.clone());
                }
            }
        }
    }

    fn transact(&mut self, desk: &mut Desk<'_>, batch: &[Work]) -> Result<Vec<Told>, Fault> {
        let told = self.try_transact(desk, batch);
        if told.is_err() {
            if !desk.connection.is_autocommit() {
                // Where it fails, SQLite has rolled back by itself, or will before the next transaction.
                let _ = desk.connection.execute_batch("ROLLBACK");
            }
            let are_wanted = desk.news.are_wanted;
            desk.news = News {
                are_wanted,
                ..News::default()
            };
            self.is_stale = desk.reload_book().is_err();
        }
        told
    }

    fn try_transact(&mut self, desk: &mut Desk<'_>, batch: &[Work]) -> Result<Vec<Told>, Fault> {
        if self.is_stale {
            desk.reload_book()?;
            self.is_stale = false;
        }
        if !self.place.as_ref().is_some_and(Place::is_there) {
            return Err(Fault::Known(StoreError::new(
                StoreErrorKind::Unavailable,
                "the ledger's file was moved, replaced or deleted while the host had it open; start the host again when it is \
                 back",
            )));
        }
        desk.statements.begin.execute([])?;
        // What goes on has the time at which it began.
        if let Some(work) = batch.iter().rfind(|work| !work.ask.goes_on()) {
            desk.heed_clock(work.now)?;
        }
        let told = batch
            .iter()
            .map(|work| act(desk, work))
            .collect::<Result<Vec<_>, _>>()?;
        desk.book.write(desk.connection)?;
        desk.statements.commit.execute([])?;
        Ok(told)
    }

    fn answer(&self, work: Work, told: Told) {
        if let Some(rest) = work.answer(told) {
            // What came meanwhile goes first. A queue that is closed answers for itself.
            let _ = self.shared.work.push(rest);
        }
    }

    fn answer_from_memory(&self, desk: &Desk<'_>, work: Work) {
        if self.is_stale {
            let message = "what the ledger holds can't be read now";
            return work.refuse(StoreError::new(StoreErrorKind::Unavailable, message));
        }
        match work.ask {
            Ask::Known(owed) => {
                let functions = desk.book.functions.iter();
                let known = functions.map(|function| KnownFunction {
                    name: function.name.clone(),
                    paused: function.paused,
                });
                owed.pay(Ok(known.collect()));
            }
            Ask::Stats(owed) => {
                // A queue that is full or closed answers for itself.
                let _ = self.shared.looks.push(Look::Stats(stats(&desk.book), owed));
            }
            _ => {}
        }
    }

    /// Moves the log into the database. What can't be moved now, since somebody reads, is moved later.
    fn checkpoint(&mut self, connection: &Connection) {
        let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i32>(1)?, row.get::<_, i32>(2)?))
        });
        match moved {
            Ok((pages, moved)) if pages == moved => {
                LOG_PAGES.set(0);
                self.log_pages_next = self.log_pages_max;
            }
            Ok((pages, _)) => self.log_pages_next = pages.saturating_add(self.log_pages_max),
            Err(error) => {
                let error = Fault::Sqlite(error).into_store_error();
                tracing::warn!(%error, "the ledger's log can't be moved into its database; it grows meanwhile");
                self.log_pages_next = LOG_PAGES.get().saturating_add(self.log_pages_max);
            }
        }
    }
}

fn act(desk: &mut Desk<'_>, work: &Work) -> Result<Told, Fault> {
    let now = work.now;
    let told = match &work.ask {
        Ask::Enqueue(tasks, _) => desk.enqueue(tasks, now).map(Told::Enqueued),
        Ask::Claim(ask, _) => desk.claim(ask, now).map(Told::Claimed),
        Ask::Finish(ends, _) => desk.finish(ends, now).map(Told::Finished),
        Ask::Beat(runs, _) => desk.beat(runs).map(Told::Held),
        Ask::Sweep(limit, _) => desk.sweep(now, *limit).map(Told::Swept),
        Ask::Prune(limit, _) => desk.prune(now, *limit).map(Told::Pruned),
        Ask::Change(selection, event, progress, _) => desk
            .change_selected(selection, *event, now, progress)
            .map(Told::Changed),
        Ask::Pause(function, paused, _) => {
            desk.pause(function, *paused, now).map(|()| Told::Nothing)
        }
        Ask::Know(functions, _) => {
            for function in functions {
                desk.book.know(desk.connection, function, now)?;
            }
            Ok(Told::Nothing)
        }
        Ask::Known(_) | Ask::Stats(_) => Ok(Told::Nothing),
    };
    match told {
        // About this one, which has changed nothing.
        Err(Fault::Known(error)) if error.kind == StoreErrorKind::UnknownTask => {
            Ok(Told::Refused(error))
        }
        told => told,
    }
}

fn stats(book: &Book) -> Stats {
    let functions = book.functions.iter().map(|function| {
        let mut counts = [0; State::ALL.len()];
        for lane in &function.lanes {
            for (sum, count) in counts.iter_mut().zip(book.lanes[*lane].counts) {
                *sum += u64::try_from(count).unwrap_or(0);
            }
        }
        let function = (function.name.clone(), function.paused);
        FunctionStats {
            function: function.0,
            paused: function.1,
            counts,
            oldest_available_at: None,
            oldest_version: None,
        }
    });
    Stats {
        functions: functions.collect(),
        stored_len: book.stored_len(),
        file_len: None,
    }
}

/// Which file the database was when it was opened.
struct Place {
    path: PathBuf,
    file: (u64, u64),
}

impl Place {
    fn of(path: &Path) -> Option<Self> {
        let file = path.metadata().ok()?;
        Some(Self {
            path: path.to_owned(),
            file: (file.dev(), file.ino()),
        })
    }

    fn is_there(&self) -> bool {
        self.path
            .metadata()
            .is_ok_and(|file| (file.dev(), file.ino()) == self.file)
    }
}
