//! What time brings.

use std::sync::Arc;
use std::time::Instant;

use super::super::events::Event;
use super::super::storage::Handle;
use super::{Keeper, LOOK_INTERVAL, TRY_AGAIN, sooner};
use crate::ledger::{StoreError, Swept};

/// Tasks that are made available, or forgotten, in one go.
const SWEEP_MAX: usize = 1_000;

impl Keeper {
    pub(super) fn look_at_the_clock(&mut self, store: &Handle) {
        let start = Instant::now();
        // The clock may have been set back since something was said to be due.
        let looks_anyway = start.duration_since(self.swept_at) >= LOOK_INTERVAL;
        let is_due = |at: i64| looks_anyway || at <= store.now();
        if !self.is_sweeping && self.sweep_at.is_some_and(is_due) {
            self.sweep_at = None;
            self.swept_at = start;
            self.is_sweeping = true;
            let events = Arc::clone(&self.shared.events);
            let told = move |swept| events.push(Event::Swept(swept));
            store.sweep(store.now(), SWEEP_MAX, Box::new(told));
        }
        if !self.is_pruning && self.prune_at <= start {
            self.is_pruning = true;
            let events = Arc::clone(&self.shared.events);
            store.prune(
                store.now(),
                SWEEP_MAX,
                Box::new(move |pruned| {
                    let more = pruned.is_ok_and(|pruned| pruned.more);
                    events.push(Event::Pruned(more));
                }),
            );
        }
    }

    pub(super) fn swept(&mut self, swept: Result<Swept, StoreError>) {
        self.is_sweeping = false;
        let next = match swept {
            Ok(swept) if swept.more => Some(0),
            Ok(swept) => swept.next_at,
            Err(error) => {
                self.storage_away(&error);
                let wait = i64::try_from(TRY_AGAIN.as_millis()).unwrap_or(0);
                let store = self.shared.storage.get();
                store.map(|store| store.now().saturating_add(wait))
            }
        };
        self.sweep_at = sooner(self.sweep_at, next);
    }
}
