//! What `/metrics` counts, in the text format of Prometheus.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::app::Gateway;

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    accepted: AtomicU64,
    refused: AtomicU64,
    resumed: AtomicU64,
    connections: AtomicU64,
    denied: AtomicU64,
}

impl Metrics {
    /// A task was handed on.
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A request became no task.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A client went on with a session.
    pub(crate) fn resumed(&self) {
        self.resumed.fetch_add(1, Ordering::Relaxed);
    }

    /// A WebSocket was opened.
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// Somebody was not let in.
    pub(crate) fn denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }
}

/// The page.
pub(crate) fn page(gateway: &Gateway) -> String {
    let metrics = &gateway.metrics;
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed).to_string();
    let (attached, detached) = gateway.sessions.count();
    let mut page = String::new();
    let mut metric = |name: &str, kind: &str, help: &str, value: &str| {
        // Writing to a string can't fail.
        let _ = write!(
            page,
            "# HELP gateway_{name} {help}\n# TYPE gateway_{name} {kind}\ngateway_{name} {value}\n"
        );
    };
    metric(
        "tasks_total",
        "counter",
        "Tasks handed to a host.",
        &count(&metrics.accepted),
    );
    metric(
        "refused_total",
        "counter",
        "Requests that became no task.",
        &count(&metrics.refused),
    );
    metric(
        "resumed_total",
        "counter",
        "Sessions that a new socket went on with.",
        &count(&metrics.resumed),
    );
    metric(
        "sockets_total",
        "counter",
        "WebSockets opened.",
        &count(&metrics.connections),
    );
    metric(
        "denied_total",
        "counter",
        "Requests without valid token or origin.",
        &count(&metrics.denied),
    );
    metric(
        "tasks_in_flight",
        "gauge",
        "Tasks not answered yet.",
        &gateway.caps.in_flight().to_string(),
    );
    metric(
        "tasks_waiting",
        "gauge",
        "Tasks that wait for a host.",
        &gateway.upstream.waiting().to_string(),
    );
    metric(
        "connections",
        "gauge",
        "Connections of clients.",
        &gateway.caps.connections().to_string(),
    );
    metric(
        "sessions_attached",
        "gauge",
        "Sessions with a socket.",
        &attached.to_string(),
    );
    metric(
        "sessions_detached",
        "gauge",
        "Sessions that wait for their client.",
        &detached.to_string(),
    );
    metric(
        "kept_bytes",
        "gauge",
        "Bytes kept for clients.",
        &gateway.sessions.kept_len().to_string(),
    );
    for (name, help) in [
        ("host_up", "Whether the host gets tasks."),
        ("host_connections", "Connections to the host."),
        ("host_tasks_in_flight", "Tasks at the host."),
    ] {
        let _ = write!(
            page,
            "# HELP gateway_{name} {help}\n# TYPE gateway_{name} gauge\n"
        );
        for host in gateway.upstream.hosts() {
            let value = match name {
                "host_up" => usize::from(host.well),
                "host_connections" => host.links,
                _ => host.in_flight,
            };
            let _ = writeln!(page, "gateway_{name}{{host=\"{}\"}} {value}", host.address);
        }
    }
    page
}
