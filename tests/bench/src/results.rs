//! What a comparison of servers found.

use crate::burst::BurstReport;
use crate::load::{Report, Shape};

/// The servers, in the order in which they are measured.
pub(crate) const SERVERS: [&str; 3] = ["line echo", "JSON echo", "host"];
pub(crate) const JSON_ECHO: usize = 1;
pub(crate) const HOST: usize = 2;

/// One shape, every round of it, every server in each.
pub(crate) struct ShapeRounds {
    pub(crate) shape: Shape,
    pub(crate) rounds: Vec<[Report; SERVERS.len()]>,
}

/// Bursts to one host, the first of them with no worker running yet.
pub(crate) struct Bursts {
    pub(crate) workers: usize,
    pub(crate) cold: BurstReport,
    pub(crate) warm: Vec<BurstReport>,
}
