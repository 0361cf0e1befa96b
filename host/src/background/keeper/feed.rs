//! Pools get what they have room for, and more is claimed for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::events::Event;
use super::super::feeder::Trough;
use super::super::storage::Handle;
use super::{Keeper, Run};
use crate::access::Caller;
use crate::clock::Moment;
use crate::ledger::{ClaimAsk, Claimed, Ending, Finish, Want};
use crate::router::Routed;
use crate::task::{Answer, Client, Task, TaskId as Number};

impl Keeper {
    /// Hands over what pools have room for, and claims more.
    pub(super) fn feed(&mut self, store: &Handle) {
        let start = Instant::now();
        let mut waiting = self.waiting.by_plugin(&self.live);
        for (plugin, trough) in &self.troughs {
            if !trough.ahead.is_empty() {
                waiting.entry(Arc::clone(plugin)).or_default();
            }
        }
        let mut routed = VecDeque::new();
        for (plugin, functions) in waiting {
            let mut trough = self.troughs.remove(&plugin).unwrap_or_default();
            if !trough.is_paused(start) {
                self.feed_one(store, &plugin, functions, &mut trough, &mut routed);
            }
            self.troughs.insert(plugin, trough);
        }
        self.shared.router.submit_all(&mut routed);
    }

    fn feed_one(
        &mut self,
        store: &Handle,
        plugin: &Arc<str>,
        functions: Vec<Arc<str>>,
        trough: &mut Trough,
        routed: &mut VecDeque<Routed>,
    ) {
        let generation = self.live.generation(plugin).cloned();
        let report = generation
            .as_ref()
            .and_then(|generation| generation.pool.report());
        trough.look_at = None;
        let (Some(generation), Some(report)) = (generation, report) else {
            return self.ends.extend(release_all(&mut trough.ahead));
        };
        if report.closed {
            trough.pause(Instant::now());
            return self.ends.extend(release_all(&mut trough.ahead));
        }
        let version: Arc<str> = generation.manifest.version.as_str().into();
        let slots = report.workers_max * report.slots;
        let mut tasks = report.queued + report.handed_over;
        // One is enough to find out whether the plugin is well again.
        let slots = if report.quarantined {
            slots.min(1)
        } else {
            slots
        };
        let mut free = trough.pool(slots, tasks).free();
        while free > 0
            && let Some(claimed) = trough.ahead.pop_front()
        {
            // Another version came since it was claimed.
            if claimed
                .version
                .as_ref()
                .is_some_and(|asked| *asked != version)
            {
                self.ends.push(release(&claimed));
                continue;
            }
            match self.routed(&claimed, plugin, &version, store.now()) {
                Some(task) => {
                    routed.push_back(task);
                    trough.running += 1;
                    tasks += 1;
                    free -= 1;
                }
                None => {
                    trough.pause(Instant::now());
                    self.ends.push(release(&claimed));
                    return;
                }
            }
        }
        let pool = trough.pool(slots, tasks);
        if pool.is_full_of_requests() && !(trough.ahead.is_empty() && functions.is_empty()) {
            trough.wait_for_requests(Instant::now());
        }
        if trough.is_claiming || functions.is_empty() {
            return;
        }
        let shares = trough.shares(&pool, functions.len());
        let asked: Vec<(Arc<str>, u32)> = functions
            .into_iter()
            .zip(shares)
            .filter(|(_, count)| *count > 0)
            .collect();
        if !asked.is_empty() {
            trough.is_claiming = true;
            self.claim(store, Arc::clone(plugin), &version, asked);
        }
    }

    fn claim(
        &mut self,
        store: &Handle,
        plugin: Arc<str>,
        version: &Arc<str>,
        asked: Vec<(Arc<str>, u32)>,
    ) {
        let mut wants = Vec::with_capacity(asked.len());
        for (function, count) in &asked {
            self.waiting.is_claimed(function);
            wants.push(Want {
                function: Arc::clone(function),
                version: Arc::clone(version),
                count: *count,
            });
        }
        self.claims += 1;
        let ask = ClaimAsk {
            node: Arc::clone(&self.shared.node),
            wants,
        };
        let events = Arc::clone(&self.shared.events);
        let told = move |claimed| {
            events.push(Event::Claimed {
                plugin,
                asked,
                claimed,
            });
        };
        store.claim(ask, store.now(), Box::new(told));
    }

    /// An ordinary task of what was claimed; none where nothing runs it now, or it finds no room in memory.
    fn routed(
        &mut self,
        claimed: &Claimed,
        plugin: &Arc<str>,
        version: &Arc<str>,
        now: i64,
    ) -> Option<Routed> {
        let subject = claimed.subject.as_deref().map(Arc::from);
        let caller = Caller::of_background(subject);
        let runner = self.shared.router.route(&claimed.function, &caller).ok()?;
        let held = self.budget.hold_or_alone(claimed.args.len())?;
        let received = Moment::now();
        let in_time = |ms: i64| received + Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let limits = [
            claimed.timeout_ms,
            claimed.deadline_at.map(|at| at.saturating_sub(now)),
        ];
        let deadline = limits.into_iter().flatten().map(in_time).min();
        let number = self.shared.numbers.next();
        let (task, lease) = (claimed.id, claimed.lease);
        self.shared.runs.begin(number, task, lease, plugin);
        self.runs.insert(
            number,
            Run {
                task: claimed.id,
                lease: claimed.lease,
                plugin: Arc::clone(plugin),
                version: Arc::clone(version),
                started_at: now,
                at_most_once: claimed.at_most_once,
                _in_flight: self.stats.begin(),
            },
        );
        Some(Routed {
            function: (*claimed.function).to_owned(),
            runner,
            task: Task {
                id: Number(number),
                args: claimed.args.clone(),
                received,
                deadline: deadline.unwrap_or(Moment::NEVER),
                progress: true,
                answer: Answer::new(Arc::clone(&self.shared.runs) as Arc<dyn Client>, number),
                held,
                caller,
            },
        })
    }
}

/// The end of a run that never began.
pub(super) fn release(claimed: &Claimed) -> Finish {
    Finish {
        id: claimed.id,
        lease: claimed.lease,
        started_at: None,
        version: "".into(),
        ending: Ending::Released,
    }
}

/// All that was claimed ahead is given back.
pub(super) fn release_all(ahead: &mut VecDeque<Claimed>) -> impl Iterator<Item = Finish> + '_ {
    ahead.drain(..).map(|claimed| release(&claimed))
}
