//! How many tasks a host claims ahead of its workers.

/// A pool as one who claims sees it: all numbers are tasks, or slots for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pool {
    /// What it can run at once: workers at most, times slots of each.
    pub(crate) slots: u32,
    /// Requests that wait for their reply, run or waiting in the pool.
    pub(crate) requests: u32,
    /// Background tasks that were handed to the pool and haven't ended.
    pub(crate) running: u32,
    /// Background tasks that are claimed and not handed over yet.
    pub(crate) ahead: u32,
    /// How many may be claimed beyond what is free, so that a slot doesn't wait for the disk.
    pub(crate) ahead_max: u32,
}

impl Pool {
    /// How many background tasks the pool may have at once: three quarters of its slots, and one at least.
    pub(crate) const fn background_max(&self) -> u32 {
        let most = self.slots - self.slots.div_ceil(4);
        if most == 0 && self.slots > 0 { 1 } else { most }
    }

    /// How many more may be handed to the pool now. Requests go first.
    pub(crate) fn free(&self) -> u32 {
        let beside_requests = self.slots.saturating_sub(self.requests);
        self.background_max()
            .min(beside_requests)
            .saturating_sub(self.running)
    }

    /// Requests have what background tasks might have.
    pub(crate) fn is_full_of_requests(&self) -> bool {
        self.free() == 0 && self.running < self.background_max()
    }

    /// How many more to claim. None for a pool that runs none and has no room: it may be long before it has.
    pub(crate) fn room(&self) -> u32 {
        let free = self.free();
        if free == 0 && self.running == 0 {
            return 0;
        }
        free.saturating_add(self.ahead_max)
            .saturating_sub(self.ahead)
    }
}

/// Shares a pool's room among its functions, of which `waiting` says how many tasks each has: equal shares, and what one
/// doesn't need goes to the others. `turn` says who gets what is left over, and goes up with each call.
pub(crate) fn how_many(pool: &Pool, waiting: &[u64], turn: usize) -> Vec<u32> {
    let mut shares = vec![0_u32; waiting.len()];
    let mut room = pool.room();
    let wants = |shares: &[u32], at: usize| waiting[at].saturating_sub(u64::from(shares[at]));
    loop {
        let open = (0..waiting.len()).filter(|at| wants(&shares, *at) > 0);
        let open: Vec<usize> = open.collect();
        let Ok(count) = u32::try_from(open.len()) else {
            break;
        };
        if count == 0 || room == 0 {
            break;
        }
        let share = room / count;
        if share == 0 {
            let first = turn % open.len();
            for place in 0..room as usize {
                shares[open[(first + place) % open.len()]] += 1;
            }
            break;
        }
        for at in open {
            let more = u32::try_from(wants(&shares, at))
                .unwrap_or(u32::MAX)
                .min(share);
            shares[at] += more;
            room -= more;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(slots: u32) -> Pool {
        Pool {
            slots,
            ..Pool::default()
        }
    }

    #[test]
    fn background_tasks_take_at_most_three_quarters_of_a_pool() {
        for (slots, most) in [
            (0, 0),
            (1, 1),
            (2, 1),
            (3, 2),
            (4, 3),
            (5, 3),
            (8, 6),
            (20, 15),
            (u32::MAX, 3_221_225_471),
        ] {
            assert_eq!(idle(slots).background_max(), most, "{slots} slots");
            assert_eq!(idle(slots).free(), most, "{slots} slots");
        }
    }

    #[test]
    fn requests_go_first() {
        let pool = Pool {
            slots: 8,
            requests: 5,
            running: 2,
            ..Pool::default()
        };
        assert_eq!(pool.free(), 1);
        let pool = Pool {
            requests: 9,
            ..pool
        };
        assert_eq!(pool.free(), 0);
        let pool = Pool {
            running: 0,
            ahead_max: 4,
            ..pool
        };
        assert_eq!(
            pool.room(),
            0,
            "nothing is claimed for a pool that has no room at all"
        );
        assert!(pool.is_full_of_requests());
        let pool = Pool {
            requests: 2,
            running: 6,
            ..pool
        };
        assert!(!pool.is_full_of_requests(), "its own tasks have the room");
    }

    #[test]
    fn a_little_is_claimed_ahead_and_no_more() {
        let pool = Pool {
            slots: 8,
            running: 6,
            ahead_max: 4,
            ..Pool::default()
        };
        assert_eq!(pool.room(), 4);
        assert_eq!(Pool { ahead: 3, ..pool }.room(), 1);
        assert_eq!(Pool { ahead: 9, ..pool }.room(), 0);
    }

    #[test]
    fn functions_share_the_room_and_give_on_what_they_dont_need() {
        let pool = idle(16);
        assert_eq!(how_many(&pool, &[100, 100, 100], 0), [4, 4, 4]);
        assert_eq!(how_many(&pool, &[1, 100, 0], 0), [1, 11, 0]);
        assert_eq!(how_many(&pool, &[2, 3], 0), [2, 3]);
        assert_eq!(how_many(&pool, &[], 0), [] as [u32; 0]);
        assert_eq!(how_many(&idle(0), &[5], 0), [0]);
        // 6 among 4: who gets the other two goes round.
        let pool = idle(8);
        assert_eq!(how_many(&pool, &[9; 4], 0), [2, 2, 1, 1]);
        assert_eq!(how_many(&pool, &[9; 4], 3), [2, 1, 1, 2]);
    }

    #[test]
    fn all_room_is_given_or_nothing_waits() {
        for slots in 0..40 {
            for waits in [
                [0, 0, 0],
                [1, 0, 0],
                [1, 2, 3],
                [50, 1, 1],
                [50, 50, 50],
                [u64::MAX, 7, 0],
            ] {
                for turn in 0..4 {
                    let pool = idle(slots);
                    let shares = how_many(&pool, &waits, turn);
                    let given: u64 = shares.iter().copied().map(u64::from).sum();
                    let all = waits
                        .iter()
                        .fold(0_u64, |sum, wait| sum.saturating_add(*wait));
                    assert_eq!(given, all.min(u64::from(pool.room())), "{slots} {waits:?}");
                    assert!(
                        shares
                            .iter()
                            .zip(waits)
                            .all(|(share, wait)| u64::from(*share) <= wait)
                    );
                }
            }
        }
    }
}
