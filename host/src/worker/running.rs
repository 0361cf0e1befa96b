//! The tasks that run in this worker.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use rustc_hash::FxHashMap;
use service::sync::lock;

use super::progress::Progress;
use crate::clock::Moment;
use crate::link::Board;

/// One of them.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) cell: u8,
    pub(super) started: Moment,
    pub(super) deadline: Moment,
    pub(super) progress_wanted: bool,
    pub(super) cancelled: AtomicBool,
    pub(super) progress: Mutex<Progress>,
}

/// All of them, by their tasks' numbers.
#[derive(Debug, Default)]
pub(super) struct AllRunning(Mutex<FxHashMap<u64, Arc<Running>>>);

impl AllRunning {
    /// Whether the task may run, and does from now on. It may be here twice: taken back, and handed over again.
    pub(super) fn begin(&self, board: &Board, task: u64, running: Running) -> bool {
        // The host may have it stopped as soon as it has started; the thread that hears that waits for this.
        let mut all = lock(&self.0);
        let begins = board.start(running.cell, running.started);
        if begins {
            all.insert(task, Arc::new(running));
        }
        begins
    }

    pub(super) fn get(&self, task: u64) -> Option<Arc<Running>> {
        lock(&self.0).get(&task).cloned()
    }

    /// It has been answered.
    pub(super) fn end(&self, task: u64) -> Option<Arc<Running>> {
        lock(&self.0).remove(&task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running(cell: u8) -> Running {
        Running {
            cell,
            started: Moment::now(),
            deadline: Moment::NEVER,
            progress_wanted: false,
            cancelled: AtomicBool::new(false),
            progress: Mutex::default(),
        }
    }

    #[test]
    fn a_task_that_was_taken_back_and_handed_over_again_runs_once() {
        let (board, _) = Board::create().unwrap();
        let all = AllRunning::default();
        for cell in [1, 2] {
            board.hand_over(cell);
        }
        assert!(board.take_back(1));
        for is_late in [false, true] {
            if is_late {
                assert!(all.begin(&board, 7, running(2)));
            }
            assert!(!all.begin(&board, 7, running(1)));
            assert_eq!(all.get(7).map(|one| one.cell), is_late.then_some(2));
        }
        assert_eq!(all.end(7).map(|one| one.cell), Some(2));
        assert!(all.get(7).is_none());
    }
}
