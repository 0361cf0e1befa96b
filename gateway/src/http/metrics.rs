//! The page of `/metrics`, in the text format of Prometheus.

use service::metrics::Page;

use crate::gateway::Gateway;

/// The page as it is now.
pub(super) fn page(gateway: &Gateway) -> String {
    let mut page = Page::new("gateway", env!("CARGO_PKG_VERSION"));
    let totals = gateway.metrics.totals();
    for (name, help, count) in [
        ("tasks_total", "Tasks handed to a host.", totals.accepted),
        (
            "refused_total",
            "Requests that did not become tasks.",
            totals.refused,
        ),
        (
            "resumed_total",
            "Sessions that went on with a new socket.",
            totals.resumed,
        ),
        ("sockets_total", "WebSockets opened.", totals.connections),
        (
            "denied_total",
            "Requests without a valid token or origin.",
            totals.denied,
        ),
    ] {
        page.counter(name, help).value(count);
    }
    let (attached, detached) = gateway.sessions.count();
    for (name, help, value) in [
        (
            "tasks_in_flight",
            "Tasks not answered yet.",
            gateway.caps.in_flight(),
        ),
        (
            "tasks_waiting",
            "Tasks that wait for a host.",
            gateway.upstream.waiting(),
        ),
        (
            "connections",
            "Connections of clients.",
            gateway.caps.connections(),
        ),
        ("sessions_attached", "Sessions with a socket.", attached),
        (
            "sessions_detached",
            "Sessions that wait for their clients.",
            detached,
        ),
        (
            "kept_bytes",
            "Bytes kept for clients.",
            gateway.sessions.kept_len(),
        ),
    ] {
        page.gauge(name, help).value(value);
    }
    hosts(gateway, &mut page);
    page.finish()
}

fn hosts(gateway: &Gateway, page: &mut Page) {
    let hosts = gateway.upstream.hosts();
    let mut metric = page.gauge("host_up", "Whether the host gets tasks.");
    for host in &hosts {
        metric.labelled(&[("host", &host.address)], host.is_well);
    }
    let mut metric = page.gauge("host_connections", "Connections to the host.");
    for host in &hosts {
        metric.labelled(&[("host", &host.address)], host.connections);
    }
    let mut metric = page.gauge("host_tasks_in_flight", "Tasks at the host.");
    for host in &hosts {
        metric.labelled(&[("host", &host.address)], host.in_flight);
    }
}
