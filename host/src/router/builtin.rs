//! The host's own functions: what it is, what it has, how it fares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::{ErrorCode, Outcome, TaskFailure};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::broadcast::error::RecvError;

use super::{Generation, HOST_PREFIX, Refusal, Router};
use crate::clock::Moment;
use crate::config::Limits;
use crate::plugin::{GenerationState, PoolReport, reply_data};
use crate::stats::{FunctionReport, Stats};
use crate::task::Client;

/// The functions that every connection is answered alike. `host.cancel` is not among them: it is about one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    Ping,
    Functions,
    Plugins,
    Status,
}

/// A function of a live plugin.
#[derive(Serialize)]
struct FunctionEntry<'a> {
    name: &'a str,
    plugin: &'a str,
    version: &'a str,
    description: &'a str,
    args_schema: &'a Value,
    result_schema: &'a Value,
    timeout_ms: u128,
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

#[derive(Serialize)]
struct StatusReport {
    version: &'static str,
    pid: u32,
    state: &'static str,
    uptime_ms: u128,
    connections: u64,
    in_flight: u64,
    queued: usize,
    oldest_waiting_ms: f64,
    replies_dropped: u64,
    requests_refused: u64,
    log_lines_dropped: u64,
    limits: LimitsReport,
    plugins: BTreeMap<String, PoolReport>,
    functions: BTreeMap<String, FunctionReport>,
}

/// What a client can keep to.
#[derive(Serialize)]
struct LimitsReport {
    in_flight_max: usize,
    line_len_max: usize,
}

impl Builtin {
    /// The function of this name, which begins with `host.`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name.strip_prefix(HOST_PREFIX)? {
            "ping" => Self::Ping,
            "functions" => Self::Functions,
            "plugins" => Self::Plugins,
            "status" => Self::Status,
            _ => return None,
        })
    }

    /// The client's error for a `host.` name that is none of the host's functions.
    pub(crate) fn unknown(name: &str) -> TaskFailure {
        let known = [
            "host.ping",
            "host.functions",
            "host.plugins",
            "host.status",
            "host.cancel",
        ];
        super::unknown_function(name, known.into_iter())
    }

    pub(crate) async fn run(
        self,
        router: &Router,
        stats: &Stats,
        limits: &Limits,
        up_since: Moment,
        draining: bool,
    ) -> Outcome {
        match self {
            Self::Ping => json(&"pong"),
            Self::Functions => functions(router),
            Self::Plugins => plugins(router).await,
            Self::Status => status(router, stats, limits, up_since, draining).await,
        }
    }
}

fn json(value: &impl Serialize) -> Outcome {
    reply_data(value).ok_or_else(|| {
        TaskFailure::new(
            ErrorCode::Internal,
            "the report could not be written as JSON",
        )
    })
}

fn functions(router: &Router) -> Outcome {
    let table = router.table();
    let functions: Vec<FunctionEntry<'_>> = table
        .routed
        .values()
        .flat_map(|generation| {
            let manifest = &generation.manifest;
            manifest
                .functions
                .iter()
                .zip(&generation.limits)
                .map(|(function, limit)| FunctionEntry {
                    name: &function.name,
                    plugin: &manifest.name,
                    version: &manifest.version,
                    description: &function.description,
                    args_schema: &function.args_schema,
                    result_schema: &function.result_schema,
                    timeout_ms: limit.as_millis(),
                })
        })
        .collect();
    json(&BTreeMap::from([("functions", functions)]))
}

async fn plugins(router: &Router) -> Outcome {
    let table = router.table();
    let mut refused = table.refused.clone();
    let mut reports = Vec::new();
    for generation in table.routed.values() {
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
        let pool = generation.pool.report().await;
        let quarantined = pool.as_ref().is_some_and(|pool| pool.quarantined);
        let state = if quarantined {
            GenerationState::Quarantined
        } else {
            GenerationState::Live
        };
        let mut report = PluginReport::of(generation, state, pool);
        report.last_refusal = last_refusal.map(|(file, refusal)| RefusalReport {
            file: file.display().to_string(),
            reason: refusal.reason,
        });
        reports.push(report);
    }
    for generation in &table.draining {
        let pool = generation.pool.report().await;
        reports.push(PluginReport::of(
            generation,
            GenerationState::Draining,
            pool,
        ));
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
    fn of(generation: &Generation, state: GenerationState, pool: Option<PoolReport>) -> Self {
        let manifest = &generation.manifest;
        let quarantined = state == GenerationState::Quarantined;
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

/// `host.plugins` with `watch`: what happens to plugins, as it happens.
pub(crate) struct Watch {
    pub(crate) client: Arc<dyn Client>,
    pub(crate) key: u64,
    pub(crate) stop: Arc<Notify>,
    pub(crate) timeout: Option<Duration>,
}

impl Watch {
    /// Sends what is there as the event `plugins`, then each change as an event `plugin`, until it is stopped.
    pub(crate) async fn run(self, router: &Router) -> Outcome {
        // Before the list is made, so that nothing falls between the two.
        let mut events = router.watch();
        self.client
            .happened(self.key, "plugins", plugins(router).await?);
        let timeout = async {
            match self.timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(timeout);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(event) => self.client.happened(self.key, "plugin", json(&event)?),
                    Err(RecvError::Lagged(_)) => {
                        self.client.happened(self.key, "plugins", plugins(router).await?);
                    }
                    Err(RecvError::Closed) => return Err(super::shutting_down()),
                },
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
}

async fn status(
    router: &Router,
    stats: &Stats,
    limits: &Limits,
    up_since: Moment,
    draining: bool,
) -> Outcome {
    let mut pools = BTreeMap::new();
    for (plugin, generation) in &router.table().routed {
        if let Some(report) = generation.pool.report().await {
            pools.insert(plugin.clone(), report);
        }
    }
    let oldest = pools
        .values()
        .map(|pool| pool.oldest_waiting_ms)
        .fold(0.0, f64::max);
    json(&StatusReport {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        state: if draining { "draining" } else { "serving" },
        uptime_ms: Moment::now().since(up_since).as_millis(),
        connections: stats.connections.load(Ordering::Relaxed),
        in_flight: stats.in_flight.load(Ordering::Relaxed),
        queued: pools.values().map(|pool| pool.queued).sum(),
        oldest_waiting_ms: oldest,
        replies_dropped: stats.replies_dropped.load(Ordering::Relaxed),
        requests_refused: stats.requests_refused.load(Ordering::Relaxed),
        log_lines_dropped: units::log::lines_dropped(),
        limits: LimitsReport {
            in_flight_max: limits.in_flight_max,
            line_len_max: limits.line_len_max,
        },
        plugins: pools,
        functions: stats.functions(),
    })
}
