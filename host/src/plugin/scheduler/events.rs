//! Workers speak: they open, return, report, and end.

use std::sync::Arc;
use std::time::Duration;

use plugin_api::abi::status;

use super::failure::{back_off, cancelled, cut_short, outcome_of, shortage_back_off};
use super::worker::{Handed, Phase, Worker};
use super::{BACK_OFF_FIRST, Entry, Place, Scheduler, Shortage, Stop, WorkerId};
use crate::clock::Moment;
use crate::link::{Board, CellState, ProgressReport, Return, link_status};
use crate::plugin::outcome::{self, Exit};
use crate::task::TaskId;

impl Scheduler {
    /// The worker has opened its plugin and runs `slots` tasks at once.
    pub(crate) fn worker_opened(
        &mut self,
        id: WorkerId,
        board: Arc<Board>,
        slots: u32,
        now: Moment,
    ) {
        if !self.opening.remove(id) {
            return;
        }
        self.shortage = None;
        self.slots = slots as usize;
        self.workers.insert(id, Worker::new(board, slots, now));
        self.dispatch(now);
        self.settle(id, now);
    }

    pub(crate) fn returned(&mut self, worker_id: WorkerId, returned: &Return, now: Moment) {
        let Some(worker) = self.workers.get(worker_id) else {
            return;
        };
        let cell = returned.cell;
        let id = match worker.cells[usize::from(cell)] {
            Some(Handed::TakenBack) => {
                self.workers
                    .change(worker_id, |worker| worker.free_cell(cell, now));
                self.settle(worker_id, now);
                return;
            }
            Some(Handed::Task(id)) if id.0 == returned.task => id,
            _ => {
                tracing::warn!(
                    task = returned.task,
                    "a worker returned a task that it does not have"
                );
                return;
            }
        };
        let has_run = !matches!(
            returned.status,
            link_status::NO_THREAD | link_status::SKIPPED
        );
        let entry = self.forget(id);
        let tasks_max = self.settings.tasks_max;
        self.workers.change(worker_id, |worker| {
            worker.free_cell(cell, now);
            if let Some(entry) = &entry {
                worker.unload(entry);
            }
            if has_run {
                worker.has_run_one(tasks_max);
            }
        });
        let Some(entry) = entry else { return };
        if has_run {
            self.learn(&entry, returned);
        }
        let outcome = outcome_of(&entry, returned);
        self.answer(entry, outcome, now);
        self.kill_if_stuck(worker_id, now);
        self.dispatch(now);
        self.settle(worker_id, now);
    }

    fn learn(&mut self, entry: &Entry, returned: &Return) {
        let ran = Duration::from_nanos(returned.ran_ns);
        if let Some(function) = self.functions.get_mut(entry.function as usize) {
            // What is refused says nothing of what isn't.
            if returned.status != status::INVALID_ARGS {
                function.learn(ran);
            }
            function.stats.ran(ran);
        }
        // Whatever the handler said, its worker lives.
        self.crashes_in_row = 0;
    }

    pub(crate) fn progressed(&self, worker: WorkerId, report: ProgressReport) {
        let Some(entry) = self.tasks.get(&TaskId(report.task)) else {
            return;
        };
        let is_its_own = matches!(entry.place, Place::Handed { worker: at, .. } if at == worker);
        if let Some(answer) = entry
            .answer
            .as_ref()
            .filter(|_| is_its_own && entry.progress)
        {
            answer.progress(report.done, report.total, report.message);
        }
    }

    /// A worker holds `bytes` of memory.
    pub(crate) fn worker_holds(&mut self, id: WorkerId, bytes: u64, now: Moment) {
        let over = self.settings.rss_max.is_some_and(|max| bytes > max);
        if over && self.workers.get(id).is_some_and(Worker::is_ready) {
            self.workers
                .change(id, |worker| worker.phase = Phase::Leaving);
            self.settle(id, now);
        }
    }

    /// Tells a worker that takes no more tasks, and has none left, to close.
    pub(super) fn settle(&mut self, id: WorkerId, now: Moment) {
        let goes = |phase| match phase {
            Phase::Leaving => true,
            Phase::Ready => self.draining && self.queue.is_empty(),
            Phase::Ending { .. } => false,
        };
        if let Some(worker) = self.workers.get(id)
            && worker.is_idle()
            && goes(worker.phase)
        {
            self.close(id, now);
        }
    }

    /// The process that a [`Command::Spawn`] asked for could not be started.
    pub(crate) fn worker_not_started(&mut self, id: WorkerId, why: &str, now: Moment) {
        if self.opening.remove(id) {
            self.crashed(&format!("could not be started: {why}"), now);
            // With no back-off yet, and nothing that would ring later, the next try would be at once, and for ever.
            self.spawn_not_before = self.spawn_not_before.max(now + BACK_OFF_FIRST);
        }
        if self.is_closed(now) {
            self.fail_queue(now);
        }
    }

    /// What a [`Command::Spawn`](super::Command::Spawn) asked for was not begun, and is not wanted any more.
    pub(crate) fn worker_not_needed(&mut self, id: WorkerId) {
        self.opening.remove(id);
    }

    /// The host has no room for the worker. That is no crash: what waits goes on waiting, and another try is made soon.
    pub(crate) fn worker_without_room(&mut self, id: WorkerId, why: &str, now: Moment) {
        if !self.opening.remove(id) {
            return;
        }
        let tries = self.shortage.as_ref().map_or(0, |before| before.tries);
        let not_before = now + shortage_back_off(tries);
        self.spawn_not_before = self.spawn_not_before.max(not_before);
        self.shortage = Some(Shortage {
            why: why.to_owned(),
            tries: tries.saturating_add(1),
        });
    }

    /// The worker's process has ended, and all that it had sent has been read.
    pub(crate) fn worker_exited(
        &mut self,
        id: WorkerId,
        exit: Exit,
        why: Option<&str>,
        now: Moment,
    ) {
        let was_opening = self.opening.remove(id);
        let worker = self.workers.remove(id);
        let is_stuck = worker.as_ref().is_some_and(|worker| worker.is_stuck);
        let expected = worker.as_ref().is_some_and(Worker::is_ending);
        if is_stuck {
            self.crashed("was killed: it began no task", now);
        } else if !expected && (worker.is_some() || was_opening) {
            self.crashed(&why.map_or_else(|| exit.to_string(), str::to_owned), now);
        }
        if let Some(worker) = worker {
            self.bury(&worker, exit, now);
        }
        if self.is_closed(now) {
            self.fail_queue(now);
        }
        self.dispatch(now);
    }

    /// Answers what ran in a worker that has died; what had not started goes back to the head of the queue.
    pub(super) fn bury(&mut self, worker: &Worker, exit: Exit, now: Moment) {
        let mut again = Vec::new();
        for (cell, id) in worker.own_tasks() {
            let state = worker.board.state(cell);
            // One that was told to stop has started, whatever is on the board now.
            let was_stopped = self
                .tasks
                .get(&id)
                .is_some_and(|entry| entry.stop.is_some());
            // Also what its worker was about to give back.
            let is_unstarted = matches!(state, CellState::HandedOver | CellState::TakenBack);
            if is_unstarted && !was_stopped {
                again.push(id);
                continue;
            }
            let Some(entry) = self.forget(id) else {
                continue;
            };
            let failure = match entry.stop {
                Some(Stop::Cancelled) => cancelled(true),
                Some(Stop::CutShort) => cut_short(),
                _ => outcome::of_crash(exit, cell, state == CellState::Done),
            };
            self.answer(entry, Err(failure), now);
        }
        self.requeue(again, now);
    }

    /// Puts tasks back to where they came from, the oldest first.
    pub(super) fn requeue(&mut self, mut ids: Vec<TaskId>, now: Moment) {
        ids.sort_unstable();
        for id in ids.into_iter().rev() {
            if let Some(entry) = self.tasks.get_mut(&id) {
                if let Place::Handed { worker, .. } = entry.place {
                    self.workers.change(worker, |worker| worker.unload(entry));
                }
                entry.place = Place::Queued;
                entry.started = None;
                let deadline = entry.deadline;
                self.queue.push_front(entry.asker, id);
                self.set_timer(id, deadline, now);
            }
        }
    }

    pub(super) fn crashed(&mut self, why: &str, now: Moment) {
        self.crashes += 1;
        self.crashes_in_row = self.crashes_in_row.saturating_add(1);
        self.spawn_not_before = now + back_off(self.crashes_in_row);
        self.last_crash = Some(format!("the worker {why}"));
    }

    pub(super) fn fail_queue(&mut self, now: Moment) {
        let failure = self.unavailable(now);
        for id in self.queue.take() {
            if let Some(entry) = self.forget(id) {
                self.answer(entry, Err(failure.clone()), now);
            }
        }
    }
}
