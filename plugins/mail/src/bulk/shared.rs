//! What the lanes of a bulk share under a lock. The lock never leaves this file: each method takes it, moves something in
//! or out, and calls nobody, so that no lane can hold it while it waits for it.

use std::{
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    args::{Failure, SentMessage},
    listed::Listed,
    smtp::{self, Outgoing},
};

#[derive(Default)]
pub(super) struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    /// Lanes that run.
    active: usize,
    /// Taken by a lane that could not go on.
    returned: Vec<Outgoing>,
    failed: Listed<Failure>,
    messages: Listed<SentMessage>,
    /// Why the last lane could not go on.
    gave_up: Option<smtp::Error>,
}

/// What came of a bulk, in the order of the recipients. Failures have room before messages.
pub(super) struct Outcome {
    pub(super) failed: Listed<Failure>,
    pub(super) messages: Listed<SentMessage>,
    /// Why the last lane could not go on.
    pub(super) gave_up: Option<smtp::Error>,
}

/// What a lane does when it has nothing more to send, or can't go on.
pub(super) enum Next {
    /// Another lane has given back what this one can send.
    GoOn,
    Leave,
    /// Nobody is left to send these, nor what nobody has taken yet.
    GiveUp(Vec<Outgoing>, smtp::Error),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self) {
        self.lock().active += 1;
    }

    /// A lane is through, with this result. It stays in only for [`Next::GoOn`].
    pub(super) fn leave(&self, result: Result<(), smtp::Error>, is_stopped: bool) -> Next {
        let mut state = self.lock();
        // Another lane may have given something back just after this one had seen that nothing was left.
        if result.is_ok() && !state.returned.is_empty() && !is_stopped {
            return Next::GoOn;
        }
        state.active -= 1;
        match result {
            Err(error) if state.active == 0 && !matches!(error, smtp::Error::Stopped) => {
                state.gave_up = Some(error.clone());
                Next::GiveUp(mem::take(&mut state.returned), error)
            }
            _ => Next::Leave,
        }
    }

    pub(super) fn give_back(&self, mail: Outgoing) {
        self.lock().returned.push(mail);
    }

    pub(super) fn take_back(&self) -> Option<Outgoing> {
        self.lock().returned.pop()
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.lock().failed.push(failure);
    }

    pub(super) fn sent(&self, message: SentMessage) {
        self.lock().messages.push(message);
    }

    /// Whether one lane alone is left.
    pub(super) fn is_last(&self) -> bool {
        self.lock().active == 1
    }

    /// What was given back and has been refused before.
    pub(super) fn take_refused(&self) -> Vec<Outgoing> {
        self.lock()
            .returned
            .extract_if(.., |mail| mail.has_answer())
            .collect()
    }

    pub(super) fn finish(self) -> Outcome {
        let state = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (mut failed, mut messages) = (state.failed, state.messages);
        failed.items.sort_by_key(|failure| failure.index);
        messages.items.sort_by_key(|message| message.index);
        messages.make_room(&failed);
        Outcome {
            failed,
            messages,
            gave_up: state.gave_up,
        }
    }
}
