//! Time passes: limits, graces, idle workers.

use super::failure::{lost_return, timeout_in_queue, timeout_while_running};
use super::worker::{Phase, take_back};
use super::{
    COST_UNKNOWN, Command, Place, STACK_WAIT_MAX, STUCK_LIMIT_MIN, Scheduler, Stop, WorkerId,
};
use crate::clock::Moment;
use crate::link::CellState;
use crate::task::TaskId;

impl Scheduler {
    /// When [`Scheduler::tick`] is wanted next.
    pub(crate) fn next_tick(&self) -> Moment {
        let timer = self.timers.first().map(|(at, _)| *at);
        let opening = self.opening.values().min().copied();
        let ending = self
            .workers
            .values()
            .filter_map(|worker| match worker.phase {
                Phase::Ending { until } => Some(until),
                _ => None,
            });
        let stacked = self
            .workers
            .values()
            .filter_map(|worker| worker.stacked_since)
            .min();
        [
            timer,
            opening,
            ending.min(),
            stacked.map(|since| since + STACK_WAIT_MAX),
            self.growth_due(),
            self.next_idle_end(),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Moment::NEVER)
    }

    pub(crate) fn tick(&mut self, now: Moment) {
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timer_rang(id, now);
        }
        let overdue: Vec<WorkerId> = self
            .opening
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(id, _)| *id)
            .collect();
        for id in overdue {
            // Once is enough: its end takes it out.
            self.opening.insert(id, Moment::NEVER);
            self.commands.push(Command::Kill(id));
        }
        for (id, worker) in &mut self.workers {
            if matches!(worker.phase, Phase::Ending { until } if until <= now) {
                worker.phase = Phase::Ending {
                    until: Moment::NEVER,
                };
                self.commands.push(Command::Kill(*id));
            }
        }
        self.take_back_stacked(now);
        self.close_idle(now);
        self.dispatch(now);
    }

    /// A task's time is up: its deadline, its limit, or the grace after either.
    pub(super) fn timer_rang(&mut self, id: TaskId, now: Moment) {
        let Some(entry) = self.tasks.get(&id) else {
            self.timers.retain(|(_, task)| *task != id);
            return;
        };
        match entry.place {
            Place::Queued => self.answer_unstarted(id, timeout_in_queue(self.shortage()), now),
            Place::Handed { worker, .. } if entry.stop.is_some() => {
                if entry.stop == Some(Stop::Finished) {
                    self.answer_now(id, lost_return(), now);
                }
                self.set_timer(id, Moment::NEVER);
                self.kill_if_stuck(worker);
            }
            Place::Handed { worker, cell } => self.running_too_long(id, worker, cell, now),
        }
    }

    pub(super) fn running_too_long(
        &mut self,
        id: TaskId,
        worker_id: WorkerId,
        cell: u8,
        now: Moment,
    ) {
        let Some((function, deadline)) = self
            .tasks
            .get(&id)
            .map(|entry| (entry.function, entry.deadline))
        else {
            return;
        };
        let limit = self.limit_of(function);
        let Some(worker) = self.workers.get_mut(&worker_id) else {
            return;
        };
        if take_back(worker, cell, self.tasks.get(&id)) {
            let runs = |(cell, _)| worker.board.state(cell) == CellState::Running;
            let silent = now.since(worker.heard);
            let waited_long = now < deadline && limit.max(silent) >= STUCK_LIMIT_MIN;
            if waited_long && !worker.is_ending() && !worker.own_tasks().any(runs) {
                // It has had a task for as long as the task may run, runs nothing, and has not begun: it is stuck. A
                // pool of such workers is in a crash loop; else what waits would go from one to the next for ever.
                worker.is_stuck = true;
                worker.phase = Phase::Ending {
                    until: Moment::NEVER,
                };
                self.commands.push(Command::Kill(worker_id));
            }
            self.requeue(vec![id]);
            self.settle(worker_id, now);
            return;
        }
        let said = worker.board.started(cell).min(now);
        let is_done = worker.board.state(cell) == CellState::Done;
        let started = self
            .tasks
            .get_mut(&id)
            .map(|entry| *entry.started.get_or_insert(said));
        let until = deadline.min(started.unwrap_or(said) + limit);
        if now < until {
            self.set_timer(id, until);
            return;
        }
        if is_done {
            // Its return is on its way. A worker from which it never comes can't be heard any more.
            self.stop(id, Stop::Finished, now);
            return;
        }
        self.stop(id, Stop::TimedOut, now);
        let ran = now.since(started.unwrap_or(said));
        self.answer_now(id, timeout_while_running(ran), now);
    }

    /// Tells the handler to stop, where it runs; after the grace its worker is killed.
    pub(super) fn stop(&mut self, id: TaskId, stop: Stop, now: Moment) {
        let Some(entry) = self.tasks.get_mut(&id) else {
            return;
        };
        let Place::Handed { worker, .. } = entry.place else {
            return;
        };
        if entry.stop.replace(stop).is_none()
            && let Some(worker) = self.workers.get_mut(&worker)
        {
            worker.stopping += 1;
        }
        self.set_timer(id, now + self.settings.cancel_grace);
        if stop != Stop::Finished {
            self.commands.push(Command::Cancel(worker, id));
        }
    }

    /// Kills a worker whose every task has been told to stop and has used up its grace. While others run beside them
    /// it only takes no new ones.
    pub(super) fn kill_if_stuck(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(&id) else {
            return;
        };
        if worker.stopping == 0 || worker.is_ending() {
            return;
        }
        let used_up = |task: &TaskId| {
            self.tasks
                .get(task)
                .is_some_and(|entry| entry.stop.is_some() && entry.timer == Moment::NEVER)
        };
        let tasks: Vec<(u8, TaskId)> = worker.own_tasks().collect();
        let stuck = tasks.iter().filter(|(_, task)| used_up(task)).count();
        if stuck == 0 {
            return;
        }
        worker.phase = Phase::Leaving;
        let mut again = Vec::new();
        for (cell, task) in &tasks {
            if take_back(worker, *cell, self.tasks.get(task)) {
                again.push(*task);
            }
        }
        if stuck + again.len() == tasks.len() {
            worker.phase = Phase::Ending {
                until: Moment::NEVER,
            };
            self.commands.push(Command::Kill(id));
        }
        self.requeue(again);
    }

    /// A task on top of which others were stacked takes longer than expected: they go elsewhere.
    pub(super) fn take_back_stacked(&mut self, now: Moment) {
        let mut again = Vec::new();
        let mut not_quick = Vec::new();
        for (id, worker) in &mut self.workers {
            if worker
                .stacked_since
                .is_none_or(|since| now < since + STACK_WAIT_MAX)
            {
                continue;
            }
            worker.stacked_since = (worker.tasks > worker.slots).then_some(now);
            let tasks: Vec<(u8, TaskId)> = worker.own_tasks().collect();
            let too_long = tasks.iter().any(|(cell, _)| {
                worker.board.state(*cell) == CellState::Running
                    && now.since(worker.board.started(*cell)) >= STACK_WAIT_MAX
            });
            if !too_long {
                continue;
            }
            for (cell, task) in tasks {
                if take_back(worker, cell, self.tasks.get(&task)) {
                    again.push(task);
                }
            }
            worker.stacked_since = None;
            not_quick.push(*id);
        }
        self.requeue(again);
        for id in not_quick {
            // Whatever was expected of its task: nothing more is stacked on this worker before it has returned.
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.cost = COST_UNKNOWN;
            }
            self.settle(id, now);
        }
    }

    pub(super) fn next_idle_end(&self) -> Option<Moment> {
        let idle = self
            .workers
            .values()
            .filter(|worker| worker.phase == Phase::Ready && worker.is_idle());
        let since = idle.map(|worker| worker.idle_since).min();
        since
            .filter(|_| self.ready_count() > 1)
            .map(|since| since + self.settings.idle_timeout)
    }

    pub(super) fn ready_count(&self) -> usize {
        self.workers
            .values()
            .filter(|worker| worker.phase == Phase::Ready)
            .count()
    }

    pub(super) fn close_idle(&mut self, now: Moment) {
        while self.next_idle_end().is_some_and(|end| end <= now) {
            let idle = self
                .workers
                .iter()
                .filter(|(_, worker)| worker.phase == Phase::Ready && worker.is_idle());
            let Some(id) = idle
                .min_by_key(|(_, worker)| worker.idle_since)
                .map(|(id, _)| *id)
            else {
                return;
            };
            let until = self.close_until(now);
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.phase = Phase::Ending { until };
                self.commands.push(Command::Close(id));
            }
        }
    }
}
