//! From a file in the plugins folder to a live generation, and on to the next one.
//!
//! poke or interval → look → settled? → stage (stable copy, whole ELF, note) → candidate (first worker opens it) → live,
//! swapped in in one step → the one before drains → retired. Any failure leaves what was live as it was. Start-up is
//! the first reload, on the same path.
//!
//! Each candidate ends in one event: live, rejected, or superseded by something newer ([`candidates`] has the rule).
//!
//! Architecture invariant: this loop is the only one that changes the router's generations.

mod candidates;
mod elf;
mod folder;
mod stage;
mod version;
mod watch;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plugin_api::manifest::Manifest;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::candidates::{Candidate, Candidates, Origin};
pub(crate) use self::folder::Settle;
use self::folder::{Due, Seen, Track};
use self::stage::Staged;
pub(crate) use self::stage::note;
use self::version::{Content, Version, check_manifest, settings, spec};
use self::watch::{FolderWatch, Poke};
use crate::clock::Moment;
use crate::config::Config;
use crate::plugin::{self, Drain, GenerationEvent, GenerationState, Notice, Opened, Reroute};
use crate::router::{Generation, Refusal, Router};
use crate::stats::Stats;

/// Events that wait for the loop.
const EVENTS_LEN: usize = 1024;
/// How long events are gathered before a look.
const LOOK_WAIT: Duration = Duration::from_millis(5);
/// A file that looks unfinished is refused only when it has been unchanged for so long.
const UNFINISHED_MAX: Duration = Duration::from_millis(300);
/// When an unfinished file is looked at again.
const UNFINISHED_LOOK: Duration = Duration::from_millis(50);
/// Crashes in a row after which a generation in its first moments is rolled back.
const ROLL_BACK_CRASHES: u32 = 3;

/// Why a plugin, or a candidate, goes.
const FILE_GONE: &str = "its file is gone";

/// News for the loop.
#[derive(Debug)]
pub(crate) enum Event {
    Poke(Poke),
    /// A candidate's first worker has opened it, or why not.
    Opened {
        number: u64,
        opened: Result<Opened, String>,
    },
    Notice {
        number: u64,
        notice: Notice,
    },
    /// A draining generation's last worker has gone.
    Drained {
        number: u64,
    },
    /// The host's configuration was read again.
    Configured(Arc<Config>),
}

/// The generation that serves a plugin.
#[derive(Debug)]
struct Current {
    generation: Arc<Generation>,
    state: GenerationState,
    version: Arc<Version>,
    live_since: Moment,
    /// The one before, as long as it may be wanted back.
    before: Option<Arc<Version>>,
}

#[derive(Debug)]
struct File {
    track: Track,
    /// Refused for a name that another plugin has: tried again when names become free.
    waits_for_names: bool,
    /// What it held when it was examined last; none: nothing that could be opened.
    holds: Option<Content>,
    /// What it holds was rolled back: not tried again before it is something else.
    rolled_back: bool,
}

impl File {
    fn new(now: Moment) -> Self {
        Self {
            track: Track::new(now),
            waits_for_names: false,
            holds: None,
            rolled_back: false,
        }
    }

    fn set_holds(&mut self, holds: Option<Content>) {
        self.rolled_back &= self.holds == holds;
        self.holds = holds;
    }
}

pub(crate) struct Reloader {
    config: Arc<Config>,
    router: Router,
    stats: Arc<Stats>,
    files: BTreeMap<PathBuf, File>,
    current: BTreeMap<String, Current>,
    candidates: Candidates,
    draining: HashMap<u64, (Arc<Generation>, GenerationState)>,
    generation_last: u64,
    watch: FolderWatch,
    /// Whether the last poke said that a file is complete.
    complete: bool,
    look_at: Instant,
    sender: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
    /// Nothing is live yet: whatever is there at start-up is as finished as it will be.
    starting: bool,
}

#[derive(Debug)]
pub(crate) struct FolderError {
    folder: PathBuf,
    error: io::Error,
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        write!(
            f,
            "the plugins folder {folder} can't be read: {}; create it, or name another with --plugins DIR",
            self.error
        )
    }
}

impl std::error::Error for FolderError {}

impl Reloader {
    pub(crate) fn new(config: Arc<Config>, router: Router, stats: Arc<Stats>) -> Self {
        let (sender, events) = mpsc::channel(EVENTS_LEN);
        let poke = sender.clone();
        let watch = FolderWatch::new(&config.plugins_dir, move |kind| {
            // A full mailbox wakes the loop just as well, and it looks at everything anyway.
            let _ = poke.try_send(Event::Poke(kind));
        });
        Self {
            config,
            router,
            stats,
            files: BTreeMap::new(),
            current: BTreeMap::new(),
            candidates: Candidates::default(),
            draining: HashMap::new(),
            generation_last: 0,
            watch,
            complete: false,
            look_at: Instant::now(),
            sender,
            events,
            starting: true,
        }
    }

    /// Where to send [`Event::Configured`].
    pub(crate) fn sender(&self) -> mpsc::Sender<Event> {
        self.sender.clone()
    }

    /// Loads every library of the folder. One that can't be taken is refused with a reason; it keeps no other from being
    /// loaded.
    pub(crate) async fn load_folder(&mut self) -> Result<(), FolderError> {
        let folder = self.config.plugins_dir.clone();
        let look = folder::look(&folder).map_err(|error| FolderError { folder, error })?;
        self.watch.refresh();
        let now = Moment::now();
        for (path, seen) in look {
            let mut file = File::new(now);
            file.track
                .look(Some(seen), &self.config.reload.settle, true, now);
            self.files.insert(path.clone(), file);
            self.examine(&path).await;
        }
        while !self.candidates.is_empty()
            && let Some(event) = self.events.recv().await
        {
            self.handle(event);
        }
        self.starting = false;
        for name in self.config.plugin_names() {
            if !self.current.contains_key(name) {
                tracing::warn!(
                    plugin = name,
                    "the configuration has a table for this plugin, but no library brings it"
                );
            }
        }
        Ok(())
    }

    /// Keeps what is live in step with the folder, until it is dropped.
    pub(crate) async fn run(mut self) {
        self.look_at = Instant::now() + self.config.reload.reconcile;
        loop {
            tokio::select! {
                event = self.events.recv() => {
                    let Some(event) = event else { return };
                    self.handle(event);
                }
                () = tokio::time::sleep_until(self.look_at) => self.look().await,
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Poke(kind) => {
                self.complete |= kind == Poke::Complete;
                // The first look only starts the clock; it is cheap, but not worth one for each of a hundred events.
                self.look_by(Instant::now() + LOOK_WAIT);
            }
            Event::Opened { number, opened } => self.opened(number, opened),
            Event::Notice { number, notice } => self.noticed(number, notice),
            Event::Drained { number } => {
                self.router.forget(number);
                if let Some((generation, state)) = self.draining.remove(&number) {
                    self.announce(&generation, state, GenerationEvent::Drained, None);
                }
            }
            Event::Configured(config) => self.configured(config),
        }
    }

    fn look_by(&mut self, at: Instant) {
        self.look_at = self.look_at.min(at);
    }

    // ---- the folder ----

    async fn look(&mut self) {
        self.look_at = Instant::now() + self.config.reload.reconcile;
        self.watch.refresh();
        let look = match folder::look(&self.config.plugins_dir) {
            Ok(look) => look,
            Err(error) => {
                // Nothing is known, so nothing is taken for deleted.
                tracing::warn!(folder = %self.config.plugins_dir.display(), "the plugins folder can't be read: {error}");
                return;
            }
        };
        self.end_probations();
        let now = Moment::now();
        for path in look.keys() {
            self.files
                .entry(path.clone())
                .or_insert_with(|| File::new(now));
        }
        let paths: Vec<PathBuf> = self.files.keys().cloned().collect();
        for path in paths {
            self.look_at_file(&path, look.get(&path).copied(), now)
                .await;
        }
        self.complete = false;
    }

    async fn look_at_file(&mut self, path: &Path, seen: Option<Seen>, now: Moment) {
        let Some(file) = self.files.get_mut(path) else {
            return;
        };
        match file
            .track
            .look(seen, &self.config.reload.settle, self.complete, now)
        {
            Due::Nothing => {}
            Due::At(moment) => self.look_by(Instant::now() + moment.since(now)),
            Due::Examine => self.examine(path).await,
            Due::Remove => self.removed(path),
        }
    }

    /// Stages the file, and opens what it holds if that is anything new.
    async fn examine(&mut self, path: &Path) {
        let now = Moment::now();
        let owned = path.to_owned();
        let staged = match tokio::task::spawn_blocking(move || stage::stage(&owned)).await {
            Ok(staged) => staged,
            Err(error) => {
                tracing::error!(file = %path.display(), "the host failed to read it: {error}");
                return;
            }
        };
        let Some(file) = self.files.get_mut(path) else {
            return;
        };
        file.waits_for_names = false;
        let staged = match staged {
            Ok(staged) => staged,
            Err(error)
                if error.may_be_unfinished()
                    && !self.starting
                    && file.track.age(now) < UNFINISHED_MAX =>
            {
                self.look_by(Instant::now() + UNFINISHED_LOOK);
                return;
            }
            Err(error) => {
                file.track.set_examined();
                file.set_holds(None);
                self.refuse(path, None, error.to_string());
                return;
            }
        };
        file.track.set_examined();
        let name = staged.note.name.clone();
        match settings(&self.config, path, &name) {
            Ok(settings) => {
                let version = Version { staged, settings };
                file.set_holds(Some(version.content()));
                self.found(path, version);
            }
            Err(error) => {
                file.set_holds(None);
                self.refuse(path, Some(name), error);
            }
        }
    }

    /// The file holds this version. It is opened, unless it serves, is being opened, or was rolled back.
    fn found(&mut self, path: &Path, version: Version) {
        let serves = self.serves(&version);
        if serves {
            self.router.forget_refusal(path);
        }
        if serves || self.candidates.has(&version) {
            let outdated = self.candidates.remove_outdated(&version);
            if !outdated.is_empty() {
                self.give_up(
                    outdated,
                    GenerationEvent::Superseded,
                    "its file holds again what it held before",
                );
                self.retry_waiting();
            }
            return;
        }
        let Some(file) = self.files.get_mut(path) else {
            return;
        };
        if file.rolled_back {
            return;
        }
        if let Err(reason) = self.check_names(&version.staged) {
            if let Some(file) = self.files.get_mut(path) {
                file.waits_for_names = true;
            }
            return self.refuse(path, Some(version.plugin().to_owned()), reason);
        }
        self.start(version.into(), Origin::File);
    }

    fn serves(&self, version: &Version) -> bool {
        self.current
            .get(version.plugin())
            .is_some_and(|current| current.version.is_same(version))
    }

    /// Whether the plugin's name, and its functions', are no others'.
    fn check_names(&self, staged: &Staged) -> Result<(), String> {
        let (plugin, functions) = (&staged.note.name, &staged.note.functions);
        let current = self.current.values().map(|current| &*current.version);
        let versions = current.chain(self.candidates.versions());
        let others = versions.map(|version| &version.staged);
        for other in others.filter(|other| other.file != staged.file) {
            // A file that was renamed is there under its new name before the old one counts as gone.
            let is_there = other.file.exists();
            let shown = other.file.display();
            if other.note.name == *plugin {
                if is_there {
                    return Err(format!(
                        "a plugin named `{plugin}` comes from {shown} already; remove one of the two files"
                    ));
                }
                continue;
            }
            if let Some(function) = functions
                .iter()
                .find(|function| other.note.functions.contains(function))
            {
                let name = &other.note.name;
                return Err(format!(
                    "it exports `{function}`, which the plugin `{name}` ({shown}) exports already; rename one of the two"
                ));
            }
        }
        Ok(())
    }

    /// The file is gone for good.
    fn removed(&mut self, path: &Path) {
        self.files.remove(path);
        self.router.forget_refusal(path);
        let candidates = self.candidates.remove_file(path);
        self.give_up(candidates, GenerationEvent::Removed, FILE_GONE);
        let plugins: Vec<String> = self
            .current
            .iter()
            .filter(|(_, current)| current.version.staged.file == path)
            .map(|(plugin, _)| plugin.clone())
            .collect();
        for plugin in plugins {
            self.take_out(&plugin, FILE_GONE);
        }
        self.retry_waiting();
    }

    fn take_out(&mut self, plugin: &str, why: &str) {
        let Some(current) = self.current.remove(plugin) else {
            return;
        };
        tracing::info!(
            plugin,
            generation = current.generation.number,
            "removed: {why}"
        );
        self.router.take_out(plugin);
        self.retire(current, GenerationEvent::Removed, Some(why.to_owned()));
        self.retry_waiting();
    }

    /// Names may have become free: files that were refused for them are examined again.
    fn retry_waiting(&mut self) {
        for file in self.files.values_mut().filter(|file| file.waits_for_names) {
            file.track.forget_examined();
        }
        if self.files.values().any(|file| file.waits_for_names) {
            self.look_by(Instant::now());
        }
    }

    fn refuse(&mut self, path: &Path, plugin: Option<String>, reason: String) {
        tracing::error!(file = %path.display(), plugin, "rejected: {reason}");
        let refusal = refusal(plugin, GenerationEvent::Refused, reason);
        self.router.refuse(path.to_owned(), refusal);
    }

    // ---- generations ----

    /// Starts the first worker of a candidate.
    fn start(&mut self, version: Arc<Version>, origin: Origin) {
        self.generation_last += 1;
        let number = self.generation_last;
        let spec = Arc::new(spec(&self.config, &version));
        let pool = version.settings.pool.clone();
        tracing::debug!(plugin = spec.plugin, generation = number, file = %spec.open.file, "{}", GenerationState::Candidate);
        let superseded = self.candidates.add(number, Candidate { version, origin });
        self.give_up(
            superseded,
            GenerationEvent::Superseded,
            "something newer is opened in its place",
        );
        let (stats, sender) = (Arc::clone(&self.stats), self.sender.clone());
        tokio::spawn(async move {
            let notices = sender.clone();
            let notify = Box::new(move |notice| {
                // A lost notice is followed by another: crashes that matter come in rows.
                let _ = notices.try_send(Event::Notice { number, notice });
            });
            let opened = plugin::open(spec, pool, &stats, notify).await;
            let _ = sender.send(Event::Opened { number, opened }).await;
        });
    }

    /// Says what became of candidates that are opened no more. Their first workers are let go when they have opened.
    fn give_up(&self, candidates: Vec<Candidate>, event: GenerationEvent, reason: &str) {
        for Candidate { version, .. } in candidates {
            let (file, plugin) = (version.file(), version.plugin());
            let refusal = refusal(Some(plugin.to_owned()), event, reason.to_owned());
            tracing::info!(file = %file.display(), plugin, "{}: {reason}", refusal.state);
            self.router.tell(file, &refusal);
        }
    }

    fn opened(&mut self, number: u64, opened: Result<Opened, String>) {
        let Some(candidate) = self.candidates.remove(number) else {
            // It was given up while it was opened.
            if let Ok(opened) = opened {
                tokio::spawn(async move { opened.pool.drain(Duration::ZERO, Drain::Ended).await });
            }
            return;
        };
        let note = &candidate.version.staged.note;
        let checked = opened.and_then(|opened| match check_manifest(note, &opened.manifest) {
            Ok(()) => Ok(opened),
            Err(reason) => {
                tokio::spawn(async move {
                    opened.pool.drain(Duration::ZERO, Drain::Ended).await;
                });
                Err(reason)
            }
        });
        match checked {
            Ok(opened) => self.swap_in(number, candidate, opened),
            Err(reason) => {
                let reason = match candidate.origin {
                    Origin::File => reason,
                    Origin::Configuration => {
                        format!("what serves can't be opened with the new configuration: {reason}")
                    }
                    Origin::RollBack(_) => {
                        format!("the version before can't be opened again: {reason}")
                    }
                };
                self.refuse(candidate.version.file(), Some(note.name.clone()), reason);
                self.retry_waiting();
            }
        }
    }

    fn swap_in(&mut self, number: u64, Candidate { version, origin }: Candidate, opened: Opened) {
        let Opened { manifest, pool } = opened;
        let (file, plugin) = (version.staged.file.clone(), manifest.name.clone());
        let limits = manifest
            .functions
            .iter()
            .map(|function| version.settings.pool.limit(function.timeout_ms))
            .collect();
        let generation = Arc::new(Generation {
            number,
            file: file.clone(),
            manifest,
            limits,
            pool,
        });
        // The file may have brought a plugin of another name before.
        let other: Vec<String> = self
            .current
            .iter()
            .filter(|(name, current)| **name != plugin && current.version.staged.file == file)
            .map(|(name, _)| name.clone())
            .collect();
        for name in other {
            self.take_out(&name, "its file brings another plugin now");
        }
        if origin == Origin::File {
            self.router.forget_refusal(&file);
        }
        self.router.swap_in(Arc::clone(&generation));
        let state = self.announce(
            &generation,
            GenerationState::Candidate,
            GenerationEvent::Opened,
            None,
        );
        let before = self.current.remove(&plugin);
        let wanted_back = self.wanted_back(&version, &origin, before.as_ref());
        tracing::info!(plugin, version = generation.manifest.version, generation = number, file = %file.display(), "live");
        self.current.insert(
            plugin.clone(),
            Current {
                generation: Arc::clone(&generation),
                state,
                version,
                live_since: Moment::now(),
                before: wanted_back,
            },
        );
        match (before, origin) {
            (Some(before), Origin::RollBack(why)) => {
                let reason = format!(
                    "rolled back to generation {number} (version {}): {why}; build it again",
                    generation.manifest.version
                );
                self.set_rolled_back(&before.version, reason.clone());
                self.retire(before, GenerationEvent::RolledBack, Some(reason));
            }
            (Some(before), _) => self.retire(before, GenerationEvent::Superseded, None),
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
        let older = self.candidates.remove_older(version, origin);
        let rolls_back = |candidate: &&Candidate| matches!(candidate.origin, Origin::RollBack(_));
        let healthy = older
            .iter()
            .find(rolls_back)
            .map(|candidate| Arc::clone(&candidate.version));
        self.give_up(
            older,
            GenerationEvent::Superseded,
            "something newer is live",
        );
        if matches!(origin, Origin::RollBack(_)) {
            return None;
        }
        healthy.or_else(|| {
            let before = before.filter(|before| before.state == GenerationState::Live)?;
            Some(Arc::clone(&before.version))
        })
    }

    /// The version was taken back: it is refused from now on, if its file holds it still.
    fn set_rolled_back(&mut self, version: &Version, reason: String) {
        let (path, plugin) = (version.file(), Some(version.plugin().to_owned()));
        let holds = Some(version.content());
        let file = self.files.get_mut(path);
        if let Some(file) = file.filter(|file| file.holds == holds) {
            file.rolled_back = true;
            return self.refuse(path, plugin, reason);
        }
        tracing::error!(file = %path.display(), plugin, "rejected: {reason}");
        let refusal = refusal(plugin, GenerationEvent::Refused, reason);
        self.router.tell(path, &refusal);
    }

    /// Drains a generation that the router no longer routes to.
    fn retire(&mut self, current: Current, event: GenerationEvent, reason: Option<String>) {
        let generation = current.generation;
        let state = self.announce(&generation, current.state, event, reason);
        self.draining
            .insert(generation.number, (Arc::clone(&generation), state));
        let (sender, grace) = (self.sender.clone(), self.config.drain_grace);
        let router: Arc<dyn Reroute> = Arc::new(self.router.clone());
        let drain = match event {
            GenerationEvent::Removed => Drain::Removed(router),
            _ => Drain::Replaced(router),
        };
        tokio::spawn(async move {
            generation.pool.drain(grace, drain).await;
            let _ = sender
                .send(Event::Drained {
                    number: generation.number,
                })
                .await;
        });
    }

    /// Moves a generation on, and tells watchers. The state it is in afterwards.
    fn announce(
        &self,
        generation: &Generation,
        state: GenerationState,
        event: GenerationEvent,
        reason: Option<String>,
    ) -> GenerationState {
        let Some(after) = state.after(event) else {
            return state;
        };
        tracing::debug!(
            plugin = generation.plugin(),
            generation = generation.number,
            "{state} → {after}"
        );
        self.router.announce(generation, after, reason);
        after
    }

    fn noticed(&mut self, number: u64, notice: Notice) {
        let (event, reason) = match notice {
            Notice::Recovered => (GenerationEvent::Recovered, None),
            Notice::Crashed {
                in_row,
                quarantined,
                why,
            } => {
                if (in_row >= ROLL_BACK_CRASHES && self.roll_back(number, in_row, &why))
                    || !quarantined
                {
                    return;
                }
                (GenerationEvent::CrashLoop, Some(why))
            }
        };
        let Some(current) = self.current_mut(number) else {
            return;
        };
        if let Some(after) = current.state.after(event) {
            current.state = after;
            tracing::warn!(
                plugin = current.generation.plugin(),
                generation = number,
                "{after}"
            );
            let generation = Arc::clone(&current.generation);
            self.router.announce(&generation, after, reason);
        }
    }

    fn current_mut(&mut self, number: u64) -> Option<&mut Current> {
        self.current
            .values_mut()
            .find(|current| current.generation.number == number)
    }

    /// Opens the version before again, if the generation is in its first moments and there is one. Whether it does.
    fn roll_back(&mut self, number: u64, in_row: u32, why: &str) -> bool {
        let probation = self.config.reload.probation;
        let Some(current) = self.current_mut(number) else {
            return false;
        };
        let is_new = Moment::now().since(current.live_since) <= probation;
        let Some(before) = current.before.take_if(|_| is_new) else {
            return false;
        };
        let plugin = before.plugin();
        // A name that was given up since then may be another plugin's by now.
        if let Err(taken) = self.check_names(&before.staged) {
            tracing::warn!(
                plugin,
                generation = number,
                "it crashes, and the version before can't be rolled back to: {taken}"
            );
            return false;
        }
        let reason = format!("it crashed {in_row} times in a row in its first moments ({why})");
        tracing::warn!(plugin, generation = number, "rolling back: {reason}");
        self.start(before, Origin::RollBack(reason));
        true
    }

    /// Generations that have stood the test no longer need the one before.
    fn end_probations(&mut self) {
        let (now, probation) = (Moment::now(), self.config.reload.probation);
        for current in self.current.values_mut() {
            if now.since(current.live_since) > probation {
                current.before = None;
            }
        }
    }

    /// The host's configuration has changed: plugins that are to be run in another way are opened anew, and what was
    /// refused may have been refused for its configuration.
    fn configured(&mut self, config: Arc<Config>) {
        self.config = config;
        let outdated = self.candidates.remove_configured();
        self.give_up(
            outdated,
            GenerationEvent::Superseded,
            "the configuration was read again",
        );
        let mut as_wished = HashSet::new();
        let mut starts = Vec::new();
        for current in self.current.values() {
            let Version { staged, settings } = &*current.version;
            let holds = self
                .files
                .get(&staged.file)
                .and_then(|file| file.holds.as_ref());
            let Ok(wished) = version::settings(&self.config, &staged.file, &staged.note.name)
            else {
                // Told when the file is examined.
                continue;
            };
            if wished != *settings {
                // What the file holds is opened by being examined.
                if holds.is_none_or(|holds| holds.hash != staged.hash) {
                    let staged = staged.clone();
                    starts.push(Version {
                        staged,
                        settings: wished,
                    });
                }
            } else if holds == Some(&current.version.content()) {
                as_wished.insert(staged.file.clone());
            }
        }
        for version in starts {
            self.start(version.into(), Origin::Configuration);
        }
        for (path, file) in &mut self.files {
            if !as_wished.contains(path) {
                file.track.forget_examined();
            }
        }
        self.look_by(Instant::now());
    }
}

/// What is told of a candidate that `event` has ended.
fn refusal(plugin: Option<String>, event: GenerationEvent, reason: String) -> Refusal {
    let candidate = GenerationState::Candidate;
    Refusal {
        plugin,
        state: candidate.after(event).unwrap_or(candidate),
        reason,
    }
}

/// Whether a host of this configuration would take the library, found out by opening it in a worker: what the plugin
/// has then, or why not.
pub(crate) async fn try_open(config: &Config, path: &Path) -> Result<Manifest, String> {
    let staged = stage::stage(path).map_err(|error| error.to_string())?;
    let settings = settings(config, path, &staged.note.name)?;
    let version = Version { staged, settings };
    let spec = Arc::new(spec(config, &version));
    let pool = version.settings.pool.clone();
    let Opened { manifest, pool } =
        plugin::open(spec, pool, &Stats::default(), Box::new(|_| ())).await?;
    pool.drain(Duration::ZERO, Drain::Ended).await;
    check_manifest(&version.staged.note, &manifest)?;
    Ok(manifest)
}
