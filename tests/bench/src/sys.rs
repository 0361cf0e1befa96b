//! What is asked of the kernel and has no safe interface in the libraries that we use. Nothing else here is unsafe, but for
//! `hop::ring`.
#![expect(
    unsafe_code,
    reason = "calls of the C library, each with what makes it sound"
)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::process;
use std::ptr;
use std::sync::atomic::AtomicU32;

use rustix::process::{getpid, getppid};

/// Which of the two processes this is, after [`fork`].
pub(crate) enum Fork {
    Parent,
    Child,
}

/// Becomes two processes. The child is killed when the parent's thread that forked has ended.
///
/// Only for processes with one thread: a lock that another thread holds would never be released in the child.
pub(crate) fn fork() -> io::Result<Fork> {
    let one_thread = std::fs::read_dir("/proc/self/task")?.count() == 1;
    assert!(one_thread, "only a process with one thread is forked");
    let parent = getpid();
    // SAFETY: there is no other thread, so that the child finds all memory and all locks in order.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: this request takes a signal's number and touches no memory.
            check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
            if getppid() == Some(parent) {
                Ok(Fork::Child)
            } else {
                // It has ended already, and nobody will say so.
                process::exit(0)
            }
        }
        _ => Ok(Fork::Parent),
    }
}

/// Zeros that this process and those it forks share, for as long as they live.
pub(crate) fn shared_memory(len: usize) -> io::Result<ptr::NonNull<u8>> {
    // SAFETY: a new mapping, where the kernel finds room for it; it replaces none.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(ptr::NonNull::new(start.cast()).expect("the kernel maps nothing at zero"))
}

/// Sleeps while `word` is `expected`, until [`futex_wake`], or for no reason.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32) {
    let no_timeout: *const libc::timespec = ptr::null();
    // SAFETY: the kernel reads the word, which outlives the call, and nothing else.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            no_timeout,
        );
    }
}

/// Wakes one that sleeps on `word`.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the kernel goes by the word's address and touches no memory.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1);
    }
}

/// A counter that wakes an epoll whenever it is added to.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: it touches no memory.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// Descriptors, and what has happened to them.
pub(crate) struct Epoll(OwnedFd);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// As long as there is something to read.
    Readable,
    /// As long as there is something to read, or room to write.
    Both,
    /// Each time that something comes.
    Edge,
}

/// Has room for so many events of one wait.
pub(crate) const EVENTS_MAX: usize = 256;

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) token: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

impl Epoll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: it touches no memory.
        owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Self)
    }

    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    pub(crate) fn change(
        &self,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    fn control(
        &self,
        operation: i32,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Interest,
    ) -> io::Result<()> {
        let events = match interest {
            Interest::Readable => libc::EPOLLIN,
            Interest::Both => libc::EPOLLIN | libc::EPOLLOUT,
            Interest::Edge => libc::EPOLLIN | libc::EPOLLET,
        };
        let mut event = libc::epoll_event {
            events: events.cast_unsigned(),
            u64: token,
        };
        // SAFETY: both descriptors are open while they are borrowed, and the event outlives the call.
        check(unsafe {
            libc::epoll_ctl(
                self.0.as_raw_fd(),
                operation,
                fd.as_raw_fd(),
                &raw mut event,
            )
        })
        .map(drop)
    }

    /// Fills `events` with what has happened; waits for it only if it `may_sleep`.
    pub(crate) fn wait(&self, may_sleep: bool, events: &mut Vec<Event>) -> io::Result<()> {
        events.clear();
        let mut raw = [libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX];
        let timeout = if may_sleep { -1 } else { 0 };
        // SAFETY: there is room for as many events as it says.
        let count = check(unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                raw.as_mut_ptr(),
                i32::try_from(EVENTS_MAX).expect("it is small"),
                timeout,
            )
        });
        let count = match count {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            count => count?,
        };
        let has = |event: libc::epoll_event, flags: i32| event.events & flags.cast_unsigned() != 0;
        let count = usize::try_from(count).unwrap_or(0);
        events.extend(raw[..count].iter().map(|event| Event {
            token: event.u64,
            // A read tells what else has happened.
            readable: has(*event, libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR),
            writable: has(*event, libc::EPOLLOUT),
        }));
        Ok(())
    }
}

/// The processors that a thread may run on.
#[derive(Clone, Copy)]
pub(crate) struct Processors(libc::cpu_set_t);

impl Processors {
    /// Those of this thread.
    pub(crate) fn of_this_thread() -> io::Result<Self> {
        // SAFETY: a set is an array of bits, of which zeros are the empty one.
        let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
        // SAFETY: the kernel writes no more than the set's size.
        check(unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) })?;
        Ok(Self(set))
    }

    /// Their numbers, in order.
    pub(crate) fn numbers(&self) -> Vec<usize> {
        let bits = 8 * size_of_val(&self.0);
        // SAFETY: these are below the number of bits in a set.
        let is_in = |number: &usize| unsafe { libc::CPU_ISSET(*number, &self.0) };
        (0..bits).filter(is_in).collect()
    }

    /// The first of these alone.
    pub(crate) fn first(self) -> Self {
        // SAFETY: as above.
        let mut one: libc::cpu_set_t = unsafe { mem::zeroed() };
        if let Some(number) = self.numbers().first() {
            // SAFETY: as above.
            unsafe { libc::CPU_SET(*number, &mut one) };
        }
        Self(one)
    }

    /// From now on this thread runs on these; so will the threads and processes that it starts.
    pub(crate) fn take(self) -> io::Result<()> {
        // SAFETY: the kernel reads no more than the set's size.
        check(unsafe { libc::sched_setaffinity(0, size_of_val(&self.0), &raw const self.0) })
            .map(drop)
    }
}

fn owned(fd: i32) -> io::Result<OwnedFd> {
    // SAFETY: the kernel has just given it to us, and nobody else knows it.
    check(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_on_one_processor_and_back() {
        let all = Processors::of_this_thread().unwrap();
        all.first().take().unwrap();
        let mine = Processors::of_this_thread().unwrap().numbers();
        assert_eq!(mine, all.numbers()[..1]);
        let available = std::thread::available_parallelism().unwrap();
        assert_eq!(available.get(), 1);
        // What is started now has as many.
        let there = std::thread::spawn(|| std::thread::available_parallelism().unwrap());
        assert_eq!(there.join().unwrap().get(), 1);
        all.take().unwrap();
    }
}
