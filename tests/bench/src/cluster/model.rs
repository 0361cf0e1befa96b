//! What a cluster carries, computed from what a task costs: for planning, not a promise.

use crate::numbers::thousands;
use crate::table::Table;

/// A processor that is busier than this makes everybody wait.
const BUSY_MAX: f64 = 0.7;
/// What a disk writes in a second without pause, in bytes; a modest one.
const DISK_RATE: f64 = 100e6;

/// What one task costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct PerTask {
    /// Processor time of a host and its workers, in microseconds; what the handler itself takes comes on top.
    pub(super) host_us: f64,
    /// Processor time of the database, in microseconds.
    pub(super) database_us: f64,
    pub(super) wal_len: f64,
}

/// Machines of a cluster.
#[derive(Clone, Copy, Debug)]
struct Cluster {
    hosts: f64,
    /// Of each host.
    processors: f64,
    database_processors: f64,
    /// What a handler takes of a processor, in microseconds.
    handler_us: f64,
}

const CLUSTERS: [Cluster; 7] = [
    Cluster::of(1, 4, 4, 0),
    Cluster::of(3, 4, 4, 0),
    Cluster::of(3, 4, 16, 0),
    Cluster::of(10, 4, 16, 0),
    Cluster::of(10, 4, 16, 1_000),
    Cluster::of(30, 16, 16, 1_000),
    Cluster::of(30, 16, 64, 1_000),
];

impl Cluster {
    const fn of(hosts: u32, processors: u32, database_processors: u32, handler_us: u32) -> Self {
        Self {
            hosts: hosts as f64,
            processors: processors as f64,
            database_processors: database_processors as f64,
            handler_us: handler_us as f64,
        }
    }

    /// Tasks a second, and what bounds them.
    fn carries(&self, cost: PerTask) -> (f64, &'static str) {
        let busy_us = 1e6 * BUSY_MAX;
        let bounds = [
            (
                self.hosts * self.processors * busy_us / (cost.host_us + self.handler_us),
                "the hosts' processors",
            ),
            (
                self.database_processors * busy_us / cost.database_us,
                "the database's processors",
            ),
            // Each host writes by one session, which is one process of the database's.
            (
                self.hosts * busy_us / cost.database_us,
                "one session of each host",
            ),
            (DISK_RATE / cost.wal_len, "the database's log"),
        ];
        let least = bounds
            .into_iter()
            .min_by(|one, other| one.0.total_cmp(&other.0));
        least.unwrap_or((0.0, ""))
    }
}

/// The table.
pub(super) fn table(cost: PerTask) -> Table {
    let mut table = Table::new(
        3,
        &[
            "Hosts",
            "Database",
            "A handler's own processor time",
            "tasks/s",
            "bound by",
        ],
    );
    for cluster in CLUSTERS {
        let (rate, by) = cluster.carries(cost);
        table.row(&[
            format!("{} of {} processors", cluster.hosts, cluster.processors),
            format!("{} processors", cluster.database_processors),
            format!("{} ms", cluster.handler_us / 1e3),
            thousands(rate),
            by.to_owned(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    const COST: PerTask = PerTask {
        host_us: 50.0,
        database_us: 70.0,
        wal_len: 2_000.0,
    };

    #[test]
    fn what_is_used_up_first_bounds_it() {
        let carries = |hosts, processors, database, handler| {
            Cluster::of(hosts, processors, database, handler).carries(COST)
        };
        assert_eq!(carries(1, 4, 4, 0), (10_000.0, "one session of each host"));
        assert_eq!(carries(8, 4, 4, 0), (40_000.0, "the database's processors"));
        assert_eq!(carries(8, 4, 16, 0), (50_000.0, "the database's log"));
        assert_eq!(carries(1, 2, 4, 950), (1_400.0, "the hosts' processors"));
    }
}
