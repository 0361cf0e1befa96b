//! Which live plugin runs which function: one immutable table, swapped whole.

mod builtin;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use plugin_api::manifest::Manifest;
use protocol::{ErrorCode, TaskFailure, excerpt};

pub(crate) use builtin::Builtin;

use crate::plugin::PoolHandle;

/// Names that begin so are the host's own functions.
pub(crate) const HOST_PREFIX: &str = "host.";
/// Names this similar to an unknown one are offered (Jaro-Winkler, 0 to 1).
const SIMILARITY_MIN: f64 = 0.8;
/// How many similar names are offered.
const NEAR_MISSES_MAX: usize = 3;

/// A plugin that serves.
#[derive(Debug)]
pub(crate) struct LivePlugin {
    pub(crate) file: PathBuf,
    pub(crate) generation: u64,
    pub(crate) manifest: Manifest,
    /// How long each function's handler may run, in the order of the manifest.
    pub(crate) limits: Vec<Duration>,
    pub(crate) pool: PoolHandle,
}

/// A file that was not taken.
#[derive(Clone, Debug)]
pub(crate) struct RejectedPlugin {
    pub(crate) file: PathBuf,
    /// Where its note could be read.
    pub(crate) name: Option<String>,
    pub(crate) reason: String,
}

/// Where a task goes.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) pool: PoolHandle,
    /// Index into the functions of the plugin's manifest.
    pub(crate) function: u32,
}

/// What `host.plugins` shows of a plugin.
#[derive(Clone, Debug)]
pub(crate) struct PluginEntry {
    pub(crate) name: String,
    pub(crate) live: Arc<LivePlugin>,
}

#[derive(Debug, Default)]
struct Table {
    routes: HashMap<String, Route>,
    live: Vec<Arc<LivePlugin>>,
    rejected: Vec<RejectedPlugin>,
}

#[derive(Debug, Default)]
pub(crate) struct Router {
    table: RwLock<Arc<Table>>,
}

impl Router {
    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Table)) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Table {
            routes: table.routes.clone(),
            live: table.live.clone(),
            rejected: table.rejected.clone(),
        };
        change(&mut next);
        *table = Arc::new(next);
    }

    /// Where a task of this function goes, or the client's error when no live plugin exports it.
    pub(crate) fn route(&self, function: &str) -> Result<Route, TaskFailure> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        match table.routes.get(function) {
            Some(route) => Ok(route.clone()),
            None => Err(unknown_function(
                function,
                table.routes.keys().map(String::as_str),
            )),
        }
    }

    /// Whether a plugin of this name with these functions could go live; otherwise a sentence that says what is in its way.
    pub(crate) fn check_free(&self, plugin: &str, functions: &[String]) -> Result<(), String> {
        let table = self.table();
        if let Some(other) = table.live.iter().find(|live| live.manifest.name == plugin) {
            return Err(format!(
                "a plugin named `{plugin}` is live already, from {}; remove one of the two files",
                other.file.display()
            ));
        }
        for function in functions {
            let exports = |live: &&Arc<LivePlugin>| {
                live.manifest.functions.iter().any(|f| f.name == *function)
            };
            if let Some(other) = table.live.iter().find(exports) {
                return Err(format!(
                    "it exports `{function}`, which the live plugin `{}` ({}) exports already; rename one of the two",
                    other.manifest.name,
                    other.file.display()
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn add(&self, plugin: LivePlugin) {
        self.change(|table| {
            for (index, function) in (0u32..).zip(&plugin.manifest.functions) {
                let route = Route {
                    pool: plugin.pool.clone(),
                    function: index,
                };
                table.routes.insert(function.name.clone(), route);
            }
            table.live.push(Arc::new(plugin));
        });
    }

    pub(crate) fn reject(&self, plugin: RejectedPlugin) {
        self.change(|table| table.rejected.push(plugin));
    }

    pub(crate) fn plugins(&self) -> Vec<PluginEntry> {
        let table = self.table();
        table
            .live
            .iter()
            .map(|live| PluginEntry {
                name: live.manifest.name.clone(),
                live: Arc::clone(live),
            })
            .collect()
    }

    fn rejected(&self) -> Vec<RejectedPlugin> {
        self.table().rejected.clone()
    }

    /// Drains every pool; returns when all their workers have gone.
    pub(crate) async fn drain(&self, grace: Duration) {
        let drains: Vec<_> = self
            .plugins()
            .into_iter()
            .map(|plugin| tokio::spawn(async move { plugin.live.pool.drain(grace).await }))
            .collect();
        for drain in drains {
            let _ = drain.await;
        }
    }
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
    use super::*;

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
