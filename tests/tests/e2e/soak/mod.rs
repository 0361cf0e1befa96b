//! Everything at once, for as long as one likes: clients of every kind, new code, killed workers, a log that is read now
//! and then, descriptors that run out. Each request is answered once, and in the end nothing is left over.
//!
//! `SOAK` makes it 30 minutes, or as many seconds as it says where it says a number. What happens follows from a seed that
//! is printed, and can be given by `SOAK_SEED`; when it happens is up to the machine.

mod asked;
mod clients;
mod figures;
mod upsets;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tests::{Host, LogPipe, Plugin, Setup, Versioned, wait_for};

use self::asked::Counts;
use self::figures::{Holdings, Latencies};

const USUAL: Duration = Duration::from_secs(8);
const FULL: Duration = Duration::from_secs(30 * 60);
/// Of a small request beside all else, in full size: at most.
const P99_MAX: Duration = Duration::from_millis(50);
/// How much more memory the host may hold: what an allocator keeps by chance of replies that nobody read.
const RSS_GROWTH_MAX: u64 = 32 << 20;

/// More workers of `good` than requests for them, so that none waits for another.
const CONFIG: &str = "
[worker]
cancel_grace = \"500ms\"
idle_timeout = \"1s\"
[reload]
probation = \"1ms\"
[plugins.good]
workers = 128
[plugins.evil]
workers = 2
[plugins.versioned]
workers = 4
";

/// One of each plugin.
const FUNCTIONS: [&str; 3] = ["echo", "ok", "version"];

/// What all threads share.
struct Soak {
    host: Host,
    seed: u64,
    /// This phase is over.
    stop: AtomicBool,
    /// Descriptors have run out, or did so just now.
    is_starved: AtomicBool,
    /// Requests that a plugin answered well: between two kills there must be some.
    served: AtomicUsize,
    counts: Counts,
}

impl Soak {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Sleeps for so long, or until the phase is over.
    fn pause(&self, time: Duration) {
        let end = Instant::now() + time;
        while self.goes_on() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10).min(time));
        }
    }

    fn random(&self, who: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed ^ who.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }
}

fn size() -> (Duration, bool) {
    match env::var("SOAK") {
        Err(_) => (USUAL, false),
        Ok(seconds) => match seconds.parse() {
            Ok(seconds @ 2..) => (Duration::from_secs(seconds), true),
            _ => (FULL, true),
        },
    }
}

#[test]
fn whatever_happens_each_request_is_answered_once_and_nothing_is_left_over() {
    let (time, is_full) = size();
    let seed = env::var("SOAK_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    figures::report(&format!("SOAK_SEED={seed}, {time:?}"));
    let setup = Setup::new()
        .plugin(Plugin::Good)
        .plugin(Plugin::Evil)
        .file(Versioned::FILE_NAME, Versioned::new(1).bytes())
        .config(CONFIG);
    let log = LogPipe::new(setup.folder());
    let setup = setup.log_to(log.path());
    let (is_over, is_well) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| upsets::read_log(log, seed, &is_over, &is_well));
        let _over = SetAtEnd(&is_over);
        let mut soak = Soak {
            host: setup.start(),
            seed,
            stop: AtomicBool::new(false),
            is_starved: AtomicBool::new(false),
            served: AtomicUsize::new(0),
            counts: Counts::default(),
        };
        let warm_up = time / 5;
        phase(&soak, warm_up);
        let before = at_rest(&soak.host);
        soak.seed = seed.wrapping_add(1);
        let latencies = phase(&soak, time - warm_up);
        let after = expect_no_more_than(&soak.host, before);
        figures::report(&format!(
            "{}; {latencies}; {before:?}, then {after:?}",
            soak.counts
        ));
        soak.counts.expect_all_answered_for();
        assert_eq!(soak.host.client().status()["panics"], 0);
        if is_full {
            assert!(latencies.p99() < P99_MAX, "{latencies}");
        }
        is_well.store(true, Ordering::Relaxed);
    });
}

/// Everything at once for so long, and then until all is answered.
fn phase(soak: &Soak, time: Duration) -> Latencies {
    soak.stop.store(false, Ordering::Relaxed);
    thread::scope(|scope| {
        let stop = SetAtEnd(&soak.stop);
        let echo = scope.spawn(|| clients::small_echo(soak));
        for who in 0..3 {
            scope.spawn(move || clients::with_ids(soak, who));
            scope.spawn(move || clients::without_ids(soak, 10 + who));
        }
        scope.spawn(|| clients::slow_reader(soak, 20));
        scope.spawn(|| clients::vanishing(soak, 21));
        scope.spawn(|| upsets::reloads(soak, 30));
        scope.spawn(|| upsets::kills(soak, 31));
        scope.spawn(|| upsets::starves(soak, 32, time));
        soak.pause(time);
        drop(stop);
        echo.join().unwrap()
    })
}

/// What the host holds when all is answered, and one worker of each plugin is left.
fn at_rest(host: &Host) -> Holdings {
    expect_rest(host, |_| true)
}

/// Waits until it is at rest and holds what is wanted; says what it does otherwise.
fn expect_rest(host: &Host, is_wanted: impl Fn(&Holdings) -> bool) -> Holdings {
    let mut last = String::new();
    let rest = catch_unwind(AssertUnwindSafe(|| {
        wait_for("the host to come to rest", || match unrest(host) {
            None => {
                let holdings = Holdings::of(host);
                last = format!("it holds {holdings:?}");
                is_wanted(&holdings).then_some(holdings)
            }
            Some(unrest) => {
                last = unrest;
                None
            }
        })
    }));
    rest.unwrap_or_else(|_| panic!("no rest: {last}"))
}

/// What the host still has to do.
fn unrest(host: &Host) -> Option<String> {
    let mut client = host.client();
    // Its only worker may have been the last that was killed; `evil` may be in quarantine for a while.
    for function in FUNCTIONS {
        if let Err(failure) = client.call(function, json!({})) {
            return Some(format!("{failure:?} to {function}"));
        }
    }
    let status = client.status();
    let workers = host.workers().len();
    // This connection, and this request.
    let is_idle = status["in_flight"] == 1 && status["connections"] == 1;
    (!is_idle || workers != FUNCTIONS.len()).then(|| format!("{workers} workers, {status}"))
}

fn expect_no_more_than(host: &Host, before: Holdings) -> Holdings {
    let after = expect_rest(host, |now| now.is_no_more_than(&before));
    let grown = after.rss.saturating_sub(before.rss);
    assert!(grown < RSS_GROWTH_MAX, "{before:?}, then {after:?}");
    after
}

/// Sets it also when the test fails, so that nobody goes on without it.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
