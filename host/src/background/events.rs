//! What happens to background tasks, until the keeper has time for it.

use std::sync::{Arc, Mutex};

use protocol::Outcome;
use service::sync::lock;
use tokio::sync::Notify;

use crate::ledger::{Claimed, Finish, Finished, Held, StoreError, Swept};

/// One thing that has happened.
pub(super) enum Event {
    /// The ledger is open.
    Opened,
    /// It could not be opened: once more, later.
    TryToOpen,
    /// Tasks of these functions wait since the ledger was opened.
    Waiting(Result<Vec<Arc<str>>, StoreError>),
    /// Tasks of these functions may be claimed.
    Available(Vec<Arc<str>>),
    /// The ledger could not be told of these functions.
    Untold(Vec<Arc<str>>),
    /// Something is due then, in milliseconds of Unix time.
    Due(i64),
    /// What was claimed for the plugin's pool, of what was asked for.
    Claimed {
        plugin: Arc<str>,
        asked: Vec<(Arc<str>, u32)>,
        claimed: Result<Vec<Claimed>, StoreError>,
    },
    /// The run of this number has been answered.
    Ended(u64, Outcome),
    /// Ends of runs were written down, or could not be.
    Written(Vec<Finish>, Result<Vec<Finished>, StoreError>),
    /// Tasks were called off: some of them may run.
    Check,
    /// Whose runs go on, in the order in which it was asked.
    Held(Vec<crate::ledger::TaskId>, Result<Vec<Held>, StoreError>),
    Swept(Result<Swept, StoreError>),
    /// Whether there is more to forget.
    Pruned(bool),
}

#[derive(Default)]
pub(super) struct Events {
    gathered: Mutex<Vec<Event>>,
    bell: Notify,
}

impl Events {
    /// By any thread; it does not block.
    pub(super) fn push(&self, event: Event) {
        lock(&self.gathered).push(event);
        self.bell.notify_one();
    }

    pub(super) fn take(&self) -> Vec<Event> {
        std::mem::take(&mut lock(&self.gathered))
    }

    /// Returns when something has happened since the last [`Self::take`].
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }
}
