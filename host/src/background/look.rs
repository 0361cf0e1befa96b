//! What others see and change of background tasks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use protocol::{ErrorCode, TaskFailure};

use super::events::Event;
use super::runs::Report;
use super::storage::Handle;
use super::watchers::{Subject, Subscription};
use super::why::{Place, Why, why};
use super::{Background, Shared, failure};
use crate::access::Caller;
use crate::generations::Generation;
use crate::ledger::{
    Condition, FunctionStats, Page, PageAsk, Pool, Selection, State, StoreErrorKind, TaskId,
    TaskSummary, TaskView, ask,
};

/// All that is known of a task.
pub(crate) struct Looked {
    pub(crate) view: Box<TaskView>,
    pub(crate) why: Option<Why>,
    pub(crate) progress: Option<Report>,
}

/// A part of the list of tasks, each with what it waits for.
#[derive(Default)]
pub(crate) struct Listed {
    pub(crate) tasks: Vec<(TaskSummary, Option<Why>)>,
    /// Where the list goes on.
    pub(crate) next: Option<TaskId>,
}

/// How a function's tasks fare.
pub(crate) struct Fares {
    pub(crate) stats: FunctionStats,
    /// What the first one waits for that may be claimed, if there is any.
    pub(crate) why: Option<Why>,
}

/// How background tasks fare.
pub(crate) struct Faring {
    pub(crate) functions: Vec<Fares>,
    /// Bytes of arguments and results that are kept.
    pub(crate) stored_len: u64,
    /// Bytes of the ledger's files.
    pub(crate) file_len: Option<u64>,
    /// That of the ledger's database, where it has one.
    pub(crate) condition: Option<Condition>,
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
        // First, as the thread that writes answers it: what that was writing when somebody began to watch, and so told
        // nobody, is in the ledger by the time it is looked at.
        let mut places = self.places(&store).await?;
        let view = ask(|done| store.get(id, done)).await;
        let view = view.map_err(|error| failure(&error))?;
        let view = view.ok_or_else(|| Self::unknown_task(id))?;
        Ok(Looked {
            why: places.why(&view.summary),
            progress: self.0.runs.report(id),
            view,
        })
    }

    /// A part of the list of tasks.
    ///
    /// # Errors
    /// The client's.
    pub(crate) async fn tasks(&self, page: PageAsk) -> Result<Listed, TaskFailure> {
        let Some(store) = self.there().await? else {
            return Ok(Listed::default());
        };
        let page = ask(|done| store.list(page, done)).await;
        let Page { tasks, next } = page.map_err(|error| failure(&error))?;
        let mut places = self.places(&store).await?;
        let tasks = tasks.into_iter().map(|task| {
            let why = places.why(&task);
            (task, why)
        });
        Ok(Listed {
            tasks: tasks.collect(),
            next,
        })
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
        let one = match &selection {
            Selection::Task(id) => Some(*id),
            Selection::Filter(_) => None,
        };
        let now = store.now();
        let changed = ask(|done| match change {
            Change::Cancel => store.cancel(selection, dry_run, now, done),
            Change::Retry => store.retry(selection, dry_run, now, done),
            Change::Discard => store.discard(selection, dry_run, now, done),
        })
        .await;
        if change == Change::Cancel && !dry_run {
            self.0.events.push(Event::Check);
        }
        changed.map_err(|error| match one {
            Some(id) if error.kind == StoreErrorKind::UnknownTask => Self::unknown_task(id),
            _ => failure(&error),
        })
    }

    /// Takes no more tasks of the function, or takes them again.
    ///
    /// # Errors
    /// The client's.
    pub(crate) async fn pause(&self, function: &str, paused: bool) -> Result<(), TaskFailure> {
        // It may know functions that aren't here.
        self.there().await?;
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
        let now = store.now();
        let paused = ask(|done| store.pause(function, paused, now, done)).await;
        paused.map_err(|error| failure(&error))
    }

    /// How many tasks there are, and what they wait for; none where there is no ledger.
    ///
    /// # Errors
    /// The client's: the ledger can't be looked at now.
    pub(crate) async fn faring(&self) -> Result<Option<Faring>, TaskFailure> {
        let Some(store) = self.there().await? else {
            return Ok(None);
        };
        let stats = ask(|done| store.stats(done)).await;
        let stats = stats.map_err(|error| failure(&error))?;
        let mut places = self.places(&store).await?;
        let fares = |stats: FunctionStats| Fares {
            why: (stats.counts[State::Available.index()] > 0)
                .then(|| {
                    let version = stats.oldest_version.as_deref();
                    places.why_of(State::Available, &stats.function, version)
                })
                .flatten(),
            stats,
        };
        Ok(Some(Faring {
            functions: stats.functions.into_iter().map(fares).collect(),
            stored_len: stats.stored_len,
            file_len: stats.file_len,
            condition: store.condition(),
        }))
    }

    /// What becomes of tasks from now on.
    pub(crate) fn watch(&self, subject: Subject) -> Subscription {
        let subscription = self.0.watchers.subscribe(subject);
        if let Some(store) = self.0.storage.get() {
            store.heed();
        }
        subscription
    }

    async fn store(&self) -> Result<Handle, TaskFailure> {
        self.0.open().await.map_err(|error| failure(&error))
    }

    /// The ledger, if there is one; none is made.
    pub(super) async fn there(&self) -> Result<Option<Handle>, TaskFailure> {
        if self.0.storage.get().is_none() && !self.0.storage.is_there() {
            return Ok(None);
        }
        self.store().await.map(Some)
    }

    async fn places(&self, store: &Handle) -> Result<Places, TaskFailure> {
        let known = ask(|done| store.known(done)).await;
        let known = known.map_err(|error| failure(&error))?;
        let paused = known.into_iter().filter(|function| function.paused);
        Ok(Places {
            shared: Arc::clone(&self.0),
            paused: paused.map(|function| function.name).collect(),
            found: HashMap::new(),
        })
    }
}

/// Where functions are now: each is looked for once.
struct Places {
    shared: Arc<Shared>,
    paused: HashSet<Arc<str>>,
    found: HashMap<Arc<str>, Place>,
}

impl Places {
    fn why(&mut self, task: &TaskSummary) -> Option<Why> {
        self.why_of(task.state, &task.function, task.version.as_deref())
    }

    fn why_of(&mut self, state: State, function: &Arc<str>, version: Option<&str>) -> Option<Why> {
        if state.is_finished() || state == State::Running {
            return None;
        }
        let shared = &self.shared;
        let find = || shared.place(function);
        let place = self.found.entry(Arc::clone(function)).or_insert_with(find);
        why(state, version, self.paused.contains(function), place)
    }
}

impl Shared {
    fn place(&self, function: &str) -> Place {
        let lists = self.roster.lists();
        let exports = |generation: &&Arc<Generation>| {
            let mut functions = generation.manifest.functions.iter();
            functions.any(|one| one.name == function)
        };
        let generation = lists.live.values().find(exports);
        let report = generation.and_then(|generation| generation.pool.report());
        let (Some(generation), Some(report)) = (generation, report) else {
            let route = self.router.route(function, &Caller::default());
            let is_coming = route.is_err_and(|failure| failure.code == ErrorCode::Unavailable);
            return if is_coming {
                Place::Opening
            } else {
                Place::Away
            };
        };
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let running = self.runs.count(generation.plugin());
        Place::Live {
            version: generation.manifest.version.clone(),
            quarantined: report.quarantined,
            pool: Pool {
                slots: count(report.workers_max * report.slots),
                requests: count(report.queued + report.handed_over).saturating_sub(running),
                running,
                ..Pool::default()
            },
        }
    }
}
