//! Frames that come from the host, read by whichever thread of the worker has time.
//!
//! Usually that is a slot's own thread which has no task: a lone task then wakes one thread. Nobody reads while that runs
//! its task; the host then raises the urgent flag for what can't wait, and a thread that does nothing else reads it.

use std::io;
use std::sync::{Mutex, MutexGuard};

use service::sync::lock;

use super::outbox::Outbox;
use crate::link::{FRAME_LEN_MAX_EXTRA, Poke, Reader, ToWorker, WorkerFrames};

/// Longest frame from the host; the host bounds its lines itself, this only tells a broken link from a long one.
const FRAME_LEN_MAX: usize = 1024 * 1024 * 1024 + FRAME_LEN_MAX_EXTRA;

#[derive(Debug)]
pub(super) struct Inlet {
    reading: Mutex<Reading>,
    poke: Poke,
}

/// Whoever holds it reads.
#[derive(Debug)]
pub(super) struct Reading {
    reader: Reader,
    frames: WorkerFrames,
    outbox: &'static Outbox,
}

impl Inlet {
    pub(super) fn new(reader: Reader, outbox: &'static Outbox) -> Self {
        let poke = reader.poke();
        let reading = Reading {
            reader,
            frames: WorkerFrames::new(FRAME_LEN_MAX),
            outbox,
        };
        Self {
            reading: Mutex::new(reading),
            poke,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Reading> {
        lock(&self.reading)
    }

    /// Waits until the host wants something to be read at once, and takes over.
    pub(super) fn wait_urgent(&self) -> MutexGuard<'_, Reading> {
        self.poke.wait_urgent();
        let reading = self.lock();
        // Before reading: what comes after that rings anew.
        self.poke.urgent_heard();
        reading
    }

    /// Has a reader that sleeps look round.
    pub(super) fn poke(&self) {
        self.poke.poke();
    }
}

impl Reading {
    /// The next frame that is whole.
    ///
    /// # Errors
    /// The link is broken.
    pub(super) fn next(&mut self) -> io::Result<Option<ToWorker>> {
        self.frames.next_to_worker().map_err(io::Error::other)
    }

    /// Reads what is there. False: nothing.
    ///
    /// # Errors
    /// The link is broken.
    pub(super) fn read(&mut self) -> io::Result<bool> {
        let read = self.reader.read(self.frames.buffer_mut());
        let len = read.map_err(|torn| io::Error::other(torn.to_string()))?;
        if len > 0 && self.reader.writer_sleeps() {
            self.outbox.wake_host();
        }
        Ok(len > 0)
    }

    /// Waits until there may be something to read, or [`Inlet::poke`]; not at all once `is_wanted` says so.
    pub(super) fn wait(&self, is_wanted: impl FnOnce() -> bool) {
        // Others first: what they bring meanwhile wakes nobody.
        std::thread::yield_now();
        if !self.reader.is_empty() || !self.reader.sleep() {
            return;
        }
        // Asked after it is known that this thread sleeps: who changes the answer pokes it from then on.
        if !is_wanted() {
            self.reader.wait();
        }
        self.reader.awake();
    }
}
