//! Who wants to hear what becomes of tasks.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use service::sync::lock;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use crate::ledger::{Change, Filter, TaskId};

/// News that one who is slow may be behind.
const NEWS_MAX: usize = 1_024;

/// What somebody wants to hear of.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// And, if wanted, how far it is.
    Task { id: TaskId, progress: bool },
    /// But for its key.
    Tasks(Filter),
}

impl Subject {
    fn includes(&self, change: &Change) -> bool {
        match self {
            Self::Task { id, .. } => *id == change.id,
            Self::Tasks(Filter {
                state,
                function,
                key: _,
                subject,
            }) => {
                state.is_none_or(|state| state == change.state)
                    && function.as_ref().is_none_or(|one| *one == change.function)
                    && subject
                        .as_deref()
                        .is_none_or(|one| change.subject.as_deref() == Some(one))
            }
        }
    }
}

/// Something has become of a task.
#[derive(Clone, Debug)]
pub(crate) enum News {
    Change(Change),
    /// The task that was asked about has ended on another host, or isn't there any more.
    Ended,
    /// How far the task is that was asked about.
    Progress {
        done: u64,
        total: u64,
        message: String,
    },
}

/// News of a subject, as long as it is held.
pub(crate) struct Subscription {
    number: u64,
    watchers: Arc<Watchers>,
    news: mpsc::Receiver<News>,
    has_missed: Arc<AtomicBool>,
}

impl Subscription {
    /// The next news. `None`: too much happened at once, and some of it was missed.
    pub(crate) async fn next(&mut self) -> Option<News> {
        if self.has_missed.load(Ordering::Acquire) {
            return None;
        }
        self.news.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut all = lock(&self.watchers.all);
        all.retain(|one| one.number != self.number);
        self.watchers.count(&all);
    }
}

struct Watcher {
    number: u64,
    subject: Subject,
    sender: mpsc::Sender<News>,
    has_missed: Arc<AtomicBool>,
}

impl Watcher {
    fn tell(&self, news: News) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(news) {
            self.has_missed.store(true, Ordering::Release);
        }
    }
}

pub(super) struct Watchers {
    /// What all hosts change is told of tasks ([`Self::heard`]), in order, rather than at once what this one does.
    is_shared: bool,
    all: Mutex<Vec<Watcher>>,
    /// Of a task, and of all that are like this.
    tasks: AtomicUsize,
    filters: AtomicUsize,
    number_last: AtomicU64,
}

impl Watchers {
    pub(super) fn new(is_shared: bool) -> Self {
        Self {
            is_shared,
            all: Mutex::default(),
            tasks: AtomicUsize::new(0),
            filters: AtomicUsize::new(0),
            number_last: AtomicU64::new(0),
        }
    }

    fn count(&self, all: &[Watcher]) {
        let is_task = |watcher: &&Watcher| matches!(watcher.subject, Subject::Task { .. });
        let tasks = all.iter().filter(is_task).count();
        self.tasks.store(tasks, Ordering::Release);
        self.filters.store(all.len() - tasks, Ordering::Release);
    }

    pub(super) fn subscribe(self: &Arc<Self>, subject: Subject) -> Subscription {
        let (sender, news) = mpsc::channel(NEWS_MAX);
        let has_missed = Arc::<AtomicBool>::default();
        let number = self.number_last.fetch_add(1, Ordering::Relaxed);
        let mut all = lock(&self.all);
        all.push(Watcher {
            number,
            subject,
            sender,
            has_missed: Arc::clone(&has_missed),
        });
        self.count(&all);
        Subscription {
            number,
            watchers: Arc::clone(self),
            news,
            has_missed,
        }
    }

    /// A task that runs says how far it is.
    pub(super) fn progressed(&self, task: TaskId, done: u64, total: u64, message: &str) {
        if self.tasks.load(Ordering::Acquire) == 0 {
            return;
        }
        for watcher in &*lock(&self.all) {
            if matches!(&watcher.subject, Subject::Task { id, progress: true } if *id == task) {
                watcher.tell(News::Progress {
                    done,
                    total,
                    message: message.to_owned(),
                });
            }
        }
    }

    /// Whether [`Self::changed`] has somebody to tell.
    pub(super) fn want_changes(&self) -> bool {
        self.tasks.load(Ordering::Acquire) > 0 || (!self.is_shared && self.watch())
    }

    /// Whether all that is like something is watched.
    pub(super) fn watch(&self) -> bool {
        self.filters.load(Ordering::Acquire) > 0
    }

    /// This host has changed tasks.
    pub(super) fn changed(&self, changes: &[Change]) {
        self.tell(changes, |subject| match subject {
            Subject::Task { .. } => true,
            Subject::Tasks(_) => !self.is_shared,
        });
    }

    /// Hosts that share the ledger have.
    pub(super) fn heard(&self, changes: &[Change]) {
        self.tell(changes, |subject| matches!(subject, Subject::Tasks(_)));
    }

    fn tell(&self, changes: &[Change], is_for: impl Fn(&Subject) -> bool) {
        for watcher in &*lock(&self.all) {
            if !is_for(&watcher.subject) {
                continue;
            }
            for change in changes {
                if watcher.subject.includes(change) {
                    watcher.tell(News::Change(change.clone()));
                }
            }
        }
    }

    /// Some of what [`Self::heard`] is to tell can't be told.
    pub(super) fn missed(&self) {
        for watcher in &*lock(&self.all) {
            if matches!(watcher.subject, Subject::Tasks(_)) {
                watcher.has_missed.store(true, Ordering::Release);
            }
        }
    }

    /// These tasks have ended, or aren't there any more.
    pub(super) fn ended(&self, tasks: &[TaskId]) {
        let ended: HashSet<&TaskId> = tasks.iter().collect();
        for watcher in &*lock(&self.all) {
            if matches!(&watcher.subject, Subject::Task { id, .. } if ended.contains(id)) {
                watcher.tell(News::Ended);
            }
        }
    }

    /// The tasks that are waited for, and whether somebody wants to know how far they are.
    pub(super) fn waited_for(&self) -> HashMap<TaskId, bool> {
        let mut tasks = HashMap::new();
        for watcher in &*lock(&self.all) {
            if let Subject::Task { id, progress } = &watcher.subject {
                *tasks.entry(*id).or_default() |= progress;
            }
        }
        tasks
    }
}
