//! What becomes of what lies in the folder: which version is opened, which serves, which is rolled back, which is refused.
//! No I/O and no clock of its own: events come in with the moment at which they happened, [`Command`]s go out.
//!
//! Each candidate ends in one command that tells of it: live, rejected, or superseded by something newer
//! ([`super::candidates`] has the rule). Any failure leaves what is live as it is.

mod files;
mod health;
mod names;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::names::Name;
use super::candidates::{Candidate, Candidates, Origin};
use super::roster::Refusal;
use super::state::{Event, State};
use super::version::{Content, Version};
use crate::clock::Moment;
use crate::config::PluginSettings;
use crate::reload::Staged;

/// Why a plugin, or a candidate, goes.
const FILE_GONE: &str = "its file is gone";

/// What the keeper has to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Open the version, as the generation of this number, and tell how that went.
    Open { number: u64, version: Arc<Version> },
    /// An opened generation is wanted no more.
    LetGo { number: u64 },
    /// Route to an opened generation, in place of the one that serves its plugin.
    GoLive { number: u64 },
    /// Route to nothing for this plugin.
    TakeOut { plugin: String, why: String },
    /// Drain a generation that is no longer routed to.
    Drain { number: u64, is_removed: bool },
    /// Tell of a generation's new state.
    Announce {
        number: u64,
        state: State,
        reason: Option<String>,
    },
    /// Nothing is left of a generation.
    Forget { number: u64 },
    /// Note why the file is not taken, and tell of it.
    Refuse { file: PathBuf, refusal: Refusal },
    /// Tell what became of something that the file holds no more.
    Tell { file: PathBuf, refusal: Refusal },
    /// The file is gone, or holds what serves.
    ForgetRefusal { file: PathBuf },
    /// Have the file examined again.
    Examine { file: PathBuf },
}

/// The generation that serves a plugin.
#[derive(Debug)]
struct Current {
    number: u64,
    /// Retired: its pool was lost, and it is being opened anew.
    state: State,
    version: Arc<Version>,
    live_since: Moment,
    /// The one before, as long as it may be wanted back.
    before: Option<Arc<Version>>,
}

#[derive(Debug, Default)]
struct File {
    /// Refused for this name, with that reason: tried again when names become free.
    waits_for: Option<(Name, String)>,
    /// What it held when it was examined last; none: nothing that could be opened.
    holds: Option<Content>,
    /// What it holds was rolled back: not tried again before it is something else.
    rolled_back: bool,
}

impl File {
    fn set_holds(&mut self, holds: Option<Content>) {
        self.rolled_back &= self.holds == holds;
        self.holds = holds;
    }
}

pub(super) struct Core {
    files: BTreeMap<PathBuf, File>,
    /// By plugin.
    current: BTreeMap<String, Current>,
    candidates: Candidates,
    draining: BTreeMap<u64, State>,
    generation_last: u64,
    /// How long a new generation may be rolled back.
    probation: Duration,
    /// Whether there is a file at this path now.
    is_there: Box<dyn Fn(&Path) -> bool + Send>,
    commands: Vec<Command>,
}

impl Core {
    pub(super) fn new(
        probation: Duration,
        is_there: impl Fn(&Path) -> bool + Send + 'static,
    ) -> Self {
        Self {
            files: BTreeMap::new(),
            current: BTreeMap::new(),
            candidates: Candidates::default(),
            draining: BTreeMap::new(),
            generation_last: 0,
            probation,
            is_there: Box::new(is_there),
            commands: Vec::new(),
        }
    }

    /// What is to be done since the last call, in this order.
    pub(super) fn take_commands(&mut self) -> Vec<Command> {
        self.take_out_orphans();
        std::mem::take(&mut self.commands)
    }

    /// Whether any candidate that counts is being opened.
    pub(super) fn is_opening(&self, counts: impl Fn(u64) -> bool) -> bool {
        self.candidates.numbers().any(counts)
    }

    /// The candidates' numbers and plugins.
    pub(super) fn opening(&self) -> impl Iterator<Item = (u64, &str)> {
        let versions = self.candidates.versions().map(Version::plugin);
        self.candidates.numbers().zip(versions)
    }

    /// The candidate of this number; `None`: it is one no more.
    pub(super) fn candidate(&self, number: u64) -> Option<&Version> {
        self.candidates.get(number)
    }

    /// Whether something serves this plugin.
    pub(super) fn has(&self, plugin: &str) -> bool {
        self.current.contains_key(plugin)
    }

    /// Notes why the file is not taken, and tells of it.
    fn refuse(&mut self, path: &Path, plugin: Option<String>, reason: String) {
        self.commands.push(Command::Refuse {
            file: path.to_owned(),
            refusal: refusal(plugin, Event::Refused, reason),
        });
    }

    /// As [`Core::refuse`]; of what the file holds no more it is only told.
    fn refuse_version(&mut self, version: &Version, reason: String) {
        let (file, plugin) = (version.file().to_owned(), version.plugin().to_owned());
        if self.is_held(version) {
            return self.refuse(&file, Some(plugin), reason);
        }
        let refusal = refusal(Some(plugin), Event::Refused, reason);
        self.commands.push(Command::Tell { file, refusal });
    }

    fn forget_refusal(&mut self, path: &Path) {
        let file = path.to_owned();
        self.commands.push(Command::ForgetRefusal { file });
    }

    /// Has a candidate opened.
    fn open(&mut self, version: Arc<Version>, origin: Origin) {
        self.generation_last += 1;
        let number = self.generation_last;
        let candidate = Candidate {
            version: Arc::clone(&version),
            origin,
        };
        let superseded = self.candidates.add(number, candidate);
        self.give_up(
            superseded,
            Event::Superseded,
            "something newer is opened in its place",
        );
        self.commands.push(Command::Open { number, version });
    }

    /// Says what became of candidates that are opened no more. They are let go when they have opened. A file that still
    /// holds one of them is examined again.
    fn give_up(&mut self, candidates: Vec<Candidate>, event: Event, reason: &str) {
        for Candidate { version, .. } in candidates {
            let plugin = version.plugin().to_owned();
            let file = version.file().to_owned();
            self.commands.push(Command::Tell {
                file: file.clone(),
                refusal: refusal(Some(plugin), event, reason.to_owned()),
            });
            if self.is_held(&version) {
                self.commands.push(Command::Examine { file });
            }
        }
    }

    /// A candidate was opened, or why not.
    pub(super) fn opened(&mut self, number: u64, opened: Result<(), String>, now: Moment) {
        let Some(candidate) = self.candidates.remove(number) else {
            // It was given up while it was opened.
            if opened.is_ok() {
                self.commands.push(Command::LetGo { number });
            }
            return;
        };
        let Err(reason) = opened else {
            return self.go_live(number, candidate, now);
        };
        let Candidate { version, origin } = candidate;
        let reason = match origin {
            Origin::File => reason,
            Origin::Configuration => {
                format!("what serves can't be opened with the new configuration: {reason}")
            }
            Origin::Lost => format!("what served was lost, and can't be opened again: {reason}"),
            Origin::RollBack(_) => format!("the version before can't be opened again: {reason}"),
        };
        self.refuse_version(&version, reason);
        if origin == Origin::Lost {
            // Nothing runs its functions, and nothing will.
            for plugin in self.plugins_where(|name, current| {
                name == version.plugin() && current.state == State::Retired
            }) {
                self.take_out(&plugin, "it was lost, and can't be opened again");
            }
        }
        self.retry_waiting();
    }

    fn go_live(&mut self, number: u64, Candidate { version, origin }: Candidate, now: Moment) {
        let plugin = version.plugin().to_owned();
        self.clear_the_way(&version);
        if self.is_held(&version) {
            self.forget_refusal(version.file());
        }
        self.commands.push(Command::GoLive { number });
        let state = self.announce(number, State::Candidate, Event::Opened, None);
        let before = self.current.remove(&plugin);
        let wanted_back = self.wanted_back(&version, &origin, before.as_ref());
        let shown = version.staged.note.version.clone();
        let current = Current {
            number,
            state,
            version,
            live_since: now,
            before: wanted_back,
        };
        self.current.insert(plugin, current);
        match (before, origin) {
            (Some(before), Origin::RollBack(why)) => {
                let reason = format!(
                    "rolled back to generation {number} (version {shown}): {why}; build it again"
                );
                self.set_rolled_back(&before.version, reason.clone());
                self.retire(&before, Event::RolledBack, Some(reason));
            }
            (Some(before), _) => self.retire(&before, Event::Superseded, None),
            (None, _) => {}
        }
        self.retry_waiting();
    }

    /// What the version that goes live now is rolled back to, should it crash; ends the roll-back that is under way.
    fn wanted_back(
        &mut self,
        version: &Version,
        origin: &Origin,
        before: Option<&Current>,
    ) -> Option<Arc<Version>> {
        // Nothing is newer than what its file holds, for whatever reason it was opened.
        let newest = Origin::File;
        let is_held = self.is_held(version);
        let older = self
            .candidates
            .remove_older(version, if is_held { &newest } else { origin });
        let lost = self.candidates.remove_lost(version.plugin());
        let rolls_back = |candidate: &&Candidate| matches!(candidate.origin, Origin::RollBack(_));
        let healthy = older
            .iter()
            .find(rolls_back)
            .map(|candidate| Arc::clone(&candidate.version));
        self.give_up(older, Event::Superseded, "something newer is live");
        self.give_up(lost, Event::Superseded, "its plugin is live again");
        if matches!(origin, Origin::RollBack(_)) {
            return None;
        }
        healthy.or_else(|| {
            let before = before.filter(|before| before.state == State::Live)?;
            Some(Arc::clone(&before.version))
        })
    }

    /// Drains a generation that is no longer routed to.
    fn retire(&mut self, current: &Current, event: Event, reason: Option<String>) {
        let number = current.number;
        if current.state == State::Retired {
            // Its pool was lost: nothing of it is left to drain.
            return self.commands.push(Command::Forget { number });
        }
        let state = self.announce(number, current.state, event, reason);
        self.draining.insert(number, state);
        let is_removed = event == Event::Removed;
        self.commands.push(Command::Drain { number, is_removed });
    }

    /// Moves a generation on, and tells of it. The state it is in afterwards.
    fn announce(
        &mut self,
        number: u64,
        state: State,
        event: Event,
        reason: Option<String>,
    ) -> State {
        let Some(state) = state.after(event) else {
            return state;
        };
        self.commands.push(Command::Announce {
            number,
            state,
            reason,
        });
        state
    }

    /// A draining generation's last worker has gone.
    pub(super) fn drained(&mut self, number: u64) {
        if let Some(state) = self.draining.remove(&number) {
            self.announce(number, state, Event::Drained, None);
            self.commands.push(Command::Forget { number });
        }
    }

    /// The host's configuration has changed: plugins that are to be run in another way are opened anew, and what was
    /// refused may have been refused for its configuration. `settings` says how the plugin of a library is to be run.
    pub(super) fn configured(
        &mut self,
        probation: Duration,
        settings: impl Fn(&Staged) -> Result<PluginSettings, String>,
    ) {
        self.probation = probation;
        let outdated = self.candidates.remove_configured();
        let reason = "the configuration was read again";
        self.give_up(outdated, Event::Superseded, reason);
        let mut as_wished = HashSet::new();
        let mut opens = Vec::new();
        for current in self.current.values() {
            let version = &current.version;
            let holds = self.files.get(version.file());
            let holds = holds.and_then(|file| file.holds.as_ref());
            let Ok(wished) = settings(&version.staged) else {
                // Told when the file is examined.
                continue;
            };
            if wished != version.settings {
                // What the file holds is opened by being examined.
                if holds.is_none_or(|holds| holds.hash != version.staged.hash) {
                    let staged = version.staged.clone();
                    opens.push(Version {
                        staged,
                        settings: wished,
                    });
                }
            } else if holds == Some(&version.content()) {
                as_wished.insert(version.file().to_owned());
            }
        }
        for version in opens {
            self.open(version.into(), Origin::Configuration);
        }
        let files = self.files.keys().filter(|file| !as_wished.contains(*file));
        let examine = files.map(|file| Command::Examine { file: file.clone() });
        self.commands.extend(examine);
    }
}

/// What is told of a candidate that `event` has ended.
fn refusal(plugin: Option<String>, event: Event, reason: String) -> Refusal {
    let candidate = State::Candidate;
    Refusal {
        plugin,
        state: candidate.after(event).unwrap_or(candidate),
        reason,
    }
}

#[cfg(test)]
mod tests;
