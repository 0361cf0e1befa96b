//! `/metrics`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use service::metrics::{Number, Page};

use super::Admin;
use super::status::pools;
use crate::clock::Moment;
use crate::ledger::{Condition, State};
use crate::plugin::PoolReport;
use crate::stats::Histogram;

/// Bounds of the buckets of times, in milliseconds.
const BOUNDS_MS: [u64; 13] = [
    1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000, 60_000,
];

/// The page.
pub(super) async fn page(admin: &Admin) -> String {
    let mut page = Page::new("host", env!("CARGO_PKG_VERSION"));
    page.gauge("uptime_seconds", "Time since the host started.")
        .value(Moment::now().since(admin.up_since).as_secs_f64());
    of_connections(&mut page, admin);
    of_plugins(&mut page, admin).await;
    of_functions(&mut page, admin);
    of_background(&mut page, admin).await;
    page.finish()
}

async fn of_background(page: &mut Page, admin: &Admin) {
    let Ok(Some(faring)) = admin.background.faring().await else {
        return;
    };
    let mut tasks = page.gauge("background_tasks", "Tasks in the background, by state.");
    for fares in &faring.functions {
        for (state, count) in State::ALL.iter().zip(fares.stats.counts) {
            let labels = [
                ("function", &*fares.stats.function),
                ("state", state.name()),
            ];
            tasks.labelled(&labels, count);
        }
    }
    let mut oldest = page.gauge(
        "background_oldest_available_timestamp_seconds",
        "Since when the task may run that has waited for longest, in Unix time.",
    );
    for fares in &faring.functions {
        if let Some(at) = fares.stats.oldest_available_at {
            let labels = [("function", &*fares.stats.function)];
            oldest.labelled(
                &labels,
                Duration::from_millis(u64::try_from(at).unwrap_or(0)).as_secs_f64(),
            );
        }
    }
    page.gauge(
        "background_stored_bytes",
        "Arguments and results of tasks in the background that are kept.",
    )
    .value(faring.stored_len);
    if let Some(len) = faring.file_len {
        page.gauge("background_file_bytes", "The files of the ledger.")
            .value(len);
    }
    if let Some(condition) = faring.condition {
        of_condition(page, &condition);
    }
}

fn of_condition(page: &mut Page, condition: &Condition) {
    let mut dead = page.gauge(
        "background_dead_rows",
        "Rows of the ledger's tables that are gone and not yet removed by vacuum, by table.",
    );
    for (table, rows) in &condition.dead_rows {
        dead.labelled(&[("table", table)], *rows);
    }
    page.gauge(
        "background_oldest_snapshot_seconds",
        "How long the oldest snapshot has been held in the ledger's database.",
    )
    .value(Duration::from_millis(condition.oldest_snapshot_ms).as_secs_f64());
}

fn of_connections(page: &mut Page, admin: &Admin) {
    let stats = &admin.stats;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.gauge("connections", "Connections that are open.")
        .value(count(&stats.connections));
    page.gauge(
        "requests_in_flight",
        "Requests received and not answered yet.",
    )
    .value(count(&stats.in_flight));
    page.counter(
        "requests_refused_total",
        "Requests answered with an error before they became tasks.",
    )
    .value(count(&stats.requests_refused));
    page.counter("replies_dropped_total", "Replies whose client had gone.")
        .value(count(&stats.replies_dropped));
}

async fn of_plugins(page: &mut Page, admin: &Admin) {
    let pools = pools(&admin.roster).await;
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&PoolReport) -> Number| {
        let mut metric = page.gauge(name, help);
        for (plugin, pool) in &pools {
            metric.labelled(&[("plugin", plugin)], value(pool));
        }
    };
    gauge("workers", "Worker processes.", &|pool| pool.workers.into());
    gauge(
        "workers_busy",
        "Worker processes that have tasks.",
        &|pool| pool.workers_busy.into(),
    );
    gauge("workers_max", "Most worker processes.", &|pool| {
        pool.workers_max.into()
    });
    gauge("tasks_queued", "Tasks that wait for a worker.", &|pool| {
        pool.queued.into()
    });
    gauge("tasks_handed_over", "Tasks that workers have.", &|pool| {
        pool.handed_over.into()
    });
    gauge(
        "oldest_waiting_seconds",
        "How long the oldest queued task has waited.",
        &|pool| (pool.oldest_waiting_ms / 1000.0).into(),
    );
    gauge(
        "quarantined",
        "Whether the plugin is kept from running since it crashes over and over.",
        &|pool| pool.quarantined.into(),
    );
    let mut crashes = page.counter(
        "worker_crashes_total",
        "Workers that ended without having been told to, since the plugin's code was loaded.",
    );
    for (plugin, pool) in &pools {
        crashes.labelled(&[("plugin", plugin)], pool.crashes);
    }
    let lists = admin.roster.lists();
    let mut info = page.gauge("plugin_info", "Live plugins; always 1.");
    for (plugin, generation) in &lists.live {
        let generation_number = generation.number.to_string();
        let labels = [
            ("plugin", plugin.as_str()),
            ("version", &generation.manifest.version),
            ("generation", &generation_number),
        ];
        info.labelled(&labels, 1_u64);
    }
    page.gauge(
        "plugins_draining",
        "Generations that finish what they have.",
    )
    .value(lists.draining.len());
    page.gauge(
        "files_refused",
        "Files of the plugins folder that are not taken.",
    )
    .value(lists.refused.len());
}

fn of_functions(page: &mut Page, admin: &Admin) {
    let functions = admin.stats.functions();
    let mut tasks = page.counter(
        "tasks_total",
        "Tasks that were answered, by function and outcome: ok, or the error code.",
    );
    for (name, stats) in &functions {
        stats.read(|counts| {
            tasks.labelled(&[("function", name), ("outcome", "ok")], counts.ok);
            for (code, failed) in &counts.failed {
                tasks.labelled(&[("function", name), ("outcome", code)], *failed);
            }
        });
    }
    let mut times = page.histogram("task_seconds", "Time from receipt to answer.");
    for (name, stats) in &functions {
        stats.read(|counts| distribution(&mut times, name, &counts.latency));
    }
    let mut times = page.histogram("handler_seconds", "Time in the handler.");
    for (name, stats) in &functions {
        stats.read(|counts| distribution(&mut times, name, &counts.run));
    }
}

fn distribution(metric: &mut service::metrics::Metric<'_>, function: &str, times: &Histogram) {
    let buckets = BOUNDS_MS.into_iter().map(|ms| {
        let bound = Duration::from_millis(ms);
        (bound.as_secs_f64(), times.at_most(bound))
    });
    let labels = [("function", function)];
    metric.distribution(&labels, buckets, times.count(), times.sum().as_secs_f64());
}
