//! The private channel between the host and one of its workers.
//!
//! Two [`ring`]s in memory that both share carry [`frame`]s, one each way. Beside them a small page, the [`board`], says of
//! every task that was handed over whether it has started. Both stay readable after the worker has died. The descriptors
//! of all this reach the worker over a socket pair, whose one end is its standard input.
//!
//! Architecture invariant: both ends are the same binary (a worker is `/proc/self/exe`), so frames carry no
//! version of their own; the worker's hello names [`LINK_VERSION`] all the same, and the host refuses another.

mod bell;
mod board;
mod fds;
mod frame;
mod futex;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod memory;
mod ring;
mod sending;

pub(crate) use bell::Bell;
pub(crate) use board::{Board, CELLS_MAX, CellState, Culprit};
pub(crate) use fds::{Begin, receive as receive_fds, send as send_fds};
pub(crate) use frame::{
    Call, FRAME_LEN_MAX_EXTRA, LogRecord, Open, ProgressReport, Return, ToHost, ToWorker,
    WorkerFrames, link_status,
};
pub(crate) use memory::Shared;
pub(crate) use ring::{Poke, RING_LEN, Reader, Writer, ends_of_host, ends_of_worker};
pub(crate) use sending::Sending;

/// Raised with every change of a frame or of the board.
pub(crate) const LINK_VERSION: u32 = 4;
