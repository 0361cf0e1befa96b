//! A pool's workers, and what each task needs to know of them without a look at all: who has a slot, who may be stacked on,
//! who is next to be ended.
//!
//! A worker is changed by [`Workers::change`] alone, which puts it to where it belongs afterwards.

use std::collections::BTreeSet;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::WorkerId;
use super::line::Line;
use super::stacks::{Room, Seat, Stacks};
use super::worker::{Phase, Worker};
use crate::clock::Moment;

#[derive(Debug, Default)]
pub(super) struct Workers {
    all: FxHashMap<WorkerId, Kept>,
    index: Index,
}

#[derive(Debug)]
struct Kept {
    worker: Worker,
    /// As the index has it.
    filed: Filed,
    /// Among the quick ones.
    seat: Option<Seat>,
}

/// All of a worker that the index depends on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Filed {
    is_ready: bool,
    /// Ready and without a task, since then.
    idle: Option<Moment>,
    /// Ready and busy, with a slot; without a task last since then.
    partly: Option<Moment>,
    /// Busy with quick tasks, and what it may be given on top of them.
    quick: Option<Room>,
    /// When it is killed.
    ending: Option<Moment>,
    stacked: Option<Moment>,
}

impl Filed {
    fn of(worker: &Worker) -> Self {
        let is_ready = worker.is_ready();
        Self {
            is_ready,
            idle: (is_ready && worker.is_idle()).then_some(worker.idle_since),
            partly: (worker.has_slot() && !worker.is_idle()).then_some(worker.idle_since),
            quick: worker.is_quick().then(|| worker.stack_room()),
            ending: match worker.phase {
                Phase::Ending { until } => Some(until),
                Phase::Ready | Phase::Leaving => None,
            },
            stacked: worker.stacked_since,
        }
    }
}

#[derive(Debug, Default)]
struct Index {
    ready: usize,
    idle: Line,
    partly: BTreeSet<(Moment, WorkerId)>,
    quick: Stacks,
    ending: BTreeSet<(Moment, WorkerId)>,
    stacked: Line,
}

impl Index {
    /// Puts a worker from where it was to where it belongs now.
    fn file(&mut self, id: WorkerId, was: Filed, is: Filed, seat: &mut Option<Seat>) {
        if was.is_ready != is.is_ready {
            self.ready = if is.is_ready {
                self.ready + 1
            } else {
                self.ready - 1
            };
        }
        if was.idle != is.idle {
            was.idle.inspect(|at| self.idle.remove(*at, id));
            is.idle.inspect(|at| self.idle.insert(*at, id));
        }
        if was.partly != is.partly {
            was.partly.inspect(|at| _ = self.partly.remove(&(*at, id)));
            is.partly.inspect(|at| _ = self.partly.insert((*at, id)));
        }
        if was.ending != is.ending {
            was.ending.inspect(|at| _ = self.ending.remove(&(*at, id)));
            is.ending.inspect(|at| _ = self.ending.insert((*at, id)));
        }
        if was.stacked != is.stacked {
            was.stacked.inspect(|at| self.stacked.remove(*at, id));
            is.stacked.inspect(|at| self.stacked.insert(*at, id));
        }
        if was.quick != is.quick {
            *seat = match (*seat, is.quick) {
                (Some(seat), Some(room)) => {
                    self.quick.set(seat, room);
                    Some(seat)
                }
                (Some(seat), None) => {
                    self.quick.leave(seat);
                    None
                }
                (None, Some(room)) => Some(self.quick.join(id, room)),
                (None, None) => None,
            };
        }
    }
}

impl Workers {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn get(&self, id: WorkerId) -> Option<&Worker> {
        self.all.get(&id).map(|kept| &kept.worker)
    }

    /// In no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &Worker> + '_ {
        self.all.values().map(|kept| &kept.worker)
    }

    /// The oldest first. Costs a look at all of them.
    pub(super) fn ids(&self) -> Vec<WorkerId> {
        let mut ids: Vec<WorkerId> = self.all.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn insert(&mut self, id: WorkerId, worker: Worker) {
        self.remove(id);
        let (filed, mut seat) = (Filed::of(&worker), None);
        self.index.file(id, Filed::default(), filed, &mut seat);
        let kept = Kept {
            worker,
            filed,
            seat,
        };
        self.all.insert(id, kept);
    }

    pub(super) fn remove(&mut self, id: WorkerId) -> Option<Worker> {
        let mut kept = self.all.remove(&id)?;
        self.index
            .file(id, kept.filed, Filed::default(), &mut kept.seat);
        Some(kept.worker)
    }

    /// `None`: it is not there.
    pub(super) fn change<T>(
        &mut self,
        id: WorkerId,
        change: impl FnOnce(&mut Worker) -> T,
    ) -> Option<T> {
        let kept = self.all.get_mut(&id)?;
        let changed = change(&mut kept.worker);
        let filed = Filed::of(&kept.worker);
        if kept.filed != filed {
            self.index.file(id, kept.filed, filed, &mut kept.seat);
            kept.filed = filed;
        }
        Some(changed)
    }

    pub(super) fn ready_count(&self) -> usize {
        self.index.ready
    }

    pub(super) fn quick_count(&self) -> usize {
        self.index.quick.len()
    }

    pub(super) fn ending_count(&self) -> usize {
        self.index.ending.len()
    }

    /// One that is busy with quick tasks and may be given another.
    pub(super) fn to_stack_on(&self, cost: Duration, len: usize) -> Option<WorkerId> {
        self.index.quick.with_room(cost).find(|id| {
            self.get(*id)
                .is_some_and(|worker| worker.has_room_for_bytes(len))
        })
    }

    /// The one with a slot that was idle last.
    pub(super) fn with_slot(&self) -> Option<WorkerId> {
        // One without a task has no slot where all of its cells wait for it to notice that they were taken back.
        let has_slot = |(_, id): &(Moment, WorkerId)| self.get(*id).is_some_and(Worker::has_slot);
        let idle = self.index.idle.iter().rev().find(has_slot);
        let partly = self.index.partly.last().copied();
        idle.max(partly).map(|(_, id)| id)
    }

    /// The one that has been idle for longest, and since when.
    pub(super) fn longest_idle(&self) -> Option<(Moment, WorkerId)> {
        self.index.idle.first()
    }

    /// Of those that were told to end, the one that is killed first, and when.
    pub(super) fn next_to_kill(&self) -> Option<(Moment, WorkerId)> {
        self.index.ending.first().copied()
    }

    /// The one that has had more tasks than slots for longest, and since when.
    pub(super) fn longest_stacked(&self) -> Option<(Moment, WorkerId)> {
        self.index.stacked.first()
    }

    /// Whether the index says what a look at all workers does.
    #[cfg(any(test, fuzzing))]
    pub(super) fn check(&self) {
        let among = |of: fn(&Filed) -> Option<Moment>| -> BTreeSet<(Moment, WorkerId)> {
            let all = self.all.iter();
            all.filter_map(|(id, kept)| Some((of(&Filed::of(&kept.worker))?, *id)))
                .collect()
        };
        let Index {
            ready,
            idle,
            partly,
            quick,
            ending,
            stacked,
        } = &self.index;
        assert_eq!(
            *ready,
            self.values().filter(|worker| worker.is_ready()).count()
        );
        assert!(idle.iter().eq(among(|filed| filed.idle)), "{idle:?}");
        assert!(
            stacked.iter().eq(among(|filed| filed.stacked)),
            "{stacked:?}"
        );
        assert_eq!(*partly, among(|filed| filed.partly));
        assert_eq!(*ending, among(|filed| filed.ending));
        assert_eq!(
            quick.len(),
            self.values().filter(|worker| worker.is_quick()).count()
        );
        let with_room: BTreeSet<WorkerId> = quick.with_room(Duration::ZERO).collect();
        for (id, kept) in &self.all {
            let room = kept.worker.stack_room();
            assert_eq!(with_room.contains(id), room.is_some(), "{kept:?}");
        }
        self.check_choice();
    }

    /// Whether workers are chosen as a look at all of them would choose.
    #[cfg(any(test, fuzzing))]
    fn check_choice(&self) {
        let with_slot = self.all.iter().filter(|(_, kept)| kept.worker.has_slot());
        let best = with_slot.map(|(id, kept)| (kept.worker.idle_since, *id));
        assert_eq!(self.with_slot(), best.max().map(|(_, id)| id));
        for cost in [0, 1, 10, 100, 199, 200].map(Duration::from_micros) {
            let fits = |worker: &Worker| {
                worker.is_ready()
                    && worker.is_quick()
                    && !worker.free.is_empty()
                    && worker.cost + cost <= super::STACK_COST_MAX
            };
            let found = self.to_stack_on(cost, 0);
            assert_eq!(found.is_some(), self.values().any(fits));
            assert!(found.is_none_or(|id| self.get(id).is_some_and(fits)));
        }
    }
}
