//! Generations that crash or are lost: back to the one before, out of service until they are better, or opened anew.

use std::sync::Arc;

use super::{Command, Core, Current};
use crate::clock::Moment;
use crate::generations::candidates::Origin;
use crate::generations::state::{Event, State};
use crate::generations::version::Version;

/// Crashes in a row after which a generation in its first moments is rolled back.
const ROLL_BACK_CRASHES: u32 = 3;

impl Core {
    /// The version was taken back: it is refused from now on, if its file holds it still.
    pub(super) fn set_rolled_back(&mut self, version: &Version, reason: String) {
        if self.is_held(version)
            && let Some(file) = self.files.get_mut(version.file())
        {
            file.rolled_back = true;
        }
        self.refuse_version(version, reason);
    }

    /// A generation's pool was lost, with its workers and tasks.
    pub(in crate::generations) fn lost(&mut self, number: u64) {
        let reason = Some("its pool has broken down".to_owned());
        if let Some(state) = self.draining.remove(&number) {
            self.announce(number, state, Event::Lost, reason);
            return self.commands.push(Command::Forget { number });
        }
        let Some(current) = self.current_mut(number) else {
            return;
        };
        let (state, version) = (current.state, Arc::clone(&current.version));
        current.state = State::Retired;
        self.announce(number, state, Event::Lost, reason);
        self.open(version, Origin::Lost);
    }

    /// A worker crashed, so many times without a returned task between; `quarantined`: once too often.
    pub(in crate::generations) fn crashed(
        &mut self,
        number: u64,
        in_row: u32,
        quarantined: bool,
        why: String,
        now: Moment,
    ) {
        if in_row >= ROLL_BACK_CRASHES && self.roll_back(number, in_row, &why, now) {
            return;
        }
        if quarantined {
            self.change_health(number, Event::CrashLoop, Some(why));
        }
    }

    /// A task has been returned after all.
    pub(in crate::generations) fn recovered(&mut self, number: u64) {
        self.change_health(number, Event::Recovered, None);
    }

    pub(super) fn change_health(&mut self, number: u64, event: Event, reason: Option<String>) {
        let Some(state) = self.current_mut(number).map(|current| current.state) else {
            return;
        };
        let after = self.announce(number, state, event, reason);
        if let Some(current) = self.current_mut(number) {
            current.state = after;
        }
    }

    pub(super) fn current_mut(&mut self, number: u64) -> Option<&mut Current> {
        let mut all = self.current.values_mut();
        all.find(|current| current.number == number)
    }

    /// Opens the version before again, if the generation is in its first moments and there is one. Whether it does.
    pub(super) fn roll_back(&mut self, number: u64, in_row: u32, why: &str, now: Moment) -> bool {
        let probation = self.probation;
        let Some(current) = self.current_mut(number) else {
            return false;
        };
        let is_new = now.since(current.live_since) <= probation;
        // It stays wanted until it is live: should it not open now, the next crash has it tried again.
        let Some(before) = current.before.clone().filter(|_| is_new) else {
            return false;
        };
        if self.candidates.has(&before) {
            return false;
        }
        let plugin = before.plugin();
        // A name that was given up since then may be another plugin's by now, which may have come in the same file.
        if let Err(taken) = self.check_functions(&before.staged, |_| true) {
            tracing::warn!(
                plugin,
                generation = number,
                "it crashes, and the version before can't be rolled back to: {taken}"
            );
            return false;
        }
        let reason = format!("it crashed {in_row} times in a row in its first moments ({why})");
        tracing::warn!(plugin, generation = number, "rolling back: {reason}");
        self.open(before, Origin::RollBack(reason));
        true
    }

    /// Generations that have stood the test no longer need the one before.
    pub(in crate::generations) fn end_probations(&mut self, now: Moment) {
        for current in self.current.values_mut() {
            if now.since(current.live_since) > self.probation {
                current.before = None;
            }
        }
    }
}
