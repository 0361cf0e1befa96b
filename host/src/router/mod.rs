//! Which generation runs which function: one immutable table, swapped whole.

mod builtin;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use plugin_api::manifest::Manifest;
use protocol::{ErrorCode, TaskFailure, excerpt};
use serde::Serialize;
use tokio::sync::broadcast;

pub(crate) use builtin::{Builtin, Watch};

use crate::plugin::{Drain, GenerationState, PoolHandle, Reroute};
use crate::task::{Task, TaskId};

/// Names that begin so are the host's own functions.
pub(crate) const HOST_PREFIX: &str = "host.";
/// Names this similar to an unknown one are offered (Jaro-Winkler, 0 to 1).
const SIMILARITY_MIN: f64 = 0.8;
/// How many similar names are offered.
const NEAR_MISSES_MAX: usize = 3;
/// Plugin events that a slow watcher may be behind before it loses the oldest.
const EVENTS_LEN: usize = 256;

/// A generation that serves, or drains.
#[derive(Debug)]
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) file: PathBuf,
    pub(crate) manifest: Manifest,
    /// How long each function's handler may run, in the order of the manifest.
    pub(crate) limits: Vec<Duration>,
    pub(crate) pool: PoolHandle,
}

impl Generation {
    pub(crate) fn plugin(&self) -> &str {
        &self.manifest.name
    }
}

/// The last file that was not taken, or was taken back, for a plugin or under a name.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// Where its note could be read.
    pub(crate) plugin: Option<String>,
    pub(crate) state: GenerationState,
    pub(crate) reason: String,
}

/// Something has changed about a plugin.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PluginEvent {
    pub(crate) plugin: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) file: String,
    pub(crate) generation: Option<u64>,
    pub(crate) state: &'static str,
    pub(crate) reason: Option<String>,
}

/// Where tasks of one function go.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pool: PoolHandle,
    /// Index into the functions of the generation's manifest.
    function: u32,
}

#[derive(Clone, Debug, Default)]
struct Table {
    routes: HashMap<String, Route>,
    /// By plugin.
    routed: BTreeMap<String, Arc<Generation>>,
    draining: Vec<Arc<Generation>>,
    /// By file, until something better comes of it.
    refused: BTreeMap<PathBuf, Refusal>,
    /// The host ends: nothing is routed any more.
    ending: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Router {
    table: Arc<RwLock<Arc<Table>>>,
    events: broadcast::Sender<PluginEvent>,
}

impl Router {
    pub(crate) fn new() -> Self {
        Self {
            table: Arc::default(),
            events: broadcast::channel(EVENTS_LEN).0,
        }
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<R>(&self, change: impl FnOnce(&mut Table) -> R) -> R {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Table::clone(&table);
        let result = change(&mut next);
        *table = Arc::new(next);
        result
    }

    // ---- tasks ----

    /// Where a task of this function goes, or the client's error when no live plugin exports it.
    pub(crate) fn route(&self, function: &str) -> Result<Route, TaskFailure> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        match table.routes.get(function) {
            _ if table.ending => Err(shutting_down()),
            Some(route) => Ok(route.clone()),
            None => Err(unknown_function(
                function,
                table.routes.keys().map(String::as_str),
            )),
        }
    }

    /// Hands the task to the generation that runs `function`, found by [`Router::route`]. One that has ended since then
    /// gives it back, and by then the table names another, or none.
    pub(crate) async fn submit(&self, function: &str, mut route: Route, mut task: Task) {
        loop {
            task.function = route.function;
            match route.pool.submit(task).await {
                None => return,
                Some(returned) => task = returned,
            }
            match self.route(function) {
                // Whoever ends a pool takes it out of the table first: this one has broken down.
                Ok(next) if next.pool.is_same(&route.pool) => {
                    return task.answer.finish(Err(pool_lost(function)));
                }
                Ok(next) => route = next,
                Err(failure) => return task.answer.finish(Err(failure)),
            }
        }
    }

    /// Cancels a task wherever it is by now.
    pub(crate) async fn cancel(&self, task: TaskId) {
        for generation in self.generations() {
            generation.pool.cancel(task).await;
        }
    }

    // ---- generations ----

    /// Makes `generation` the one that serves its plugin, in one step. Gives the one that did so before; it is to be
    /// drained, and listed until [`Router::forget`].
    pub(crate) fn swap_in(&self, generation: Arc<Generation>) -> Option<Arc<Generation>> {
        self.change(|table| {
            let before = table.take_out(generation.plugin());
            for (index, function) in (0u32..).zip(&generation.manifest.functions) {
                let pool = generation.pool.clone();
                let route = Route {
                    pool,
                    function: index,
                };
                table.routes.insert(function.name.clone(), route);
            }
            table
                .routed
                .insert(generation.plugin().to_owned(), generation);
            before
        })
    }

    /// Takes a plugin's functions out. Its generation is to be drained, and listed until [`Router::forget`].
    pub(crate) fn take_out(&self, plugin: &str) -> Option<Arc<Generation>> {
        self.change(|table| table.take_out(plugin))
    }

    /// A drained generation is no longer listed.
    pub(crate) fn forget(&self, number: u64) {
        self.change(|table| {
            table
                .draining
                .retain(|generation| generation.number != number);
        });
    }

    /// Notes why a file was not taken.
    pub(crate) fn refuse(&self, file: PathBuf, refusal: Refusal) {
        let event = PluginEvent::of_file(&file, &refusal);
        self.change(|table| table.refused.insert(file, refusal));
        let _ = self.events.send(event);
    }

    /// Tells watchers what became of something that the file held, and holds no more.
    pub(crate) fn tell(&self, file: &Path, refusal: &Refusal) {
        let _ = self.events.send(PluginEvent::of_file(file, refusal));
    }

    /// The refused file is gone, or holds what serves.
    pub(crate) fn forget_refusal(&self, file: &Path) {
        self.change(|table| table.refused.remove(file));
    }

    /// Tells watchers of a state that the table doesn't hold.
    pub(crate) fn announce(
        &self,
        generation: &Generation,
        state: GenerationState,
        reason: Option<String>,
    ) {
        let _ = self.events.send(PluginEvent::of(generation, state, reason));
    }

    /// What happens to plugins from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<PluginEvent> {
        self.events.subscribe()
    }

    /// All generations that have workers, the routed ones first.
    fn generations(&self) -> Vec<Arc<Generation>> {
        let table = self.table();
        table
            .routed
            .values()
            .chain(&table.draining)
            .cloned()
            .collect()
    }

    /// Drains every pool; returns when all their workers have gone.
    pub(crate) async fn drain(&self, grace: Duration) {
        self.change(|table| table.ending = true);
        let drains: Vec<_> = self
            .generations()
            .into_iter()
            .map(|generation| {
                tokio::spawn(async move { generation.pool.drain(grace, Drain::Ended).await })
            })
            .collect();
        for drain in drains {
            let _ = drain.await;
        }
    }
}

impl Table {
    fn take_out(&mut self, plugin: &str) -> Option<Arc<Generation>> {
        let generation = self.routed.remove(plugin)?;
        for function in &generation.manifest.functions {
            self.routes.remove(&function.name);
        }
        self.draining.push(Arc::clone(&generation));
        Some(generation)
    }
}

impl Reroute for Router {
    fn reroute(&self, function: &str, task: Task) {
        match self.route(function) {
            Ok(route) => {
                let (router, function) = (self.clone(), function.to_owned());
                tokio::spawn(async move { router.submit(&function, route, task).await });
            }
            Err(failure) => task.answer.finish(Err(failure)),
        }
    }
}

impl PluginEvent {
    fn of(generation: &Generation, state: GenerationState, reason: Option<String>) -> Self {
        Self {
            plugin: Some(generation.plugin().to_owned()),
            version: Some(generation.manifest.version.clone()),
            file: generation.file.display().to_string(),
            generation: Some(generation.number),
            state: state.as_str(),
            reason,
        }
    }

    fn of_file(file: &Path, refusal: &Refusal) -> Self {
        Self {
            plugin: refusal.plugin.clone(),
            version: None,
            file: file.display().to_string(),
            generation: None,
            state: refusal.state.as_str(),
            reason: Some(refusal.reason.clone()),
        }
    }
}

pub(crate) fn shutting_down() -> TaskFailure {
    TaskFailure::new(ErrorCode::ShuttingDown, "the host is shutting down")
}

fn pool_lost(function: &str) -> TaskFailure {
    tracing::error!(
        function,
        "a pool has broken down: nothing runs this function"
    );
    let mut failure = TaskFailure::new(
        ErrorCode::Internal,
        "what runs this function has broken down; the host's log says more under \"a pool has broken down\"",
    );
    failure.started = false;
    failure
}

fn unknown_function<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> TaskFailure {
    let mut similar: Vec<(f64, &str)> = known
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    similar.truncate(NEAR_MISSES_MAX);
    let mut message = format!("no live plugin exports `{}`", excerpt(wanted));
    if !similar.is_empty() {
        let names: Vec<String> = similar
            .iter()
            .map(|(_, name)| format!("`{name}`"))
            .collect();
        message.push_str("; did you mean ");
        message.push_str(&names.join(" or "));
        message.push('?');
    }
    TaskFailure::new(ErrorCode::UnknownFunction, message)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use bytes::Bytes;
    use protocol::Outcome;

    use super::*;
    use crate::budget::Budget;
    use crate::clock::Moment;
    use crate::task::{Answer, Client};

    const DEADLINE: Duration = Duration::from_secs(60);

    struct Waiting(mpsc::Sender<Outcome>);

    impl Client for Waiting {
        fn finished(&self, _key: u64, outcome: Outcome) {
            self.0.send(outcome).unwrap();
        }

        fn happened(&self, _key: u64, _name: &str, _data: Bytes) {}

        fn progressed(&self, _key: u64, _done: u64, _total: u64, _message: String) {}
    }

    fn generation(pool: PoolHandle) -> Arc<Generation> {
        let manifest =
            r#"{"name":"p","version":"1.0.0","plugin_api":"1.0.0","functions":[{"name":"f"}]}"#;
        Arc::new(Generation {
            number: 1,
            file: PathBuf::from("libp.so"),
            manifest: serde_json::from_str(manifest).unwrap(),
            limits: vec![DEADLINE],
            pool,
        })
    }

    #[test]
    fn a_task_for_a_pool_that_has_broken_down_is_answered() {
        let router = Router::new();
        assert!(router.swap_in(generation(PoolHandle::ended())).is_none());
        let route = router.route("f").unwrap();
        let (client, answers) = mpsc::channel();
        let task = Task {
            id: TaskId(1),
            function: 0,
            args: Bytes::from_static(b"{}"),
            received: Moment::now(),
            deadline: Moment::NEVER,
            progress: false,
            answer: Answer::new(Arc::new(Waiting(client)), 1),
            permit: Budget::new(2).take(2).unwrap(),
        };
        // In a thread of its own: a loop that never yields has no deadline.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            runtime.unwrap().block_on(router.submit("f", route, task));
        });
        let failure = answers.recv_timeout(DEADLINE).unwrap().unwrap_err();
        assert_eq!(failure.code, ErrorCode::Internal);
        assert!(!failure.started, "{failure:?}");
    }

    #[test]
    fn near_misses_are_named_and_others_are_not() {
        let known = ["send_mail", "send_bulk", "resize"];
        let message = |wanted| unknown_function(wanted, known.into_iter()).message;
        assert_eq!(
            message("send_mial"),
            "no live plugin exports `send_mial`; did you mean `send_mail` or `send_bulk`?"
        );
        assert_eq!(message("xyz"), "no live plugin exports `xyz`");
    }
}
