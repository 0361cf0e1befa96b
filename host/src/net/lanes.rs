//! Which request of a connection runs when. Pure: requests and stops are whatever the connection keeps for them.
//!
//! Two lanes share a connection. Requests without an id run one after another, in the order in which they came; those
//! with an id run at once. Neither lane waits for the other.

use std::collections::VecDeque;

use protocol::{RequestId, TaskFailure};
use rustc_hash::FxHashMap;

/// What comes next in the lane without ids.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn<R> {
    Start(R),
    /// Answered already, but not before those that came earlier.
    Refused(TaskFailure),
}

/// A request that was started and has not been answered.
#[derive(Debug)]
pub(super) struct InFlight<S> {
    pub(super) id: Option<RequestId>,
    pub(super) state: S,
}

/// `R`: a request that waits for its turn. `S`: what the connection keeps for one that runs.
#[derive(Debug)]
pub(super) struct Lanes<R, S> {
    /// By number.
    in_flight: FxHashMap<u64, InFlight<S>>,
    /// One client's, who only slows itself down with ids that are hard to tell apart.
    by_id: FxHashMap<RequestId, u64>,
    waiting: VecDeque<Turn<R>>,
    /// The request without an id that runs.
    turn: Option<u64>,
}

impl<R, S> Default for Lanes<R, S> {
    fn default() -> Self {
        Self {
            in_flight: FxHashMap::default(),
            by_id: FxHashMap::default(),
            waiting: VecDeque::new(),
            turn: None,
        }
    }
}

impl<R, S> Lanes<R, S> {
    /// Requests that run or wait.
    pub(super) fn len(&self) -> usize {
        self.in_flight.len() + self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a request of this id runs.
    pub(super) fn has(&self, id: &RequestId) -> bool {
        self.by_id.contains_key(id)
    }

    /// A request without an id waits for its turn.
    pub(super) fn wait(&mut self, turn: Turn<R>) {
        self.waiting.push_back(turn);
    }

    /// What comes next, when the one before has ended.
    pub(super) fn next_turn(&mut self) -> Option<Turn<R>> {
        if self.turn.is_some() {
            return None;
        }
        self.waiting.pop_front()
    }

    /// A request runs.
    pub(super) fn started(&mut self, number: u64, id: Option<RequestId>, state: S) {
        match &id {
            Some(id) => {
                self.by_id.insert(id.clone(), number);
            }
            None => self.turn = Some(number),
        }
        self.in_flight.insert(number, InFlight { id, state });
    }

    /// A request has ended: what was kept for it.
    pub(super) fn ended(&mut self, number: u64) -> Option<InFlight<S>> {
        let ended = self.in_flight.remove(&number)?;
        if let Some(id) = &ended.id {
            self.by_id.remove(id);
        }
        if self.turn == Some(number) {
            self.turn = None;
        }
        Some(ended)
    }

    /// The id of a request that runs, if it has one.
    pub(super) fn id(&self, number: u64) -> Option<&RequestId> {
        self.in_flight.get(&number)?.id.as_ref()
    }

    /// The number of the request of this id that runs, and what is kept for it.
    pub(super) fn find(&self, id: &RequestId) -> Option<(u64, &S)> {
        let number = *self.by_id.get(id)?;
        let in_flight = self.in_flight.get(&number)?;
        Some((number, &in_flight.state))
    }

    /// What is kept for those that run.
    pub(super) fn states(&self) -> impl Iterator<Item = &S> {
        self.in_flight.values().map(|in_flight| &in_flight.state)
    }
}

#[cfg(test)]
mod tests {
    use protocol::ErrorCode;

    use super::*;

    type Words = Lanes<&'static str, &'static str>;

    fn refused() -> TaskFailure {
        TaskFailure::new(ErrorCode::BadRequest, "no")
    }

    #[test]
    fn those_without_an_id_take_turns() {
        let mut lanes = Words::default();
        lanes.wait(Turn::Start("first"));
        lanes.wait(Turn::Refused(refused()));
        lanes.wait(Turn::Start("second"));
        assert_eq!(lanes.next_turn(), Some(Turn::Start("first")));
        lanes.started(1, None, "first");
        assert_eq!(lanes.next_turn(), None, "the first one runs");
        assert_eq!(lanes.len(), 3);
        assert_eq!(lanes.ended(1).unwrap().state, "first");
        assert_eq!(lanes.next_turn(), Some(Turn::Refused(refused())));
        assert_eq!(lanes.next_turn(), Some(Turn::Start("second")));
        assert_eq!(lanes.next_turn(), None);
        assert!(lanes.is_empty());
    }

    #[test]
    fn those_with_an_id_wait_for_nobody() {
        let mut lanes = Words::default();
        let id = RequestId::from(7_u64);
        lanes.wait(Turn::Start("turn"));
        assert!(lanes.next_turn().is_some());
        lanes.started(1, None, "turn");
        lanes.started(2, Some(id.clone()), "seven");
        assert!(lanes.has(&id));
        assert_eq!(lanes.find(&id), Some((2, &"seven")));
        assert_eq!((lanes.id(1), lanes.id(2)), (None, Some(&id)));
        assert_eq!(lanes.ended(2).unwrap().id, Some(id.clone()));
        assert!(!lanes.has(&id) && lanes.find(&id).is_none());
        assert!(lanes.ended(2).is_none(), "an end counts once");
        assert_eq!(lanes.states().copied().collect::<Vec<_>>(), ["turn"]);
        assert_eq!(lanes.next_turn(), None, "its turn is not over");
    }
}
