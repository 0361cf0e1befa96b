//! What the store's thread shares with those that ask.

use std::sync::{Arc, Mutex, PoisonError};

use super::own::Own;
use crate::ledger::queue::{Queue, Weight};
use crate::ledger::store::Listener;
use crate::ledger::work::{Look, Work};

/// Enqueued tasks may wait for the writer up to so much; more is refused.
const WORK_BOUND: Weight = Weight {
    tasks: 100_000,
    bytes: 256 << 20,
};
/// So much is written at once, so that nobody waits for others for long.
const WORK_BATCH: Weight = Weight {
    tasks: 4_096,
    bytes: 16 << 20,
};
/// Those who read may wait up to so many.
const LOOKS_BOUND: Weight = Weight {
    tasks: 10_000,
    bytes: usize::MAX,
};
const LOOKS_BATCH: Weight = Weight {
    tasks: 1,
    bytes: usize::MAX,
};

pub(super) struct Shared {
    pub(super) work: Queue<Work>,
    pub(super) looks: Queue<Look>,
    pub(super) own: Own,
    listener: Mutex<Option<Arc<dyn Listener>>>,
}

impl Shared {
    pub(super) fn new(own: Own) -> Self {
        Self {
            work: Queue::new(WORK_BOUND, WORK_BATCH),
            looks: Queue::new(LOOKS_BOUND, LOOKS_BATCH),
            own,
            listener: Mutex::new(None),
        }
    }

    pub(super) fn listener(&self) -> Option<Arc<dyn Listener>> {
        let listener = self.listener.lock();
        listener.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn watch(&self, listener: Arc<dyn Listener>) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
    }
}
