//! Frames on their way to the host.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use service::sync::lock;

use super::watch;
use crate::link::{Bell, ToHost, Writer};

/// How long `exit` waits for a frame that another thread is writing.
const EXIT_FLUSH_MAX: Duration = Duration::from_millis(200);
/// Room for frames that is kept.
const KEPT_MAX: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Outbox {
    outgoing: Mutex<Outgoing>,
    bell: Bell,
}

#[derive(Debug)]
struct Outgoing {
    /// Frames that are not in the ring yet.
    frames: BytesMut,
    writer: Writer,
}

impl Outbox {
    pub(super) fn new(writer: Writer, bell: Bell) -> Self {
        let outgoing = Outgoing {
            frames: BytesMut::new(),
            writer,
        };
        Self {
            outgoing: Mutex::new(outgoing),
            bell,
        }
    }

    /// Sends a frame; waits while the host is behind with reading. What can't be sent has nobody to go to, and ends this
    /// process.
    pub(super) fn send(&self, frame: &ToHost) {
        let mut outgoing = self.lock();
        frame.encode(&mut outgoing.frames);
        self.write(&mut outgoing);
    }

    /// Writes what is left before the process exits; gives up when another thread does not let go of it.
    pub(super) fn flush_at_exit(&self) {
        let give_up = Instant::now() + EXIT_FLUSH_MAX;
        loop {
            if let Ok(mut outgoing) = self.outgoing.try_lock() {
                self.write(&mut outgoing);
                return;
            }
            if Instant::now() >= give_up {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// The host has room again, where it waited for that.
    pub(super) fn tell_of_room(&self) {
        self.wake_host();
    }

    fn write(&self, outgoing: &mut Outgoing) {
        let Outgoing { frames, writer } = outgoing;
        while !frames.is_empty() {
            let len = writer.write(frames);
            frames.advance(len);
            if writer.reader_sleeps() {
                self.wake_host();
            }
            if !frames.is_empty() && writer.sleep() {
                writer.wait();
            }
        }
        frames.clear();
        // One large result must not be remembered in memory for the rest of the worker's life.
        if frames.capacity() > KEPT_MAX {
            *frames = BytesMut::new();
        }
    }

    fn wake_host(&self) {
        if let Err(error) = self.bell.ring() {
            lost(&error);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outgoing> {
        lock(&self.outgoing)
    }
}

/// The plugin has closed what is not its own, or written over it: nobody would ever hear of what is done here.
pub(super) fn lost(error: &io::Error) -> ! {
    // The host catches what is printed.
    drop(writeln!(
        io::stderr(),
        "worker: its link to the host is lost: {error}"
    ));
    watch::die()
}
