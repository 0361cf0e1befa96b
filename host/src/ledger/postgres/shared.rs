//! What the store's thread shares with those that ask.

use std::sync::{Arc, Mutex, PoisonError};

use super::condition::Watch;
use super::ears::Ears;
use super::own::Own;
use crate::ledger::queue::{Queue, Weight};
use crate::ledger::store::Listener;
use crate::ledger::work::{LOOKS_BATCH, LOOKS_BOUND, Look, WORK_BOUND, Work};

/// So much is written at once, so that nobody waits for others for long.
const WORK_BATCH: Weight = Weight {
    tasks: 4_096,
    bytes: 16 << 20,
};

pub(super) struct Shared {
    pub(super) work: Queue<Work>,
    pub(super) looks: Queue<Look>,
    pub(super) own: Own,
    pub(super) watch_of_condition: Watch,
    pub(super) ears: Ears,
    listener: Mutex<Option<Arc<dyn Listener>>>,
}

impl Shared {
    pub(super) fn new(own: Own) -> Self {
        Self {
            work: Queue::new(WORK_BOUND, WORK_BATCH),
            looks: Queue::new(LOOKS_BOUND, LOOKS_BATCH),
            own,
            watch_of_condition: Watch::default(),
            ears: Ears::default(),
            listener: Mutex::new(None),
        }
    }

    pub(super) fn listener(&self) -> Option<Arc<dyn Listener>> {
        let listener = self.listener.lock();
        listener.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn watch(&self, listener: Arc<dyn Listener>) {
        *self.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(listener);
        self.ears.ring();
    }
}
