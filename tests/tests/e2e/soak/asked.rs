//! What is asked, and what may be answered to it.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tests::Failure;

/// Longest that a task sleeps that isn't stopped, in milliseconds.
const TASK_MS_MAX: u64 = 100;

/// A request that is on its way.
pub(super) struct Asked {
    /// Without its id.
    pub(super) request: Value,
    expected: Expected,
    /// A worker of this plugin runs it.
    plugin: Option<&'static str>,
    /// Whether it goes on until it is cancelled.
    pub(super) is_endless: bool,
    pub(super) was_cancelled: bool,
}

#[derive(Clone, PartialEq)]
enum Expected {
    Exactly(Value),
    Text(usize),
    Anything,
    Error(&'static str),
}

impl Asked {
    fn new(plugin: &'static str, function: &str, args: Value, expected: Expected) -> Self {
        let mut request = json!({"function": function});
        request["args"] = args;
        Self {
            request,
            expected,
            plugin: Some(plugin),
            is_endless: false,
            was_cancelled: false,
        }
    }

    /// The same each time, and quick.
    pub(super) fn small_echo() -> Self {
        let args = json!({"to": "me@example.org"});
        Self::new("good", "echo", args.clone(), Expected::Exactly(args))
    }

    /// Any request, but for those that only a connection with ids can make.
    pub(super) fn random(random: &mut fastrand::Rng) -> Self {
        let ms = random.u64(..=TASK_MS_MAX);
        match random.u8(..20) {
            0..6 => {
                let args =
                    json!({"number": random.u64(..), "text": "ü".repeat(random.usize(..200))});
                Self::new("good", "echo", args.clone(), Expected::Exactly(args))
            }
            6 => {
                let args = json!("x".repeat(random.usize(..100_000)));
                Self::new("good", "echo", args.clone(), Expected::Exactly(args))
            }
            7 => {
                let len = random.usize(..300_000);
                Self::new("good", "big", json!({"len": len}), Expected::Text(len))
            }
            8..11 => Self::new("good", "sleep", json!({"ms": ms}), Expected::Anything),
            11 => Self::new("good", "async_sleep", json!({"ms": ms}), Expected::Anything),
            12..15 => Self::new(
                "versioned",
                "version",
                json!({"ms": ms}),
                Expected::Anything,
            ),
            15 => {
                let args = json!({"kind": "k", "message": "m"});
                Self::new("good", "fail", args, Expected::Error("handler_failed"))
            }
            16 => {
                let args = json!({"ms": 60_000});
                let mut asked = Self::new("good", "sleep", args, Expected::Error("timeout"));
                asked.request["timeout_ms"] = random.u64(1..200).into();
                asked
            }
            17 => Self {
                plugin: None,
                ..Self::new(
                    "",
                    "no_such",
                    json!({}),
                    Expected::Error("unknown_function"),
                )
            },
            18 => Self::new("evil", "ok", json!({}), Expected::Anything),
            _ => {
                let how = random
                    .choice(["abort", "segfault", "exit"])
                    .unwrap_or("abort");
                Self::new("evil", how, json!({}), Expected::Error("worker_crashed"))
            }
        }
    }

    /// Any request.
    pub(super) fn random_with_id(random: &mut fastrand::Rng) -> Self {
        match random.u8(..10) {
            0 => {
                let args = json!({"steps": 5, "ms": 2});
                let mut asked = Self::new("good", "progress", args, Expected::Exactly(json!(5)));
                asked.request["progress"] = true.into();
                asked
            }
            1 => {
                let mut asked =
                    Self::new("good", "sleep", json!({"ms": 600_000}), Expected::Anything);
                asked.is_endless = true;
                asked
            }
            _ => Self::random(random),
        }
    }

    /// Fails the test unless this may be the answer. Whether the plugin answered, and the worker goes on.
    pub(super) fn expect(&self, outcome: &Result<Value, Failure>, counts: &Counts) -> bool {
        counts.answered.fetch_add(1, Ordering::Relaxed);
        match (outcome, &self.expected) {
            (Ok(result), Expected::Exactly(expected)) if result == expected => true,
            (Ok(result), Expected::Text(len))
                if result.as_str().is_some_and(|text| text.len() == *len) =>
            {
                true
            }
            (Ok(_), Expected::Anything) if !self.is_endless => true,
            (Err(failure), Expected::Error(code)) if failure.code == *code => {
                failure.code == "handler_failed"
            }
            (Err(failure), _) => {
                self.expect_failure(failure, counts);
                false
            }
            (Ok(result), _) => panic!("{result} to {}", self.request),
        }
    }

    fn expect_failure(&self, failure: &Failure, counts: &Counts) {
        let text = format!("{failure:?} to {}", self.request);
        match (failure.code.as_str(), self.plugin) {
            ("cancelled", Some(_)) => assert!(self.was_cancelled, "{text}"),
            // It is meant to crash over and over, and waits in quarantine then.
            ("unavailable" | "worker_crashed", Some("evil")) => {}
            ("worker_crashed", Some(_)) => {
                assert!(failure.message.contains("SIGKILL"), "{text}");
                counts.crashed.fetch_add(1, Ordering::Relaxed);
            }
            _ => panic!("{text}"),
        }
    }
}

/// What has happened so far.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) answered: AtomicUsize,
    /// Tasks of others than `evil` whose worker was killed.
    crashed: AtomicUsize,
    /// Workers that were killed.
    pub(super) killed: AtomicUsize,
    pub(super) bad_lines: AtomicUsize,
    pub(super) vanished: AtomicUsize,
    pub(super) reloads: AtomicUsize,
    pub(super) starved: AtomicUsize,
}

impl Counts {
    /// A worker has one slot, so it takes one task with it.
    pub(super) fn expect_all_answered_for(&self) {
        let (crashed, killed) = (&self.crashed, &self.killed);
        assert!(
            crashed.load(Ordering::Relaxed) <= killed.load(Ordering::Relaxed),
            "more tasks have crashed than workers were killed: {self}"
        );
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        write!(
            f,
            "{} answers, each once; {} workers killed, {} tasks with them; {} bad lines, {} clients that vanished, \
             {} reloads, descriptors ran out {} times",
            of(&self.answered),
            of(&self.killed),
            of(&self.crashed),
            of(&self.bad_lines),
            of(&self.vanished),
            of(&self.reloads),
            of(&self.starved)
        )
    }
}
