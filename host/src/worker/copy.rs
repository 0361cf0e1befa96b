//! Whether this process is the worker, or a copy of it that a plugin made by `fork`.
//!
//! A copy has the worker's link and board, and locks whose holders it doesn't have. What it answers, logs or notes would
//! be taken for the worker's; so it gives no word, and ends where a handler that returns in it would have answered.

use std::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};

/// A byte that is 1 here and 0 in every copy: the kernel empties its page there.
static MARK: AtomicPtr<AtomicU8> = AtomicPtr::new(std::ptr::null_mut());

/// From now on copies of this process are known. Without the kernel's help (before 4.14) they are not.
pub(super) fn mark_original() -> std::io::Result<()> {
    let len = rustix::param::page_size();
    #[expect(
        unsafe_code,
        reason = "only the kernel can tell, and only by a mapping; see the SAFETY comment"
    )]
    // SAFETY: a new mapping at an address of the kernel's choice that is never unmapped; its first byte is initialised,
    // and used as an atomic from then on.
    unsafe {
        let page = mmap_anonymous(
            std::ptr::null_mut(),
            len,
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE,
        )?;
        if madvise(page, len, Advice::LinuxWipeOnFork).is_ok() {
            page.cast::<u8>().write(1);
            MARK.store(page.cast(), Ordering::Release);
        }
    }
    Ok(())
}

/// Whether this is a copy. Takes no locks, and may be asked in a signal handler.
pub(super) fn is_copy() -> bool {
    let mark = MARK.load(Ordering::Acquire);
    #[expect(unsafe_code, reason = "see the SAFETY comment")]
    // SAFETY: null, or the page of `mark_original`, which stays for ever.
    unsafe {
        mark.as_ref()
            .is_some_and(|mark| mark.load(Ordering::Relaxed) == 0)
    }
}

/// Ends this process if it is a copy, with none of the worker's last words.
pub(super) fn end_if_copy() {
    if is_copy() {
        #[expect(
            unsafe_code,
            reason = "the standard library only exits with all that hangs on it; see the SAFETY comment"
        )]
        // SAFETY: ends the process, and touches nothing of it.
        unsafe {
            libc::_exit(0)
        }
    }
}
