//! Last words of a worker: which signal struck, and in which task's thread.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use libc::{c_int, c_void, siginfo_t};

use super::copy;
use crate::link::Board;

/// The signals by which a process dies of its own doing.
const FATAL: [c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGSYS,
    libc::SIGTRAP,
];

struct Noted {
    board: &'static Board,
    /// What was installed before, in the order of [`FATAL`]: the standard library's stack overflow detection.
    before: [libc::sigaction; FATAL.len()],
}

static NOTED: OnceLock<Noted> = OnceLock::new();
static EXIT_FLUSH: OnceLock<fn()> = OnceLock::new();
static FLUSHED: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// Slot of the task that this thread runs. Constant initialisation and no destructor: readable in a signal handler.
    static CURRENT_CELL: Cell<Option<u8>> = const { Cell::new(None) };
}

/// Marks this thread as running the task of `cell` (`None`: none any more).
pub(super) fn set_current_cell(cell: Option<u8>) {
    CURRENT_CELL.with(|current| current.set(cell));
}

/// Whether this thread runs the task of `cell`.
pub(super) fn is_current_cell(cell: u8) -> bool {
    CURRENT_CELL.with(|current| current.get() == Some(cell))
}

/// Has fatal signals noted on `board` before they take their course.
pub(super) fn install(board: &'static Board) {
    let mut before = [empty_action(); FATAL.len()];
    for (signal, before) in FATAL.iter().zip(&mut before) {
        #[expect(
            unsafe_code,
            reason = "signal handling has no safe interface; see the SAFETY comment"
        )]
        // SAFETY: `sigaction` only reads the current action into `before`.
        unsafe {
            libc::sigaction(*signal, std::ptr::null(), before);
        }
    }
    if NOTED.set(Noted { board, before }).is_err() {
        return;
    }
    let mut action = empty_action();
    action.sa_sigaction = note as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize;
    // On the thread's alternative stack: after a stack overflow there is no other.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    for signal in FATAL {
        #[expect(
            unsafe_code,
            reason = "signal handling has no safe interface; see the SAFETY comment"
        )]
        // SAFETY: `note` is async-signal-safe: atomics, a constant-initialised thread local, `sigaction` and `raise`.
        unsafe {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Has `flush` called when something calls `exit`, so that answers already given are not lost with the process.
pub(super) fn at_exit(flush: fn()) {
    extern "C" fn run() {
        if let Some(flush) = EXIT_FLUSH.get()
            && !FLUSHED.swap(true, Ordering::AcqRel)
        {
            flush();
        }
    }
    if EXIT_FLUSH.set(flush).is_ok() {
        #[expect(
            unsafe_code,
            reason = "atexit has no safe interface; see the SAFETY comment"
        )]
        // SAFETY: `run` is a plain function that does not unwind: `flush` only writes to a socket.
        unsafe {
            libc::atexit(run);
        }
    }
}

extern "C" fn note(signal: c_int, info: *mut siginfo_t, _context: *mut c_void) {
    let Some(noted) = NOTED.get() else { return };
    if !copy::is_copy() {
        let cell = CURRENT_CELL.try_with(Cell::get).ok().flatten();
        noted.board.note_signal(signal.unsigned_abs(), cell);
    }
    let Some(index) = FATAL.iter().position(|fatal| *fatal == signal) else {
        return;
    };
    #[expect(
        unsafe_code,
        reason = "signal handling has no safe interface; see the SAFETY comment"
    )]
    // SAFETY: puts back an action that was valid before; `info` is given by the kernel for SA_SIGINFO handlers. A fault
    // strikes again on return and then takes its old course; a signal that was sent has to be raised again.
    unsafe {
        libc::sigaction(signal, &raw const noted.before[index], std::ptr::null_mut());
        if !info.is_null() && (*info).si_code <= 0 {
            libc::raise(signal);
        }
    }
}

fn empty_action() -> libc::sigaction {
    #[expect(unsafe_code, reason = "a C struct of integers; see the SAFETY comment")]
    // SAFETY: all-zero bytes are a valid `sigaction`: default action, no flags, empty mask.
    unsafe {
        MaybeUninit::zeroed().assume_init()
    }
}
