//! What the lane that listens to other hosts ([`super::feed`]) is told of by others on this host.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::ledger::id::TaskId;

#[derive(Default)]
pub(super) struct Ears {
    bell: Notify,
    followed: Mutex<Arc<[TaskId]>>,
}

impl Ears {
    /// There may be something to do.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Somebody on another host wants to know how far these tasks are, which run here.
    pub(super) fn follow(&self, tasks: Vec<TaskId>) {
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        if **followed != *tasks {
            *followed = tasks.into();
            self.ring();
        }
    }

    pub(super) fn followed(&self) -> Arc<[TaskId]> {
        let followed = self.followed.lock();
        Arc::clone(&followed.unwrap_or_else(PoisonError::into_inner))
    }
}
