//! Tasks go out: which worker gets the next one, and when another worker is started.

use std::time::Duration;

use super::worker::Worker;
use super::{
    COST_UNKNOWN, Command, Place, QUEUE_WAIT_GOOD, STACK_COST_MAX, STACK_WAIT_MAX, Scheduler,
    WorkerId,
};
use crate::clock::Moment;
use crate::link::Call;
use crate::task::TaskId;

impl Scheduler {
    pub(super) fn dispatch(&mut self, now: Moment) {
        while !self.cut
            && let Some(id) = self.queue.front()
            && let Some(entry) = self.tasks.get(&id)
        {
            let cost = self.cost_of(entry.function);
            let Some(worker) = self.choose_worker(cost, entry.args.len()) else {
                break;
            };
            let is_quick = cost.is_some_and(|cost| cost <= STACK_COST_MAX);
            self.queue.pop_front(is_quick);
            self.hand_over(id, worker, now);
        }
        self.grow(now);
    }

    /// Quick tasks are stacked on a worker that is busy with quick ones; others get a slot of their own, on the worker
    /// that was idle for the shortest time.
    pub(super) fn choose_worker(&self, cost: Option<Duration>, len: usize) -> Option<WorkerId> {
        cost.filter(|cost| *cost <= STACK_COST_MAX)
            .and_then(|cost| self.workers.to_stack_on(cost, len))
            .or_else(|| self.workers.with_slot())
    }

    pub(super) fn hand_over(&mut self, id: TaskId, worker: WorkerId, now: Moment) {
        let Some(entry) = self.tasks.get_mut(&id) else {
            return;
        };
        let function = self.functions.get(entry.function as usize);
        let limit = function.map_or(Duration::ZERO, |function| function.limit);
        let cost = function
            .and_then(|function| function.cost)
            .unwrap_or(COST_UNKNOWN);
        let len = entry.args.len();
        let load = |worker: &mut Worker| worker.load(id, cost, len, now);
        let Some(cell) = self.workers.change(worker, load).flatten() else {
            return;
        };
        entry.place = Place::Handed { worker, cell };
        entry.cost = cost;
        let call = Call {
            task: id.0,
            cell,
            function: entry.function,
            deadline: entry.deadline,
            limit_ns: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            progress: entry.progress,
            args: entry.args.clone(),
        };
        let at = entry.deadline.min(now + limit);
        self.timers.set(id, &mut entry.timer, at, now);
        self.commands.push(Command::Call(worker, call));
    }

    pub(super) fn set_timer(&mut self, id: TaskId, at: Moment, now: Moment) {
        if let Some(entry) = self.tasks.get_mut(&id) {
            self.timers.set(id, &mut entry.timer, at, now);
        }
    }

    /// Starts workers where those that are there can't keep up.
    pub(super) fn grow(&mut self, now: Moment) {
        if self.growth_due().is_none_or(|due| now < due) {
            return;
        }
        if self.workers.quick_count() >= self.settings.cores {
            self.doubt_quick(now);
            if self.growth_due().is_none_or(|due| now < due) {
                return;
            }
        }
        for _ in 0..self.missing() {
            self.worker_last += 1;
            let id = WorkerId(self.worker_last);
            self.opening.insert(id, now + self.settings.open_timeout);
            self.commands.push(Command::Spawn(id));
        }
    }

    /// How many workers could be started for what waits, beside those that open.
    fn missing(&self) -> usize {
        // After a crash loop, or where there is no room, one probe is enough to know whether it is over.
        let at_once = if self.is_quarantined() || self.shortage.is_some() {
            1
        } else {
            self.settings.cores * 2
        };
        let opening = self.opening.len();
        let wanted = self.queue.len().min(at_once).saturating_sub(opening);
        wanted.min(self.room())
    }

    pub(super) fn room(&self) -> usize {
        let all = self.workers.len() + self.opening.len();
        let serving = all - self.workers.ending_count();
        let workers_max = self.settings.workers_max;
        // Those that take their time to end don't stand in the way of others, but must not become ever more.
        let processes_max = workers_max.saturating_mul(2);
        (workers_max.saturating_sub(serving)).min(processes_max.saturating_sub(all))
    }

    /// When the next worker should be started for the queue as it stands; `None`: not for this queue.
    pub(super) fn growth_due(&self) -> Option<Moment> {
        let front = self.tasks.get(&self.queue.front()?)?;
        // Nor as long as as many open as may at once.
        if self.cut || self.missing() == 0 {
            return None;
        }
        let quick = self.workers.quick_count();
        let quick_soon = quick > 0 && self.expected_wait(front.function) < QUEUE_WAIT_GOOD;
        let due = if quick >= self.settings.cores {
            // Then it is looked whether they are.
            return Some(front.received.max(self.doubted_at) + STACK_WAIT_MAX);
        } else if quick_soon {
            front.received + QUEUE_WAIT_GOOD
        } else {
            Moment::default()
        };
        Some(due.max(self.spawn_not_before))
    }
}
