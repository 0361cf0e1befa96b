//! What others see and change of background tasks.

use std::sync::Arc;

use protocol::{ErrorCode, TaskFailure};

use super::events::Event;
use super::runs::Report;
use super::watchers::{Subject, Subscription};
use super::why::{Place, Why, why};
use super::{Background, failure, now};
use crate::access::Caller;
use crate::ledger::{
    KnownFunction, Page, PageAsk, Pool, Selection, State, Stats, StoreError, TaskId, TaskView, ask,
};

/// All that is known of a task.
pub(crate) struct Looked {
    pub(crate) view: Box<TaskView>,
    pub(crate) why: Option<Why>,
    pub(crate) progress: Option<Report>,
}

/// What people do to tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Cancel,
    Retry,
    Discard,
}

impl Background {
    /// What a client is told who asks for a task that there isn't.
    pub(crate) fn unknown_task(id: TaskId) -> TaskFailure {
        let message =
            format!("there is no task {id}, or the time in which it could be asked for is over");
        TaskFailure::new(ErrorCode::UnknownTask, message)
    }

    /// All that is known of a task now.
    ///
    /// # Errors
    /// The client's: there is no such task, or it can't be looked at now.
    pub(crate) async fn task(&self, id: TaskId) -> Result<Looked, TaskFailure> {
        let store = self.store().await?;
        let view = ask(|done| store.get(id, done)).await;
        let view = view.map_err(|error| failure(&error))?;
        let view = view.ok_or_else(|| Self::unknown_task(id))?;
        let is_paused = match view.summary.state {
            State::Available => self.is_paused(&view.summary.function).await?,
            _ => false,
        };
        Ok(Looked {
            why: self.why(&view, is_paused),
            progress: self.0.runs.report(id),
            view,
        })
    }

    /// A part of the list of tasks.
    ///
    /// # Errors
    /// The client's.
    pub(crate) async fn tasks(&self, page: PageAsk) -> Result<Page, TaskFailure> {
        let Some(store) = self.there().await? else {
            return Ok(Page::default());
        };
        let page = ask(|done| store.list(page, done)).await;
        page.map_err(|error| failure(&error))
    }

    /// Changes tasks, and gives how many; with `dry_run`, how many it would be.
    ///
    /// # Errors
    /// The client's.
    pub(crate) async fn change(
        &self,
        change: Change,
        selection: Selection,
        dry_run: bool,
    ) -> Result<u64, TaskFailure> {
        let store = match (self.there().await?, &selection) {
            (Some(store), _) => store,
            (None, Selection::Task(id)) => return Err(Self::unknown_task(*id)),
            (None, Selection::Filter(_)) => return Ok(0),
        };
        let changed = ask(|done| match change {
            Change::Cancel => store.cancel(selection, dry_run, now(), done),
            Change::Retry => store.retry(selection, dry_run, now(), done),
            Change::Discard => store.discard(selection, dry_run, now(), done),
        })
        .await;
        if change == Change::Cancel && !dry_run {
            self.0.events.push(Event::Check);
        }
        changed.map_err(|error| failure(&error))
    }

    /// Takes no more tasks of the function, or takes them again.
    ///
    /// # Errors
    /// The client's.
    pub(crate) async fn pause(&self, function: &str, paused: bool) -> Result<(), TaskFailure> {
        let is_known =
            self.0.knows(function) || self.0.router.route(function, &Caller::default()).is_ok();
        if !is_known {
            let route = self.0.router.route(function, &Caller::default());
            return Err(route.err().unwrap_or_else(|| {
                TaskFailure::new(ErrorCode::UnknownFunction, "no plugin exports it")
            }));
        }
        let store = self.store().await?;
        let function: Arc<str> = function.into();
        let paused = ask(|done| store.pause(function, paused, now(), done)).await;
        paused.map_err(|error| failure(&error))
    }

    /// How many tasks there are; none where there is no ledger.
    ///
    /// # Errors
    /// The ledger can't be looked at now.
    pub(crate) async fn stats(&self) -> Result<Option<Stats>, StoreError> {
        match self.0.storage.get() {
            Some(store) => ask(|done| store.stats(done)).await.map(Some),
            None => Ok(None),
        }
    }

    /// What becomes of tasks from now on.
    pub(crate) fn watch(&self, subject: Subject) -> Subscription {
        self.0.watchers.subscribe(subject)
    }

    async fn store(&self) -> Result<super::storage::Handle, TaskFailure> {
        self.0.open().await.map_err(|error| failure(&error))
    }

    /// The ledger, if there is one; none is made.
    async fn there(&self) -> Result<Option<super::storage::Handle>, TaskFailure> {
        if self.0.storage.get().is_none() && !self.0.storage.is_there() {
            return Ok(None);
        }
        self.store().await.map(Some)
    }

    async fn is_paused(&self, function: &str) -> Result<bool, TaskFailure> {
        let store = self.store().await?;
        let known = ask(|done| store.known(done)).await;
        let known = known.map_err(|error| failure(&error))?;
        let is_it = |one: &KnownFunction| &*one.name == function && one.paused;
        Ok(known.iter().any(is_it))
    }

    fn why(&self, view: &TaskView, is_paused: bool) -> Option<Why> {
        let summary = &view.summary;
        let lists = self.0.roster.lists();
        let exports = |name: &&Arc<crate::generations::Generation>| {
            let mut functions = name.manifest.functions.iter();
            functions.any(|function| *function.name == *summary.function)
        };
        let generation = lists.live.values().find(exports);
        let report = generation.and_then(|generation| generation.pool.report());
        let place = match (generation, report) {
            (Some(generation), Some(report)) => {
                let running = self.0.runs.count(generation.plugin());
                let tasks = u32::try_from(report.queued + report.handed_over).unwrap_or(u32::MAX);
                Place::Live {
                    version: &generation.manifest.version,
                    quarantined: report.quarantined,
                    pool: Pool {
                        slots: u32::try_from(report.workers_max * report.slots).unwrap_or(u32::MAX),
                        requests: tasks.saturating_sub(running),
                        running,
                        ..Pool::default()
                    },
                }
            }
            _ => {
                let route = self.0.router.route(&summary.function, &Caller::default());
                match route {
                    Err(failure) if failure.code == ErrorCode::Unavailable => Place::Opening,
                    _ => Place::Away,
                }
            }
        };
        why(summary.state, summary.version.as_deref(), is_paused, place)
    }
}
