//! `host.status`: how the host fares.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use protocol::Outcome;
use serde::Serialize;
use service::life::Phase;
use service::log;

use super::{Admin, json};
use crate::access::{Caller, ClientReport};
use crate::background::{Fares, Why};
use crate::clock::Moment;
use crate::generations::Roster;
use crate::ledger::State;
use crate::plugin::PoolReport;
use crate::stats::FunctionReport;

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
    panics: u64,
    limits: LimitsReport,
    clients: BTreeMap<String, ClientReport>,
    plugins: BTreeMap<String, PoolReport>,
    functions: BTreeMap<String, FunctionReport>,
    #[serde(skip_serializing_if = "Option::is_none")]
    background: Option<BackgroundReport>,
}

/// How background tasks fare, where there are any.
#[derive(Default, Serialize)]
struct BackgroundReport {
    /// Why nothing can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    stored_len: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_len: Option<u64>,
    /// What an operator should do something about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    functions: BTreeMap<String, TasksReport>,
}

/// How many tasks of a function there are.
#[derive(Serialize)]
struct TasksReport {
    #[serde(flatten)]
    counts: BTreeMap<&'static str, u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
    /// What the first one waits for that may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    /// How long the one that may run has waited that waits for longest.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_available_at_ms: Option<i64>,
}

async fn background(admin: &Admin) -> Option<BackgroundReport> {
    let faring = match admin.background.faring().await {
        Ok(faring) => faring?,
        Err(failure) => {
            return Some(BackgroundReport {
                error: Some(failure.message),
                ..BackgroundReport::default()
            });
        }
    };
    let has_any =
        |fares: &Fares| fares.stats.paused || fares.stats.counts.iter().any(|count| *count > 0);
    let functions = faring.functions.into_iter().filter(has_any).map(|fares| {
        let counts = State::ALL.iter().zip(fares.stats.counts);
        let counts = counts.filter(|(_, count)| *count > 0);
        let report = TasksReport {
            counts: counts.map(|(state, count)| (state.name(), count)).collect(),
            paused: fares.stats.paused,
            why: fares.why.map(Why::name),
            oldest_available_at_ms: fares.stats.oldest_available_at,
        };
        (fares.stats.function.to_string(), report)
    });
    Some(BackgroundReport {
        error: None,
        stored_len: faring.stored_len,
        file_len: faring.file_len,
        warnings: faring
            .condition
            .map(|condition| condition.warnings)
            .unwrap_or_default(),
        functions: functions.collect(),
    })
}

/// What a client can keep to.
#[derive(Serialize)]
struct LimitsReport {
    in_flight_max: usize,
    line_len_max: usize,
}

/// The report, as JSON.
pub(super) async fn status(admin: &Admin) -> Outcome {
    let plugins = pools(&admin.roster).await;
    let oldest = plugins.values().map(|pool| pool.oldest_waiting_ms);
    let stats = &admin.stats;
    let functions = stats.functions();
    let functions = functions.iter();
    json(&StatusReport {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        state: state(admin),
        uptime_ms: Moment::now().since(admin.up_since).as_millis(),
        connections: stats.connections.load(Ordering::Relaxed),
        in_flight: stats.in_flight.load(Ordering::Relaxed),
        queued: plugins.values().map(|pool| pool.queued).sum(),
        oldest_waiting_ms: oldest.fold(0.0, f64::max),
        replies_dropped: stats.replies_dropped.load(Ordering::Relaxed),
        requests_refused: stats.requests_refused.load(Ordering::Relaxed),
        log_lines_dropped: log::lines_dropped(),
        panics: log::panics(),
        limits: limits(admin),
        clients: admin.access.report().into_iter().collect(),
        plugins,
        functions: functions
            .map(|(name, stats)| (name.clone(), stats.report()))
            .collect(),
        background: background(admin).await,
    })
}

/// What a client that is no operator is told: of the host only what it has to go by, and how it fares itself.
#[derive(Serialize)]
struct OwnReport<'a> {
    version: &'static str,
    state: &'static str,
    limits: LimitsReport,
    clients: BTreeMap<&'a str, ClientReport>,
}

/// The report for a client that is no operator, as JSON.
pub(super) fn own(admin: &Admin, caller: &Caller) -> Outcome {
    let own = caller.client().zip(caller.report());
    json(&OwnReport {
        version: env!("CARGO_PKG_VERSION"),
        state: state(admin),
        limits: limits(admin),
        clients: own.into_iter().collect(),
    })
}

fn state(admin: &Admin) -> &'static str {
    match admin.phase() {
        Phase::Serving => "serving",
        Phase::Draining | Phase::Closing => "draining",
    }
}

fn limits(admin: &Admin) -> LimitsReport {
    LimitsReport {
        in_flight_max: admin.limits.in_flight_max,
        line_len_max: admin.limits.line_len_max,
    }
}

/// How the pools of live generations fare, by plugin.
pub(super) async fn pools(roster: &Roster) -> BTreeMap<String, PoolReport> {
    let mut pools = BTreeMap::new();
    for (plugin, generation) in &roster.lists().live {
        if let Some(report) = generation.pool.report() {
            pools.insert(plugin.clone(), report);
        }
    }
    pools
}
