//! Pools are fed: what is claimed of their functions' tasks, and how much of it is handed over.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::generations::{Generation, Lists};
use crate::ledger::{Claimed, Pool, how_many};

/// A pool that could not take or claim anything is left alone for so long, and one that is full of requests looked at so
/// often.
const PAUSE: Duration = Duration::from_millis(250);
/// How many tasks are claimed ahead for a pool: what it has run in so long.
const AHEAD_SPAN: Duration = Duration::from_millis(50);
/// And no more than so many.
const AHEAD_MAX: u32 = 4_096;
/// Nor fewer, up to its slots.
const AHEAD_MIN: u32 = 8;

/// What is claimed for a pool, and what it has.
#[derive(Default)]
pub(super) struct Trough {
    pub(super) ahead: VecDeque<Claimed>,
    pub(super) running: u32,
    pub(super) is_claiming: bool,
    /// Left alone until then.
    pub(super) pause_until: Option<Instant>,
    /// When it is looked whether requests have left room.
    pub(super) look_at: Option<Instant>,
    pace: Pace,
    turn: usize,
}

/// How many of its tasks have ended lately.
#[derive(Default)]
struct Pace {
    since: Option<Instant>,
    count: u32,
    before: u32,
}

impl Pace {
    fn count(&mut self, now: Instant) {
        self.roll(now);
        self.count = self.count.saturating_add(1);
    }

    fn roll(&mut self, now: Instant) {
        match self.since {
            Some(since) if now.duration_since(since) < AHEAD_SPAN => {}
            Some(since) => {
                let is_next = now.duration_since(since) < AHEAD_SPAN * 2;
                self.before = if is_next { self.count } else { 0 };
                self.count = 0;
                self.since = Some(now);
            }
            None => self.since = Some(now),
        }
    }

    /// In the busier one of the last two spans.
    fn lately(&self) -> u32 {
        self.count.max(self.before)
    }
}

impl Trough {
    pub(super) fn ended(&mut self, now: Instant) {
        self.running = self.running.saturating_sub(1);
        self.pace.count(now);
    }

    pub(super) fn pause(&mut self, now: Instant) {
        self.pause_until = Some(now + PAUSE);
    }

    /// Requests, of whose ends nobody here is told, have the slots that something waits for.
    pub(super) fn wait_for_requests(&mut self, now: Instant) {
        self.look_at = Some(now + PAUSE);
    }

    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.pause_until.is_some_and(|until| now < until)
    }

    /// The pool, as one who feeds it sees it.
    pub(super) fn pool(&self, slots: usize, tasks: usize) -> Pool {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let slots = count(slots);
        let ahead_max = self.pace.lately().max(slots.min(AHEAD_MIN)).min(AHEAD_MAX);
        Pool {
            slots,
            requests: count(tasks).saturating_sub(self.running),
            running: self.running,
            ahead: count(self.ahead.len()),
            ahead_max,
        }
    }

    /// How many to claim of these functions.
    pub(super) fn shares(&mut self, pool: &Pool, functions: usize) -> Vec<u32> {
        self.turn = self.turn.wrapping_add(1);
        how_many(pool, &vec![u64::MAX; functions], self.turn)
    }
}

/// Which functions have tasks that may be claimed, as far as is known.
#[derive(Default)]
pub(super) struct Waiting {
    functions: HashSet<Arc<str>>,
    /// Those of which more has come since they were claimed of last.
    fresh: HashSet<Arc<str>>,
}

impl Waiting {
    pub(super) fn came(&mut self, functions: Vec<Arc<str>>) {
        for function in functions {
            self.fresh.insert(Arc::clone(&function));
            self.functions.insert(function);
        }
    }

    /// All that waits of this is asked for.
    pub(super) fn is_claimed(&mut self, function: &Arc<str>) {
        self.fresh.remove(function);
    }

    /// Less was found than was asked for.
    pub(super) fn ran_out(&mut self, function: &Arc<str>) {
        if !self.fresh.contains(function) {
            self.functions.remove(function);
        }
    }

    /// By plugin, of what is live.
    pub(super) fn by_plugin(&self, live: &Live) -> HashMap<Arc<str>, Vec<Arc<str>>> {
        let mut plugins: HashMap<Arc<str>, Vec<Arc<str>>> = HashMap::new();
        for function in &self.functions {
            if let Some(plugin) = live.plugin_of(function) {
                let functions = plugins.entry(Arc::clone(plugin)).or_default();
                functions.push(Arc::clone(function));
            }
        }
        plugins
    }
}

/// What runs here, found by its names.
#[derive(Default)]
pub(super) struct Live {
    lists: Arc<Lists>,
    plugins: HashMap<Arc<str>, Arc<str>>,
}

impl Live {
    /// Looks again, where anything has changed. Gives whether it has.
    pub(super) fn refresh(&mut self, lists: Arc<Lists>) -> bool {
        if Arc::ptr_eq(&self.lists, &lists) {
            return false;
        }
        self.plugins.clear();
        for (plugin, generation) in &lists.live {
            let plugin: Arc<str> = Arc::from(plugin.as_str());
            for function in &generation.manifest.functions {
                let function = Arc::from(function.name.as_str());
                self.plugins.insert(function, Arc::clone(&plugin));
            }
        }
        self.lists = lists;
        true
    }

    pub(super) fn functions(&self) -> impl Iterator<Item = &Arc<str>> {
        self.plugins.keys()
    }

    fn plugin_of(&self, function: &str) -> Option<&Arc<str>> {
        self.plugins.get(function)
    }

    pub(super) fn generation(&self, plugin: &str) -> Option<&Arc<Generation>> {
        self.lists.live.get(plugin)
    }
}
