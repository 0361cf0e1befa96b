//! What a ledger that other hosts share asks of this one.

use std::time::{Duration, Instant};

use protocol::{ErrorCode, TaskFailure};

use super::super::storage::Handle;
use super::Keeper;
use crate::task::TaskId as Number;

/// How often it is looked whether others have died, or have called off what runs here.
const LOOK: Duration = Duration::from_secs(1);
/// How often others are told what there is here, and it is read which functions they have.
const INTRODUCE: Duration = Duration::from_secs(5);

const CUT_OFF: &str =
    "its host couldn't reach the ledger's database for so long that others took over what it ran";

/// When it is looked for others the next time.
pub(super) struct Others {
    pub(super) look_at: Instant,
    introduce_at: Instant,
}

impl Others {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            look_at: now,
            introduce_at: now,
        }
    }
}

impl Keeper {
    /// Tells others of this host, and does what they want of it.
    pub(super) fn look_at_others(&mut self, store: &Handle) {
        let now = Instant::now();
        if !self.shared.storage.is_shared() || now < self.others.look_at {
            return;
        }
        self.others.look_at = now + LOOK;
        // What has become due elsewhere, and what ran on hosts that have died.
        self.sweep_at = Some(0);
        if now >= self.others.introduce_at {
            self.others.introduce_at = now + INTRODUCE;
            self.shared.introduce(store);
            self.shared.learn_from_others(store);
        }
        if !store.is_alive() {
            return self.let_go();
        }
        let has_tasks = self.troughs.values().any(|trough| !trough.ahead.is_empty());
        if has_tasks || !self.runs.is_empty() {
            self.check();
        }
    }

    /// Others take this host for dead, or soon will, and run what it has: nothing of it may go on here beside that. Where
    /// they haven't when the database is back, this is an attempt that was lost all the same.
    fn let_go(&mut self) {
        self.give_back();
        let runs: Vec<u64> = self.runs.keys().copied().collect();
        if !runs.is_empty() {
            tracing::error!(
                runs = runs.len(),
                "this host couldn't reach the ledger's database for 15 s: others take over what it ran in the background, and \
                 it ends here"
            );
        }
        for number in runs {
            self.shared.roster.cancel(Number(number));
            let mut failure = TaskFailure::new(ErrorCode::WorkerCrashed, CUT_OFF);
            failure.started = true;
            self.ended(number, Err(failure));
        }
    }
}
