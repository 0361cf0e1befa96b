//! The host's own functions: what it is, what it has, how it fares.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use protocol::{ErrorCode, Outcome, TaskFailure};
use serde::Serialize;
use serde_json::Value;

use super::{HOST_PREFIX, Router};
use crate::clock::Moment;
use crate::plugin::{PoolReport, reply_data};
use crate::stats::{FunctionReport, Stats};

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

#[derive(Serialize)]
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
    plugins: BTreeMap<String, PoolReport>,
    functions: BTreeMap<String, FunctionReport>,
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
        up_since: Moment,
        draining: bool,
    ) -> Outcome {
        match self {
            Self::Ping => json(&"pong"),
            Self::Functions => functions(router),
            Self::Plugins => plugins(router).await,
            Self::Status => status(router, stats, up_since, draining).await,
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
    let plugins = router.plugins();
    let entry = |live: &'_ Arc<super::LivePlugin>| -> Vec<Value> {
        let manifest = &live.manifest;
        let timeouts = live.limits.iter().map(Duration::as_millis);
        manifest
            .functions
            .iter()
            .zip(timeouts)
            .filter_map(|(function, timeout_ms)| {
                serde_json::to_value(FunctionEntry {
                    name: &function.name,
                    plugin: &manifest.name,
                    version: &manifest.version,
                    description: &function.description,
                    args_schema: &function.args_schema,
                    result_schema: &function.result_schema,
                    timeout_ms,
                })
                .ok()
            })
            .collect()
    };
    let functions: Vec<Value> = plugins
        .iter()
        .flat_map(|plugin| entry(&plugin.live))
        .collect();
    json(&BTreeMap::from([("functions", functions)]))
}

async fn plugins(router: &Router) -> Outcome {
    let mut reports = Vec::new();
    for plugin in router.plugins() {
        let pool = plugin.live.pool.report().await;
        let quarantined = pool.as_ref().is_some_and(|pool| pool.quarantined);
        let manifest = &plugin.live.manifest;
        reports.push(PluginReport {
            name: Some(manifest.name.clone()),
            version: Some(manifest.version.clone()),
            file: plugin.live.file.display().to_string(),
            generation: Some(plugin.live.generation),
            state: if quarantined { "quarantined" } else { "live" },
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
            pool,
        });
    }
    for rejected in router.rejected() {
        reports.push(PluginReport {
            name: rejected.name,
            version: None,
            file: rejected.file.display().to_string(),
            generation: None,
            state: "rejected",
            reason: Some(rejected.reason),
            plugin_api: None,
            rustc: None,
            functions: Vec::new(),
            pool: None,
        });
    }
    json(&BTreeMap::from([("plugins", reports)]))
}

async fn status(router: &Router, stats: &Stats, up_since: Moment, draining: bool) -> Outcome {
    let mut pools = BTreeMap::new();
    for plugin in router.plugins() {
        if let Some(report) = plugin.live.pool.report().await {
            pools.insert(plugin.name, report);
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
        plugins: pools,
        functions: stats.functions(),
    })
}
