//! What waits. Those who ask take turns, so that one with a thousand tasks does not keep another one's only task waiting;
//! of each, the oldest is first. A turn is one task, or a few quick ones: what is run together is answered together.
//! Whatever leaves before its turn costs no look at the others.

use std::collections::VecDeque;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::task::{Asker, TaskId};

/// Lists that are kept for askers to come.
const SPARE_MAX: usize = 64;
/// Quick tasks in one turn.
const QUICK_A_TURN_MAX: u32 = 16;

#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Of those in `turns`, and of nobody else. The first one's is never empty, others may be.
    lists: FxHashMap<Asker, List>,
    turns: VecDeque<Asker>,
    /// How many of the first one's have left in this turn.
    taken: u32,
    len: usize,
    spare: Vec<List>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whose turn it is: its oldest.
    pub(super) fn front(&self) -> Option<TaskId> {
        self.lists.get(self.turns.front()?)?.front()
    }

    /// The one that came first of all.
    pub(super) fn oldest(&self) -> Option<TaskId> {
        self.lists.values().filter_map(List::front).min()
    }

    pub(super) fn push_back(&mut self, asker: Asker, id: TaskId) {
        if let Some(list) = self.list(asker) {
            self.turns.push_back(asker);
            self.lists.insert(asker, list);
        }
        self.add(asker, |list| list.push_back(id));
    }

    /// Puts one back to where it came from.
    pub(super) fn push_front(&mut self, asker: Asker, id: TaskId) {
        if let Some(list) = self.list(asker) {
            self.taken = 0;
            self.turns.push_front(asker);
            self.lists.insert(asker, list);
        }
        self.add(asker, |list| list.push_front(id));
    }

    /// Takes out the one whose turn it is. `is_quick`: it is over in no time, and more of its asker's may follow in the same
    /// turn.
    pub(super) fn pop_front(&mut self, is_quick: bool) -> Option<TaskId> {
        let asker = *self.turns.front()?;
        let front = self.lists.get_mut(&asker)?.pop_front()?;
        self.len -= 1;
        self.taken += 1;
        if !is_quick || self.taken >= QUICK_A_TURN_MAX {
            self.taken = 0;
            self.turns.rotate_left(1);
        }
        self.drop_empty();
        Some(front)
    }

    /// Takes out one that waits, wherever it stands.
    pub(super) fn remove(&mut self, asker: Asker, id: TaskId) {
        if let Some(list) = self.lists.get_mut(&asker) {
            list.remove(id);
            self.len -= 1;
            self.drop_empty();
        }
    }

    /// Takes out all, those of one asker in their order.
    pub(super) fn take(&mut self) -> impl Iterator<Item = TaskId> + use<> {
        let Self { lists, turns, .. } = std::mem::take(self);
        let mut lists = lists;
        let lists: Vec<List> = turns
            .iter()
            .filter_map(|asker| lists.remove(asker))
            .collect();
        lists.into_iter().flat_map(List::into_ids)
    }

    /// A list for who has none yet.
    fn list(&mut self, asker: Asker) -> Option<List> {
        if self.lists.contains_key(&asker) {
            return None;
        }
        Some(self.spare.pop().unwrap_or_default())
    }

    fn add(&mut self, asker: Asker, add: impl FnOnce(&mut List)) {
        if let Some(list) = self.lists.get_mut(&asker) {
            add(list);
            self.len += 1;
        }
    }

    /// Who has nothing left takes no turn.
    fn drop_empty(&mut self) {
        while let Some(asker) = self.turns.front()
            && self.lists.get(asker).is_none_or(List::is_empty)
        {
            if let Some(list) = self.lists.remove(asker)
                && self.spare.len() < SPARE_MAX
            {
                self.spare.push(list);
            }
            self.turns.pop_front();
            self.taken = 0;
        }
    }
}

/// What waits of one asker.
#[derive(Debug, Default)]
struct List {
    ids: VecDeque<TaskId>,
    /// Those among `ids` that have left. The first one of `ids` never has, and at most half of them have.
    gone: FxHashSet<TaskId>,
}

impl List {
    #[cfg(test)]
    fn len(&self) -> usize {
        self.ids.len() - self.gone.len()
    }

    fn is_empty(&self) -> bool {
        // Else the first one would be there.
        self.ids.is_empty()
    }

    fn front(&self) -> Option<TaskId> {
        self.ids.front().copied()
    }

    fn push_back(&mut self, id: TaskId) {
        self.ids.push_back(id);
    }

    fn push_front(&mut self, id: TaskId) {
        self.ids.push_front(id);
    }

    fn pop_front(&mut self) -> Option<TaskId> {
        let front = self.ids.pop_front();
        self.drop_gone();
        front
    }

    /// Takes out one that waits, wherever it stands.
    fn remove(&mut self, id: TaskId) {
        self.gone.insert(id);
        self.drop_gone();
    }

    fn into_ids(self) -> impl Iterator<Item = TaskId> {
        let Self { ids, gone } = self;
        ids.into_iter().filter(move |id| !gone.contains(id))
    }

    fn drop_gone(&mut self) {
        while !self.gone.is_empty()
            && let Some(front) = self.ids.front()
            && self.gone.remove(front)
        {
            self.ids.pop_front();
        }
        if self.gone.len() > self.ids.len() / 2 {
            self.ids.retain(|id| !self.gone.contains(id));
            self.gone.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whatever is done to it, it is what a plain list would be.
    fn is_a_list(steps: &[(u8, usize)]) {
        let (mut queue, mut list) = (List::default(), VecDeque::new());
        for (id, (what, at)) in (1..).map(TaskId).zip(steps) {
            match what {
                0 => {
                    queue.push_back(id);
                    list.push_back(id);
                }
                1 => {
                    queue.push_front(id);
                    list.push_front(id);
                }
                2 => assert_eq!(queue.pop_front(), list.pop_front()),
                _ if list.is_empty() => {}
                _ => queue.remove(list.remove(at % list.len()).unwrap()),
            }
            assert_eq!(queue.len(), list.len());
            assert_eq!(queue.is_empty(), list.is_empty());
            assert_eq!(queue.front(), list.front().copied());
            assert!(queue.ids.len() <= list.len() * 2, "it grows without bound");
        }
        assert!(queue.into_ids().eq(list));
    }

    /// Whatever is done to it, each asker's are a plain list, and no turn is missed.
    fn turns_are_taken(steps: &[(u8, u8, usize)]) {
        let mut queue = Queue::default();
        let mut lists = vec![VecDeque::<TaskId>::new(); 4];
        // How many others had a turn since each asker had one, while it waited.
        let mut missed = [0; 4];
        for (id, (what, who, at)) in (1..).map(TaskId).zip(steps) {
            let who = usize::from(who % 4);
            let (asker, list) = (Asker::made_up(who), &mut lists[who]);
            match what {
                0 | 1 => {
                    queue.push_back(asker, id);
                    list.push_back(id);
                }
                2 => {
                    queue.push_front(asker, id);
                    list.push_front(id);
                }
                3 | 4 => {
                    let popped = queue.pop_front(*what == 4);
                    let turn = (0..4).find(|who| lists[*who].front() == popped.as_ref());
                    assert_eq!(popped.is_none(), lists.iter().all(VecDeque::is_empty));
                    if let Some(turn) = turn.filter(|_| popped.is_some()) {
                        lists[turn].pop_front();
                        missed[turn] = 0;
                        for other in (0..4).filter(|other| *other != turn) {
                            missed[other] += 1;
                        }
                    }
                }
                _ if list.is_empty() => {}
                _ => queue.remove(asker, list.remove(at % list.len()).unwrap()),
            }
            for (list, missed) in lists.iter().zip(&mut missed) {
                if list.is_empty() || *what == 2 {
                    *missed = 0;
                }
                let turns_max = 3 * QUICK_A_TURN_MAX;
                assert!(
                    *missed <= turns_max,
                    "somebody waits for more than a turn of each"
                );
            }
            assert_eq!(queue.len(), lists.iter().map(VecDeque::len).sum::<usize>());
            assert_eq!(queue.front().is_none(), queue.is_empty());
            let oldest = lists.iter().filter_map(|list| list.front()).min();
            assert_eq!(queue.oldest(), oldest.copied());
            assert!(queue.lists.len() == queue.turns.len() && queue.turns.len() <= 4);
        }
        let mut left: Vec<TaskId> = queue.take().collect();
        let mut expected: Vec<TaskId> = lists.into_iter().flatten().collect();
        left.sort_unstable();
        expected.sort_unstable();
        assert_eq!(left, expected);
        assert!(queue.is_empty() && queue.front().is_none());
    }

    proptest! {
        #[test]
        fn it_is_a_list(steps in prop::collection::vec((0..5_u8, 0..100_usize), 0..300)) {
            is_a_list(&steps);
        }

        #[test]
        fn those_who_ask_take_turns(steps in prop::collection::vec((0..6_u8, 0..4_u8, 0..100_usize), 0..300)) {
            turns_are_taken(&steps);
        }
    }
}
