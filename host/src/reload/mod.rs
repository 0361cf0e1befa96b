//! From a file in the plugins folder to a live generation, and on to the next one.
//!
//! poke or interval → look → settled? → stage (stable copy, whole ELF, note) → candidate (first worker opens it) → live,
//! swapped in in one step → the one before drains → retired. Any failure leaves what was live as it was. Start-up is
//! the first reload, on the same path.
//!
//! Architecture invariant: this loop is the only one that changes the router's generations.

mod elf;
mod folder;
mod stage;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plugin_api::manifest::Manifest;
use plugin_api::note::Note;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

pub(crate) use self::folder::Settle;
use self::folder::{Due, Seen, Track};
use self::stage::Staged;
pub(crate) use self::stage::note;
use self::watch::{FolderWatch, Poke};
use crate::clock::Moment;
use crate::config::{Config, PluginSettings};
use crate::link::Open;
use crate::plugin::{self, Drain, GenerationEvent, GenerationState, Notice, Opened, Reroute, Spec};
use crate::router::{Generation, Refusal, Router};
use crate::stats::Stats;

/// What a reply line is longer than the result in it, at most: the id and the field names.
const REPLY_LEN_EXTRA: usize = 512;
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
/// Longest configuration file beside a library, in bytes.
const CONFIG_LEN_MAX: u64 = 1024 * 1024;

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

/// One content of a library with one configuration: what a generation is made of.
#[derive(Debug)]
struct Version {
    staged: Staged,
    settings: PluginSettings,
}

/// A candidate whose first worker opens it.
#[derive(Debug)]
struct Candidate {
    version: Arc<Version>,
    /// Why it takes the place of the generation that serves, when it is the one before that.
    rolls_back: Option<String>,
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
}

pub(crate) struct Reloader {
    config: Arc<Config>,
    router: Router,
    stats: Arc<Stats>,
    files: BTreeMap<PathBuf, File>,
    current: BTreeMap<String, Current>,
    candidates: HashMap<u64, Candidate>,
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
            candidates: HashMap::new(),
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
            let mut file = File {
                track: Track::new(now),
                waits_for_names: false,
            };
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
            self.files.entry(path.clone()).or_insert_with(|| File {
                track: Track::new(now),
                waits_for_names: false,
            });
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

    /// Stages the file and starts a candidate from it, unless nothing has changed but its date.
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
                self.refuse(path, None, error.to_string());
                return;
            }
        };
        file.track.set_examined();
        let name = staged.note.name.clone();
        let settings = match settings(&self.config, path, &name) {
            Ok(settings) => settings,
            Err(error) => return self.refuse(path, Some(name), error),
        };
        if self.is_current(&name, path, &staged, &settings) {
            self.router.forget_refusal(path);
            return;
        }
        if let Err(reason) = self.check_names(path, &name, &staged.note.functions) {
            if let Some(file) = self.files.get_mut(path) {
                file.waits_for_names = true;
            }
            return self.refuse(path, Some(name), reason);
        }
        self.start(Version { staged, settings }.into(), None);
    }

    fn is_current(
        &self,
        plugin: &str,
        path: &Path,
        staged: &Staged,
        settings: &PluginSettings,
    ) -> bool {
        self.current.get(plugin).is_some_and(|current| {
            let version = &current.version;
            version.staged.file == path
                && version.staged.hash == staged.hash
                && version.settings == *settings
        })
    }

    /// Whether the plugin's name, and its functions', are no others'.
    fn check_names(&self, path: &Path, plugin: &str, functions: &[String]) -> Result<(), String> {
        let candidates = self
            .candidates
            .values()
            .map(|candidate| &candidate.version.staged);
        let current = self.current.values().map(|current| &current.version.staged);
        for other in current.chain(candidates).filter(|other| other.file != path) {
            // A file that was renamed is there under its new name before the old one counts as gone.
            let is_there = other.file.exists();
            let shown = other.file.display();
            if other.note.name == plugin {
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
        self.candidates
            .retain(|_, candidate| candidate.version.staged.file != path);
        let plugins: Vec<String> = self
            .current
            .iter()
            .filter(|(_, current)| current.version.staged.file == path)
            .map(|(plugin, _)| plugin.clone())
            .collect();
        for plugin in plugins {
            self.take_out(&plugin, "its file is gone");
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
        let candidate = GenerationState::Candidate;
        let state = candidate
            .after(GenerationEvent::Refused)
            .unwrap_or(candidate);
        self.router.refuse(
            path.to_owned(),
            Refusal {
                plugin,
                state,
                reason,
            },
        );
    }

    // ---- generations ----

    /// Starts the first worker of a candidate. One that is still being opened from the same file is given up.
    fn start(&mut self, version: Arc<Version>, rolls_back: Option<String>) {
        let file = &version.staged.file;
        self.candidates
            .retain(|_, other| other.version.staged.file != *file);
        self.generation_last += 1;
        let number = self.generation_last;
        let spec = Arc::new(spec(&self.config, &version));
        let pool = version.settings.pool.clone();
        tracing::debug!(plugin = spec.plugin, generation = number, file = %spec.open.file, "{}", GenerationState::Candidate);
        self.candidates.insert(
            number,
            Candidate {
                version,
                rolls_back,
            },
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

    fn opened(&mut self, number: u64, opened: Result<Opened, String>) {
        let candidate = self.candidates.remove(&number);
        let (candidate, opened) = match (candidate, opened) {
            (Some(candidate), Ok(opened)) => (candidate, opened),
            (Some(candidate), Err(reason)) => {
                let Staged { file, note, .. } = &candidate.version.staged;
                self.refuse(file, Some(note.name.clone()), reason);
                self.retry_waiting();
                return;
            }
            (None, opened) => {
                // A newer content of its file, or its end, has come in between.
                if let Ok(opened) = opened {
                    tokio::spawn(
                        async move { opened.pool.drain(Duration::ZERO, Drain::Ended).await },
                    );
                }
                return;
            }
        };
        let Staged { file, note, .. } = &candidate.version.staged;
        if let Err(reason) = check_manifest(note, &opened.manifest) {
            self.refuse(file, Some(note.name.clone()), reason);
            tokio::spawn(async move { opened.pool.drain(Duration::ZERO, Drain::Ended).await });
            return;
        }
        self.swap_in(number, candidate, opened);
    }

    fn swap_in(&mut self, number: u64, candidate: Candidate, opened: Opened) {
        let Candidate {
            version,
            rolls_back,
        } = candidate;
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
        self.router.swap_in(Arc::clone(&generation));
        let state = self.announce(
            &generation,
            GenerationState::Candidate,
            GenerationEvent::Opened,
            None,
        );
        let before = self.current.remove(&plugin);
        let wanted_back = before
            .as_ref()
            .filter(|before| before.state == GenerationState::Live && rolls_back.is_none())
            .map(|before| Arc::clone(&before.version));
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
        match (before, rolls_back) {
            (Some(before), Some(why)) => {
                let reason = format!(
                    "rolled back to generation {number} (version {}): {why}; build it again",
                    generation.manifest.version
                );
                self.refuse(&file, Some(plugin), reason.clone());
                self.retire(before, GenerationEvent::RolledBack, Some(reason));
            }
            (Some(before), None) => self.retire(before, GenerationEvent::Superseded, None),
            (None, _) => {}
        }
        self.retry_waiting();
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
        let probation = self.config.reload.probation;
        let Some(current) = self
            .current
            .values_mut()
            .find(|current| current.generation.number == number)
        else {
            return;
        };
        let (event, reason) = match notice {
            Notice::Recovered => (GenerationEvent::Recovered, None),
            Notice::Crashed {
                in_row,
                quarantined,
                why,
            } => {
                let is_new = Moment::now().since(current.live_since) <= probation;
                if let Some(before) = current
                    .before
                    .take_if(|_| is_new && in_row >= ROLL_BACK_CRASHES)
                {
                    let reason =
                        format!("it crashed {in_row} times in a row in its first moments ({why})");
                    tracing::warn!(
                        plugin = current.generation.plugin(),
                        generation = number,
                        "rolling back: {reason}"
                    );
                    self.start(before, Some(reason));
                    return;
                }
                if !quarantined {
                    return;
                }
                (GenerationEvent::CrashLoop, Some(why))
            }
        };
        if let Some(after) = current.state.after(event) {
            current.state = after;
            tracing::warn!(
                plugin = current.generation.plugin(),
                generation = number,
                "{after}"
            );
            self.router.announce(&current.generation, after, reason);
        }
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

    /// The host's configuration has changed: plugins that are to be run in another way are opened anew.
    fn configured(&mut self, config: Arc<Config>) {
        self.config = config;
        let mut starts = Vec::new();
        for (plugin, current) in &self.current {
            let staged = &current.version.staged;
            match settings(&self.config, &staged.file, plugin) {
                Ok(settings) if settings != current.version.settings => {
                    starts.push(Version {
                        staged: staged.clone(),
                        settings,
                    });
                }
                Ok(_) => {}
                Err(reason) => tracing::error!(plugin, "{reason}"),
            }
        }
        for version in starts {
            self.start(version.into(), None);
        }
        // What was refused may have been refused for its configuration.
        for (path, file) in &mut self.files {
            let serves = |current: &Current| current.version.staged.file == *path;
            if !self.current.values().any(serves) {
                file.track.forget_examined();
            }
        }
        self.look_by(Instant::now());
    }
}

/// What the workers of this version begin with.
fn spec(config: &Config, Version { staged, settings }: &Version) -> Spec {
    Spec {
        plugin: staged.note.name.clone(),
        library: Arc::clone(&staged.library),
        open: Open {
            file: staged.file.display().to_string(),
            config: settings.config.clone(),
            slots: settings.slots,
            result_len_max: config.limits.line_len_max.saturating_sub(REPLY_LEN_EXTRA),
            memory_max: settings.memory_max,
            log_level: log_level(),
        },
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

/// What was known without running the plugin must be what it says itself.
fn check_manifest(note: &Note, manifest: &Manifest) -> Result<(), String> {
    let names = manifest.functions.iter().map(|function| &function.name);
    if note.name == manifest.name && note.functions.iter().eq(names) {
        return Ok(());
    }
    Err("its manifest and its note disagree about its names; build it again".to_owned())
}

/// How the plugin is to be run: by the configuration beside its library, else by the host's table for it.
fn settings(config: &Config, library: &Path, plugin: &str) -> Result<PluginSettings, String> {
    let Some(path) = folder::config_file(library) else {
        return Ok(config.plugin(plugin));
    };
    let shown = path.display();
    let text = match std::fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(config.plugin(plugin));
        }
        Ok(meta) if meta.len() > CONFIG_LEN_MAX => {
            return Err(format!(
                "its configuration {shown} has over {CONFIG_LEN_MAX} bytes"
            ));
        }
        Ok(_) => std::fs::read_to_string(&path),
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| format!("its configuration {shown} can't be read: {error}"))?;
    config
        .plugin_from(plugin, &text)
        .map_err(|error| format!("its configuration {shown} is wrong: {error}"))
}

/// The most verbose level that the host's own log takes, as the ABI counts levels.
fn log_level() -> u32 {
    match LevelFilter::current().into_level() {
        None => 0,
        Some(tracing::Level::ERROR) => 1,
        Some(tracing::Level::WARN) => 2,
        Some(tracing::Level::INFO) => 3,
        Some(tracing::Level::DEBUG) => 4,
        Some(tracing::Level::TRACE) => 5,
    }
}
