//! Requests without ids, which run one after another: their answers are known by their order alone.

use std::collections::VecDeque;

use protocol::{Request, TaskFailure};

use crate::limits::TaskPermit;

/// Requests that wait for their turn; beyond it nothing more is read.
const TURNS_MAX: usize = 1024;

/// What becomes of a request when its turn comes: it runs, or is refused.
pub(super) type Turn = Result<(Request, TaskPermit), TaskFailure>;

/// Requests that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Turns(VecDeque<Turn>);

impl Turns {
    pub(super) fn push(&mut self, turn: Turn) {
        self.0.push_back(turn);
    }

    pub(super) fn pop(&mut self) -> Option<Turn> {
        self.0.pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= TURNS_MAX
    }
}
