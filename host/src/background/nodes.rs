//! The hosts that share a ledger: what this one says of itself, and who there is.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use protocol::TaskFailure;
use serde::Serialize;
use service::sync::write;

use super::storage::Handle;
use super::{Background, Shared, failure};
use crate::generations::Generation;
use crate::ledger::{Node, NodeAbout, ask};

/// What a host says of itself to others.
#[derive(Serialize)]
struct About<'a> {
    pid: u32,
    host_version: &'static str,
    plugins: BTreeMap<&'a str, PluginAbout<'a>>,
}

#[derive(Serialize)]
struct PluginAbout<'a> {
    version: &'a str,
    functions: Vec<&'a str>,
    /// Tasks that it can run at once.
    slots: usize,
    /// Tasks that it has, in the background or not.
    tasks: usize,
}

impl Background {
    /// The hosts that share the ledger, this one among them. This one is told by its name.
    ///
    /// # Errors
    /// The client's: the ledger can't be looked at now.
    pub(crate) async fn nodes(&self) -> Result<(Vec<Node>, Arc<str>), TaskFailure> {
        let here = Arc::clone(&self.0.node);
        let Some(store) = self.there().await? else {
            return Ok((Vec::new(), here));
        };
        let about = self.0.about();
        let said = ask(|done| store.introduce(about, done)).await;
        said.map_err(|error| failure(&error))?;
        let nodes = ask(|done| store.nodes(done)).await;
        Ok((nodes.map_err(|error| failure(&error))?, here))
    }
}

impl Shared {
    /// Tells the others what there is here.
    pub(super) fn introduce(&self, store: &Handle) {
        // What they can't be told now, they are told the next time.
        store.introduce(self.about(), Box::new(|_| ()));
    }

    /// Functions that others have made known are known here, too.
    pub(super) fn learn_from_others(self: &Arc<Self>, store: &Handle) {
        let shared = Arc::clone(self);
        store.known(Box::new(move |known| {
            let known = known.unwrap_or_default().into_iter();
            let mut all = write(&shared.known);
            all.extend(known.map(|function| function.name));
        }));
    }

    fn about(&self) -> NodeAbout {
        let lists = self.roster.lists();
        let plugins = lists.live.iter();
        let about = About {
            pid: std::process::id(),
            host_version: env!("CARGO_PKG_VERSION"),
            plugins: plugins
                .map(|(name, generation)| (name.as_str(), plugin(generation)))
                .collect(),
        };
        NodeAbout {
            id: Arc::clone(&self.node),
            name: name().into(),
            about: serde_json::to_vec(&about).unwrap_or_default().into(),
        }
    }
}

fn plugin(generation: &Arc<Generation>) -> PluginAbout<'_> {
    let functions = generation.manifest.functions.iter();
    let report = generation.pool.report();
    PluginAbout {
        version: &generation.manifest.version,
        functions: functions.map(|function| function.name.as_str()).collect(),
        slots: report
            .as_ref()
            .map_or(0, |report| report.workers_max * report.slots),
        tasks: report
            .as_ref()
            .map_or(0, |report| report.queued + report.handed_over),
    }
}

/// What this machine is called.
fn name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim_end().to_owned()
}
