//! Who wants to hear what becomes of tasks.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use service::sync::lock;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::events::{Event, Events};
use crate::ledger::{Change, Filter, Listener, TaskId};

/// News that one who is slow may be behind.
const NEWS_MAX: usize = 1_024;

/// What somebody wants to hear of.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    Task(TaskId),
    /// But for its key.
    Tasks(Filter),
}

impl Subject {
    fn includes(&self, change: &Change) -> bool {
        match self {
            Self::Task(id) => *id == change.id,
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
        self.watchers.count.store(all.len(), Ordering::Release);
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
    events: Arc<Events>,
    all: Mutex<Vec<Watcher>>,
    count: AtomicUsize,
    number_last: AtomicU64,
}

impl Watchers {
    pub(super) fn new(events: Arc<Events>) -> Self {
        Self {
            events,
            all: Mutex::default(),
            count: AtomicUsize::new(0),
            number_last: AtomicU64::new(0),
        }
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
        self.count.store(all.len(), Ordering::Release);
        Subscription {
            number,
            watchers: Arc::clone(self),
            news,
            has_missed,
        }
    }

    /// A task that runs says how far it is.
    pub(super) fn progressed(&self, task: TaskId, done: u64, total: u64, message: &str) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        for watcher in &*lock(&self.all) {
            if matches!(&watcher.subject, Subject::Task(id) if *id == task) {
                watcher.tell(News::Progress {
                    done,
                    total,
                    message: message.to_owned(),
                });
            }
        }
    }
}

impl Listener for Watchers {
    fn available(&self, functions: &[Arc<str>]) {
        self.events.push(Event::Available(functions.to_vec()));
    }

    fn wants_changes(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    fn changed(&self, changes: &[Change]) {
        for watcher in &*lock(&self.all) {
            for change in changes {
                if watcher.subject.includes(change) {
                    watcher.tell(News::Change(change.clone()));
                }
            }
        }
    }
}
