//! The error codes and what they promise.

use std::fmt;
use std::str::FromStr;

/// Why a request got no result. On the wire a string, see [`as_str`](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "`CODES` says when each is sent")]
pub enum ErrorCode {
    BadRequest,
    TooLarge,
    UnknownFunction,
    Unavailable,
    Overloaded,
    ShuttingDown,
    InvalidArgs,
    HandlerFailed,
    HandlerPanicked,
    WorkerCrashed,
    Timeout,
    Cancelled,
    ResultTooLarge,
    Internal,
    Unauthorized,
    KeyConflict,
    StorageUnavailable,
    UnknownTask,
}

/// What a code stands for. The table in `docs/PROTOCOL.md` is made of these, and tested against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// The code described.
    pub code: ErrorCode,
    /// The code on the wire.
    pub name: &'static str,
    /// When it is sent.
    pub when: &'static str,
    /// Whether the same request may succeed later; `None` where the handler says.
    pub retryable: Option<bool>,
    /// Whether the handler may have begun, so that a retry may do the work twice; `None` where it depends.
    pub started: Option<bool>,
}

const fn info(
    code: ErrorCode,
    name: &'static str,
    when: &'static str,
    retryable: Option<bool>,
    started: Option<bool>,
) -> CodeInfo {
    CodeInfo {
        code,
        name,
        when,
        retryable,
        started,
    }
}

const NO: Option<bool> = Some(false);
const YES: Option<bool> = Some(true);

/// In the order of the enum.
#[rustfmt::skip]
const CODES: [CodeInfo; 18] = [
    info(ErrorCode::BadRequest, "bad_request", "the line is not JSON or not an object, or a field is missing or wrong; the message says which, and what to send", NO, NO),
    info(ErrorCode::TooLarge, "too_large", "the line is over the limit, which the message names; the connection closes after this reply", NO, NO),
    info(ErrorCode::UnknownFunction, "unknown_function", "no live plugin has such a function, or the one that had it was removed before the task began; the message names similar ones", NO, NO),
    info(ErrorCode::Unavailable, "unavailable", "the function's plugin crashed over and over and is kept from running for a while, or is still being opened; `data.retry_after_ms` says when to try again", YES, NO),
    info(ErrorCode::Overloaded, "overloaded", "the function's queue is full, the ledger is, all requests together are as long as the host takes, it has no more room for connections, or the system has no thread for the task; `data.retry_after_ms` says when to try again", YES, NO),
    info(ErrorCode::ShuttingDown, "shutting_down", "the server finishes what it has and takes nothing new", YES, NO),
    info(ErrorCode::InvalidArgs, "invalid_args", "`args` is not what the handler takes; the message says where and why", NO, NO),
    info(ErrorCode::HandlerFailed, "handler_failed", "the handler returned an error; `data` may hold its own `kind` and details. Messages of more than 8 KiB are cut, here and wherever a plugin has written them", None, YES),
    info(ErrorCode::HandlerPanicked, "handler_panicked", "the handler panicked; the message names the place", NO, YES),
    info(ErrorCode::WorkerCrashed, "worker_crashed", "the handler's process died; the message has the signal or exit code", YES, YES),
    info(ErrorCode::Timeout, "timeout", "the time limit passed, in the queue or in the handler", YES, None),
    info(ErrorCode::Cancelled, "cancelled", "`host.cancel` ended it", NO, None),
    info(ErrorCode::ResultTooLarge, "result_too_large", "the handler finished, but its result would make a line over the limit", NO, YES),
    info(ErrorCode::Internal, "internal", "the server's own fault; the message has a reference to its log", YES, None),
    info(ErrorCode::Unauthorized, "unauthorized", "the host wants to know its clients, and this one has not shown who it is by a first line `host.hello`, or may no longer be here; the connection closes after this reply", NO, NO),
    info(ErrorCode::KeyConflict, "key_conflict", "a task in the background has this `key` already, with other arguments; `data.task` is its id", NO, NO),
    info(ErrorCode::StorageUnavailable, "storage_unavailable", "nothing can be written down or read now: the disk is full or broken, or the ledger can't be opened; the message says what to do", YES, NO),
    info(ErrorCode::UnknownTask, "unknown_task", "there is no such task, or not for this client, or the time in which it could be asked for is over", NO, NO),
];

impl ErrorCode {
    /// Every code, in the order of the documentation.
    pub const ALL: [Self; CODES.len()] = {
        let mut all = [Self::Internal; CODES.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = CODES[index].code;
            index += 1;
        }
        all
    };

    /// What the code stands for.
    #[must_use]
    pub const fn info(self) -> &'static CodeInfo {
        &CODES[self as usize]
    }

    /// The code on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.info().name
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(name: &str) -> Result<Self, UnknownErrorCode> {
        CODES
            .iter()
            .find(|info| info.name == name)
            .map(|info| info.code)
            .ok_or(UnknownErrorCode)
    }
}

/// The string is not one of the error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownErrorCode;

impl fmt::Display for UnknownErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not one of the error codes")
    }
}

impl std::error::Error for UnknownErrorCode {}
