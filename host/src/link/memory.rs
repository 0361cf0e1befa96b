//! Memory that the host and one worker share: a sealed file without a name, mapped by both.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};
use std::ptr::NonNull;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// What may lie in shared memory.
///
/// # Safety
/// The type is `repr(C)`, all-zero bytes are a valid value, it has no destructor, and every change of it by the other
/// process, at any time, is one that it allows: its fields are atomics, or are read and written by raw pointers alone.
#[expect(
    unsafe_code,
    reason = "whoever implements it answers for what the compiler can't see"
)]
pub(crate) unsafe trait Plain: Sync {}

/// A `T` in shared memory.
#[derive(Debug)]
pub(crate) struct Shared<T: Plain>(NonNull<T>);

#[expect(
    unsafe_code,
    reason = "shared memory has no safe owner; see the SAFETY comment"
)]
// SAFETY: the mapping lives as long as the value, and what is in it may be used by several threads, see `Plain`.
unsafe impl<T: Plain> Send for Shared<T> {}
#[expect(
    unsafe_code,
    reason = "shared memory has no safe owner; see the SAFETY comment"
)]
// SAFETY: as for `Send`.
unsafe impl<T: Plain> Sync for Shared<T> {}

impl<T: Plain> Shared<T> {
    /// A `T` of zeros, and the descriptor by which another process maps the same one.
    pub(crate) fn create(name: &str) -> io::Result<(Self, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let fd = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
            // Kernels before 6.3 don't know the flag; later ones may insist on it.
            Err(Errno::INVAL) => memfd_create(name, flags)?,
            other => other?,
        };
        ftruncate(&fd, size_of::<T>() as u64)?;
        // Without these a worker could shrink the file and kill the host with SIGBUS.
        fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((Self::map(&fd)?, fd))
    }

    /// Maps what lies behind a descriptor of [`Shared::create`].
    pub(crate) fn map(fd: impl AsFd) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "mapping memory; see the SAFETY comment")]
        // SAFETY: a new mapping at an address of the kernel's choice; the file is as long as `T` and sealed against
        // shrinking, and all-zero bytes are a valid `T`.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                size_of::<T>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                fd,
                0,
            )?
        };
        let address =
            NonNull::new(address.cast()).ok_or_else(|| io::Error::other("mapped to null"))?;
        Ok(Self(address))
    }
}

impl<T: Plain> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        #[expect(
            unsafe_code,
            reason = "shared memory has no safe owner; see the SAFETY comment"
        )]
        // SAFETY: the pointer came from a mapping of this size that lives as long as `self`; it is aligned to a page, and
        // `T` allows for whatever the other process does to it.
        unsafe {
            self.0.as_ref()
        }
    }
}

impl<T: Plain> Drop for Shared<T> {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "unmapping memory; see the SAFETY comment")]
        // SAFETY: the address and size are those of the mapping made in `map`, and nothing borrows it any more. An error
        // could only mean that it is not mapped.
        unsafe {
            let _ = munmap(self.0.as_ptr().cast(), size_of::<T>());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[expect(unsafe_code, reason = "for the test; see the SAFETY comment")]
    // SAFETY: an atomic.
    unsafe impl Plain for AtomicU32 {}

    #[test]
    fn both_ends_see_one_memory_that_nobody_can_shrink() {
        let (one, fd) = Shared::<AtomicU32>::create("test").unwrap();
        let other = Shared::<AtomicU32>::map(&fd).unwrap();
        one.store(17, Ordering::Release);
        assert_eq!(other.load(Ordering::Acquire), 17);
        assert!(ftruncate(&fd, 0).is_err());
    }
}
