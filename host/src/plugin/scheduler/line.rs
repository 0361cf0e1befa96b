//! Workers in the order of a moment of theirs. Nearly all come at the end and leave at either end, which costs nothing.

use std::collections::VecDeque;

use super::WorkerId;
use crate::clock::Moment;

#[derive(Debug, Default)]
pub(super) struct Line(VecDeque<(Moment, WorkerId)>);

impl Line {
    pub(super) fn insert(&mut self, at: Moment, id: WorkerId) {
        if self.0.back().is_none_or(|last| *last < (at, id)) {
            self.0.push_back((at, id));
        } else if let Err(place) = self.0.binary_search(&(at, id)) {
            self.0.insert(place, (at, id));
        }
    }

    pub(super) fn remove(&mut self, at: Moment, id: WorkerId) {
        if self.0.back() == Some(&(at, id)) {
            self.0.pop_back();
        } else if let Ok(place) = self.0.binary_search(&(at, id)) {
            self.0.remove(place);
        }
    }

    /// The earliest.
    pub(super) fn first(&self) -> Option<(Moment, WorkerId)> {
        self.0.front().copied()
    }

    /// From the earliest to the latest.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Moment, WorkerId)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_sorted_set(steps in prop::collection::vec((any::<bool>(), 0..20_u64, 0..20_u32), 0..200)) {
            let (mut line, mut set) = (Line::default(), BTreeSet::new());
            for (comes, at, id) in steps {
                let (at, id) = (Moment::from_nanos(at), WorkerId(id));
                if comes {
                    line.insert(at, id);
                    set.insert((at, id));
                } else {
                    line.remove(at, id);
                    set.remove(&(at, id));
                }
                prop_assert_eq!(line.first(), set.first().copied());
                prop_assert!(line.iter().eq(set.iter().copied()));
            }
        }
    }
}
