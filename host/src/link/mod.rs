//! The private channel between the host and one of its workers.
//!
//! A socket pair carries [`frame`]s both ways; the worker's end is its standard input. Beside it a small
//! shared memory page, the [`board`], says of every task that was handed over whether it has started,
//! and stays readable after the worker has died.
//!
//! Architecture invariant: both ends are the same binary (a worker is `/proc/self/exe`), so frames carry no
//! version of their own; the worker's hello names [`LINK_VERSION`] all the same, and the host refuses another.

mod board;
mod fds;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;

pub(crate) use board::{Board, CELLS_MAX, CellState, Culprit};
pub(crate) use fds::{Received, receive as receive_fds, send as send_fds};
pub(crate) use frame::{
    Call, FRAME_LEN_MAX_EXTRA, LogRecord, Open, ProgressReport, Return, ToHost, ToWorker,
    WorkerFrames, link_status,
};

/// Raised with every change of a frame or of the board.
pub(crate) const LINK_VERSION: u32 = 3;
