//! Counters for `/metrics`, kept where things happen.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    accepted: AtomicU64,
    refused: AtomicU64,
    resumed: AtomicU64,
    connections: AtomicU64,
    denied: AtomicU64,
}

/// How often each has happened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) resumed: u64,
    pub(crate) connections: u64,
    pub(crate) denied: u64,
}

impl Metrics {
    pub(crate) fn totals(&self) -> Totals {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals {
            accepted: count(&self.accepted),
            refused: count(&self.refused),
            resumed: count(&self.resumed),
            connections: count(&self.connections),
            denied: count(&self.denied),
        }
    }

    /// A task was handed on.
    pub(crate) fn accepted(&self) {
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// A request did not become a task.
    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A client has resumed a session.
    pub(crate) fn resumed(&self) {
        self.resumed.fetch_add(1, Ordering::Relaxed);
    }

    /// A WebSocket was opened.
    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// A request had no valid token or origin.
    pub(crate) fn denied(&self) {
        self.denied.fetch_add(1, Ordering::Relaxed);
    }
}
