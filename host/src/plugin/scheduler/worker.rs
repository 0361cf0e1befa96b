//! A worker as the scheduler sees it: its cells of the board, and how busy it is.

use std::sync::Arc;
use std::time::Duration;

use super::stacks::Room;
use super::{Entry, HANDED_LEN_MAX, STACK_COST_MAX, STACK_WAIT_MAX};
use crate::clock::Moment;
use crate::link::{Board, CELLS_MAX, CellState};
use crate::task::TaskId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Ready,
    /// Takes no new tasks; is told to close when it has none left.
    Leaving,
    /// Was told to close, or killed: its end is no crash, unless it was stuck. Killed when it is still there at the given moment.
    Ending {
        until: Moment,
    },
}

/// What lies in one of a worker's cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handed {
    Task(TaskId),
    /// Its task was taken back; the cell is free when the worker has noticed.
    TakenBack,
}

/// A worker that has opened its plugin. Who changes one goes through [`super::workers::Workers::change`].
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) phase: Phase,
    pub(super) board: Arc<Board>,
    pub(super) slots: usize,
    pub(super) cells: Vec<Option<Handed>>,
    pub(super) free: Vec<u8>,
    /// Tasks in `cells` that are still its own.
    pub(super) tasks: usize,
    pub(super) handed_len: usize,
    /// What its tasks are expected to take together.
    pub(super) cost: Duration,
    /// Tasks of its own that were told to stop.
    pub(super) stopping: usize,
    /// Since when it has had more tasks than slots.
    pub(super) stacked_since: Option<Moment>,
    pub(super) tasks_done: u64,
    pub(super) idle_since: Moment,
    /// When it returned something last, or got a task while it had nothing to return.
    pub(super) heard: Moment,
    /// It was killed since it begins nothing: its end is a crash all the same.
    pub(super) is_stuck: bool,
}

impl Worker {
    pub(super) fn new(board: Arc<Board>, slots: u32, now: Moment) -> Self {
        Self {
            phase: Phase::Ready,
            board,
            // None at all would leave its pool waiting for it.
            slots: (slots as usize).clamp(1, CELLS_MAX),
            cells: vec![None; CELLS_MAX],
            free: (0..=u8::MAX).rev().collect(),
            tasks: 0,
            handed_len: 0,
            cost: Duration::ZERO,
            stopping: 0,
            stacked_since: None,
            tasks_done: 0,
            idle_since: now,
            heard: now,
            is_stuck: false,
        }
    }

    /// Has no task of its own; it may not have noticed yet that some were taken back, and may never do so.
    pub(super) fn is_idle(&self) -> bool {
        self.tasks == 0
    }

    /// Has nothing to return, not even what was taken back.
    pub(super) fn owes_nothing(&self) -> bool {
        self.free.len() == CELLS_MAX
    }

    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending { .. })
    }

    pub(super) fn has_slot(&self) -> bool {
        self.is_ready() && self.tasks < self.slots && !self.free.is_empty()
    }

    /// Busy with nothing but tasks that are over in no time.
    pub(super) fn is_quick(&self) -> bool {
        self.tasks > 0 && self.cost <= STACK_COST_MAX
    }

    /// Whether something runs for longer than anything may wait that is stacked.
    pub(super) fn is_slow(&self, now: Moment) -> bool {
        let runs_too_long = |cell: u8| {
            self.board.state(cell) == CellState::Running
                && now.since(self.board.started(cell)) >= STACK_WAIT_MAX
        };
        self.own_tasks().any(|(cell, _)| runs_too_long(cell))
    }

    /// What it may be given on top of its quick tasks.
    pub(super) fn stack_room(&self) -> Room {
        (self.is_ready() && self.is_quick() && !self.free.is_empty())
            .then(|| STACK_COST_MAX.saturating_sub(self.cost))
    }

    /// Whether so many bytes of arguments may be handed to it beside those that it has.
    pub(super) fn has_room_for_bytes(&self, len: usize) -> bool {
        self.handed_len + len <= HANDED_LEN_MAX
    }

    /// Gives it a task that is expected to take so long; gives the cell in which the task lies then. `None`: no cell is
    /// free.
    pub(super) fn load(
        &mut self,
        id: TaskId,
        cost: Duration,
        len: usize,
        now: Moment,
    ) -> Option<u8> {
        if self.owes_nothing() {
            self.heard = now;
        }
        let cell = self.free.pop()?;
        self.cells[usize::from(cell)] = Some(Handed::Task(id));
        self.tasks += 1;
        self.handed_len += len;
        self.cost = self.cost.saturating_add(cost);
        if self.tasks > self.slots {
            self.stacked_since.get_or_insert(now);
        }
        self.board.hand_over(cell);
        Some(cell)
    }

    /// A task that was handed over weighs on it no longer.
    pub(super) fn unload(&mut self, entry: &Entry) {
        self.cost = if self.tasks == 0 {
            Duration::ZERO
        } else {
            self.cost.saturating_sub(entry.cost)
        };
        self.handed_len = self.handed_len.saturating_sub(entry.args.len());
    }

    /// Whether the task in this cell has not started, and never will: it is this worker's no more then.
    pub(super) fn take_back(&mut self, cell: u8) -> bool {
        let taken = self.board.take_back(cell);
        if taken {
            self.cells[usize::from(cell)] = Some(Handed::TakenBack);
            self.tasks -= 1;
        }
        taken
    }

    /// Whatever lay in the cell has been returned.
    pub(super) fn free_cell(&mut self, cell: u8, now: Moment) {
        if let Some(Handed::Task(_)) = self.cells[usize::from(cell)].take() {
            self.tasks -= 1;
        }
        self.heard = now;
        self.board.free(cell);
        self.free.push(cell);
        if self.tasks <= self.slots {
            self.stacked_since = None;
        }
        if self.tasks == 0 {
            self.idle_since = now;
        }
    }

    /// It has run a task to its end, and is replaced after `tasks_max` of them.
    pub(super) fn has_run_one(&mut self, tasks_max: Option<u64>) {
        self.tasks_done += 1;
        if tasks_max.is_some_and(|max| self.tasks_done >= max) && self.is_ready() {
            self.phase = Phase::Leaving;
        }
    }

    pub(super) fn own_tasks(&self) -> impl Iterator<Item = (u8, TaskId)> + '_ {
        (0..=u8::MAX)
            .zip(&self.cells)
            .filter_map(|(cell, handed)| match handed {
                Some(Handed::Task(task)) => Some((cell, *task)),
                _ => None,
            })
            .take(self.tasks)
    }
}
