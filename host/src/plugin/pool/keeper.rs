//! What a pool needs beside what is brought to it: processes are started, time passes, memory is looked at.

use std::sync::Arc;
use std::time::Duration;

use service::supervise::caught;
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use super::desk::{Desk, Pool};
use crate::clock::Moment;
use crate::link::ToHost;
use crate::plugin::process::{self, Listens, Spec, WorkerEvent};
use crate::plugin::scheduler::WorkerId;

/// How often the memory of workers is looked at.
const MEMORY_INTERVAL: Duration = Duration::from_secs(1);

/// Hears one worker for its pool.
#[derive(Debug)]
pub(super) struct Ear {
    pool: Arc<Pool>,
    id: WorkerId,
}

impl Ear {
    pub(super) fn new(pool: &Arc<Pool>, id: WorkerId) -> Self {
        let pool = Arc::clone(pool);
        Self { pool, id }
    }
}

impl Listens for Ear {
    fn said(&self, frames: &mut Vec<ToHost>) {
        self.pool.hear_all(self.id, frames);
    }

    fn exited(&self, exited: WorkerEvent) {
        self.pool.hear(self.id, exited);
    }
}

/// Looks after the pool until it has ended.
pub(super) fn start(pool: Arc<Pool>, spec: Arc<Spec>) {
    tokio::spawn(async move {
        if caught(keep(Arc::clone(&pool), spec)).await.is_err() {
            pool.lose();
        }
    });
}

async fn keep(pool: Arc<Pool>, spec: Arc<Spec>) {
    let mut memory = tokio::time::interval(MEMORY_INTERVAL);
    memory.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pool.with(Desk::tick);
        let Some((spawns, until)) = pool.with(|desk, _| desk.rest()) else {
            return;
        };
        if !spawns.is_empty() {
            let (pool, spec) = (Arc::clone(&pool), Arc::clone(&spec));
            // On a thread of its own: that of connections has no milliseconds to give.
            let start = move || spawns.into_iter().for_each(|id| spawn(&pool, &spec, id));
            match tokio::task::spawn_blocking(start).await {
                Ok(()) => continue,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime ends, and everything with it.
                    Err(_cancelled) => return,
                },
            }
        }
        tokio::select! {
            () = pool.rung() => {}
            () = sleep_until(instant(until)) => {}
            _ = memory.tick() => look_at_memory(&pool),
        }
    }
}

/// Starts a worker. That takes milliseconds, for which nobody waits who has the pool's lock.
fn spawn(pool: &Arc<Pool>, spec: &Spec, id: WorkerId) {
    match process::spawn(spec, Ear::new(pool, id)) {
        Ok((process, listener)) => {
            // A pool that has ended meanwhile leaves the process to be killed.
            pool.with(|desk, _| desk.started(id, process));
            listener.start();
        }
        Err(why) => {
            pool.with(|desk, now| desk.not_started(id, why, now));
        }
    }
}

fn look_at_memory(pool: &Pool) {
    let pids = pool.with(|desk, _| desk.pids());
    for (id, pid) in pids.into_iter().flatten() {
        if let Some(bytes) = resident_bytes(pid) {
            pool.with(|desk, now| desk.holds(id, bytes, now));
        }
    }
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let statm = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

fn instant(moment: Moment) -> Instant {
    let wait = moment.since(Moment::now());
    // Far enough to be never; the clock cannot go to the end of `Moment`.
    Instant::now() + wait.min(Duration::from_secs(24 * 3600))
}
