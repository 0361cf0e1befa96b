//! Frames on their way to the host, written in as few system calls as the load allows.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use service::sync::lock;

use super::watch;
use crate::link::ToHost;

/// How long `exit` waits for a frame that another thread is writing.
const EXIT_FLUSH_MAX: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Outbox {
    buffer: Mutex<BytesMut>,
    /// Rung when there is something for the flusher to write.
    bell: Condvar,
    link: UnixStream,
}

impl Outbox {
    pub(super) fn new(link: UnixStream) -> Self {
        Self {
            buffer: Mutex::new(BytesMut::new()),
            bell: Condvar::new(),
            link,
        }
    }

    /// Sends a frame now. A frame that can't be sent has nobody to go to, and ends this process.
    pub(super) fn send(&self, frame: &ToHost) {
        let mut buffer = self.lock();
        frame.encode(&mut buffer);
        self.write(&mut buffer);
    }

    /// Leaves a frame to the flusher: for a thread that has its next task waiting.
    pub(super) fn send_soon(&self, frame: &ToHost) {
        let mut buffer = self.lock();
        let was_empty = buffer.is_empty();
        frame.encode(&mut buffer);
        if was_empty {
            self.bell.notify_one();
        }
    }

    /// The flusher's thread: writes whatever was left to it, for ever.
    pub(super) fn run_flusher(&self) {
        let mut buffer = self.lock();
        loop {
            if buffer.is_empty() {
                buffer = self
                    .bell
                    .wait(buffer)
                    .unwrap_or_else(PoisonError::into_inner);
            } else {
                self.write(&mut buffer);
            }
        }
    }

    /// Writes what is left before the process exits; gives up when another thread does not let go of the buffer.
    pub(super) fn flush_at_exit(&self) {
        let give_up = Instant::now() + EXIT_FLUSH_MAX;
        loop {
            if let Ok(mut buffer) = self.buffer.try_lock() {
                self.write(&mut buffer);
                return;
            }
            if Instant::now() >= give_up {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn write(&self, buffer: &mut BytesMut) {
        if let Err(error) = (&self.link).write_all(buffer) {
            // The host has gone, or is done with this worker; or the plugin has closed what is not its own, and nobody
            // would ever hear of what is done here. The host catches what is printed.
            drop(writeln!(
                std::io::stderr(),
                "worker: its link to the host is lost: {error}"
            ));
            watch::die();
        }
        buffer.clear();
        // One large result must not be remembered in memory for the rest of the worker's life.
        if buffer.capacity() > 1024 * 1024 {
            *buffer = BytesMut::new();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BytesMut> {
        lock(&self.buffer)
    }
}
