//! What waits, the oldest first. Whatever leaves before its turn costs no look at the others.

use std::collections::VecDeque;

use rustc_hash::FxHashSet;

use crate::task::TaskId;

#[derive(Debug, Default)]
pub(super) struct Queue {
    ids: VecDeque<TaskId>,
    /// Those among `ids` that have left. The first one of `ids` never has, and at most half of them have.
    gone: FxHashSet<TaskId>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.ids.len() - self.gone.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        // Else the first one would be there.
        self.ids.is_empty()
    }

    pub(super) fn front(&self) -> Option<TaskId> {
        self.ids.front().copied()
    }

    pub(super) fn push_back(&mut self, id: TaskId) {
        self.ids.push_back(id);
    }

    pub(super) fn push_front(&mut self, id: TaskId) {
        self.ids.push_front(id);
    }

    pub(super) fn pop_front(&mut self) -> Option<TaskId> {
        let front = self.ids.pop_front();
        self.drop_gone();
        front
    }

    /// Takes out one that waits, wherever it stands.
    pub(super) fn remove(&mut self, id: TaskId) {
        self.gone.insert(id);
        self.drop_gone();
    }

    /// Takes out all, in their order.
    pub(super) fn take(&mut self) -> impl Iterator<Item = TaskId> + use<> {
        let Self { ids, gone } = std::mem::take(self);
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
        let (mut queue, mut list) = (Queue::default(), VecDeque::new());
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
        assert!(queue.take().eq(list));
        assert_eq!(queue.len(), 0);
    }

    proptest! {
        #[test]
        fn it_is_a_list(steps in prop::collection::vec((0..5_u8, 0..100_usize), 0..300)) {
            is_a_list(&steps);
        }
    }
}
