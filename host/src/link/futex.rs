//! Sleeping on a word of memory that two processes share, and waking who sleeps there.

use std::sync::atomic::AtomicU32;

/// Sleeps while the word has this value, until somebody wakes who sleeps on it. May return without a reason: look again.
pub(super) fn wait(word: &AtomicU32, value: u32) {
    let forever: *const libc::timespec = std::ptr::null();
    #[expect(unsafe_code, reason = "a system call; see the SAFETY comment")]
    // SAFETY: the word lives longer than the call, which only reads it. Not `FUTEX_PRIVATE_FLAG`: the one who wakes may be
    // another process.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            value,
            forever,
        );
    }
}

/// Wakes one that sleeps on the word.
pub(super) fn wake(word: &AtomicU32) {
    #[expect(unsafe_code, reason = "a system call; see the SAFETY comment")]
    // SAFETY: the word is only looked up by its address.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1);
    }
}
