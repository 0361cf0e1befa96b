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

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::clock::Moment;

    fn call(task: u64) -> Call {
        Call {
            task,
            cell: 0,
            function: 0,
            deadline: Moment::NEVER,
            limit_ns: 1,
            progress: false,
            args: Bytes::new(),
        }
    }

    fn open(slots: u32) -> Slots {
        let all = Slots::default();
        all.open(slots);
        all
    }

    #[track_caller]
    fn expect_run(slots: &Slots, task: u64, more: bool) {
        match slots.next() {
            Next::Run { call, more: said } => assert_eq!((call.task, said), (task, more)),
            Next::Read => panic!("there is {task} to run"),
        }
    }

    #[track_caller]
    fn expect_read(slots: &Slots) {
        assert!(matches!(slots.next(), Next::Read));
        slots.has_read();
    }

    fn unneeded() -> io::Result<()> {
        panic!("no thread is needed")
    }

    #[test]
    fn who_has_nothing_to_run_reads() {
        let slots = open(1);
        expect_read(&slots);
        slots.push([call(1), call(2)].into_iter());
        assert!(slots.has_work());
        expect_run(&slots, 1, false);
        assert!(!slots.has_work(), "its only slot is taken");
        assert!(slots.rouse(unneeded).is_none());
        assert_eq!(slots.ended(false), Tell::Nobody, "it looks for itself");
        expect_run(&slots, 2, false);
        slots.ended(false);
        expect_read(&slots);
    }

    #[test]
    fn a_task_that_is_ended_elsewhere_makes_room_for_what_waits() {
        let slots = open(1);
        slots.push([call(1), call(2)].into_iter());
        expect_run(&slots, 1, false);
        // Its handler has returned and will answer later, on another thread.
        assert!(matches!(slots.next(), Next::Read));
        assert_eq!(slots.ended(true), Tell::Reader);
        assert!(
            slots.has_work(),
            "which the reader is asked before it sleeps"
        );
        slots.has_read();
        expect_run(&slots, 2, false);
    }

    #[test]
    fn threads_come_one_after_another_as_far_as_there_are_slots() {
        let slots = open(2);
        let started = std::cell::Cell::new(0);
        let start = || {
            started.set(started.get() + 1);
            Ok(())
        };
        slots.push([call(1), call(2), call(3)].into_iter());
        expect_run(&slots, 1, true);
        assert!(slots.rouse(start).is_none());
        expect_run(&slots, 2, false);
        assert!(slots.rouse(start).is_none());
        assert_eq!(started.get(), 1);
    }

    #[test]
    fn what_has_no_thread_is_given_back_the_newest_first() {
        let slots = open(3);
        slots.push((1..=4).map(call));
        expect_run(&slots, 1, true);
        let (given_back, error) = slots
            .rouse(|| Err(io::Error::other("none")))
            .expect("two could run");
        let tasks: Vec<u64> = given_back.iter().map(|call| call.task).collect();
        assert_eq!((tasks, error.to_string()), (vec![3, 4], "none".to_owned()));
        // They are answered like others.
        slots.ended(true);
        slots.ended(true);
        assert!(slots.rouse(start_again).is_none());
        expect_run(&slots, 2, false);
    }

    fn start_again() -> io::Result<()> {
        Ok(())
    }
}
