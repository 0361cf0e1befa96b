//! Workers that open their plugin, and until when they may.

use std::collections::{BTreeMap, BTreeSet};

use super::WorkerId;
use crate::clock::Moment;

#[derive(Debug, Default)]
pub(super) struct Opening {
    until: BTreeMap<WorkerId, Moment>,
    /// The same, the soonest first.
    soonest: BTreeSet<(Moment, WorkerId)>,
}

impl Opening {
    pub(super) fn len(&self) -> usize {
        self.until.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = WorkerId> + '_ {
        self.until.keys().copied()
    }

    pub(super) fn insert(&mut self, id: WorkerId, until: Moment) {
        self.remove(id);
        self.until.insert(id, until);
        self.soonest.insert((until, id));
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, id: WorkerId) -> bool {
        self.until
            .remove(&id)
            .is_some_and(|until| self.soonest.remove(&(until, id)))
    }

    /// The one whose time is up first, and when.
    pub(super) fn next_overdue(&self) -> Option<(Moment, WorkerId)> {
        self.soonest.first().copied()
    }
}
