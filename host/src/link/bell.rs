//! A descriptor by which a worker wakes the host (`eventfd`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

#[derive(Debug)]
pub(crate) struct Bell(OwnedFd);

impl Bell {
    /// A bell of the host, whose descriptor its worker is handed.
    pub(crate) fn create() -> io::Result<Self> {
        #[expect(
            unsafe_code,
            reason = "rustix has it only in a feature that much else would be built anew for; see the SAFETY comment"
        )]
        // SAFETY: a new descriptor, or an error; it is nobody else's.
        let fd = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Self(fd))
    }

    /// A worker's hold on the bell that it was handed.
    pub(crate) fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Wakes the host.
    ///
    /// # Errors
    /// The descriptor is not the bell any more: a plugin has closed what is not its own.
    pub(crate) fn ring(&self) -> io::Result<()> {
        match rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            // It has been rung more often than can be counted: the host is woken all the same.
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
