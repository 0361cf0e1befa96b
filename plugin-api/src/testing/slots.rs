//! The slots of the one worker that the kit stands in for: who comes when all are taken waits, as in a worker.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// How late it may be noticed that whoever waits need not wait any more.
const ASK_EVERY: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Slots {
    free: Mutex<u32>,
    bell: Condvar,
}

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        Self {
            free: Mutex::new(count),
            bell: Condvar::new(),
        }
    }

    /// Waits for a slot, and takes it; `None` when `give_up` says so before.
    pub(super) fn take(&self, give_up: impl Fn() -> bool) -> Option<Slot<'_>> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if give_up() {
                return None;
            }
            if *free > 0 {
                *free -= 1;
                return Some(Slot(self));
            }
            free = self
                .bell
                .wait_timeout(free, ASK_EVERY)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

/// A slot that is taken. It is free again when this is dropped.
pub(super) struct Slot<'a>(&'a Slots);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.bell.notify_one();
    }
}
