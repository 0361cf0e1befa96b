//! Background tasks: written down when they come, brought to their pools when they are due, and what became of them
//! written down again.
//!
//! [`Background`] is what others ask: `admit` hands tasks over, `admin` shows and changes them. [`Keeper`] is the loop that
//! claims from the ledger what pools have room for, has it run like any other task, and writes the ends down, all that has
//! gathered at once. Pure parts: `endings` (what an answer means for its task) and `why` (what a task waits for).

mod ears;
mod endings;
mod events;
mod feeder;
mod intake;
mod keeper;
mod look;
mod nodes;
mod runs;
mod storage;
mod watchers;
mod why;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use protocol::{ErrorCode, TaskFailure};
use service::sync::{read, write};
use tokio::sync::watch;

use self::ears::Ears;
use self::events::{Event, Events};
pub(crate) use self::keeper::Keeper;
pub(crate) use self::look::{Change, Fares, Looked};
use self::runs::Runs;
use self::storage::Storage;
use self::watchers::Watchers;
pub(crate) use self::watchers::{News, Subject, Subscription};
pub(crate) use self::why::Why;
use crate::config::LedgerSettings;
use crate::generations::Roster;
use crate::ledger::{StoreError, StoreErrorKind, TaskIds, ask, unix_ms};
use crate::router::Router;
use crate::task::{Numbers, RETRY_AFTER};

/// The host's background tasks. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Background(Arc<Shared>);

struct Shared {
    storage: Storage,
    /// The name of this run of this host.
    node: Arc<str>,
    /// For how long a task can be asked for after its end that doesn't say so itself, in milliseconds.
    result_ttl_ms: i64,
    router: Router,
    roster: Roster,
    ids: TaskIds,
    numbers: Numbers,
    events: Arc<Events>,
    watchers: Arc<Watchers>,
    runs: Arc<Runs>,
    /// Functions that plugins have ever exported here, as far as the ledger knows.
    known: RwLock<HashSet<Arc<str>>>,
    /// Whether they have been read since the ledger was opened.
    has_learnt: AtomicBool,
    /// Whether the keeper has written down all that there was.
    is_done: watch::Sender<bool>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Background {
    pub(crate) fn new(
        settings: LedgerSettings,
        router: Router,
        roster: Roster,
        numbers: Numbers,
    ) -> Self {
        let events = Arc::<Events>::default();
        let watchers = Arc::new(Watchers::new(settings.place.is_shared()));
        let runs = Arc::new(Runs::new(Arc::clone(&events), Arc::clone(&watchers)));
        let ears = Ears::new(
            Arc::clone(&events),
            Arc::clone(&watchers),
            Arc::clone(&runs),
        );
        // Ids never go back, and those of tasks go by the ledger's clock, which this machine's may be ahead of.
        let node: Arc<str> = TaskIds::new().next(unix_ms()).to_string().into();
        Self(Arc::new(Shared {
            result_ttl_ms: settings.result_ttl_ms,
            storage: Storage::new(settings, Arc::clone(&node), Arc::new(ears)),
            node,
            router,
            roster,
            ids: TaskIds::new(),
            numbers,
            runs,
            events,
            watchers,
            known: RwLock::default(),
            has_learnt: AtomicBool::new(false),
            is_done: watch::Sender::new(false),
        }))
    }

    /// Opens the ledger, where there is one from before.
    ///
    /// # Errors
    /// It must not be touched: another host has it, it is damaged, or a newer version wrote it. What may pass by itself is
    /// no error: it is tried again.
    pub(crate) async fn begin(&self) -> Result<(), StoreError> {
        if !self.0.storage.is_there() {
            return Ok(());
        }
        match self.0.open().await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == StoreErrorKind::Unavailable => {
                tracing::error!("background tasks wait: {error}; it is tried again");
                self.0.events.push(Event::TryToOpen);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Lets go of the ledger, when the keeper has written down all that there was.
    pub(crate) async fn end(&self) {
        // The sender is here.
        let _ = self.0.is_done.subscribe().wait_for(|done| *done).await;
        self.0.storage.close().await;
    }
}

impl Shared {
    /// The ledger, opened and made if need be.
    async fn open(&self) -> Result<storage::Handle, StoreError> {
        let (store, is_new) = self.storage.open().await?;
        if is_new {
            self.events.push(Event::Opened);
        }
        if !self.has_learnt() {
            let known = ask(|done| store.known(done)).await?;
            write(&self.known).extend(known.into_iter().map(|function| function.name));
            self.has_learnt.store(true, Ordering::Release);
        }
        Ok(store)
    }

    /// Whether what is not known here is unknown to the ledger, too.
    fn has_learnt(&self) -> bool {
        self.has_learnt.load(Ordering::Acquire)
    }

    fn knows(&self, function: &str) -> bool {
        read(&self.known).contains(function)
    }
}

/// What a client is told of what the ledger could not do.
pub(crate) fn failure(error: &StoreError) -> TaskFailure {
    let code = match error.kind {
        StoreErrorKind::UnknownTask => ErrorCode::UnknownTask,
        StoreErrorKind::Overloaded => ErrorCode::Overloaded,
        StoreErrorKind::Unfit => ErrorCode::BadRequest,
        StoreErrorKind::Unavailable
        | StoreErrorKind::Damaged
        | StoreErrorKind::NewerSchema
        | StoreErrorKind::InUse => ErrorCode::StorageUnavailable,
    };
    let failure = TaskFailure::new(code, error.message());
    match code {
        ErrorCode::Overloaded => failure.with_retry_after(RETRY_AFTER),
        _ => failure,
    }
}
