//! Things that a plugin may do to the process it lives in, and should not.

use std::fs;
use std::io;

use plugin_api::TaskError;
use rustix::process::{Resource, getpgid, getppid, getrlimit, setpgid};

/// Closes what a program that makes itself a daemon closes: whatever may be open beyond the standard streams.
pub(crate) fn close_descriptors() {
    for fd in 3..=255 {
        #[expect(unsafe_code, reason = "misbehaving is this fixture's purpose")]
        // SAFETY: none: the descriptors belong to somebody else, and that is the point.
        unsafe {
            libc::close(fd);
        }
    }
}

/// Puts something else in the place of each of these descriptors, that takes what is written and tells nobody.
pub(crate) fn replace_descriptors() -> Result<(), TaskError> {
    let (here, there) = std::os::unix::net::UnixStream::pair()?;
    for fd in 3..=255 {
        use std::os::fd::AsRawFd;
        if [here.as_raw_fd(), there.as_raw_fd()].contains(&fd) {
            continue;
        }
        #[expect(unsafe_code, reason = "misbehaving is this fixture's purpose")]
        // SAFETY: none: the descriptors belong to somebody else, and that is the point.
        unsafe {
            libc::dup2(here.as_raw_fd(), fd);
        }
    }
    std::mem::forget((here, there));
    Ok(())
}

/// Moves this process into the process group of its parent.
pub(crate) fn leave_group() -> Result<(), TaskError> {
    let group = getpgid(getppid())?;
    setpgid(None, Some(group))?;
    Ok(())
}

/// Becomes two processes, which both go on from here.
pub(crate) fn fork() -> Result<(), TaskError> {
    #[expect(unsafe_code, reason = "misbehaving is this fixture's purpose")]
    // SAFETY: none: the child has one thread, and locks that nobody will ever release; that is the point.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        _ => Ok(()),
    }
}

/// How many files this process may have open, softly, and what the descriptors that it has stand for.
pub(crate) fn descriptors() -> Result<(Option<u64>, Vec<String>), TaskError> {
    let mut open = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        // The one by which the folder is read is gone by then.
        if let Ok(target) = fs::read_link(entry?.path()) {
            open.push(target.display().to_string());
        }
    }
    Ok((getrlimit(Resource::Nofile).current, open))
}
