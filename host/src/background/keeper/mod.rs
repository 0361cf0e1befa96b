//! The loop that keeps background tasks going.

mod due;
mod ends;
mod feed;
mod others;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use service::bytes::ByteBudget;
use service::life::{Phase, Phases};
use service::sync::{read, write};
use tokio::sync::broadcast;
use tokio::time::sleep_until;

use self::feed::release_all;
use self::others::Others;
use super::events::Event;
use super::feeder::{Live, Trough, Waiting};
use super::storage::Handle;
use super::{Background, Shared};
use crate::generations::PluginEvent;
use crate::ledger::{Claimed, Finish, Held, State, StoreError, TaskId};
use crate::stats::{InFlight, Stats};
use crate::task::TaskId as Number;

/// Bytes of arguments that run in the background, or wait for that in memory; what has more by itself runs alone.
const ARGS_LEN_MAX: usize = 256 << 20;
/// What could not be written, opened or looked at is tried again after so long.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How often finished tasks are looked for that nobody may ask for any more.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
/// Where something is to become due, it is looked for this often, whatever the clock shows: it may be set.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// A task that a pool has.
struct Run {
    task: TaskId,
    lease: i64,
    plugin: Arc<str>,
    version: Arc<str>,
    started_at: i64,
    at_most_once: bool,
    _in_flight: InFlight,
}

/// Owns what background tasks run, and what is written of them.
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    stats: Arc<Stats>,
    phases: Phases,
    news: broadcast::Receiver<PluginEvent>,
    live: Live,
    waiting: Waiting,
    troughs: HashMap<Arc<str>, Trough>,
    runs: HashMap<u64, Run>,
    /// Bytes of arguments that are claimed.
    budget: ByteBudget,
    /// Functions of which the ledger is to be told, and when.
    untold: Vec<Arc<str>>,
    tell_at: Instant,
    ends: Vec<Finish>,
    /// How many are written together; fewer, while one is looked for that can't be kept.
    write_max: usize,
    is_writing: bool,
    write_at: Option<Instant>,
    claims: usize,
    sweep_at: Option<i64>,
    swept_at: Instant,
    is_sweeping: bool,
    prune_at: Instant,
    is_pruning: bool,
    open_at: Option<Instant>,
    others: Others,
    /// Said once.
    is_storage_away: bool,
}

impl Keeper {
    pub(crate) fn new(background: &Background, stats: Arc<Stats>, phases: Phases) -> Self {
        let shared = Arc::clone(&background.0);
        Self {
            news: shared.roster.watch(),
            shared,
            stats,
            phases,
            live: Live::default(),
            waiting: Waiting::default(),
            troughs: HashMap::new(),
            runs: HashMap::new(),
            budget: ByteBudget::new(ARGS_LEN_MAX),
            untold: Vec::new(),
            tell_at: Instant::now(),
            ends: Vec::new(),
            write_max: usize::MAX,
            is_writing: false,
            write_at: None,
            claims: 0,
            sweep_at: None,
            swept_at: Instant::now(),
            is_sweeping: false,
            prune_at: Instant::now() + PRUNE_INTERVAL,
            is_pruning: false,
            open_at: None,
            others: Others::new(),
            is_storage_away: false,
        }
    }

    /// Keeps tasks going, for as long as the host runs. When that closes and all that ran has been written down, it says so
    /// (see [`Background::end`]).
    pub(crate) async fn run(mut self) {
        loop {
            for event in self.shared.events.take() {
                self.hear(event);
            }
            let phase = *self.phases.borrow();
            if let Some(store) = self.shared.storage.get() {
                self.learn(&store);
                self.tell(&store);
                match phase {
                    Phase::Serving => self.feed(&store),
                    Phase::Draining | Phase::Closing => self.give_back(),
                }
                self.write(&store);
                self.look_at_the_clock(&store);
                self.look_at_others(&store);
            }
            if phase == Phase::Closing && self.is_done() {
                self.shared.is_done.send_replace(true);
            }
            self.wait(phase).await;
        }
    }

    fn is_done(&self) -> bool {
        self.runs.is_empty() && self.ends.is_empty() && !self.is_writing && self.claims == 0
    }

    async fn wait(&mut self, phase: Phase) {
        let at = self.next_look();
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = shared.events.rung() => {}
            // Whatever has happened to plugins: what is live is looked at anyway.
            _ = self.news.recv() => {}
            _ = self.phases.changed(), if phase < Phase::Closing => {}
            () = sleep_until(at.into()) => {
                if self.open_at.is_some_and(|at| at <= Instant::now()) {
                    self.open_at = None;
                    let was_open = shared.storage.get().is_some();
                    tokio::spawn(async move {
                        match shared.open().await {
                            // It could not be looked at.
                            Ok(_) if was_open => shared.events.push(Event::Opened),
                            Ok(_) => {}
                            Err(_) => shared.events.push(Event::TryToOpen),
                        }
                    });
                }
            }
        }
    }

    /// When there is something to do, if nothing happens before. What is being done, or can't be as long as there is no
    /// ledger, is waited for as an event.
    fn next_look(&self) -> Instant {
        let start = Instant::now();
        let store = self.shared.storage.get();
        let is_open = store.is_some();
        let due = self.sweep_at.filter(|_| !self.is_sweeping);
        let due = due.zip(store).map(|(at, store)| {
            let wait = u64::try_from(at.saturating_sub(store.now())).unwrap_or(0);
            (start + Duration::from_millis(wait)).min(self.swept_at + LOOK_INTERVAL)
        });
        let troughs = self.troughs.values();
        let pauses = troughs.flat_map(|trough| [trough.pause_until, trough.look_at]);
        let pauses = pauses.flatten().filter(|until| *until > start);
        let others = [
            self.write_at
                .filter(|_| is_open && !self.is_writing && !self.ends.is_empty()),
            Some(self.prune_at).filter(|_| is_open && !self.is_pruning),
            Some(self.tell_at).filter(|_| is_open && !self.untold.is_empty()),
            self.open_at,
            Some(self.others.look_at).filter(|_| is_open && self.shared.storage.is_shared()),
        ];
        let all = others.into_iter().flatten().chain(due).chain(pauses);
        all.min().unwrap_or(start + PRUNE_INTERVAL).max(start)
    }

    // ---- what has happened ----

    fn hear(&mut self, event: Event) {
        match event {
            Event::Opened => self.opened(),
            Event::TryToOpen => self.open_at = Some(Instant::now() + TRY_AGAIN),
            Event::Waiting(Ok(functions)) | Event::Available(functions) => {
                self.waiting.came(functions);
            }
            Event::Waiting(Err(error)) => {
                self.storage_away(&error);
                self.open_at = Some(Instant::now() + TRY_AGAIN);
            }
            Event::Untold(functions) => {
                self.untold.extend(functions);
                self.tell_at = Instant::now() + TRY_AGAIN;
            }
            Event::Due(at) => self.sweep_at = sooner(self.sweep_at, Some(at)),
            Event::Claimed {
                plugin,
                asked,
                claimed,
            } => self.claimed(&plugin, &asked, claimed),
            Event::Ended(number, outcome) => self.ended(number, outcome),
            Event::Written(ends, written) => self.written(ends, written),
            Event::Check => self.check(),
            Event::Held(tasks, held) => self.held(&tasks, held),
            Event::Swept(swept) => self.swept(swept),
            Event::Pruned(more) => {
                self.is_pruning = false;
                let wait = if more { Duration::ZERO } else { PRUNE_INTERVAL };
                self.prune_at = Instant::now() + wait;
            }
        }
    }

    /// The ledger is open: what waits in it from before is found.
    fn opened(&mut self) {
        if let Some(store) = self.shared.storage.get() {
            self.sweep_at = Some(0);
            self.find_waiting(&store);
        }
    }

    fn find_waiting(&self, store: &Handle) {
        let events = Arc::clone(&self.shared.events);
        store.stats(Box::new(move |stats| {
            let waiting = stats.map(|stats| {
                let functions = stats.functions.into_iter();
                functions
                    .filter(|function| function.counts[State::Available.index()] > 0)
                    .map(|function| function.function)
                    .collect()
            });
            events.push(Event::Waiting(waiting));
        }));
    }

    fn claimed(
        &mut self,
        plugin: &Arc<str>,
        asked: &[(Arc<str>, u32)],
        claimed: Result<Vec<Claimed>, StoreError>,
    ) {
        self.claims -= 1;
        let trough = self.troughs.entry(Arc::clone(plugin)).or_default();
        trough.is_claiming = false;
        match claimed {
            Ok(claimed) => {
                for (function, count) in asked {
                    let found = claimed.iter().filter(|task| task.function == *function);
                    if found.count() < *count as usize {
                        self.waiting.ran_out(function);
                    }
                }
                trough.ahead.extend(claimed);
                self.is_storage_away = false;
            }
            Err(error) => {
                trough.pause(Instant::now() + TRY_AGAIN);
                self.storage_away(&error);
            }
        }
    }

    /// Tasks were called off: those that run here are found.
    fn check(&mut self) {
        let Some(store) = self.shared.storage.get() else {
            return;
        };
        let ahead = self.troughs.values().flat_map(|trough| &trough.ahead);
        let ahead = ahead.map(|claimed| (claimed.id, claimed.lease));
        let running = self.runs.values().map(|run| (run.task, run.lease));
        let all: Vec<(TaskId, i64)> = ahead.chain(running).collect();
        let tasks = all.iter().map(|(task, _)| *task).collect();
        let events = Arc::clone(&self.shared.events);
        let told = move |held| events.push(Event::Held(tasks, held));
        store.beat(all, store.now(), Box::new(told));
    }

    fn held(&mut self, tasks: &[TaskId], held: Result<Vec<Held>, StoreError>) {
        let held = match held {
            Ok(held) => held,
            Err(error) => return self.storage_away(&error),
        };
        let called_off = tasks.iter().zip(held);
        let called_off: HashSet<TaskId> = called_off
            .filter(|(_, held)| *held != Held::Yes)
            .map(|(task, _)| *task)
            .collect();
        if called_off.is_empty() {
            return;
        }
        for trough in self.troughs.values_mut() {
            let is_off = |claimed: &Claimed| called_off.contains(&claimed.id);
            let (mut off, on) = trough.ahead.drain(..).partition(is_off);
            trough.ahead = on;
            self.ends.extend(release_all(&mut off));
        }
        for task in called_off {
            if let Some(number) = self.shared.runs.cancel(task) {
                self.shared.roster.cancel(Number(number));
            }
        }
    }

    fn storage_away(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.is_storage_away, true) {
            tracing::error!("background tasks wait, as their ledger can't be used: {error}");
        }
    }

    // ---- what is done ----

    /// What plugins export is known from now on, also when they are away.
    fn learn(&mut self, store: &Handle) {
        if !self.live.refresh(self.shared.roster.lists()) {
            return;
        }
        // Of what waited, some may have waited for this version.
        self.find_waiting(store);
        let new: Vec<Arc<str>> = {
            let known = read(&self.shared.known);
            let functions = self.live.functions();
            functions
                .filter(|function| !known.contains(*function))
                .cloned()
                .collect()
        };
        write(&self.shared.known).extend(new.iter().cloned());
        self.untold.extend(new);
    }

    /// The ledger, and by it other hosts and the next one here, is told of the functions that are new.
    fn tell(&mut self, store: &Handle) {
        if self.untold.is_empty() || Instant::now() < self.tell_at {
            return;
        }
        let functions = std::mem::take(&mut self.untold);
        let events = Arc::clone(&self.shared.events);
        let again = functions.clone();
        let told = move |known: Result<(), StoreError>| {
            if known.is_err() {
                events.push(Event::Untold(again));
            }
        };
        store.know(functions, store.now(), Box::new(told));
    }

    /// The host ends: what has not begun is for whoever comes next.
    fn give_back(&mut self) {
        for trough in self.troughs.values_mut() {
            self.ends.extend(release_all(&mut trough.ahead));
        }
    }
}

fn sooner(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

#[cfg(test)]
mod tests {
    use service::life::Life;

    use super::*;
    use crate::config::{LedgerPlace, LedgerSettings};
    use crate::generations::Roster;
    use crate::ledger::{Durability, Limits};
    use crate::router::Router;
    use crate::task::Numbers;

    #[test]
    fn without_a_ledger_nothing_is_due_however_late_it_is() {
        let settings = LedgerSettings {
            place: LedgerPlace::Folder {
                folder: "no-such-folder".into(),
                durability: Durability::Write,
            },
            limits: Limits {
                waiting_max: 1,
                stored_len_max: 1,
                discarded_ttl_ms: 1,
            },
            result_ttl_ms: 1,
        };
        let background = Background::new(
            settings,
            Router::default(),
            Roster::default(),
            Numbers::default(),
        );
        let mut keeper = Keeper::new(&background, Arc::default(), Life::default().phases());
        let past = Instant::now();
        keeper.prune_at = past;
        keeper.write_at = Some(past);
        keeper.sweep_at = Some(0);
        // A loop whose next look is now would turn for ever.
        assert_eq!(
            keeper.next_look().duration_since(past).as_secs(),
            PRUNE_INTERVAL.as_secs()
        );
        keeper.open_at = Some(past);
        assert!(
            keeper.next_look() < past + PRUNE_INTERVAL,
            "it is to be opened"
        );
    }
}
