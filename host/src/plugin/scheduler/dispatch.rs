//! Tasks go out: which worker gets the next one, and when another worker is started.

use std::time::Duration;

use super::worker::Handed;
use super::{COST_UNKNOWN, Command, Place, QUEUE_WAIT_GOOD, STACK_COST_MAX, Scheduler, WorkerId};
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
            self.queue.pop_front();
            self.hand_over(id, worker, now);
        }
        self.grow(now);
    }

    /// Quick tasks are stacked on a worker that is busy with quick ones; others get a slot of their own, on the worker
    /// that was idle for the shortest time.
    pub(super) fn choose_worker(&self, cost: Option<Duration>, len: usize) -> Option<WorkerId> {
        let mut workers = self.workers.iter();
        if let Some(cost) = cost.filter(|cost| *cost <= STACK_COST_MAX)
            && let Some((id, _)) = workers.find(|(_, worker)| worker.can_stack(cost, len))
        {
            return Some(*id);
        }
        let with_slot = self.workers.iter().filter(|(_, worker)| worker.has_slot());
        with_slot
            .max_by_key(|(_, worker)| worker.idle_since)
            .map(|(id, _)| *id)
    }

    pub(super) fn hand_over(&mut self, id: TaskId, worker_id: WorkerId, now: Moment) {
        let Some(function) = self.tasks.get(&id).map(|entry| entry.function) else {
            return;
        };
        let limit = self.limit_of(function);
        let cost = self.cost_of(function).unwrap_or(COST_UNKNOWN);
        let Some(entry) = self.tasks.get_mut(&id) else {
            return;
        };
        let Some(worker) = self.workers.get_mut(&worker_id) else {
            return;
        };
        if worker.owes_nothing() {
            worker.heard = now;
        }
        let Some(cell) = worker.free.pop() else {
            return;
        };
        worker.cells[usize::from(cell)] = Some(Handed::Task(id));
        worker.tasks += 1;
        worker.handed_len += entry.args.len();
        worker.cost = worker.cost.saturating_add(cost);
        if worker.tasks > worker.slots {
            worker.stacked_since.get_or_insert(now);
        }
        worker.board.hand_over(cell);
        entry.place = Place::Handed {
            worker: worker_id,
            cell,
        };
        entry.cost = cost;
        let call = Call {
            task: id.0,
            cell,
            function,
            deadline: entry.deadline,
            limit_ns: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            progress: entry.progress,
            args: entry.args.clone(),
        };
        let timer = entry.deadline.min(now + limit);
        self.set_timer(id, timer);
        self.commands.push(Command::Call(worker_id, call));
    }

    pub(super) fn set_timer(&mut self, id: TaskId, timer: Moment) {
        if let Some(entry) = self.tasks.get_mut(&id)
            && entry.timer != timer
        {
            if entry.timer != Moment::NEVER {
                self.timers.remove(&(entry.timer, id));
            }
            entry.timer = timer;
            if timer != Moment::NEVER {
                self.timers.insert((timer, id));
            }
        }
    }

    /// Starts workers where those that are there can't keep up.
    pub(super) fn grow(&mut self, now: Moment) {
        if self.growth_due().is_none_or(|due| now < due) {
            return;
        }
        // After a crash loop, or where there is no room, one probe is enough to know whether it is over.
        let at_once = if self.is_quarantined() || self.shortage.is_some() {
            1
        } else {
            self.settings.cores * 2
        };
        let missing = self.queue.len().saturating_sub(self.opening.len());
        let wanted = missing
            .min(self.room())
            .min(at_once.saturating_sub(self.opening.len()));
        for _ in 0..wanted {
            self.worker_last += 1;
            let id = WorkerId(self.worker_last);
            self.opening.insert(id, now + self.settings.open_timeout);
            self.commands.push(Command::Spawn(id));
        }
    }

    pub(super) fn room(&self) -> usize {
        let all = self.workers.len() + self.opening.len();
        let ending = self.workers.values().filter(|worker| worker.is_ending());
        let serving = all - ending.count();
        let workers_max = self.settings.workers_max;
        // Those that take their time to end don't stand in the way of others, but must not become ever more.
        let processes_max = workers_max.saturating_mul(2);
        (workers_max.saturating_sub(serving)).min(processes_max.saturating_sub(all))
    }

    /// When the next worker should be started for the queue as it stands; `None`: not for this queue.
    pub(super) fn growth_due(&self) -> Option<Moment> {
        let front = self.tasks.get(&self.queue.front()?)?;
        if self.cut || self.room() == 0 || self.opening.len() >= self.queue.len() {
            return None;
        }
        let quick = self
            .workers
            .values()
            .filter(|worker| worker.is_quick())
            .count();
        let quick_soon = quick > 0 && self.expected_wait(front.function) < QUEUE_WAIT_GOOD;
        let due = if quick >= self.settings.cores {
            return None;
        } else if quick_soon {
            front.received + QUEUE_WAIT_GOOD
        } else {
            Moment::default()
        };
        Some(due.max(self.spawn_not_before))
    }
}
