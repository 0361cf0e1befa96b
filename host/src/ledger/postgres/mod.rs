//! The ledger in a `PostgreSQL` database, which several hosts may share.
//!
//! One thread serves it: one connection writes, in transactions of all that has gathered, two read, one says that the host
//! lives (`nodes`), and one more is made while somebody listens to other hosts (`feed`). `desk` changes states, `writes` writes
//! them down, `memory` is what is known from one transaction to the next, `first.sql` and its followers say what stands where.
//! Nothing of a session outlives a transaction, so a pooler may stand in between.

mod change;
mod claim;
mod clock;
mod commits;
mod condition;
mod connection;
mod desk;
mod ears;
mod enqueue;
mod fault;
mod feed;
mod find;
mod finish;
mod heard;
pub(in crate::ledger) mod import;
mod insert;
mod known;
mod link;
mod lock;
mod memory;
mod nodes;
mod own;
mod places;
mod pooler;
mod reach;
mod read;
mod readers;
mod schema;
mod shared;
mod tend;
#[cfg(test)]
pub(in crate::ledger) mod tests;
mod tls;
mod values;
mod writer;
mod writes;

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::runtime::Runtime;

use self::connection::Connection;
use self::fault::{Fault, unavailable};
use self::link::Link;
use self::own::Own;
use self::reach::Reach;
use self::shared::Shared;
use self::writer::Writer;
use super::answer::Done;
use super::condition::Condition;
use super::error::{StoreError, StoreErrorKind};
use super::id::TaskId;
use super::queue::Refused;
use super::record::{
    Claimed, Enqueued, Finish, Finished, NewTask, Page, PageAsk, Selection, TaskView,
};
use super::states::Event;
use super::store::{
    ClaimAsk, Durability, Held, KnownFunction, Limits, Listener, Node, NodeAbout, Pruned, Stats,
    Store, Swept,
};
use super::work::{Ask, Look, Owed, Progress, Work};

/// How a ledger is reached, and who reaches it.
#[derive(Clone, Debug)]
pub(crate) struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, or `libpq`'s words.
    pub(crate) url: String,
    /// The schema that has the ledger's tables; it is made if there is none.
    pub(crate) schema: String,
    pub(crate) limits: Limits,
    /// The name of this run of this host, of which there never is another.
    pub(crate) node: Arc<str>,
    /// A pooler stands in between that gives each transaction another session; otherwise that is found out.
    pub(crate) is_pooled: bool,
}

/// The ledger. Dropped, it finishes what it was asked to do, which takes its time.
pub(crate) struct Postgres {
    durability: Durability,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Postgres {
    /// Whether this can be the way to a database, and the name of a schema. Asks nobody.
    ///
    /// # Errors
    /// With a sentence for the operator, which doesn't show the address.
    pub(crate) fn check(url: &str, schema: &str) -> Result<(), StoreError> {
        Reach::new(url, schema).map(drop)
    }

    /// Opens the ledger, and makes its schema and tables where there are none. Blocks while the database answers.
    ///
    /// # Errors
    /// With a sentence for the operator: the database can't be reached, refuses, or has a newer version's ledger.
    pub(crate) fn open(options: PostgresOptions) -> Result<Self, StoreError> {
        let reach = Arc::new(Reach::new(&options.url, &options.schema)?);
        let shared = Arc::new(Shared::new(Own::new(Arc::clone(&options.node))));
        let for_thread = Arc::clone(&shared);
        let (sender, receiver) = mpsc::sync_channel(1);
        let failed = |error| unavailable(format!("the ledger's thread can't be started: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(failed)?;
        let run = move || serve(&runtime, &for_thread, &reach, &options, &sender);
        let thread = std::thread::Builder::new()
            .name("ledger-postgres".into())
            .spawn(run)
            .map_err(failed)?;
        let ended = || Err(unavailable("the ledger's thread ended before it began"));
        match receiver.recv().unwrap_or_else(|_| ended()) {
            Ok(durability) => Ok(Self {
                durability,
                shared,
                thread: Some(thread),
            }),
            Err(error) => {
                let _ = thread.join();
                Err(error)
            }
        }
    }

    fn ask(&self, ask: Ask, now: i64) {
        match self.shared.work.push(Work { ask, now }) {
            Ok(()) => {}
            Err(Refused::Full(work)) => work.refuse(StoreError::new(
                StoreErrorKind::Overloaded,
                "more background tasks come in than the ledger's database takes",
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
            let ask = Ask::Change(selection, event, Progress::default(), owed);
            self.ask(ask, now);
        }
    }
}

/// The store's thread: says whether it could open the ledger, and then serves it until its queues are closed.
fn serve(
    runtime: &Runtime,
    shared: &Shared,
    reach: &Arc<Reach>,
    options: &PostgresOptions,
    opened: &mpsc::SyncSender<Result<Durability, StoreError>>,
) {
    runtime.block_on(async {
        let durability = prepare(reach, shared).await;
        let is_open = durability.is_ok();
        let said = opened.send(durability.map_err(Fault::into_store_error));
        if !is_open || said.is_err() {
            return;
        }
        let link = || Link::new(Arc::clone(reach), options.is_pooled.then_some(true));
        let writing = async {
            Writer::new(shared, link(), options.limits).run().await;
            // Counts are asked of the writer, and answered by a reader.
            shared.looks.close();
            shared.own.end();
            shared.ears.ring();
        };
        tokio::join!(
            writing,
            readers::run(shared, link()),
            readers::run(shared, link()),
            nodes::run(shared, link()),
            feed::run(shared, link())
        );
    });
}

async fn prepare(reach: &Reach, shared: &Shared) -> Result<Durability, Fault> {
    // Each statement is sent once here, so there is no use in preparing any.
    let connection = Connection::open(reach, Some(true)).await?;
    schema::migrate(&connection, reach).await?;
    shared.own.beat(&connection).await?;
    let rows = connection
        .query(
            "SELECT current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off'",
            &[],
        )
        .await?;
    let is_synced = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => false,
    };
    Ok(if is_synced {
        Durability::Commit
    } else {
        Durability::Write
    })
}

impl Store for Postgres {
    fn durability(&self) -> Durability {
        self.durability
    }

    fn now(&self) -> i64 {
        self.shared.own.clock.now()
    }

    fn is_alive(&self) -> bool {
        self.shared.own.is_alive()
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
        self.shared.own.introduce(node);
        done(Ok(()));
    }

    fn nodes(&self, done: Done<Vec<Node>>) {
        self.look(Look::Nodes(Owed::new(done)));
    }

    fn condition(&self) -> Option<Condition> {
        self.shared.watch_of_condition.condition()
    }

    fn watch(&self, listener: Arc<dyn Listener>) {
        self.shared.watch(listener);
    }

    fn heed(&self) {
        self.shared.ears.ring();
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.shared.work.close();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
