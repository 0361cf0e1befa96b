//! Ends of runs, on their way into the ledger.

use std::sync::Arc;
use std::time::Instant;

use protocol::Outcome;
use service::life::Phase;

use super::super::endings::{self, Told};
use super::super::events::Event;
use super::super::storage::Handle;
use super::{Keeper, TRY_AGAIN, sooner};
use crate::ledger::{Ending, Finish, Finished, StoreError, StoreErrorKind};

impl Keeper {
    pub(super) fn ended(&mut self, number: u64, outcome: Outcome) {
        let cancelled = self.shared.runs.end(number);
        let Some(run) = self.runs.remove(&number) else {
            return;
        };
        let told = Told {
            cancelled,
            closing: *self.phases.borrow() == Phase::Closing,
        };
        let ending = endings::of(outcome, told, run.at_most_once);
        let trough = self.troughs.entry(Arc::clone(&run.plugin)).or_default();
        trough.ended(Instant::now());
        if ending == Ending::Released {
            trough.pause(Instant::now());
        }
        self.ends.push(Finish {
            id: run.task,
            lease: run.lease,
            started_at: Some(run.started_at),
            version: run.version,
            ending,
        });
    }

    pub(super) fn written(
        &mut self,
        ends: Vec<Finish>,
        written: Result<Vec<Finished>, StoreError>,
    ) {
        self.is_writing = false;
        match written {
            Ok(finished) => {
                self.write_at = None;
                self.write_max = usize::MAX;
                self.is_storage_away = false;
                for (end, finished) in ends.iter().zip(finished) {
                    match finished {
                        Finished::Now { available_at, .. } => {
                            self.sweep_at = sooner(self.sweep_at, available_at);
                        }
                        Finished::Stale => tracing::warn!(
                            task = %end.id,
                            "a background task ended here that is no longer this host's; its end counts for nothing"
                        ),
                    }
                }
            }
            Err(error) if error.kind == StoreErrorKind::Unfit && !ends.is_empty() => {
                self.unfit(ends, &error);
            }
            // In memory until it can be written: what is lost with the host runs once more.
            Err(error) => {
                self.write_at = Some(Instant::now() + TRY_AGAIN);
                self.storage_away(&error);
                self.put_back(ends);
            }
        }
    }

    /// One of these, or all of them together, is what the ledger can't keep. It is found by halves; it ends with what it can
    /// keep, and the others as they did.
    fn unfit(&mut self, mut ends: Vec<Finish>, error: &StoreError) {
        self.write_max = (ends.len() / 2).max(1);
        if let [end] = &mut *ends {
            tracing::error!(task = %end.id, "what a background task came to can't be kept: {error}");
            let why = format!("what it came to can't be kept: {error}");
            let ending = endings::unfit(why);
            // Nothing is shorter: there is nothing to be done but to try again.
            if end.ending == ending {
                self.write_at = Some(Instant::now() + TRY_AGAIN);
            }
            end.ending = ending;
        }
        self.put_back(ends);
    }

    fn put_back(&mut self, ends: Vec<Finish>) {
        let newer = std::mem::replace(&mut self.ends, ends);
        self.ends.extend(newer);
    }

    /// Writes down what has ended since the last time.
    pub(super) fn write(&mut self, store: &Handle) {
        let may_write = self.write_at.is_none_or(|at| at <= Instant::now());
        if self.is_writing || self.ends.is_empty() || !may_write {
            return;
        }
        self.is_writing = true;
        let rest = self.ends.split_off(self.write_max.min(self.ends.len()));
        let ends = std::mem::replace(&mut self.ends, rest);
        let events = Arc::clone(&self.shared.events);
        let kept = ends.clone();
        let told = move |written| events.push(Event::Written(kept, written));
        store.finish(ends, store.now(), Box::new(told));
    }
}
