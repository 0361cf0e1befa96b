//! What is done to the host meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tests::{LogPipe, PluginWatch, Process, Versioned};

use super::Soak;

/// Served requests between two killed workers: a row of crashes with nothing returned would be a crash loop.
const SERVED_BETWEEN_KILLS: usize = 10;
/// How long descriptors are short, and how often, in full size.
const STARVED: Duration = Duration::from_secs(10);
const STARVED_EVERY: Duration = Duration::from_secs(60);
/// The same, of a run this short.
const SHORT: Duration = Duration::from_secs(60);
const STARVED_SHORT: Duration = Duration::from_secs(1);
/// How often it is looked at whether the host has given any back.
const SHORTAGE_LOOK: Duration = Duration::from_millis(50);
/// What is caught up with after that.
const RECOVERY: Duration = Duration::from_secs(1);
/// The end of the log that a failed test shows, in bytes.
const LOG_LEN_SHOWN: usize = 32 * 1024;

/// Reads the log in bursts, and now and then not at all for seconds. Shows its end where the test fails.
pub(super) fn read_log(mut log: LogPipe, seed: u64, is_over: &AtomicBool, is_well: &AtomicBool) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut end = String::new();
    while !is_over.load(Ordering::Relaxed) {
        end.push_str(&log.read());
        if let Some(surplus) = end.len().checked_sub(LOG_LEN_SHOWN) {
            let at = (surplus..).find(|at| end.is_char_boundary(*at));
            end.drain(..at.unwrap_or(end.len()));
        }
        let ms = if random.u8(..20) == 0 {
            3000
        } else {
            random.u64(..200)
        };
        let wait = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < wait && !is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
    }
    end.push_str(&log.read());
    if !is_well.load(Ordering::Relaxed) {
        super::figures::report(&format!("--- the end of its log:\n{end}\n---"));
    }
}

/// New versions of a plugin that is in use, and bad files in between.
pub(super) fn reloads(soak: &Soak, who: u64) {
    let mut random = soak.random(who);
    let mut watch = PluginWatch::start(&soak.host);
    let mut version = random.u32(2..10_000_000);
    while soak.goes_on() {
        soak.pause(Duration::from_millis(random.u64(..1000)));
        if random.u8(..5) == 0 {
            let library = Versioned::new(version);
            let len = random.usize(..library.bytes().len());
            soak.host.put(Versioned::FILE_NAME, &library.bytes()[..len]);
            soak.pause(Duration::from_millis(random.u64(..600)));
        }
        // Refused is the bad file, or one whose first worker was killed or found no descriptors. Never the same again:
        // of a file that is live already nothing more is said.
        let mut is_live = false;
        while !is_live && soak.goes_on() {
            version += 1;
            soak.host
                .put(Versioned::FILE_NAME, Versioned::new(version).bytes());
            let event =
                watch.wait_for(|event| event["state"] == "live" || event["state"] == "rejected");
            is_live = event["state"] == "live";
        }
        soak.counts
            .reloads
            .fetch_add(usize::from(is_live), Ordering::Relaxed);
    }
    watch.end();
}

/// Kills one worker after the other.
pub(super) fn kills(soak: &Soak, who: u64) {
    let mut random = soak.random(who);
    let mut served = soak.served.load(Ordering::Relaxed);
    while soak.goes_on() {
        soak.pause(Duration::from_millis(random.u64(50..500)));
        let now = soak.served.load(Ordering::Relaxed);
        if now < served + SERVED_BETWEEN_KILLS {
            continue;
        }
        let workers = soak.host.workers();
        // It may have ended by itself in between.
        if random
            .choice(&workers)
            .is_some_and(|worker| worker.try_kill())
        {
            soak.counts.killed.fetch_add(1, Ordering::Relaxed);
            served = now;
        }
    }
}

/// Has the host run out of descriptors now and then.
pub(super) fn starves(soak: &Soak, who: u64, time: Duration) {
    let mut random = soak.random(who);
    let (every, starved) = if time < SHORT {
        (time / 2, STARVED_SHORT)
    } else {
        (STARVED_EVERY, STARVED)
    };
    while soak.goes_on() {
        soak.pause(every.saturating_sub(starved));
        if !soak.goes_on() {
            return;
        }
        let left = random.u64(..4);
        let mut shortage = Shortage::of(soak);
        let end = Instant::now() + starved;
        while soak.goes_on() && Instant::now() < end {
            shortage.leave(left);
            thread::sleep(SHORTAGE_LOOK);
        }
        drop(shortage);
        soak.counts.starved.fetch_add(1, Ordering::Relaxed);
        soak.pause(RECOVERY);
        soak.is_starved.store(false, Ordering::Relaxed);
    }
    soak.is_starved.store(false, Ordering::Relaxed);
}

/// While it lives, the host may have hardly any descriptors that it doesn't have already.
struct Shortage {
    host: Process,
    files_max: u64,
    now: u64,
}

impl Shortage {
    fn of(soak: &Soak) -> Self {
        let host = soak.host.process();
        let files_max = host.open_files_limit().0.expect("a limit");
        soak.is_starved.store(true, Ordering::Relaxed);
        Self {
            host,
            files_max,
            now: files_max,
        }
    }

    /// Leaves it so many more than it has; what it gives back is not given to it again.
    fn leave(&mut self, left: u64) {
        self.now = self.now.min(self.host.fds() as u64 + left);
        self.host.set_open_files_limit(Some(self.now));
    }
}

impl Drop for Shortage {
    fn drop(&mut self) {
        self.host.set_open_files_limit(Some(self.files_max));
    }
}
