//! The host's children: its own, and those that it adopts.
//!
//! As process 1 of a container the host becomes the parent of every process that loses its own, such as what a plugin had
//! started. Somebody has to wait for them, or they stay as zombies; but how one of the host's own children ended is for
//! whoever has started it to know.

use std::collections::HashSet;
use std::io;
use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use rustix::process::{Pid, WaitOptions, waitpid};
use service::sync::lock;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};

/// How soon it is looked again when one of the host's own children stands in the way: who has started it reaps it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Children that somebody here waits for.
static OWN: Mutex<Option<HashSet<u32>>> = Mutex::new(None);
/// Held for reading while a child is started and not known yet, for writing while others are reaped.
static STARTING: RwLock<()> = RwLock::new(());

/// One of the host's own children, which nobody else reaps as long as this lives.
#[derive(Debug)]
pub(crate) struct Own(u32);

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(own) = lock(&OWN).as_mut() {
            own.remove(&self.0);
        }
    }
}

/// Starts a child of the host's own. It is to be dropped after it was waited for.
pub(crate) fn spawn(command: &mut Command) -> io::Result<(Child, Own)> {
    let _starting = STARTING.read().unwrap_or_else(PoisonError::into_inner);
    let child = command.spawn()?;
    // It can't have been waited for yet.
    let pid = child.id().unwrap_or_default();
    lock(&OWN).get_or_insert_default().insert(pid);
    Ok((child, Own(pid)))
}

/// Reaps adopted children for as long as the host lives.
pub(crate) async fn reap_adopted() {
    let mut ended = match signal(SignalKind::child()) {
        Ok(ended) => ended,
        Err(error) => {
            tracing::warn!("adopted processes will stay as zombies: {error}");
            return std::future::pending().await;
        }
    };
    loop {
        if reap_all() {
            ended.recv().await;
        } else {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Reaps the adopted children that have ended. False: one of the host's own stands in the way.
fn reap_all() -> bool {
    let _nobody_starts = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    while let Some(pid) = next_ended() {
        if lock(&OWN).as_ref().is_some_and(|own| own.contains(&pid)) {
            return false;
        }
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
            return true;
        };
        if waitpid(Some(pid), WaitOptions::NOHANG).is_err() {
            return true;
        }
    }
    true
}

/// A child that has ended, and stays to be reaped.
fn next_ended() -> Option<u32> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    #[expect(
        unsafe_code,
        reason = "rustix doesn't say which child it is; see the SAFETY comment"
    )]
    // SAFETY: all-zero bytes are a valid `siginfo_t`, which `waitid` leaves alone or fills in for SIGCHLD, so that it has a
    // process.
    let pid = unsafe {
        if libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), options) != 0 {
            return None;
        }
        info.assume_init().si_pid()
    };
    u32::try_from(pid).ok().filter(|pid| *pid != 0)
}
