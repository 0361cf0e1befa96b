//! The loop that keeps what serves in step with the folder: it carries out what [`super::core`] decides.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use plugin_api::manifest::Manifest;
use service::supervise::caught;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::core::{Command, Core};
use super::roster::{Generation, Refusal, Roster};
use super::state::State;
use super::version::Version;
use crate::clock::Moment;
use crate::config::Config;
use crate::link::Open;
use crate::plugin::{self, Drain, Notice, Notify, Opened, Reroute, Spec};
use crate::reload::{Change, Folder, FolderError, FolderHandle, Request, stage};
use crate::router::Router;
use crate::stats::Stats;

/// Events that wait for the loop.
const MAILBOX_LEN: usize = 1024;

/// How long the host waits at its start for plugins that take their time to open.
const START_WAIT_MAX: Duration = Duration::from_secs(5);

/// News for the loop.
enum Event {
    /// A candidate's first worker has opened it, or why not.
    Opened {
        number: u64,
        version: Arc<Version>,
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

/// A way to reach the loop.
#[derive(Clone)]
pub(crate) struct KeeperHandle(mpsc::Sender<Event>);

impl KeeperHandle {
    /// The host's configuration was read again.
    pub(crate) async fn configured(&self, config: Arc<Config>) {
        // Without a loop the host is about to end.
        let _ = self.0.send(Event::Configured(config)).await;
    }
}

/// The loop.
pub(crate) struct Keeper {
    config: Arc<Config>,
    router: Router,
    roster: Roster,
    stats: Arc<Stats>,
    core: Core,
    /// Candidates for which there is no room yet, and what opens them.
    waiting: HashMap<u64, AbortHandle>,
    /// What opens candidates.
    opening: HashMap<u64, AbortHandle>,
    /// Opened, and not live yet.
    opened: HashMap<u64, (Opened, Arc<Version>)>,
    folder: FolderHandle,
    changes: mpsc::Receiver<Change>,
    mailbox: mpsc::Sender<Event>,
    events: mpsc::Receiver<Event>,
}

impl Keeper {
    /// The folder that the configuration names, to be run beside this, and its keeper.
    pub(crate) fn new(
        config: Arc<Config>,
        router: Router,
        roster: Roster,
        stats: Arc<Stats>,
    ) -> (Self, Folder) {
        let (changed, changes) = mpsc::channel(MAILBOX_LEN);
        let (mailbox, events) = mpsc::channel(MAILBOX_LEN);
        let folder = Folder::new(&config.plugins_dir, config.reload, changed);
        let keeper = Self {
            core: Core::new(config.reload.probation, Path::exists),
            config,
            router,
            roster,
            stats,
            waiting: HashMap::new(),
            opening: HashMap::new(),
            opened: HashMap::new(),
            folder: folder.handle(),
            changes,
            mailbox,
            events,
        };
        (keeper, folder)
    }

    pub(crate) fn handle(&self) -> KeeperHandle {
        KeeperHandle(self.mailbox.clone())
    }

    /// Opens every library of the folder. One that can't be taken is refused with a reason; it keeps no other from being
    /// opened. Returns when each is live or refused, waits for room, or takes its time.
    pub(crate) async fn load(&mut self, folder: &mut Folder) -> Result<(), FolderError> {
        for change in folder.load().await? {
            self.changed(change);
            self.carry_out().await;
        }
        let until = Instant::now() + START_WAIT_MAX;
        while self
            .core
            .is_opening(|number| !self.waiting.contains_key(&number))
            && let Ok(Some(event)) = timeout_at(until, self.events.recv()).await
        {
            self.handle_event(event);
            self.carry_out().await;
        }
        for (number, plugin) in self.core.opening() {
            if !self.waiting.contains_key(&number) {
                tracing::warn!(
                    plugin,
                    "it is still being opened, and goes live when it is; the host serves without it"
                );
            }
        }
        let lists = self.roster.lists();
        for name in self.config.plugin_names() {
            // Of a library that was not taken it has been said why.
            let is_opening = self.core.opening().any(|(_, plugin)| plugin == name);
            if !self.core.has(name) && !is_opening && !lists.has_refused(name) {
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
        let mut probations = tokio::time::interval(self.config.reload.reconcile);
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.handle_event(event),
                    None => return,
                },
                change = self.changes.recv() => match change {
                    Some(change) => self.changed(change),
                    None => return,
                },
                _ = probations.tick() => self.core.end_probations(Moment::now()),
            }
            self.carry_out().await;
        }
    }

    fn changed(&mut self, change: Change) {
        match change {
            Change::Holds(staged) => {
                let settings = staged.settings(&self.config);
                self.core.holds(*staged, settings);
            }
            Change::Unusable { file, reason } => self.core.unusable(&file, reason),
            Change::Waits { file, reason } => {
                let refusal = Refusal {
                    plugin: None,
                    state: State::Candidate,
                    reason,
                };
                self.refuse(&file, &refusal);
            }
            Change::Gone { file } => self.core.gone(&file),
        }
    }

    fn handle_event(&mut self, event: Event) {
        let now = Moment::now();
        match event {
            Event::Opened {
                number,
                version,
                opened,
            } => {
                self.opening.remove(&number);
                self.waiting.remove(&number);
                if opened.is_err() {
                    self.router.expect_no_more(number);
                }
                let opened = opened.map(|opened| {
                    self.opened.insert(number, (opened, version));
                });
                self.core.opened(number, opened, now);
            }
            Event::Notice { number, notice } => match notice {
                Notice::Recovered => self.core.recovered(number),
                Notice::Lost => self.core.lost(number),
                Notice::Short(why) => self.wait_for_room(number, &why),
                Notice::Crashed {
                    in_row,
                    quarantined,
                    why,
                } => self.core.crashed(number, in_row, quarantined, why, now),
            },
            Event::Drained { number } => self.core.drained(number),
            Event::Configured(config) => {
                self.config = Arc::clone(&config);
                self.core
                    .configured(config.reload.probation, |staged| staged.settings(&config));
            }
        }
    }

    /// There is no room for the first worker of a candidate. It is shown with the reason until it has been opened.
    fn wait_for_room(&mut self, number: u64, why: &str) {
        let Some(version) = self.core.candidate(number) else {
            return;
        };
        if let Some(opening) = self.opening.get(&number) {
            self.waiting.insert(number, opening.clone());
        }
        let refusal = Refusal {
            plugin: Some(version.plugin().to_owned()),
            state: State::Candidate,
            reason: format!("no worker can be started for it now, it is tried again: {why}"),
        };
        self.refuse(version.file(), &refusal);
    }

    fn refuse(&self, file: &Path, refusal: &Refusal) {
        log_refusal(file, refusal);
        self.roster.refuse(file, refusal);
    }

    /// Candidates that wait for room, and that nobody wants any more, are not waited for.
    fn let_go_of_waiting(&mut self) {
        let unwanted = |number: &u64| self.core.candidate(*number).is_none();
        for (number, opening) in self.waiting.extract_if(|number, _| unwanted(number)) {
            opening.abort();
            self.opening.remove(&number);
            self.router.expect_no_more(number);
        }
    }

    async fn carry_out(&mut self) {
        self.let_go_of_waiting();
        for command in self.core.take_commands() {
            match command {
                Command::Open { number, version } => self.open(number, version),
                Command::LetGo { number } => {
                    self.router.expect_no_more(number);
                    if let Some((Opened { pool, .. }, _)) = self.opened.remove(&number) {
                        tokio::spawn(async move { pool.drain(Duration::ZERO, Drain::Ended).await });
                    }
                }
                Command::GoLive { number } => self.go_live(number),
                Command::TakeOut { plugin, why } => self.take_out(&plugin, &why),
                Command::Drain { number, is_removed } => self.drain(number, is_removed),
                Command::Announce {
                    number,
                    state,
                    reason,
                } => self.announce(number, state, reason),
                Command::Forget { number } => self.roster.forget(number),
                Command::Refuse { file, refusal } => self.refuse(&file, &refusal),
                Command::Tell { file, refusal } => {
                    log_refusal(&file, &refusal);
                    self.roster.tell(&file, &refusal);
                }
                Command::ForgetRefusal { file } => self.roster.forget_refusal(&file),
                Command::Examine { file } => self.folder.ask(Request::Again(file)).await,
            }
        }
    }

    /// Starts the first worker of a candidate.
    fn open(&mut self, number: u64, version: Arc<Version>) {
        let spec = Arc::new(spec(&self.config, &version));
        let functions = version.staged.note.functions.iter();
        self.router
            .expect(number, &spec.plugin, functions.map(String::as_str));
        tracing::debug!(plugin = spec.plugin, generation = number, file = %spec.open.file, "{}", State::Candidate);
        let (stats, mailbox) = (Arc::clone(&self.stats), self.mailbox.clone());
        let notices = mailbox.clone();
        let notify: Notify = Arc::new(move |notice| {
            let is_last = notice == Notice::Lost;
            let Err(full) = notices.try_send(Event::Notice { number, notice }) else {
                return;
            };
            // Another crash follows: those that matter come in rows. Nothing follows the loss of a pool.
            if is_last {
                let notices = notices.clone();
                tokio::spawn(async move { notices.send(full.into_inner()).await });
            }
        });
        let task = tokio::spawn(async move {
            let opening = Arc::clone(&version);
            let opened = caught(async move { open(spec, &opening, &stats, notify).await }).await;
            let opened = opened.unwrap_or_else(|_| {
                Err("the host failed to open it; its log says more under \"panicked\"".to_owned())
            });
            let opened = Event::Opened {
                number,
                version,
                opened,
            };
            let _ = mailbox.send(opened).await;
        });
        self.opening.insert(number, task.abort_handle());
    }

    fn go_live(&mut self, number: u64) {
        let Some((Opened { manifest, pool }, version)) = self.opened.remove(&number) else {
            return;
        };
        let settings = &version.settings.pool;
        let functions = manifest.functions.iter();
        let limits = functions
            .map(|function| settings.limit(function.timeout_ms))
            .collect();
        let file = version.file().to_owned();
        let generation = Arc::new(Generation {
            number,
            file,
            manifest,
            limits,
            pool,
        });
        tracing::info!(
            plugin = generation.plugin(),
            version = generation.manifest.version,
            generation = number,
            file = %generation.file.display(),
            "live"
        );
        let before = self.roster.go_live(Arc::clone(&generation));
        let out = before.iter().flat_map(|before| before.runners());
        self.router.replace(out, generation.runners());
        self.router.expect_no_more(number);
    }

    fn take_out(&mut self, plugin: &str, why: &str) {
        if let Some(generation) = self.roster.take_out(plugin) {
            let number = generation.number;
            tracing::info!(plugin, generation = number, "removed: {why}");
            self.router
                .replace(generation.runners(), std::iter::empty());
        }
    }

    fn drain(&self, number: u64, is_removed: bool) {
        let Some(generation) = self.roster.generation(number) else {
            return;
        };
        let router: Arc<dyn Reroute> = Arc::new(self.router.clone());
        let drain = if is_removed {
            Drain::Removed(router)
        } else {
            Drain::Replaced(router)
        };
        let (mailbox, grace) = (self.mailbox.clone(), self.config.drain_grace);
        tokio::spawn(async move {
            generation.pool.drain(grace, drain).await;
            let _ = mailbox.send(Event::Drained { number }).await;
        });
    }

    fn announce(&self, number: u64, state: State, reason: Option<String>) {
        let Some(generation) = self.roster.generation(number) else {
            return;
        };
        let plugin = generation.plugin();
        match state {
            State::Quarantined => {
                let why = reason.as_deref().unwrap_or_default();
                tracing::warn!(plugin, generation = number, "{state}: {why}");
            }
            _ => tracing::debug!(plugin, generation = number, "{state}"),
        }
        if state == State::Retired {
            // Before it is told: whoever hears of it finds it gone from the lists.
            self.roster.forget(number);
        }
        self.roster.announce(&generation, state, reason);
    }
}

fn log_refusal(file: &Path, refusal: &Refusal) {
    let Refusal {
        plugin,
        state,
        reason,
    } = refusal;
    let (file, plugin) = (file.display(), plugin.as_deref());
    match state {
        State::Rejected => tracing::error!(%file, plugin, "{state}: {reason}"),
        State::Candidate => tracing::warn!(%file, plugin, "{state}: {reason}"),
        _ => tracing::info!(%file, plugin, "{state}: {reason}"),
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
            result_len_max: plugin_api::limits::result_len_max(config.limits.line_len_max),
            memory_max: settings.memory_max,
            // Each worker is told what is so when it starts.
            log_level: 0,
            open_files_max: None,
        },
    }
}

/// Has the first worker open it, and checks that it is what its note says.
async fn open(
    spec: Arc<Spec>,
    version: &Version,
    stats: &Stats,
    notify: Notify,
) -> Result<Opened, String> {
    let opened = plugin::open(spec, version.settings.pool.clone(), stats, notify).await?;
    if let Err(reason) = version.check_manifest(&opened.manifest) {
        opened.pool.drain(Duration::ZERO, Drain::Ended).await;
        return Err(reason);
    }
    Ok(opened)
}

/// Whether a host of this configuration would take the library, found out by opening it in a worker: what the plugin
/// has then, or why not.
pub(crate) async fn try_open(config: &Config, path: &Path) -> Result<Manifest, String> {
    let staged = stage(path).map_err(|error| error.to_string())?;
    let settings = staged.settings(config)?;
    let version = Version { staged, settings };
    let spec = Arc::new(spec(config, &version));
    let (short, mut shortage) = mpsc::channel(1);
    let notify: Notify = Arc::new(move |notice| {
        if let Notice::Short(why) = notice {
            let _ = short.try_send(why);
        }
    });
    let stats = Stats::default();
    let Opened { manifest, pool } = tokio::select! {
        opened = open(spec, &version, &stats, notify) => opened?,
        Some(why) = shortage.recv() => {
            return Err(format!("no worker can be started to try it: {why}"));
        }
    };
    pool.drain(Duration::ZERO, Drain::Ended).await;
    Ok(manifest)
}
