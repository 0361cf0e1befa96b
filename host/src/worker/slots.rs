//! Calls that wait, and the threads that run them: which of them has a task, which reads the link, which sleeps.

use std::collections::VecDeque;
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use service::sync::lock;

use crate::link::Call;

#[derive(Debug, Default)]
pub(super) struct Slots {
    queue: Mutex<Queue>,
    /// Rung when a thread that sleeps may have something to do.
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Tasks that may run at once.
    slots: u32,
    waiting: VecDeque<Call>,
    running: u32,
    threads: u32,
    threads_idle: u32,
    /// One of the threads reads the link, or is about to.
    is_read: bool,
}

/// What a slot's thread is to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// `more`: another call could run at the same time ([`Slots::rouse`]).
    Run { call: Call, more: bool },
    /// Read the link, then say so by [`Slots::has_read`].
    Read,
}

/// Who is to be told that a slot has become free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Nobody,
    /// The thread that reads the link, which may sleep there.
    Reader,
}

impl Queue {
    /// Calls that could run now.
    fn runnable(&self) -> usize {
        let free = self.slots.saturating_sub(self.running) as usize;
        self.waiting.len().min(free)
    }
}

impl Slots {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// From now on so many tasks run at once; the first thread is there.
    pub(super) fn open(&self, slots: u32) {
        let mut queue = self.lock();
        queue.slots = slots;
        queue.threads = 1;
    }

    /// Whether a call could run now.
    pub(super) fn has_work(&self) -> bool {
        self.lock().runnable() > 0
    }

    /// Calls wait from now on.
    pub(super) fn push(&self, calls: impl Iterator<Item = Call>) {
        self.lock().waiting.extend(calls);
    }

    /// What the thread that asks is to do; it sleeps until there is something.
    pub(super) fn next(&self) -> Next {
        let mut queue = self.lock();
        loop {
            if queue.runnable() > 0
                && let Some(call) = queue.waiting.pop_front()
            {
                queue.running += 1;
                let more = queue.runnable() > 0;
                return Next::Run { call, more };
            }
            if !queue.is_read {
                queue.is_read = true;
                return Next::Read;
            }
            queue.threads_idle += 1;
            queue = self
                .bell
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.threads_idle -= 1;
        }
    }

    /// The thread that asked to read has done so.
    pub(super) fn has_read(&self) {
        self.lock().is_read = false;
    }

    /// Sees that what could run has a thread: wakes one that sleeps, or has another one started. Those see to the rest. What
    /// has none is given back, the newest first.
    pub(super) fn rouse(
        &self,
        start: impl Fn() -> io::Result<()>,
    ) -> Option<(Vec<Call>, io::Error)> {
        let mut queue = self.lock();
        if queue.runnable() == 0 {
            return None;
        }
        if queue.threads_idle > 0 {
            drop(queue);
            self.bell.notify_one();
            return None;
        }
        if queue.threads >= queue.slots {
            // Every thread is between two tasks, and will look.
            return None;
        }
        queue.threads += 1;
        let error = match start() {
            Ok(()) => return None,
            Err(error) => error,
        };
        queue.threads -= 1;
        let kept = queue.waiting.len() - queue.runnable();
        let given_back: Vec<Call> = queue.waiting.split_off(kept).into();
        // As if they ran, for the answer.
        queue.running += u32::try_from(given_back.len()).unwrap_or(u32::MAX);
        Some((given_back, error))
    }

    /// A task has ended, or will never run. `elsewhere`: not on a thread that looks for the next one now.
    pub(super) fn ended(&self, elsewhere: bool) -> Tell {
        let mut queue = self.lock();
        queue.running -= 1;
        if queue.waiting.is_empty() {
            return Tell::Nobody;
        }
        if queue.threads_idle > 0 {
            drop(queue);
            self.bell.notify_one();
            return Tell::Nobody;
        }
        if elsewhere && queue.is_read {
            Tell::Reader
        } else {
            Tell::Nobody
        }
    }
}
