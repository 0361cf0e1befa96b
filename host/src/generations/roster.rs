//! What there is of generations, for whoever wants to know: lists that are swapped whole, and news as they happen.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use plugin_api::manifest::Manifest;
use serde::Serialize;
use service::sync::{read, write};
use tokio::sync::broadcast;

use super::state::State;
use crate::plugin::{Drain, PoolHandle, Runner};
use crate::task::TaskId;

/// News that a slow watcher may be behind before it loses the oldest.
const NEWS_LEN: usize = 256;

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

    /// What it runs, and how.
    pub(super) fn runners(&self) -> impl Iterator<Item = (&str, Runner)> {
        let functions = self.manifest.functions.iter().zip(0_u32..);
        functions.map(|(function, index)| (function.name.as_str(), self.pool.runner(index)))
    }
}

/// The last file that was not taken, or was taken back, for a plugin or under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Where its note could be read.
    pub(crate) plugin: Option<String>,
    pub(crate) state: State,
    pub(crate) reason: String,
}

/// Something has changed about a plugin.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PluginEvent {
    plugin: Option<String>,
    version: Option<String>,
    file: String,
    generation: Option<u64>,
    state: &'static str,
    reason: Option<String>,
}

/// All generations that have workers, and what was refused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    /// By plugin.
    pub(crate) live: BTreeMap<String, Arc<Generation>>,
    pub(crate) draining: Vec<Arc<Generation>>,
    /// By file, until something better comes of it.
    pub(crate) refused: BTreeMap<PathBuf, Refusal>,
}

/// The lists, and their news. Clones are the same ones.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    lists: Arc<RwLock<Arc<Lists>>>,
    news: broadcast::Sender<PluginEvent>,
}

impl Default for Roster {
    fn default() -> Self {
        Self {
            lists: Arc::default(),
            news: broadcast::channel(NEWS_LEN).0,
        }
    }
}

impl Roster {
    /// The lists as they are now.
    pub(crate) fn lists(&self) -> Arc<Lists> {
        Arc::clone(&read(&self.lists))
    }

    /// What happens to plugins from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<PluginEvent> {
        self.news.subscribe()
    }

    /// Cancels a task wherever it is by now.
    pub(crate) fn cancel(&self, task: TaskId) {
        for generation in self.generations() {
            generation.pool.cancel(task);
        }
    }

    /// Has all workers log from now on what the host's own log takes.
    pub(crate) fn follow_log_level(&self) {
        for generation in self.generations() {
            generation.pool.follow_log_level();
        }
    }

    /// Drains every pool; returns when all their workers have gone.
    pub(crate) async fn drain(&self, grace: Duration) {
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

    /// All that have workers, the live ones first.
    fn generations(&self) -> Vec<Arc<Generation>> {
        let lists = self.lists();
        let all = lists.live.values().chain(&lists.draining);
        all.cloned().collect()
    }

    fn change<R>(&self, change: impl FnOnce(&mut Lists) -> R) -> R {
        let mut lists = write(&self.lists);
        let mut next = Lists::clone(&lists);
        let result = change(&mut next);
        *lists = Arc::new(next);
        result
    }

    /// The generation serves its plugin from now on. Gives the one that did so before, which drains.
    pub(super) fn go_live(&self, generation: Arc<Generation>) -> Option<Arc<Generation>> {
        self.change(|lists| {
            let before = lists.take_out(generation.plugin());
            let plugin = generation.plugin().to_owned();
            lists.live.insert(plugin, generation);
            before
        })
    }

    /// Nothing serves the plugin from now on. Gives the generation that did so before, which drains.
    pub(super) fn take_out(&self, plugin: &str) -> Option<Arc<Generation>> {
        self.change(|lists| lists.take_out(plugin))
    }

    /// The live or draining generation of this number.
    pub(super) fn generation(&self, number: u64) -> Option<Arc<Generation>> {
        let lists = self.lists();
        let mut all = lists.live.values().chain(&lists.draining);
        all.find(|generation| generation.number == number).cloned()
    }

    /// A drained generation is no longer listed.
    pub(super) fn forget(&self, number: u64) {
        self.change(|lists| {
            lists
                .draining
                .retain(|generation| generation.number != number);
        });
    }

    /// Notes why a file was not taken, and tells of it.
    pub(super) fn refuse(&self, file: &Path, refusal: &Refusal) {
        // In this order: whoever hears of it finds it in the lists.
        self.change(|lists| lists.refused.insert(file.to_owned(), refusal.clone()));
        self.tell(file, refusal);
    }

    /// The refused file is gone, or holds what serves.
    pub(super) fn forget_refusal(&self, file: &Path) {
        self.change(|lists| lists.refused.remove(file));
    }

    /// Tells what became of something that the file held, and holds no more.
    pub(super) fn tell(&self, file: &Path, refusal: &Refusal) {
        let _ = self.news.send(PluginEvent {
            plugin: refusal.plugin.clone(),
            version: None,
            file: file.display().to_string(),
            generation: None,
            state: refusal.state.as_str(),
            reason: Some(refusal.reason.clone()),
        });
    }

    /// Tells of a generation's new state.
    pub(super) fn announce(&self, generation: &Generation, state: State, reason: Option<String>) {
        let _ = self.news.send(PluginEvent {
            plugin: Some(generation.plugin().to_owned()),
            version: Some(generation.manifest.version.clone()),
            file: generation.file.display().to_string(),
            generation: Some(generation.number),
            state: state.as_str(),
            reason,
        });
    }
}

impl Lists {
    /// Whether a library was not taken that brings this plugin, or is named as if it did.
    pub(super) fn has_refused(&self, plugin: &str) -> bool {
        let file_name = format!("lib{plugin}.so");
        self.refused.iter().any(|(file, refusal)| {
            refusal.plugin.as_deref() == Some(plugin)
                || file
                    .file_name()
                    .is_some_and(|name| name == file_name.as_str())
        })
    }

    fn take_out(&mut self, plugin: &str) -> Option<Arc<Generation>> {
        let generation = self.live.remove(plugin)?;
        self.draining.push(Arc::clone(&generation));
        Some(generation)
    }
}
