//! `host.status`: how the host fares.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use protocol::Outcome;
use serde::Serialize;
use service::life::Phase;
use service::log;

use super::{Admin, json};
use crate::access::{Caller, ClientReport};
use crate::clock::Moment;
use crate::generations::Roster;
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
