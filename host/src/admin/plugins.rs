//! `host.plugins`: what there is of plugins, and what was refused; with `watch`, as it changes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use protocol::{ErrorCode, Outcome, TaskFailure};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;

use super::{fitting, json};
use crate::generations::{Generation, Refusal, Roster, State};
use crate::plugin::PoolReport;
use crate::router::shutting_down;
use crate::task::Client;

/// Arguments of `host.plugins`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Args {
    watch: bool,
}

/// Whether its caller wants to hear of changes.
///
/// # Errors
/// The client's: these are no arguments of `host.plugins`.
pub(super) fn wants_watch(args: &[u8]) -> Result<bool, TaskFailure> {
    // What PHP makes of an empty object.
    if args.trim_ascii() == b"[]" {
        return Ok(false);
    }
    let args: Args = serde_json::from_slice(args).map_err(|_| {
        let message = "host.plugins takes {} or {\"watch\": true}";
        TaskFailure::new(ErrorCode::InvalidArgs, message)
    })?;
    Ok(args.watch)
}

/// A file that was not taken, or taken back, for a plugin that serves all the same.
#[derive(Serialize)]
struct RefusalReport {
    file: String,
    reason: String,
}

#[derive(Default, Serialize)]
struct PluginReport {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin_api: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rustc: Option<String>,
    functions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<RefusalReport>,
    #[serde(flatten)]
    pool: Option<PoolReport>,
}

/// All plugins, as JSON.
pub(super) async fn plugins(roster: &Roster) -> Outcome {
    let lists = roster.lists();
    let mut refused = lists.refused.clone();
    let mut reports = Vec::new();
    for generation in lists.live.values() {
        let theirs = |file: &PathBuf, refusal: &Refusal| {
            *file == generation.file || refusal.plugin.as_deref() == Some(generation.plugin())
        };
        let last: Vec<PathBuf> = refused
            .iter()
            .filter(|(file, refusal)| theirs(file, refusal))
            .map(|(file, _)| file.clone())
            .collect();
        let last_refusal = last
            .into_iter()
            .filter_map(|file| refused.remove(&file).map(|refusal| (file, refusal)))
            .next_back();
        let pool = generation.pool.report();
        let quarantined = pool.as_ref().is_some_and(|pool| pool.quarantined);
        let state = if quarantined {
            State::Quarantined
        } else {
            State::Live
        };
        let mut report = PluginReport::of(generation, state, pool);
        report.last_refusal = last_refusal.map(|(file, refusal)| RefusalReport {
            file: file.display().to_string(),
            reason: refusal.reason,
        });
        reports.push(report);
    }
    for generation in &lists.draining {
        let pool = generation.pool.report();
        reports.push(PluginReport::of(generation, State::Draining, pool));
    }
    reports.extend(refused.into_iter().map(|(file, refusal)| PluginReport {
        name: refusal.plugin,
        file: file.display().to_string(),
        state: refusal.state.as_str(),
        reason: Some(refusal.reason),
        ..PluginReport::default()
    }));
    json(&BTreeMap::from([("plugins", reports)]))
}

impl PluginReport {
    fn of(generation: &Generation, state: State, pool: Option<PoolReport>) -> Self {
        let manifest = &generation.manifest;
        let quarantined = state == State::Quarantined;
        Self {
            name: Some(manifest.name.clone()),
            version: Some(manifest.version.clone()),
            file: generation.file.display().to_string(),
            generation: Some(generation.number),
            state: state.as_str(),
            reason: pool
                .as_ref()
                .filter(|_| quarantined)
                .and_then(|pool| pool.last_crash.clone()),
            plugin_api: Some(manifest.plugin_api.clone()),
            rustc: Some(manifest.rustc.clone()),
            functions: manifest
                .functions
                .iter()
                .map(|function| function.name.clone())
                .collect(),
            last_refusal: None,
            pool,
        }
    }
}

/// A client that was too slow is told again what there is after so long.
const TELL_AGAIN: Duration = Duration::from_millis(100);

/// `host.plugins` with `watch`: what happens to plugins, as it happens.
pub(super) struct Watch {
    pub(super) client: Arc<dyn Client>,
    pub(super) key: u64,
    pub(super) stop: Arc<Notify>,
    pub(super) timeout: Option<Duration>,
    /// Longest line that the client is sent, in bytes.
    pub(super) line_len_max: usize,
}

impl Watch {
    /// Sends what is there as the event `plugins`, then each change as an event `plugin`, until it is stopped.
    pub(super) async fn run(self, roster: &Roster) -> Outcome {
        // Before the list is made, so that nothing falls between the two.
        let mut events = roster.watch();
        let mut is_told = self.tell("plugins", plugins(roster).await)?;
        let timeout = async {
            match self.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(timeout);
        loop {
            tokio::select! {
                event = events.recv(), if is_told => is_told = match event {
                    Ok(event) => self.tell("plugin", json(&event))?,
                    Err(RecvError::Lagged(_)) => self.tell("plugins", plugins(roster).await)?,
                    Err(RecvError::Closed) => return Err(shutting_down()),
                },
                () = tokio::time::sleep(TELL_AGAIN), if !is_told => {
                    events = roster.watch();
                    is_told = self.tell("plugins", plugins(roster).await)?;
                }
                () = self.stop.notified() => {
                    let mut failure = TaskFailure::new(ErrorCode::Cancelled, "no longer watched");
                    failure.started = true;
                    return Err(failure);
                }
                () = &mut timeout => {
                    let mut failure = TaskFailure::new(ErrorCode::Timeout, "its time was up; watch again");
                    failure.started = true;
                    return Err(failure);
                }
            }
        }
    }

    /// Whether there was room for it.
    fn tell(&self, event: &str, data: Outcome) -> Result<bool, TaskFailure> {
        let data = fitting(data, self.line_len_max)?;
        Ok(self.client.happened(self.key, event, data))
    }
}
