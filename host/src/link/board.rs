//! The crash board: one byte a task in memory that host and worker share.
//!
//! A worker that dies says nothing. The board says, with certainty, which of the tasks handed over had
//! started, which had finished, and which never began; and since both sides move a task with
//! compare-and-swap, the host can take one back that has not started without asking the worker.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::memory::{Plain, Shared};
use crate::clock::Moment;

/// The most tasks that can be handed to one worker at once.
pub(crate) const CELLS_MAX: usize = plugin_api::limits::SLOTS_MAX as usize;

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellState {
    Free,
    HandedOver,
    Running,
    Done,
    TakenBack,
}

impl CellState {
    const fn as_u8(self) -> u8 {
        match self {
            Self::Free => 0,
            Self::HandedOver => 1,
            Self::Running => 2,
            Self::Done => 3,
            Self::TakenBack => 4,
        }
    }

    /// A byte that a broken plugin has scribbled counts as running: the careful reading.
    fn from_u8(byte: u8) -> Self {
        match byte {
            0 => Self::Free,
            1 => Self::HandedOver,
            3 => Self::Done,
            4 => Self::TakenBack,
            _ => Self::Running,
        }
    }
}

#[derive(Debug)]
#[repr(C)]
struct Layout {
    states: [AtomicU8; CELLS_MAX],
    started_ns: [AtomicU64; CELLS_MAX],
    signal: AtomicU32,
    /// Slot of the task whose thread got the signal, plus one; 0: none.
    culprit: AtomicU32,
}

/// What the worker's signal handler noted before it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Culprit {
    pub(crate) signal: u32,
    pub(crate) cell: Option<u8>,
}

#[expect(unsafe_code, reason = "only a promise; see the SAFETY comment")]
// SAFETY: `repr(C)`, and every field is an atomic.
unsafe impl Plain for Layout {}

#[derive(Debug)]
pub(crate) struct Board(Shared<Layout>);

impl Board {
    /// A board with every cell free, and the descriptor by which a worker maps the same memory.
    pub(crate) fn create() -> io::Result<(Self, OwnedFd)> {
        let (layout, fd) = Shared::create("board")?;
        Ok((Self(layout), fd))
    }

    /// Maps the board behind a descriptor of [`Board::create`].
    pub(crate) fn map(fd: impl AsFd) -> io::Result<Self> {
        Ok(Self(Shared::map(fd)?))
    }

    fn swap(&self, cell: u8, from: CellState, to: CellState) -> bool {
        self.0.states[usize::from(cell)]
            .compare_exchange(
                from.as_u8(),
                to.as_u8(),
                Ordering::AcqRel,
                Ordering::Acquire,
            )
            .is_ok()
    }

    /// Host: the task in this cell is about to be sent.
    pub(crate) fn hand_over(&self, cell: u8) {
        self.set(cell, CellState::HandedOver);
    }

    /// Host, or worker without a thread: takes the task back if it has not started. True: it never will.
    pub(crate) fn take_back(&self, cell: u8) -> bool {
        self.swap(cell, CellState::HandedOver, CellState::TakenBack)
    }

    /// Host: the cell's task has been accounted for.
    pub(crate) fn free(&self, cell: u8) {
        self.set(cell, CellState::Free);
    }

    /// Worker: starts the task, unless the host has taken it back.
    pub(crate) fn start(&self, cell: u8, now: Moment) -> bool {
        self.0.started_ns[usize::from(cell)].store(now.as_nanos(), Ordering::Relaxed);
        self.swap(cell, CellState::HandedOver, CellState::Running)
    }

    /// Worker: the handler has answered.
    pub(crate) fn finish(&self, cell: u8) {
        self.set(cell, CellState::Done);
    }

    fn set(&self, cell: u8, state: CellState) {
        self.0.states[usize::from(cell)].store(state.as_u8(), Ordering::Release);
    }

    pub(crate) fn state(&self, cell: u8) -> CellState {
        CellState::from_u8(self.0.states[usize::from(cell)].load(Ordering::Acquire))
    }

    /// Writes over a cell, and over the note of a signal where there is one, as a broken plugin may.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn scribble(&self, cell: u8, state: u8, started_ns: u64, note: Option<(u32, u32)>) {
        let layout = &*self.0;
        layout.states[usize::from(cell)].store(state, Ordering::Release);
        layout.started_ns[usize::from(cell)].store(started_ns, Ordering::Release);
        if let Some((signal, culprit)) = note {
            layout.signal.store(signal, Ordering::Release);
            layout.culprit.store(culprit, Ordering::Release);
        }
    }

    /// When the running task of this cell started. Only meaningful while it runs.
    pub(crate) fn started(&self, cell: u8) -> Moment {
        Moment::from_nanos(self.0.started_ns[usize::from(cell)].load(Ordering::Relaxed))
    }

    /// Worker, from a signal handler: who got which signal. The first note stays: later ones are consequences.
    pub(crate) fn note_signal(&self, signal: u32, cell: Option<u8>) {
        let layout = &*self.0;
        if layout
            .signal
            .compare_exchange(0, signal, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
        {
            layout.culprit.store(
                cell.map_or(0, |cell| u32::from(cell) + 1),
                Ordering::Release,
            );
        }
    }

    /// Host, after the worker's death: what the signal handler noted.
    pub(crate) fn culprit(&self) -> Option<Culprit> {
        let signal = self.0.signal.load(Ordering::Acquire);
        let cell = self.0.culprit.load(Ordering::Acquire);
        let cell = cell.checked_sub(1).and_then(|cell| u8::try_from(cell).ok());
        (signal != 0).then_some(Culprit { signal, cell })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_see_one_board() {
        let (host, fd) = Board::create().unwrap();
        let worker = Board::map(&fd).unwrap();
        host.hand_over(3);
        assert_eq!(worker.state(3), CellState::HandedOver);
        assert!(worker.start(3, Moment::from_nanos(17)));
        assert_eq!(host.state(3), CellState::Running);
        assert_eq!(host.started(3), Moment::from_nanos(17));
        worker.finish(3);
        assert_eq!(host.state(3), CellState::Done);
    }

    #[test]
    fn a_task_is_either_started_or_taken_back() {
        let (board, _fd) = Board::create().unwrap();
        board.hand_over(0);
        assert!(board.take_back(0));
        assert!(!board.start(0, Moment::default()), "it was taken back");
        board.hand_over(1);
        assert!(board.start(1, Moment::default()));
        assert!(!board.take_back(1), "it runs");
    }

    #[test]
    fn the_first_signal_is_the_one_that_counts() {
        let (board, _fd) = Board::create().unwrap();
        assert_eq!(board.culprit(), None);
        board.note_signal(11, Some(255));
        board.note_signal(6, None);
        assert_eq!(
            board.culprit(),
            Some(Culprit {
                signal: 11,
                cell: Some(255)
            })
        );
    }
}
