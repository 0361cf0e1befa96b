//! A pool comes to its end: what is there is finished, given up or cut short.

use super::failure::cut_before_start;
use super::worker::Phase;
use super::{CLOSE_WAIT_MAX, Command, Place, Scheduler, Stop};
use crate::clock::Moment;
use crate::task::{Task, TaskId};

impl Scheduler {
    /// Takes no new tasks; what is there is finished, then the workers close.
    pub(crate) fn drain(&mut self, now: Moment) {
        self.draining = true;
        self.settle_all(now);
        self.dispatch(now);
    }

    pub(super) fn settle_all(&mut self, now: Moment) {
        for id in self.workers.ids() {
            self.settle(id, now);
        }
        if self.draining && self.queue.is_empty() {
            // Nobody needs those any more.
            self.commands.extend(self.opening.ids().map(Command::Kill));
        }
    }

    /// Whether nothing more is begun.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// The grace of a drain is over: nothing more is begun, what runs is told to stop, and killed a little later. What
    /// waits is to be given up by its owner, also what comes back from workers after this.
    pub(crate) fn cut_short(&mut self, now: Moment) {
        self.cut = true;
        self.take_back_all(now);
        let running = self.tasks.iter().filter(|(_, entry)| {
            matches!(entry.place, Place::Handed { .. }) && entry.stop.is_none()
        });
        for id in running.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.stop(id, Stop::CutShort, now);
        }
        let latest = self.close_until(now);
        for id in self.workers.ids() {
            let is_idle = self.workers.change(id, |worker| {
                if let Phase::Ending { until } = &mut worker.phase {
                    *until = latest.min(*until);
                }
                worker.is_idle() && !worker.is_ending()
            });
            if is_idle == Some(true) {
                // Also one that has not noticed that its tasks were taken back: it may never do so.
                self.close(id, now);
            }
        }
        self.drain(now);
    }

    /// Until when a worker that is told to close now may take to end.
    pub(super) fn close_until(&self, now: Moment) -> Moment {
        now + if self.cut {
            self.settings.cancel_grace
        } else {
            CLOSE_WAIT_MAX
        }
    }

    /// Whether every task and every worker has gone, after [`Scheduler::drain`].
    pub(crate) fn is_drained(&self) -> bool {
        self.draining && self.tasks.is_empty() && self.workers.is_empty() && self.opening.is_empty()
    }

    /// Gives back every task that has not started, and the function that it is for: the oldest first.
    pub(crate) fn give_up_waiting(&mut self, now: Moment) -> Vec<(u32, Task)> {
        self.take_back_all(now);
        let mut ids: Vec<TaskId> = self.queue.take().collect();
        if ids.is_empty() {
            return Vec::new();
        }
        self.settle_all(now);
        ids.sort_unstable();
        ids.into_iter()
            .filter_map(|id| {
                let entry = self.forget(id)?;
                Some((entry.function, entry.into_task(id)?))
            })
            .collect()
    }

    /// What workers have not begun waits again.
    fn take_back_all(&mut self, now: Moment) {
        let mut again = Vec::new();
        for id in self.workers.ids() {
            again.append(&mut self.take_back_from(id));
        }
        self.requeue(again, now);
    }

    /// Answers every task that has not started: the grace of the drain is over.
    pub(crate) fn refuse_waiting(&mut self, now: Moment) {
        for (function, task) in self.give_up_waiting(now) {
            let failure = Err(cut_before_start());
            self.give(task.answer, function, task.received, failure, now);
        }
    }
}
