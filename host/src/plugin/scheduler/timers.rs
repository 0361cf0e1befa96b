//! When tasks are looked at again. A task that ends soon, as nearly all do, costs no place among those that are kept in
//! order: it is young until the next coarse look at such tasks, which gives a place to those that still live.

use crate::clock::Moment;
use crate::task::TaskId;
use std::collections::{BTreeSet, VecDeque};

/// Young tasks are looked at when the clock passes a multiple of this: after one such interval at least, two at most.
const LOOK_INTERVAL_NS: u64 = 20_000_000;

/// When a task is looked at again, kept with the task and changed by [`Timers`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timer {
    at: Moment,
    kept: Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// It never rings, or has just rung.
    Nowhere,
    /// Looked at then, which is before it rings.
    Young(Moment),
    InOrder,
}

impl Timer {
    /// Never rings.
    pub(super) const NEVER: Self = Self {
        at: Moment::NEVER,
        kept: Kept::Nowhere,
    };

    /// When it rings.
    pub(super) fn at(&self) -> Moment {
        self.at
    }
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    /// The soonest first.
    in_order: BTreeSet<(Moment, TaskId)>,
    /// Tasks that were young when they came here, and when they are looked at: the soonest first.
    came: VecDeque<(Moment, TaskId)>,
    /// How many tasks are young. Where none is, `came` is empty.
    young: usize,
}

impl Timers {
    /// When there is something to do: a timer rings, or young tasks are to be looked at.
    pub(super) fn next(&self) -> Option<Moment> {
        let look = self.came.front().map(|(look, _)| *look);
        let rings = self.in_order.first().map(|(at, _)| *at);
        match (look, rings) {
            (Some(look), Some(rings)) => Some(look.min(rings)),
            (one, other) => one.or(other),
        }
    }

    pub(super) fn set(&mut self, id: TaskId, timer: &mut Timer, at: Moment, now: Moment) {
        if timer.at == at {
            return;
        }
        if let Kept::Young(look) = timer.kept
            && look < at
            && at != Moment::NEVER
        {
            timer.at = at;
            return;
        }
        self.unset(id, timer);
        if at == Moment::NEVER {
            return;
        }
        timer.at = at;
        let look = self.look_after(now);
        if look < at {
            timer.kept = Kept::Young(look);
            self.young += 1;
            self.came.push_back((look, id));
        } else {
            self.put_in_order(id, timer);
        }
    }

    /// It never rings.
    pub(super) fn unset(&mut self, id: TaskId, timer: &mut Timer) {
        match timer.kept {
            Kept::Nowhere => {}
            Kept::Young(_) => self.is_young_no_more(),
            Kept::InOrder => _ = self.in_order.remove(&(timer.at, id)),
        }
        *timer = Timer::NEVER;
    }

    /// The next task that came young and is to be looked at: by [`Timers::grow_up`], where it is still there.
    pub(super) fn pop_young(&mut self, now: Moment) -> Option<(Moment, TaskId)> {
        self.came.pop_front_if(|(look, _)| *look <= now)
    }

    /// Gives the task of [`Timers::pop_young`] its place in the order.
    pub(super) fn grow_up(&mut self, (look, id): (Moment, TaskId), timer: &mut Timer) {
        // It may have left, and come again since.
        if timer.kept == Kept::Young(look) {
            self.put_in_order(id, timer);
            self.is_young_no_more();
        }
    }

    /// The next task whose timer has rung. Its timer is as good as unset: the caller has to say so, see
    /// [`Timer::NEVER`].
    pub(super) fn pop_rung(&mut self, now: Moment) -> Option<TaskId> {
        let (at, _) = self.in_order.first()?;
        if *at > now {
            return None;
        }
        self.in_order.pop_first().map(|(_, id)| id)
    }

    fn put_in_order(&mut self, id: TaskId, timer: &mut Timer) {
        timer.kept = Kept::InOrder;
        self.in_order.insert((timer.at, id));
    }

    fn is_young_no_more(&mut self) {
        self.young -= 1;
        if self.young == 0 {
            self.came.clear();
        }
    }

    fn look_after(&self, now: Moment) -> Moment {
        let look = (now.as_nanos() / LOOK_INTERVAL_NS + 2).saturating_mul(LOOK_INTERVAL_NS);
        let last = self
            .came
            .back()
            .map_or(Moment::default(), |(last, _)| *last);
        // Never before those that came earlier, also where `now` is a little before theirs.
        Moment::from_nanos(look).max(last)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// Timers beside what they should be.
    #[derive(Default)]
    struct Stage {
        timers: Timers,
        tasks: BTreeMap<TaskId, Timer>,
        /// When each task should be looked at again.
        list: BTreeMap<TaskId, Moment>,
    }

    impl Stage {
        fn set(&mut self, id: TaskId, at: Moment, now: Moment) {
            let timer = self.tasks.entry(id).or_insert(Timer::NEVER);
            self.timers.set(id, timer, at, now);
            assert_eq!(timer.at(), at);
            self.list.insert(id, at);
        }

        fn end(&mut self, id: TaskId) {
            if let Some(mut timer) = self.tasks.remove(&id) {
                self.timers.unset(id, &mut timer);
            }
            self.list.remove(&id);
        }

        fn tick(&mut self, now: Moment) {
            while let Some(young) = self.timers.pop_young(now) {
                if let Some(timer) = self.tasks.get_mut(&young.1) {
                    self.timers.grow_up(young, timer);
                }
            }
            while let Some(id) = self.timers.pop_rung(now) {
                self.tasks.insert(id, Timer::NEVER);
                let at = self.list.insert(id, Moment::NEVER).unwrap();
                assert!(at <= now, "too early");
            }
            assert!(self.list.values().all(|at| *at > now), "too late");
            assert!(self.timers.next().is_none_or(|next| next > now));
        }

        fn check(&self) {
            let soonest = self.list.values().min().copied();
            let next = self.timers.next();
            assert!(next.unwrap_or(Moment::NEVER) <= soonest.unwrap_or(Moment::NEVER));
            let any = soonest.is_some_and(|soonest| soonest != Moment::NEVER);
            assert_eq!(next.is_some(), any, "it ticks for nothing, or not at all");
        }
    }

    fn ring_in_time(steps: &[(u8, u64, u64)]) {
        let mut stage = Stage::default();
        let mut now = Moment::from_nanos(1_000_000_000_000);
        for (what, id, ms) in steps {
            let (id, time) = (TaskId(*id), Duration::from_millis(*ms));
            match what {
                0 | 1 => stage.set(id, now + time, now),
                2 => stage.set(id, Moment::NEVER, now),
                3 => stage.end(id),
                4 => now = now + time / 100,
                // As clocks are that are read before the lock is taken.
                5 => now = Moment::from_nanos(now.as_nanos() - 100_000),
                6 => stage.set(id, now, now),
                _ => {
                    now = now + time / 4;
                    stage.tick(now);
                }
            }
            stage.check();
        }
        while let Some(next) = stage.timers.next() {
            now = now.max(next);
            stage.tick(now);
            stage.check();
        }
        assert!(stage.list.values().all(|at| *at == Moment::NEVER));
    }

    proptest! {
        #[test]
        fn whatever_comes_they_ring_in_time(
            steps in prop::collection::vec((0..10_u8, 1..12_u64, 0..120_u64), 0..300)
        ) {
            ring_in_time(&steps);
        }
    }

    #[test]
    fn those_that_end_soon_are_never_put_in_order() {
        let mut stage = Stage::default();
        let begin = Moment::from_nanos(1_000_000_000_000);
        for id in 0..10_000_u64 {
            let now = begin + Duration::from_micros(id * 10);
            stage.set(TaskId(id), now + Duration::from_secs(30), now);
            if id >= 100 {
                stage.end(TaskId(id - 100));
            }
            if stage.timers.next().is_some_and(|next| next <= now) {
                stage.tick(now);
            }
            assert!(stage.timers.in_order.len() <= 100);
            assert!(stage.timers.came.len() <= 4000);
        }
    }
}
