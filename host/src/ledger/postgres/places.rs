//! From where claims look for the next tasks of a function. Tasks that are gone stay in the index for as long as anybody's
//! snapshot is older than their end, and a look from the beginning reads all of them. So where that was much, the next looks
//! begin where the last one came to. What comes in before that place, since it is tried again or its transaction took
//! long, is found by the next look from the beginning.

use std::time::{Duration, Instant};

use crate::ledger::id::TaskId;

/// A task of each priority, from 1 on.
pub(super) type Levels = [TaskId; 9];
/// Entries of the index: for so many, one look doesn't begin at the beginning.
const ENTRIES_A_LOOK: u64 = 1_000;
/// After so long a look begins there all the same.
const REST_MAX: Duration = Duration::from_secs(1);

/// Before all ids.
const FIRST: TaskId = TaskId::from_bytes([0; 16]);

/// Places of one function.
pub(super) struct Places {
    /// Of each priority, from 1 on: tasks up to this one were handed out.
    passed: Levels,
    /// So many looks begin there, until then.
    rest: u64,
    rest_until: Instant,
}

impl Places {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            passed: Self::BEGINNING,
            rest: 0,
            rest_until: now,
        }
    }

    /// Behind which task of each priority to look now; nothing, from the beginning.
    pub(super) fn next(&mut self, now: Instant) -> Option<Levels> {
        if self.rest == 0 || self.rest_until <= now {
            return None;
        }
        self.rest -= 1;
        Some(self.passed)
    }

    /// Before all tasks of each priority.
    pub(super) const BEGINNING: Levels = [FIRST; 9];

    /// A look from the beginning has read so many entries.
    pub(super) fn has_read(&mut self, entries: u64, now: Instant) {
        self.rest = entries / ENTRIES_A_LOOK;
        self.rest_until = now + REST_MAX;
    }

    /// A task of this priority is handed out.
    pub(super) fn passed(&mut self, level: i64, id: TaskId) {
        let place = usize::try_from(level - 1).ok();
        if let Some(passed) = place.and_then(|place| self.passed.get_mut(place)) {
            *passed = (*passed).max(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> TaskId {
        TaskId::from_bytes([number; 16])
    }

    #[test]
    fn a_look_that_read_much_is_not_made_again_at_once() {
        let began = Instant::now();
        let mut places = Places::new(began);
        assert_eq!(places.next(began), None);
        places.has_read(999, began);
        assert_eq!(places.next(began), None);
        places.has_read(3_500, began);
        places.passed(5, id(7));
        places.passed(5, id(3));
        places.passed(9, id(2));
        let mut passed = Places::BEGINNING;
        passed[4] = id(7);
        passed[8] = id(2);
        for _ in 0..3 {
            assert_eq!(places.next(began), Some(passed));
        }
        assert_eq!(places.next(began), None);
        places.has_read(3_500, began);
        assert_eq!(places.next(began), Some(passed));
        assert_eq!(places.next(began + REST_MAX), None);
    }
}
