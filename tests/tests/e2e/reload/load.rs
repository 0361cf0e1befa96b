//! Reloads while clients are at work: nobody notices.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, Host, PluginWatch, Versioned};

use super::{put, serving_version_1, soak};

/// Connections whose requests have ids, and how many each has in flight.
const CONNECTIONS_WITH_IDS: usize = 7;
const IN_FLIGHT_EACH: usize = 8;
/// Connections whose requests have none: one in flight each, 64 together with the others.
const CONNECTIONS_WITHOUT_IDS: usize = 8;
/// The longest that a task takes, in milliseconds.
const TASK_MS_MAX: u64 = 200;
/// One file in so many is bad.
const BAD_EVERY: u32 = 5;
/// Of the bad ones, one in so many is waited for until it is refused.
const REFUSAL_WAITED_EVERY: u32 = 4;
/// What is said of the bad ones.
const BAD_REASONS: [&str; 5] = [
    "built for riscv",
    "incomplete",
    "not an ELF library",
    "it changed while it was read",
    "SIGABRT",
];
/// Pause between two killed workers, and answers in between: a row of crashes with nothing returned would be a crash
/// loop, and end in quarantine.
const KILL_PAUSE: Duration = Duration::from_millis(60);
const KILL_ANSWERS: usize = 5;

/// What became of one request.
struct Answer {
    sent: Instant,
    replied: Instant,
    /// The version that answered; none: its worker was killed.
    version: Option<u32>,
}

/// When a version could answer.
#[derive(Clone, Copy)]
struct Life {
    /// From before its file was put into place.
    from: Instant,
    /// Until it was said that the next one is live.
    until: Option<Instant>,
}

struct Load<'a> {
    host: &'a Host,
    stop: &'a AtomicBool,
    /// Errors that tasks may be answered with: their codes, and a text of theirs.
    errors: &'static [(&'static str, &'static str)],
    answered: AtomicUsize,
}

impl Load<'_> {
    /// Keeps requests in flight until it is told to stop; each is answered exactly once, or the test fails.
    fn with_ids(&self, seed: u64) -> Vec<Answer> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut client = self.host.client();
        let mut in_flight = HashMap::new();
        let mut answers = Vec::new();
        let mut next = 0u64;
        while !self.stop.load(Ordering::Relaxed) || !in_flight.is_empty() {
            while in_flight.len() < IN_FLIGHT_EACH && !self.stop.load(Ordering::Relaxed) {
                let args = json!({"ms": random.u64(..=TASK_MS_MAX)});
                in_flight.insert(next, Instant::now());
                client.send(json!({"id": next, "function": "version", "args": args}));
                next += 1;
            }
            if in_flight.is_empty() {
                break;
            }
            let reply = client.reply();
            let sent = reply.id.as_u64().and_then(|id| in_flight.remove(&id));
            let sent = sent.unwrap_or_else(|| panic!("answered twice, or never asked: {reply:?}"));
            answers.push(self.answer(sent, reply.outcome));
        }
        expect_silence(&mut client);
        answers
    }

    fn without_ids(&self, seed: u64) -> Vec<Answer> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut client = self.host.client();
        let mut answers = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let args = json!({"ms": random.u64(..=TASK_MS_MAX)});
            let sent = Instant::now();
            let outcome = client.call("version", args);
            answers.push(self.answer(sent, outcome));
        }
        expect_silence(&mut client);
        answers
    }

    fn answer(&self, sent: Instant, outcome: Result<Value, tests::Failure>) -> Answer {
        let version = match outcome {
            Ok(result) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                Some(u32::try_from(result["version"].as_u64().unwrap()).unwrap())
            }
            Err(failure) => {
                let mut errors = self.errors.iter();
                let may_be = errors
                    .any(|(code, text)| failure.code == *code && failure.message.contains(text));
                assert!(may_be, "{failure:?}");
                None
            }
        };
        Answer {
            sent,
            replied: Instant::now(),
            version,
        }
    }

    fn start<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
    ) -> Vec<ScopedJoinHandle<'scope, Vec<Answer>>> {
        let with =
            (0..CONNECTIONS_WITH_IDS).map(|seed| scope.spawn(move || self.with_ids(seed as u64)));
        let without = (0..CONNECTIONS_WITHOUT_IDS)
            .map(|seed| scope.spawn(move || self.without_ids(1000 + seed as u64)));
        with.chain(without).collect()
    }
}

/// Everything was answered: the next line is that of the next request.
#[track_caller]
fn expect_silence(client: &mut Client) {
    client.ping();
}

/// Puts one version after the other into place, and remembers when each could answer.
struct Reloads<'a> {
    host: &'a Host,
    watch: PluginWatch,
    lives: HashMap<u32, Life>,
    version: u32,
    /// Good ones, those that only crash, and changes of the configuration.
    good: u32,
    crashing: u32,
    configured: u32,
    bad: u32,
    refused: u32,
}

impl<'a> Reloads<'a> {
    fn new(host: &'a Host) -> Self {
        let from = Instant::now();
        Self {
            host,
            watch: PluginWatch::start(host),
            lives: HashMap::from([(1, Life { from, until: None })]),
            version: 1,
            good: 0,
            crashing: 0,
            configured: 0,
            bad: 0,
            refused: 0,
        }
    }

    /// A good file; returns when it is said to be live.
    fn good(&mut self) {
        self.good += 1;
        let next = 1 + self.good + self.crashing;
        loop {
            let from = Instant::now();
            put(self.host, &Versioned::new(next));
            let event = self.watch.wait_for(|event| {
                event["state"] == "live" || (event["state"] == "rejected" && !is_of_bad(event))
            });
            let now = Instant::now();
            if event["state"] == "rejected" {
                // Its first worker was among those that were killed.
                let reason = event["reason"].as_str().unwrap();
                assert!(reason.contains("SIGKILL"), "{event}");
                continue;
            }
            if let Some(life) = self.lives.get_mut(&self.version) {
                life.until = Some(now);
            }
            self.lives.insert(next, Life { from, until: None });
            self.version = next;
            return;
        }
    }

    /// A bad file; that it is refused is not always waited for, since what looks unfinished is given time.
    fn bad(&mut self) {
        let library = Versioned::new(0);
        self.bad += 1;
        match self.bad % 3 {
            0 => put(self.host, &library.with_byte(18, 243)),
            1 => {
                let bytes = library.bytes();
                let len = fastrand::usize(..bytes.len());
                self.host.put(Versioned::FILE_NAME, &bytes[..len]);
            }
            _ => put(self.host, &library.mode("ctor_crash")),
        }
        if self.bad.is_multiple_of(REFUSAL_WAITED_EVERY) {
            self.watch.wait_for_state("rejected");
            self.refused += 1;
        }
    }

    /// Code that only crashes; returns when the code before it serves again.
    fn crashing(&mut self) {
        self.crashing += 1;
        let next = 1 + self.good + self.crashing;
        put(self.host, &Versioned::new(next).mode("crash"));
        self.watch.wait_for_state("live");
        let event = self.watch.wait_for_state("live");
        let refused = self.watch.wait_for_state("rejected");
        let reason = refused["reason"].as_str().unwrap();
        assert!(reason.contains("rolled back"), "{event}, {refused}");
    }

    /// Another configuration; returns when what serves is run by it.
    fn configure(&mut self) {
        self.configured += 1;
        let config = format!(
            "{CONFIG}\nconfig = {{ greeting = \"{}\" }}",
            self.configured
        );
        let file = self.host.folder().join("host.toml");
        fs::write(file, config).unwrap();
        self.host.signal(Signal::HUP);
        self.watch.wait_for_state("live");
    }

    fn run(&mut self, count: u32) {
        for n in 1..=count {
            if n % BAD_EVERY == 0 {
                self.bad();
            }
            self.good();
        }
    }
}

/// Whether a bad file was refused, for what is wrong with it.
fn is_of_bad(event: &Value) -> bool {
    let reason = event["reason"].as_str().unwrap();
    BAD_REASONS.iter().any(|text| reason.contains(text))
}

/// Each answer came from a version that was live between the request and the reply.
fn check(answers: &[Answer], lives: &HashMap<u32, Life>) {
    for answer in answers {
        let Some(version) = answer.version else {
            continue;
        };
        let life = lives.get(&version);
        let life = life.unwrap_or_else(|| panic!("version {version} was never said to be live"));
        assert!(
            life.from <= answer.replied,
            "version {version} answered before it was there"
        );
        let late = life
            .until
            .and_then(|until| answer.sent.checked_duration_since(until));
        assert!(
            late.is_none(),
            "a request reached version {version} {late:?} after the next one was said to be live"
        );
    }
}

const CONFIG: &str = "[plugins.versioned]\nworkers = 16\nslots = 4";

#[test]
fn roll_backs_and_configurations_in_between_lose_nothing() {
    let host = serving_version_1(CONFIG);
    let stop = AtomicBool::new(false);
    let load = Load {
        host: &host,
        stop: &stop,
        errors: &[
            ("worker_crashed", "SIGABRT"),
            ("unavailable", "crashes in a row"),
        ],
        answered: AtomicUsize::new(0),
    };
    let mut reloads = Reloads::new(&host);
    let start = Instant::now();
    let answers: Vec<Answer> = thread::scope(|scope| {
        let clients = load.start(scope);
        let guard = StopAtEnd(&stop);
        for _ in 0..soak::or(250, 8) {
            reloads.good();
            reloads.configure();
            reloads.crashing();
            reloads.good();
        }
        drop(guard);
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    check(&answers, &reloads.lives);
    report(&reloads, &answers, start.elapsed());
}

#[test]
fn clients_do_not_notice_reloads() {
    let host = serving_version_1(CONFIG);
    let stop = AtomicBool::new(false);
    let load = Load {
        host: &host,
        stop: &stop,
        errors: &[],
        answered: AtomicUsize::new(0),
    };
    let mut reloads = Reloads::new(&host);
    let start = Instant::now();
    let answers: Vec<Answer> = thread::scope(|scope| {
        let clients = load.start(scope);
        let guard = StopAtEnd(&stop);
        reloads.run(soak::or(1000, 60));
        drop(guard);
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    check(&answers, &reloads.lives);
    assert!(reloads.refused > 0);
    report(&reloads, &answers, start.elapsed());
}

#[test]
fn killed_workers_are_answered_for_and_nothing_else_suffers() {
    // One task a worker, so that no more tasks are hit than workers. No first moments in which a version is rolled back:
    // the answers between two kills may all be of the version before.
    let config = "[plugins.versioned]\nworkers = 64\n[reload]\nprobation = \"1ms\"";
    let host = serving_version_1(config);
    let stop = AtomicBool::new(false);
    let load = Load {
        host: &host,
        stop: &stop,
        errors: &[("worker_crashed", "SIGKILL")],
        answered: AtomicUsize::new(0),
    };
    let mut reloads = Reloads::new(&host);
    let start = Instant::now();
    let (answers, killed) = thread::scope(|scope| {
        let clients = load.start(scope);
        let killer = scope.spawn(|| kill_workers(&load));
        let guard = StopAtEnd(&stop);
        reloads.run(soak::or(1000, 30));
        drop(guard);
        let answers: Vec<Answer> = clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect();
        (answers, killer.join().unwrap())
    });
    check(&answers, &reloads.lives);
    let crashed = answers
        .iter()
        .filter(|answer| answer.version.is_none())
        .count();
    assert!(
        crashed <= killed,
        "{crashed} tasks of {killed} killed workers"
    );
    assert!(
        crashed > 0,
        "{killed} workers were killed, and no task with them"
    );
    report(&reloads, &answers, start.elapsed());
}

/// Kills one worker after the other, and says how many.
fn kill_workers(load: &Load<'_>) -> usize {
    let mut killed = 0;
    let mut answered = 0;
    while !load.stop.load(Ordering::Relaxed) {
        thread::sleep(KILL_PAUSE);
        let now = load.answered.load(Ordering::Relaxed);
        if now < answered + KILL_ANSWERS {
            continue;
        }
        let workers = load.host.workers();
        // It may have ended by itself in between.
        if fastrand::choice(&workers).is_some_and(|worker| worker.try_kill()) {
            killed += 1;
            answered = now;
        }
    }
    killed
}

/// Lets the clients end, also when the test fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// For whoever runs the full sizes.
fn report(reloads: &Reloads<'_>, answers: &[Answer], took: Duration) {
    let mut line = String::new();
    let crashed = answers
        .iter()
        .filter(|answer| answer.version.is_none())
        .count();
    let written = write!(
        line,
        "{} reloads, {} roll-backs, {} configurations, {} bad files ({} of them waited for) in {took:.1?}: {} answers, {crashed} of workers that died",
        reloads.good,
        reloads.crashing,
        reloads.configured,
        reloads.bad,
        reloads.refused,
        answers.len(),
    );
    written.unwrap();
    soak::report(&line);
}
