//! What becomes of what lies in the folder: which version is opened, which serves, which is rolled back, which is refused.
//! No I/O and no clock of its own: events come in with the moment at which they happened, [`Command`]s go out.
//!
//! Each candidate ends in one command that tells of it: live, rejected, or superseded by something newer
//! ([`super::candidates`] has the rule). Any failure leaves what is live as it is.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::candidates::{Candidate, Candidates, Origin};
use super::roster::Refusal;
use super::state::{Event, State};
use super::version::{Content, Version};
use crate::clock::Moment;
use crate::config::PluginSettings;
use crate::reload::Staged;

/// Crashes in a row after which a generation in its first moments is rolled back.
const ROLL_BACK_CRASHES: u32 = 3;
/// Why a plugin, or a candidate, goes.
const FILE_GONE: &str = "its file is gone";
const FILE_CHANGED: &str = "its file brings another plugin now";

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

/// A name that another plugin has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Plugin,
    Function,
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

    // ---- files ----

    /// The file holds this library, which is to be run like that; or not at all, for that reason.
    pub(super) fn holds(&mut self, staged: Staged, settings: Result<PluginSettings, String>) {
        let path = staged.file.clone();
        match settings {
            Ok(settings) => {
                let version = Version { staged, settings };
                let said = self.set_holds(&path, Some(version.content()));
                self.found(&path, version, said);
            }
            Err(reason) => self.holds_nothing(&path, Some(staged.note.name), reason),
        }
        self.take_out_orphans();
    }

    /// The file holds nothing that could be opened.
    pub(super) fn unusable(&mut self, path: &Path, reason: String) {
        self.holds_nothing(path, None, reason);
        self.take_out_orphans();
    }

    fn holds_nothing(&mut self, path: &Path, plugin: Option<String>, reason: String) {
        self.set_holds(path, None);
        let outdated = self.candidates.remove_held(path);
        self.give_up(
            outdated,
            Event::Superseded,
            "its file holds something else now",
        );
        self.refuse(path, plugin, reason);
    }

    /// The file was examined. Gives what has been said of it, if it holds what it held before and waits for a name.
    fn set_holds(&mut self, path: &Path, holds: Option<Content>) -> Option<String> {
        let file = self.files.entry(path.to_owned()).or_default();
        let before = file.holds.as_ref().map(|holds| holds.plugin.clone());
        let is_same = file.holds == holds;
        let waited_for = file.waits_for.take();
        let brings_another =
            before.is_some() && before != holds.as_ref().map(|holds| holds.plugin.clone());
        file.set_holds(holds);
        if brings_another {
            self.retry_waiting();
        }
        waited_for.filter(|_| is_same).map(|(_, said)| said)
    }

    /// What the file held is opened no more: it holds something else now, which is not opened.
    fn give_up_held(&mut self, path: &Path) {
        let outdated = self.candidates.remove_held(path);
        let reason = "its file holds something else now";
        self.give_up(outdated, Event::Superseded, reason);
    }

    /// The file is gone for good.
    pub(super) fn gone(&mut self, path: &Path) {
        self.files.remove(path);
        self.forget_refusal(path);
        let candidates = self.candidates.remove_file(path);
        self.give_up(candidates, Event::Removed, FILE_GONE);
        self.retry_waiting();
        self.take_out_orphans();
    }

    /// The file holds this version. It is opened, unless it serves, is being opened, or was rolled back. `said`: why not, when
    /// it was tried before.
    fn found(&mut self, path: &Path, version: Version, said: Option<String>) {
        let serves = self.serves(&version);
        if serves {
            self.forget_refusal(path);
        }
        if serves || self.candidates.has(&version) {
            let outdated = self.candidates.remove_outdated(&version);
            if !outdated.is_empty() {
                let reason = "its file holds again what it held before";
                self.give_up(outdated, Event::Superseded, reason);
                self.retry_waiting();
            }
            return;
        }
        if self.files.get(path).is_some_and(|file| file.rolled_back) {
            return;
        }
        if let Err((name, reason)) = self.check_names(&version.staged) {
            if let Some(file) = self.files.get_mut(path) {
                file.waits_for = Some((name, reason.clone()));
            }
            self.give_up_held(path);
            if said.as_ref() != Some(&reason) {
                self.refuse(path, Some(version.plugin().to_owned()), reason);
            }
            return;
        }
        self.open(version.into(), Origin::File);
    }

    /// Whether it is what its file holds.
    fn is_held(&self, version: &Version) -> bool {
        let file = self.files.get(version.file());
        file.and_then(|file| file.holds.as_ref()) == Some(&version.content())
    }

    fn serves(&self, version: &Version) -> bool {
        self.current
            .get(version.plugin())
            .is_some_and(|current| current.version.is_same(version))
    }

    /// Whether the plugin's name, and its functions', are no others'; else which is, and a sentence that says so.
    fn check_names(&self, staged: &Staged) -> Result<(), (Name, String)> {
        let (plugin, functions) = (&staged.note.name, &staged.note.functions);
        let current = self.current.values().map(|current| &*current.version);
        let versions = current.chain(self.candidates.versions());
        let others = versions.map(|version| &version.staged);
        for other in others.filter(|other| other.file != staged.file) {
            let shown = other.file.display();
            if other.note.name == *plugin {
                // A file that was renamed is there under its new name before the old one counts as gone.
                if self.may_bring(&other.file, plugin) && (self.is_there)(&other.file) {
                    let reason = format!(
                        "a plugin named `{plugin}` comes from {shown} already; remove one of the two files"
                    );
                    return Err((Name::Plugin, reason));
                }
                continue;
            }
            if let Some(function) = functions
                .iter()
                .find(|function| other.note.functions.contains(function))
            {
                let name = &other.note.name;
                let reason = format!(
                    "it exports `{function}`, which the plugin `{name}` ({shown}) exports already; rename one of the two"
                );
                return Err((Name::Function, reason));
            }
        }
        Ok(())
    }

    /// Whether the file that has brought this plugin still does, or nothing else.
    fn may_bring(&self, path: &Path, plugin: &str) -> bool {
        self.files.get(path).is_some_and(|file| {
            let holds = file.holds.as_ref();
            holds.is_none_or(|holds| holds.plugin == plugin)
        })
    }

    /// Takes out plugins whose files are gone, or bring another one now, unless other files bring them in a moment.
    fn take_out_orphans(&mut self) {
        let is_gone = |plugin: &str, current: &Current| {
            !self.files.contains_key(current.version.file()) && !self.has_successor(plugin)
        };
        for plugin in self.plugins_where(is_gone) {
            self.take_out(&plugin, FILE_GONE);
        }
        let is_replaced = |plugin: &str, current: &Current| {
            let path = current.version.file();
            let mut others = self.current.iter().filter(|(other, _)| *other != plugin);
            !self.may_bring(path, plugin)
                && others.any(|(_, other)| other.version.file() == path)
                && !self.has_successor(plugin)
        };
        for plugin in self.plugins_where(is_replaced) {
            self.take_out(&plugin, FILE_CHANGED);
        }
    }

    /// Whether another file may bring the plugin in a moment.
    fn has_successor(&self, plugin: &str) -> bool {
        let waits = |file: &File| {
            let holds = file.holds.as_ref();
            matches!(file.waits_for, Some((Name::Plugin, _)))
                && holds.is_some_and(|holds| holds.plugin == plugin)
        };
        self.candidates
            .versions()
            .any(|version| version.plugin() == plugin)
            || self.files.values().any(waits)
    }

    fn plugins_where(&self, wanted: impl Fn(&str, &Current) -> bool) -> Vec<String> {
        let plugins = self.current.iter();
        plugins
            .filter(|(plugin, current)| wanted(plugin, current))
            .map(|(plugin, _)| plugin.clone())
            .collect()
    }

    fn take_out(&mut self, plugin: &str, why: &str) {
        let Some(current) = self.current.remove(plugin) else {
            return;
        };
        self.commands.push(Command::TakeOut {
            plugin: plugin.to_owned(),
            why: why.to_owned(),
        });
        self.retire(&current, Event::Removed, Some(why.to_owned()));
        self.retry_waiting();
    }

    /// Names may have become free: files that were refused for them are examined again.
    fn retry_waiting(&mut self) {
        let waiting = self
            .files
            .iter()
            .filter(|(_, file)| file.waits_for.is_some());
        let examine = waiting.map(|(file, _)| Command::Examine { file: file.clone() });
        self.commands.extend(examine);
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

    // ---- generations ----

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
        self.take_out_orphans();
    }

    fn go_live(&mut self, number: u64, Candidate { version, origin }: Candidate, now: Moment) {
        let plugin = version.plugin().to_owned();
        // Its file may have brought another plugin before, which had one of its names.
        let functions = &version.staged.note.functions;
        let in_the_way = |name: &str, current: &Current| {
            let theirs = &current.version.staged.note.functions;
            name != plugin && theirs.iter().any(|function| functions.contains(function))
        };
        for name in self.plugins_where(in_the_way) {
            self.take_out(&name, FILE_CHANGED);
        }
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
        self.take_out_orphans();
    }

    /// What the version that goes live now is rolled back to, should it crash; ends the roll-back that is under way.
    fn wanted_back(
        &mut self,
        version: &Version,
        origin: &Origin,
        before: Option<&Current>,
    ) -> Option<Arc<Version>> {
        let older = self.candidates.remove_older(version, origin);
        let rolls_back = |candidate: &&Candidate| matches!(candidate.origin, Origin::RollBack(_));
        let healthy = older
            .iter()
            .find(rolls_back)
            .map(|candidate| Arc::clone(&candidate.version));
        self.give_up(older, Event::Superseded, "something newer is live");
        if matches!(origin, Origin::RollBack(_)) {
            return None;
        }
        healthy.or_else(|| {
            let before = before.filter(|before| before.state == State::Live)?;
            Some(Arc::clone(&before.version))
        })
    }

    /// The version was taken back: it is refused from now on, if its file holds it still.
    fn set_rolled_back(&mut self, version: &Version, reason: String) {
        if self.is_held(version)
            && let Some(file) = self.files.get_mut(version.file())
        {
            file.rolled_back = true;
        }
        self.refuse_version(version, reason);
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

    /// A generation's pool was lost, with its workers and tasks.
    pub(super) fn lost(&mut self, number: u64) {
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
    pub(super) fn crashed(
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
    pub(super) fn recovered(&mut self, number: u64) {
        self.change_health(number, Event::Recovered, None);
    }

    fn change_health(&mut self, number: u64, event: Event, reason: Option<String>) {
        let Some(state) = self.current_mut(number).map(|current| current.state) else {
            return;
        };
        let after = self.announce(number, state, event, reason);
        if let Some(current) = self.current_mut(number) {
            current.state = after;
        }
    }

    fn current_mut(&mut self, number: u64) -> Option<&mut Current> {
        let mut all = self.current.values_mut();
        all.find(|current| current.number == number)
    }

    /// Opens the version before again, if the generation is in its first moments and there is one. Whether it does.
    fn roll_back(&mut self, number: u64, in_row: u32, why: &str, now: Moment) -> bool {
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
        // A name that was given up since then may be another plugin's by now.
        if let Err((_, taken)) = self.check_names(&before.staged) {
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
    pub(super) fn end_probations(&mut self, now: Moment) {
        for current in self.current.values_mut() {
            if now.since(current.live_since) > self.probation {
                current.before = None;
            }
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
