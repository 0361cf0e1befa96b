//! Workers that are busy with nothing but quick tasks, and what each may still be given: the first one with enough room is
//! found without a look at the others.

use std::time::Duration;

use super::{STACK_COST_MAX, WorkerId};

/// What one worker may still be given.
pub(super) type Room = Option<Duration>;

/// Where a worker stands in [`Stacks`], from when it joins until it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat(usize);

/// A tree whose leaves are the seats; each node knows the most room below it. Its size is that of the greatest number of
/// quick workers that there were at once.
#[derive(Debug, Default)]
pub(super) struct Stacks {
    /// Who sits where; a seat that is free has its last one.
    seats: Vec<WorkerId>,
    free: Vec<Seat>,
    /// The root is at 1, the children of `n` at `2n` and `2n + 1`, the leaves make up the second half.
    most: Vec<u32>,
}

impl Stacks {
    /// How many workers are quick, with room or without.
    pub(super) fn len(&self) -> usize {
        self.seats.len() - self.free.len()
    }

    pub(super) fn join(&mut self, id: WorkerId, room: Room) -> Seat {
        let seat = self.free.pop().unwrap_or(Seat(self.seats.len()));
        match self.seats.get_mut(seat.0) {
            Some(last) => *last = id,
            None => self.seats.push(id),
        }
        if seat.0 >= self.leaves() {
            self.grow();
        }
        self.set(seat, room);
        seat
    }

    pub(super) fn leave(&mut self, seat: Seat) {
        self.set(seat, None);
        self.free.push(seat);
    }

    pub(super) fn set(&mut self, seat: Seat, room: Room) {
        let mut node = self.leaves() + seat.0;
        self.most[node] = room.map_or(0, height);
        while node > 1 {
            node /= 2;
            let most = self.most[2 * node].max(self.most[2 * node + 1]);
            if self.most[node] == most {
                return;
            }
            self.most[node] = most;
        }
    }

    /// Those with room for `cost`, each found when it is asked for.
    pub(super) fn with_room(&self, cost: Duration) -> impl Iterator<Item = WorkerId> + '_ {
        let need = height(cost);
        let mut from = 0;
        std::iter::from_fn(move || {
            let seat = self.first(from, need)?;
            from = seat + 1;
            self.seats.get(seat).copied()
        })
    }

    fn leaves(&self) -> usize {
        self.most.len() / 2
    }

    fn grow(&mut self) {
        let (before, leaves) = (self.leaves(), (self.leaves() * 2).max(1));
        let rooms = self.most.split_off(before);
        self.most = vec![0; leaves * 2];
        self.most[leaves..leaves + rooms.len()].copy_from_slice(&rooms);
        for node in (1..leaves).rev() {
            self.most[node] = self.most[2 * node].max(self.most[2 * node + 1]);
        }
    }

    /// The first seat from this one on that has so much.
    fn first(&self, from: usize, need: u32) -> Option<usize> {
        let leaves = self.leaves();
        if from >= leaves {
            return None;
        }
        let mut node = leaves + from;
        while self.most[node] < need {
            // What is below a right child has been looked at with it; the root is the last of all.
            while node % 2 == 1 {
                node /= 2;
            }
            if node == 0 {
                return None;
            }
            node += 1;
        }
        while node < leaves {
            node *= 2;
            if self.most[node] < need {
                node += 1;
            }
        }
        Some(node - leaves)
    }
}

/// One more than its nanoseconds: 0 is no room at all, not even for what costs nothing.
fn height(time: Duration) -> u32 {
    let nanos = time
        .min(STACK_COST_MAX + Duration::from_nanos(1))
        .as_nanos();
    u32::try_from(nanos).map_or(u32::MAX, |nanos| nanos + 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// Whatever is done to it, it finds those that a look at all of them finds.
    fn finds_all(steps: &[(u8, usize, u64)]) {
        let mut stacks = Stacks::default();
        let mut all: BTreeMap<usize, (WorkerId, Room)> = BTreeMap::new();
        for (id, (what, at, room)) in (1..).map(WorkerId).zip(steps) {
            let room_of = (*room < 200_000).then(|| Duration::from_nanos(*room));
            let seat = all.keys().nth(at % all.len().max(1)).copied();
            match (what, seat) {
                (0, Some(seat)) => {
                    stacks.leave(Seat(seat));
                    all.remove(&seat);
                }
                (1, Some(seat)) => {
                    stacks.set(Seat(seat), room_of);
                    all.get_mut(&seat).unwrap().1 = room_of;
                }
                _ => {
                    let seat = stacks.join(id, room_of);
                    assert!(all.insert(seat.0, (id, room_of)).is_none());
                }
            }
            assert_eq!(stacks.len(), all.len());
            for cost in [0, 1, 50_000, *room, 200_000].map(Duration::from_nanos) {
                let enough = |room: Room| room.is_some_and(|room| room >= cost);
                let found = all.values().filter(|(_, room)| enough(*room));
                let found: Vec<WorkerId> = found.map(|(id, _)| *id).collect();
                assert_eq!(stacks.with_room(cost).collect::<Vec<_>>(), found);
            }
        }
    }

    proptest! {
        #[test]
        fn those_with_room_are_found(
            steps in prop::collection::vec((0..5_u8, 0..100_usize, 0..250_000_u64), 0..200)
        ) {
            finds_all(&steps);
        }
    }
}
