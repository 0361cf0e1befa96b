//! Hears what a worker says, until its end.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use service::supervise::caught;
use service::sync::lock;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::Child;
use tokio::task::JoinHandle;

use super::{LinkEnd, Listens, WorkerEvent};
use crate::children::Own;
use crate::link::{Bell, Board, LINK_VERSION, Reader, ToHost, WorkerFrames};
use crate::plugin::outcome::Exit;

/// How long the end of a killed process is waited for. Only one that hangs in the kernel takes longer than a moment.
const KILL_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long the last printed lines of a dead worker are waited for.
const PRINTED_WAIT_MAX: Duration = Duration::from_millis(200);

/// After so many frames it is the turn of others on the same thread, before more is read.
const FRAMES_A_TURN_MAX: usize = 32;

/// One that never stops talking is looked at after so many turns: it may have to be killed.
const TURNS_MAX: u32 = 32;

/// A bell that can be waited for.
pub(super) fn watched(bell: Bell) -> io::Result<AsyncFd<Bell>> {
    #[expect(
        unsafe_code,
        reason = "tokio asks for a promise; see the SAFETY comment"
    )]
    // SAFETY: a `Bell` has one descriptor, which is its own for as long as it lives.
    unsafe {
        AsyncFd::register_with_interest(bell, Interest::READABLE).map_err(Into::into)
    }
}

/// Listens to one worker until it has ended.
pub(crate) struct Listener<L> {
    pub(super) link: Arc<LinkEnd>,
    pub(super) bell: AsyncFd<Bell>,
    pub(super) reader: Reader,
    /// A worker whose kernel has no pidfds sees by it that the host has gone.
    pub(super) _socket: Option<OwnedFd>,
    pub(super) board: Arc<Board>,
    pub(super) child: Child,
    /// Dropped after it, when it has been reaped.
    pub(super) _own: Own,
    pub(super) pid: u32,
    pub(super) frames: WorkerFrames,
    /// Frames that are whole. Reused.
    pub(super) whole: Vec<ToHost>,
    pub(super) printed: Vec<JoinHandle<()>>,
    pub(super) listens: Arc<L>,
}

/// Why listening has ended.
enum End {
    /// The worker has ended.
    Gone,
    /// The host gives it up.
    Broken(String),
    Killed,
}

impl<L: Listens> Listener<L> {
    /// Listens from now on.
    pub(crate) fn start(self) {
        let listens = Arc::clone(&self.listens);
        tokio::spawn(async move {
            if caught(self.run()).await.is_err() {
                // The process was killed with it; whoever waits for the worker must not do so for ever.
                let why = "was lost by the host; its log says more under \"panicked\"";
                listens.exited(WorkerEvent::Exited {
                    exit: Exit::default(),
                    broken: Some(why.to_owned()),
                });
            }
        });
    }

    async fn run(mut self) {
        let end = self.listen().await;
        // Whatever the plugin has started goes too. The group's number is still its own: its leader is not reaped yet,
        // or has been so only just now.
        kill_group(self.pid);
        // A plugin may have left the group. An error means that the process has ended.
        let _ = self.child.start_kill();
        let status = match tokio::time::timeout(KILL_WAIT_MAX, self.child.wait()).await {
            Ok(status) => status.ok(),
            Err(_elapsed) => {
                // The runtime reaps it when it ends after all.
                tracing::error!(
                    worker = self.pid,
                    "a worker that was killed does not end: it hangs in the kernel, or is frozen"
                );
                None
            }
        };
        // What it sent before it died is still there to be read.
        let broken = match end {
            End::Broken(why) => Some(why),
            End::Gone | End::Killed => self.read().err(),
        };
        for task in self.printed {
            let abort = task.abort_handle();
            if tokio::time::timeout(PRINTED_WAIT_MAX, task).await.is_err() {
                abort.abort();
            }
        }
        use std::os::unix::process::ExitStatusExt;
        let exit = Exit {
            code: status.as_ref().and_then(std::process::ExitStatus::code),
            signal: status.as_ref().and_then(ExitStatusExt::signal),
            culprit: self.board.culprit(),
        };
        self.listens.exited(WorkerEvent::Exited { exit, broken });
    }

    async fn listen(&mut self) -> End {
        let link = Arc::clone(&self.link);
        let mut turns = 0_u32;
        loop {
            match self.read() {
                Ok(frames @ 1..) => {
                    if frames > FRAMES_A_TURN_MAX {
                        tokio::task::yield_now().await;
                    } else {
                        tokio::task::coop::consume_budget().await;
                    }
                    turns = turns.wrapping_add(1);
                    if turns.is_multiple_of(TURNS_MAX)
                        && let Some(end) = self.is_over().await
                    {
                        return end;
                    }
                    continue;
                }
                Ok(0) => {}
                Err(why) => return End::Broken(why),
            }
            // It may have rung since it has room again.
            lock(&link.outgoing).send();
            if !self.reader.sleep() {
                continue;
            }
            tokio::select! {
                biased;
                () = link.kill.notified() => return End::Killed,
                rung = self.bell.readable() => match rung {
                    // Every ringing counts anew: what it had counted is of no interest.
                    Ok(mut rung) => rung.clear_ready(),
                    Err(_) => return End::Gone,
                },
                _ = self.child.wait() => return End::Gone,
            }
            self.reader.awake();
        }
    }

    /// Whether it has ended, or is to; without waiting for it.
    async fn is_over(&mut self) -> Option<End> {
        tokio::select! {
            biased;
            () = self.link.kill.notified() => Some(End::Killed),
            _ = self.child.wait() => Some(End::Gone),
            () = std::future::ready(()) => None,
        }
    }

    /// Reads what is there, and passes it on. Gives how many frames that were, or parts of one; 0: there is nothing.
    fn read(&mut self) -> Result<usize, String> {
        let broken = |why: &dyn std::fmt::Display| format!("broke its link to the host: {why}");
        let read = self.reader.read(self.frames.buffer_mut());
        if read.map_err(|torn| broken(&torn))? == 0 {
            return Ok(0);
        }
        if self.reader.writer_sleeps() {
            self.reader.wake_writer();
        }
        Ok(self.pass_on()?.max(1))
    }

    /// Passes on the frames that are complete, and gives how many those are.
    fn pass_on(&mut self) -> Result<usize, String> {
        let broken = loop {
            let frame = self.frames.next_to_host();
            match frame.map_err(|error| format!("broke its link to the host: {error}")) {
                Ok(Some(ToHost::Hello { link_version })) if link_version != LINK_VERSION => {
                    break Err(format!(
                        "speaks link version {link_version}, the host {LINK_VERSION}: \
                         the host's binary was replaced while it ran, restart it"
                    ));
                }
                Ok(Some(frame)) => {
                    if let ToHost::Opened { slots, .. } = frame {
                        self.link.slots.store(slots, Relaxed);
                    }
                    self.whole.push(frame);
                }
                Ok(None) => break Ok(()),
                Err(why) => break Err(why),
            }
        };
        let frames = self.whole.len();
        if frames > 0 {
            self.listens.said(&mut self.whole);
        }
        broken.map(|()| frames)
    }
}

fn kill_group(pid: u32) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}
