//! Frames on their way to the host.

use std::io::{self, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use service::sync::lock;

use super::watch;
use crate::link::{Bell, Sending, ToHost, Writer};

/// How long `exit` waits for a frame that another thread is writing.
const EXIT_FLUSH_MAX: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct Outbox {
    sending: Mutex<Sending>,
    bell: Bell,
}

impl Outbox {
    pub(super) fn new(writer: Writer, bell: Bell) -> Self {
        let sending = Mutex::new(Sending::new(writer));
        Self { sending, bell }
    }

    /// Sends a frame; waits while the host is behind with reading. What can't be sent has nobody to go to, and ends this
    /// process.
    pub(super) fn send(&self, frame: &ToHost) {
        let mut sending = lock(&self.sending);
        sending.push(|out| frame.encode_head(out));
        self.write(&mut sending);
    }

    /// Writes what is left before the process exits; gives up when another thread does not let go of it.
    pub(super) fn flush_at_exit(&self) {
        let give_up = Instant::now() + EXIT_FLUSH_MAX;
        loop {
            if let Ok(mut sending) = self.sending.try_lock() {
                self.write(&mut sending);
                return;
            }
            if Instant::now() >= give_up {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn write(&self, sending: &mut Sending) {
        loop {
            let written = sending.write();
            if written.wakes {
                self.wake_host();
            }
            if written.is_all {
                return;
            }
            sending.writer().wait();
        }
    }

    /// Wakes the host: there is something to read, or room again.
    pub(super) fn wake_host(&self) {
        if let Err(error) = self.bell.ring() {
            lost(&error);
        }
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
