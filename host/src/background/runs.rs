//! Background tasks that pools have: whoever waits for their answers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use protocol::Outcome;
use service::sync::lock;

use super::events::{Event, Events};
use super::watchers::Watchers;
use crate::ledger::{RunReport, TaskId};
use crate::task::Client;

/// How far a task is, as it last said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) message: String,
}

struct Run {
    task: TaskId,
    lease: i64,
    plugin: Arc<str>,
    is_cancelled: bool,
    report: Option<Report>,
    /// How often it has said how far it is.
    reports: u64,
}

#[derive(Default)]
struct All {
    runs: HashMap<u64, Run>,
    numbers: HashMap<TaskId, u64>,
    /// How many a plugin's pool has.
    counts: HashMap<Arc<str>, u32>,
}

impl All {
    fn of(&self, task: TaskId) -> Option<&Run> {
        self.runs.get(self.numbers.get(&task)?)
    }
}

/// The client of all tasks that run in the background.
pub(super) struct Runs {
    events: Arc<Events>,
    watchers: Arc<Watchers>,
    all: Mutex<All>,
}

impl Runs {
    pub(super) fn new(events: Arc<Events>, watchers: Arc<Watchers>) -> Self {
        Self {
            events,
            watchers,
            all: Mutex::default(),
        }
    }

    /// The plugin's pool gets the task, under this number.
    pub(super) fn begin(&self, number: u64, task: TaskId, lease: i64, plugin: &Arc<str>) {
        let run = Run {
            task,
            lease,
            plugin: Arc::clone(plugin),
            is_cancelled: false,
            report: None,
            reports: 0,
        };
        let mut all = lock(&self.all);
        all.numbers.insert(task, number);
        *all.counts.entry(Arc::clone(plugin)).or_default() += 1;
        all.runs.insert(number, run);
    }

    /// The task has been answered. Gives whether it had been told to end.
    pub(super) fn end(&self, number: u64) -> bool {
        let mut all = lock(&self.all);
        let Some(run) = all.runs.remove(&number) else {
            return false;
        };
        // It may run anew already, where others took it over and gave it up.
        if all.numbers.get(&run.task) == Some(&number) {
            all.numbers.remove(&run.task);
        }
        if let Some(count) = all.counts.get_mut(&run.plugin) {
            *count -= 1;
        }
        run.is_cancelled
    }

    /// How many tasks the plugin's pool has.
    pub(super) fn count(&self, plugin: &str) -> u32 {
        lock(&self.all).counts.get(plugin).copied().unwrap_or(0)
    }

    /// The task is to end: gives its number, unless it has been told already.
    pub(super) fn cancel(&self, task: TaskId) -> Option<u64> {
        let mut all = lock(&self.all);
        let number = *all.numbers.get(&task)?;
        let run = all.runs.get_mut(&number)?;
        (!std::mem::replace(&mut run.is_cancelled, true)).then_some(number)
    }

    /// How far the task is, if it runs here and has said so.
    pub(super) fn report(&self, task: TaskId) -> Option<Report> {
        let all = lock(&self.all);
        all.of(task)?.report.clone()
    }

    /// How far those of these tasks are that run here, and have said so.
    pub(super) fn reports(&self, tasks: &[TaskId]) -> Vec<RunReport> {
        let all = lock(&self.all);
        let report = |task: &TaskId| {
            let run = all.of(*task)?;
            let Report {
                done,
                total,
                message,
            } = run.report.clone()?;
            Some(RunReport {
                task: *task,
                lease: run.lease,
                number: run.reports,
                done,
                total,
                message,
            })
        };
        tasks.iter().filter_map(report).collect()
    }

    pub(super) fn has(&self, task: TaskId) -> bool {
        lock(&self.all).numbers.contains_key(&task)
    }

    pub(super) fn has_any(&self) -> bool {
        !lock(&self.all).numbers.is_empty()
    }
}

impl Client for Runs {
    fn finished(&self, key: u64, outcome: Outcome) {
        self.events.push(Event::Ended(key, outcome));
    }

    fn happened(&self, _key: u64, _name: &str, _data: Bytes) -> bool {
        true
    }

    fn progressed(&self, key: u64, done: u64, total: u64, message: String) {
        let task = {
            let mut all = lock(&self.all);
            let Some(run) = all.runs.get_mut(&key) else {
                return;
            };
            run.reports += 1;
            run.report = Some(Report {
                done,
                total,
                message: message.clone(),
            });
            run.task
        };
        self.watchers.progressed(task, done, total, &message);
    }

    fn has_cancelled(&self, key: u64) -> bool {
        lock(&self.all)
            .runs
            .get(&key)
            .is_some_and(|run| run.is_cancelled)
    }
}
