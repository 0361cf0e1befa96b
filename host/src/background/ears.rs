//! What the ledger tells, and asks about what goes on here.

use std::sync::Arc;

use super::events::{Event, Events};
use super::runs::Runs;
use super::watchers::Watchers;
use crate::ledger::{Change, Listener, RunReport, TaskId, Wants};

pub(super) struct Ears {
    events: Arc<Events>,
    watchers: Arc<Watchers>,
    runs: Arc<Runs>,
}

impl Ears {
    pub(super) fn new(events: Arc<Events>, watchers: Arc<Watchers>, runs: Arc<Runs>) -> Self {
        Self {
            events,
            watchers,
            runs,
        }
    }
}

impl Listener for Ears {
    fn available(&self, functions: &[Arc<str>]) {
        self.events.push(Event::Available(functions.to_vec()));
    }

    fn wants_changes(&self) -> bool {
        self.watchers.want_changes()
    }

    fn changed(&self, changes: &[Change]) {
        self.watchers.changed(changes);
    }

    fn wants(&self) -> Wants {
        let waited_for = self.watchers.waited_for();
        let wanted = waited_for.iter().filter(|(_, progress)| **progress);
        let mut progress: Vec<TaskId> = wanted.map(|(task, _)| *task).collect();
        progress.retain(|task| !self.runs.has(*task));
        progress.sort_unstable();
        Wants {
            ends: waited_for.into_keys().collect(),
            progress,
        }
    }

    fn ended(&self, tasks: &[TaskId]) {
        self.watchers.ended(tasks);
    }

    fn progressed(&self, report: RunReport) {
        let RunReport {
            task,
            done,
            total,
            message,
            ..
        } = report;
        self.watchers.progressed(task, done, total, &message);
    }

    fn watches(&self) -> bool {
        self.watchers.watch()
    }

    fn heard(&self, changes: &[Change]) {
        self.watchers.heard(changes);
    }

    fn missed(&self) {
        self.watchers.missed();
    }

    fn has_runs(&self) -> bool {
        self.runs.has_any()
    }

    fn reports(&self, tasks: &[TaskId]) -> Vec<RunReport> {
        self.runs.reports(tasks)
    }
}
