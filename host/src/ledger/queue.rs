//! What waits for a thread of a store's: bounded, in order, taken in batches.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How much there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::ledger) struct Weight {
    pub(in crate::ledger) tasks: usize,
    pub(in crate::ledger) bytes: usize,
}

impl Weight {
    pub(in crate::ledger) fn add(&mut self, other: Self) {
        self.tasks += other.tasks;
        self.bytes += other.bytes;
    }

    pub(in crate::ledger) fn subtract(&mut self, other: Self) {
        self.tasks -= other.tasks;
        self.bytes -= other.bytes;
    }

    pub(in crate::ledger) fn exceeds(&self, other: Self) -> bool {
        self.tasks >= other.tasks || self.bytes >= other.bytes
    }
}

pub(in crate::ledger) trait Weighed {
    fn weight(&self) -> Weight;
}

#[derive(Debug)]
pub(in crate::ledger) struct Queue<T> {
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
    /// Of those that wait without a thread of their own.
    wakers: Vec<Waker>,
    is_closed: bool,
}

/// What a thread finds.
#[derive(Debug)]
pub(in crate::ledger) enum Batch<T> {
    Work(Vec<T>),
    /// Nothing came for a while.
    Idle,
    /// Nothing more comes.
    Closed,
}

impl<T: Weighed> Queue<T> {
    pub(in crate::ledger) fn new(bound: Weight, batch: Weight) -> Self {
        let inner = Inner {
            items: VecDeque::new(),
            weight: Weight::default(),
            awaiting: 0,
            wakers: Vec::new(),
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
    pub(in crate::ledger) fn push(&self, item: T) -> Result<(), Refused<T>> {
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
        let waker = inner.wakers.pop();
        drop(inner);
        if wake {
            self.wake.notify_one();
        }
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// All that has gathered, up to what fits into a batch; waits for it for `patience` at most.
    pub(in crate::ledger) fn take(&self, patience: Duration) -> Batch<T> {
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
        Batch::Work(self.take_from(&mut inner))
    }

    /// As [`Self::take`], for those that wait without a thread of their own; never idle.
    pub(in crate::ledger) async fn next(&self) -> Batch<T> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Batch<T>> {
        let mut inner = self.lock();
        if !inner.items.is_empty() {
            return Poll::Ready(Batch::Work(self.take_from(&mut inner)));
        }
        if inner.is_closed {
            return Poll::Ready(Batch::Closed);
        }
        let waker = context.waker();
        if !inner.wakers.iter().any(|known| known.will_wake(waker)) {
            inner.wakers.push(waker.clone());
        }
        Poll::Pending
    }

    fn take_from(&self, inner: &mut Inner<T>) -> Vec<T> {
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
        batch
    }

    pub(in crate::ledger) fn close(&self) {
        let mut inner = self.lock();
        inner.is_closed = true;
        let wakers = std::mem::take(&mut inner.wakers);
        drop(inner);
        self.wake.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Closes a queue when the thread that takes from it ends, also by a panic, and drops what nobody will take any more.
pub(in crate::ledger) struct Closing<'a, T: Weighed>(pub(in crate::ledger) &'a Queue<T>);

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
pub(in crate::ledger) enum Refused<T> {
    Full(T),
    Closed(T),
}
