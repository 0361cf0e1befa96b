//! The host's death, watched by a thread that does nothing else, and how a worker ends of its own accord.
//!
//! A plugin may block whichever thread it is called on for as long as it likes, and may have signal handlers of its own.
//! None of its code runs on this thread: it takes no locks, is called by nobody and takes no signals.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::process::{Signal, getpid, kill_process, kill_process_group};

/// Ends this process, and all that it has started, as soon as the host has gone.
///
/// `host` is a pidfd of the host, which the host has opened itself: it can't be another process's. Without one (kernels
/// before 5.3) the socket stands in for it: its other end is nobody's but the host's.
pub(super) fn start(host: Option<OwnedFd>, socket: OwnedFd) -> io::Result<()> {
    let (watched, events) = match host {
        Some(host) => (host, libc::POLLIN),
        // That the other end is gone is always told.
        None => (socket, 0),
    };
    std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || {
            block_signals();
            wait(&watched, events);
            die();
        })?;
    Ok(())
}

/// Ends this process, and all that it has started, with no word to anybody.
///
/// The host starts every worker as the leader of a process group of its own. A plugin may have left it, so this process
/// is killed by its number as well.
pub(super) fn die() -> ! {
    let own = getpid();
    let _ = kill_process_group(own, Signal::KILL);
    let _ = kill_process(own, Signal::KILL);
    std::process::abort()
}

/// The kernel holds what is waited for by itself: a plugin that closes descriptors which are not its own changes nothing.
fn wait(watched: &OwnedFd, events: libc::c_short) {
    let mut poll = libc::pollfd {
        fd: watched.as_raw_fd(),
        events,
        revents: 0,
    };
    loop {
        #[expect(
            unsafe_code,
            reason = "rustix has `poll` only in a feature that much else would be built anew for; see the SAFETY comment"
        )]
        // SAFETY: one `pollfd`, which outlives the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, -1) };
        let interrupted =
            ready < 0 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        if ready != 0 && !interrupted {
            return;
        }
    }
}

/// No signal handler runs on this thread, and nothing interrupts it.
fn block_signals() {
    let mut all = MaybeUninit::uninit();
    #[expect(
        unsafe_code,
        reason = "signal masks have no safe interface; see the SAFETY comment"
    )]
    // SAFETY: `sigfillset` initialises the set that `pthread_sigmask` reads, and only this thread's mask changes.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
    }
}
