//! What waits for a thread of the store's: bounded, in order, taken in batches.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) tasks: usize,
    pub(super) bytes: usize,
}

impl Weight {
    pub(super) fn add(&mut self, other: Self) {
        self.tasks += other.tasks;
        self.bytes += other.bytes;
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.tasks -= other.tasks;
        self.bytes -= other.bytes;
    }

    pub(super) fn exceeds(&self, other: Self) -> bool {
        self.tasks >= other.tasks || self.bytes >= other.bytes
    }
}

pub(super) trait Weighed {
    fn weight(&self) -> Weight;
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    /// More is refused.
    bound: Weight,
    /// So much is taken at once.
    batch: Weight,
    inner: Mutex<Inner<T>>,
    wake: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    items: VecDeque<T>,
    weight: Weight,
    awaiting: usize,
    is_closed: bool,
}

/// What a thread finds.
#[derive(Debug)]
pub(super) enum Batch<T> {
    Work(Vec<T>),
    /// Nothing came for a while.
    Idle,
    /// Nothing more comes.
    Closed,
}

impl<T: Weighed> Queue<T> {
    pub(super) fn new(bound: Weight, batch: Weight) -> Self {
        let inner = Inner {
            items: VecDeque::new(),
            weight: Weight::default(),
            awaiting: 0,
            is_closed: false,
        };
        Self {
            bound,
            batch,
            inner: Mutex::new(inner),
            wake: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Errors
    /// Gives the item back where there is no room for it, or the queue is closed.
    pub(super) fn push(&self, item: T) -> Result<(), Refused<T>> {
        let weight = item.weight();
        let mut inner = self.lock();
        if inner.is_closed {
            return Err(Refused::Closed(item));
        }
        if weight.tasks > 0 && inner.weight.exceeds(self.bound) {
            return Err(Refused::Full(item));
        }
        inner.weight.add(weight);
        inner.items.push_back(item);
        let wake = inner.awaiting > 0;
        drop(inner);
        if wake {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// All that has gathered, up to what fits into a batch; waits for it for `patience` at most.
    pub(super) fn take(&self, patience: Duration) -> Batch<T> {
        let mut inner = self.lock();
        while inner.items.is_empty() {
            if inner.is_closed {
                return Batch::Closed;
            }
            inner.awaiting += 1;
            let (guard, waited) = self
                .wake
                .wait_timeout(inner, patience)
                .unwrap_or_else(PoisonError::into_inner);
            inner = guard;
            inner.awaiting -= 1;
            if waited.timed_out() && inner.items.is_empty() && !inner.is_closed {
                return Batch::Idle;
            }
        }
        let mut batch = Vec::with_capacity(inner.items.len().min(self.batch.tasks));
        let mut weight = Weight::default();
        while let Some(item) = inner.items.pop_front() {
            weight.add(item.weight());
            batch.push(item);
            if weight.exceeds(self.batch) {
                break;
            }
        }
        inner.weight.subtract(weight);
        Batch::Work(batch)
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_all();
    }
}

/// Closes a queue when the thread that takes from it ends, also by a panic, and drops what nobody will take any more.
pub(super) struct Closing<'a, T: Weighed>(pub(super) &'a Queue<T>);

impl<T: Weighed> Drop for Closing<'_, T> {
    fn drop(&mut self) {
        self.0.close();
        while let Batch::Work(rest) = self.0.take(Duration::ZERO) {
            drop(rest);
        }
    }
}

/// An item that was not taken.
#[derive(Debug)]
pub(super) enum Refused<T> {
    Full(T),
    Closed(T),
}
