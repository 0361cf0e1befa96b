//! Time passes: limits, graces, idle workers.

use super::failure::{after_grace, timeout_in_queue, timeout_while_running};
use super::timers::Timer;
use super::worker::{Phase, Worker};
use super::{
    COST_UNKNOWN, Command, Place, STACK_WAIT_MAX, STUCK_LIMIT_MIN, Scheduler, Stop, WorkerId,
};
use crate::clock::Moment;
use crate::link::CellState;
use crate::task::{TaskId, keep};

impl Scheduler {
    /// When [`Scheduler::tick`] is wanted next.
    pub(crate) fn next_tick(&self) -> Moment {
        let at = |(at, _): (Moment, WorkerId)| at;
        [
            self.timers.next(),
            self.opening.next_overdue().map(at),
            self.workers.next_to_kill().map(at),
            self.workers
                .longest_stacked()
                .map(|(since, _)| since + STACK_WAIT_MAX),
            self.growth_due(),
            self.next_idle_end().map(at),
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(Moment::NEVER)
    }

    pub(crate) fn tick(&mut self, now: Moment) {
        while let Some(young) = self.timers.pop_young(now) {
            if let Some(entry) = self.tasks.get_mut(&young.1) {
                self.timers.grow_up(young, &mut entry.timer);
                keep(&mut entry.args);
            }
        }
        while let Some(id) = self.timers.pop_rung(now) {
            self.timer_rang(id, now);
        }
        while let Some((until, id)) = self.opening.next_overdue()
            && until <= now
        {
            // Once is enough: its end takes it out.
            self.opening.insert(id, Moment::NEVER);
            self.commands.push(Command::Kill(id));
        }
        while let Some((until, id)) = self.workers.next_to_kill()
            && until <= now
        {
            self.kill(id);
        }
        self.take_back_stacked(now);
        self.close_idle(now);
        self.dispatch(now);
    }

    /// Its end is waited for then, however long it takes.
    fn kill(&mut self, id: WorkerId) {
        let until = Moment::NEVER;
        let kill = |worker: &mut Worker| worker.phase = Phase::Ending { until };
        self.workers.change(id, kill);
        self.commands.push(Command::Kill(id));
    }

    /// A task's time is up: its deadline, its limit, or the grace after either.
    pub(super) fn timer_rang(&mut self, id: TaskId, now: Moment) {
        let Some(entry) = self.tasks.get_mut(&id) else {
            return;
        };
        entry.timer = Timer::NEVER;
        match entry.place {
            Place::Queued => self.answer_unstarted(id, timeout_in_queue(self.shortage()), now),
            Place::Handed { worker, .. } if entry.stop.is_some() => {
                // Whoever asked doesn't wait for a handler that doesn't hear.
                if let Some(failure) = entry.stop.and_then(after_grace) {
                    self.answer_now(id, failure, now);
                }
                self.set_timer(id, Moment::NEVER, now);
                self.kill_if_stuck(worker, now);
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
        if self.take_back(id, worker_id, cell) {
            let waited_long = |worker: &Worker| {
                let silent = now.since(worker.heard);
                now < deadline && limit.max(silent) >= STUCK_LIMIT_MIN
            };
            let is_stuck = |worker: &Worker| {
                let runs = |(cell, _)| worker.board.state(cell) == CellState::Running;
                waited_long(worker) && !worker.is_ending() && !worker.own_tasks().any(runs)
            };
            if self.workers.get(worker_id).is_some_and(is_stuck) {
                // It has had a task for as long as the task may run, runs nothing, and has not begun: it is stuck. A
                // pool of such workers is in a crash loop; else what waits would go from one to the next for ever.
                self.workers
                    .change(worker_id, |worker| worker.is_stuck = true);
                self.kill(worker_id);
            }
            self.requeue(vec![id], now);
            self.settle(worker_id, now);
            return;
        }
        let Some(worker) = self.workers.get(worker_id) else {
            return;
        };
        let said = worker.board.started(cell).min(now);
        let is_done = worker.board.state(cell) == CellState::Done;
        let started = self
            .tasks
            .get_mut(&id)
            .map(|entry| *entry.started.get_or_insert(said));
        let until = deadline.min(started.unwrap_or(said) + limit);
        if now < until {
            self.set_timer(id, until, now);
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
        if entry.stop.replace(stop).is_none() {
            self.workers.change(worker, |worker| worker.stopping += 1);
        }
        self.set_timer(id, now + self.settings.cancel_grace, now);
        if stop != Stop::Finished {
            self.commands.push(Command::Cancel(worker, id));
        }
    }

    /// Kills a worker whose every task has been told to stop and has used up its grace. While others run beside them
    /// it only takes no new ones.
    pub(super) fn kill_if_stuck(&mut self, id: WorkerId, now: Moment) {
        let Some(worker) = self.workers.get(id) else {
            return;
        };
        if worker.stopping == 0 || worker.is_ending() {
            return;
        }
        let used_up = |task: &TaskId| {
            self.tasks
                .get(task)
                .is_some_and(|entry| entry.stop.is_some() && entry.timer.at() == Moment::NEVER)
        };
        let tasks: Vec<(u8, TaskId)> = worker.own_tasks().collect();
        let stuck = tasks.iter().filter(|(_, task)| used_up(task)).count();
        if stuck == 0 {
            return;
        }
        self.workers
            .change(id, |worker| worker.phase = Phase::Leaving);
        let again = self.take_back_from(id);
        if stuck + again.len() == tasks.len() {
            self.kill(id);
        }
        self.requeue(again, now);
    }

    /// A task on top of which others were stacked takes longer than expected: they go elsewhere.
    fn take_back_stacked(&mut self, now: Moment) {
        let mut slow = Vec::new();
        while let Some((since, id)) = self.workers.longest_stacked()
            && since + STACK_WAIT_MAX <= now
        {
            let is_slow = self.workers.change(id, |worker| {
                let is_slow = worker.is_slow(now);
                let goes_on = !is_slow && worker.tasks > worker.slots;
                worker.stacked_since = goes_on.then_some(now);
                is_slow
            });
            if is_slow == Some(true) {
                slow.push(id);
            }
        }
        self.relieve(&slow, now);
    }

    /// Takes back what these workers have not begun, and stacks nothing more on them before they have returned what they run.
    fn relieve(&mut self, slow: &[WorkerId], now: Moment) {
        let mut again = Vec::new();
        for id in slow {
            again.append(&mut self.take_back_from(*id));
        }
        self.requeue(again, now);
        for id in slow {
            // Whatever was expected of its tasks.
            self.workers
                .change(*id, |worker| worker.cost = COST_UNKNOWN);
            self.settle(*id, now);
        }
    }

    /// Workers that are taken for quick keep others from being started: they must be so.
    pub(super) fn doubt_quick(&mut self, now: Moment) {
        self.doubted_at = now;
        let is_mistaken = |worker: &Worker| worker.is_quick() && worker.is_slow(now);
        let mut slow = self.workers.ids();
        slow.retain(|id| self.workers.get(*id).is_some_and(is_mistaken));
        self.relieve(&slow, now);
    }

    /// When the worker that has been idle for longest is closed: not the last one.
    fn next_idle_end(&self) -> Option<(Moment, WorkerId)> {
        let (since, id) = self.workers.longest_idle()?;
        (self.workers.ready_count() > 1).then(|| (since + self.settings.idle_timeout, id))
    }

    fn close_idle(&mut self, now: Moment) {
        while let Some((end, id)) = self.next_idle_end()
            && end <= now
        {
            self.close(id, now);
        }
    }

    /// Tells it that no more tasks come.
    pub(super) fn close(&mut self, id: WorkerId, now: Moment) {
        let until = self.close_until(now);
        let close = |worker: &mut Worker| worker.phase = Phase::Ending { until };
        self.workers.change(id, close);
        self.commands.push(Command::Close(id));
    }
}
