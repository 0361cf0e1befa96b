//! The testing kit keeps the bounds that a worker and its host keep, and says what they say.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Barrier, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use plugin_api::{
    Completion, Task, TaskError, limits, plugin,
    testing::{self, CallError, Finished, Opened},
    verdict::Code,
};
use serde_json::json;

#[derive(Default)]
struct Bounded {
    running: AtomicUsize,
    running_most: AtomicUsize,
    gate: Mutex<bool>,
    opened: Condvar,
    four: Four,
}

struct Four(Barrier);

impl Default for Four {
    fn default() -> Self {
        Self(Barrier::new(4))
    }
}

#[plugin]
impl Bounded {
    /// Does nothing until the gate is opened, whatever it is told.
    #[handler(timeout = "300ms")]
    fn deaf(&self) -> Result<&'static str, TaskError> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = self.opened.wait_while(gate, |open| !*open);
        drop(wait.unwrap_or_else(PoisonError::into_inner));
        Ok("late")
    }

    /// Works until it is told to stop.
    #[handler(timeout = "300ms")]
    fn endless(&self, task: &Task) -> Result<(), TaskError> {
        loop {
            task.check()?;
            std::thread::yield_now();
        }
    }

    #[handler(timeout = "300ms")]
    async fn endless_future(&self, task: &Task) -> Result<(), TaskError> {
        task.cancelled().await;
        task.check()
    }

    #[handler(timeout = "300ms")]
    fn parked(&self, completion: Completion<()>) {
        std::mem::forget(completion);
    }

    /// Says how far it came when it is told to stop.
    #[handler]
    fn says_how_far(&self, task: &Task) -> Result<(), TaskError> {
        task.progress(1, 2, "");
        while !task.is_cancelled() {
            std::thread::yield_now();
        }
        Err(TaskError::new("stopped", "1 of 2 sent").data(json!({"sent": 1})))
    }

    #[handler]
    fn side_by_side(&self) -> Result<(), TaskError> {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.running_most.fetch_max(running, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(2));
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }

    #[handler]
    fn running_most(&self) -> Result<usize, TaskError> {
        Ok(self.running_most.load(Ordering::SeqCst))
    }

    /// Returns once four of it run.
    #[handler]
    fn four(&self) -> Result<(), TaskError> {
        self.four.0.wait();
        Ok(())
    }

    /// Results in a JSON text of `args` bytes.
    #[handler]
    fn long(&self, args: usize) -> Result<String, TaskError> {
        Ok("x".repeat(args - 2))
    }

    #[handler]
    fn long_error(&self, args: usize) -> Result<(), TaskError> {
        Err(TaskError::new("own", "x".repeat(args)).retryable())
    }

    #[handler]
    fn limit_ms(&self, task: &Task) -> Result<Option<u128>, TaskError> {
        Ok(task.remaining().map(|left| left.as_millis()))
    }

    #[handler]
    fn stack(&self) -> Result<usize, TaskError> {
        /// Takes more stack than a test's own thread has.
        fn deep(depth: usize) -> usize {
            let frame = std::hint::black_box([depth; 1024]);
            if depth == 0 {
                0
            } else {
                1 + deep(frame[0] - 1)
            }
        }
        Ok(deep(300))
    }
}

impl Bounded {
    fn open_gate(&self) {
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }
}

fn opened() -> Opened<Bounded> {
    testing::open(()).unwrap()
}

/// What a client reads, in short.
fn told(finished: &Finished) -> (Code, bool, String) {
    let error = finished.error.as_ref().unwrap();
    let digits_gone = error.message.split_inclusive(char::is_whitespace);
    let words = digits_gone.filter(|word| !word.starts_with(|c: char| c.is_ascii_digit()));
    (error.code, error.started, words.collect())
}

const TIME_WAS_UP: &str = "its time was up after the handler had run for ms";

#[test]
fn time_limits_hold() {
    let plugin = opened();
    for function in ["endless", "endless_future"] {
        let start = Instant::now();
        let finished = plugin.prepare(function, ()).run();
        assert!(start.elapsed() >= Duration::from_millis(300));
        let Err(CallError::Timeout(message)) = &finished.result else {
            panic!("{function}: {:?}", finished.result);
        };
        assert_eq!(*message, finished.error.as_ref().unwrap().message);
        let (code, started, words) = told(&finished);
        assert_eq!(
            (code, started, words.as_str()),
            (Code::Timeout, true, TIME_WAS_UP)
        );
        assert!(!finished.killed, "it stopped when it was told");
    }
}

#[test]
fn what_goes_on_past_the_grace_would_be_killed() {
    let plugin = opened();
    for function in ["deaf", "parked"] {
        let finished = plugin.prepare(function, ()).run();
        assert!(
            matches!(finished.result, Err(CallError::Timeout(_))),
            "{function}"
        );
        assert!(finished.killed, "{function}");
    }
    // Its slot is that of a new worker.
    assert_eq!(plugin.call("side_by_side", ()).unwrap(), json!(null));
}

#[test]
fn a_handler_that_returns_within_the_grace_is_late_and_not_killed() {
    let plugin = opened().slots(2);
    let deaf = plugin.prepare("deaf", ()).start();
    // The other one's time is over after that of the first.
    assert!(plugin.call("endless", ()).is_err());
    plugin.state().open_gate();
    let finished = deaf.wait();
    assert!(matches!(finished.result, Err(CallError::Timeout(_))));
    assert!(!finished.killed);
}

#[test]
fn a_cancelled_task_is_told_as_a_client_would_be() {
    let plugin = opened();
    let running = plugin.prepare("says_how_far", ()).start();
    running.wait_for_progress(1);
    running.cancel();
    let finished = running.wait();
    assert_eq!(
        finished.result.as_ref().unwrap_err().kind(),
        Some("stopped")
    );
    let error = finished.error.unwrap();
    assert_eq!(error.code, Code::Cancelled);
    assert_eq!(error.message, "cancelled while it ran: 1 of 2 sent");
    assert_eq!(
        error.data.unwrap(),
        r#"{"kind":"stopped","data":{"sent":1}}"#
    );
}

#[test]
fn one_slot_is_one_task_at_a_time() {
    let plugin = opened();
    let running: Vec<_> = (0..8)
        .map(|_| plugin.prepare("side_by_side", ()).start())
        .collect();
    for one in running {
        one.wait().result.unwrap();
    }
    assert_eq!(plugin.call("running_most", ()).unwrap(), 1);
}

#[test]
fn as_many_tasks_run_at_once_as_there_are_slots() {
    let plugin = opened().slots(4);
    let running: Vec<_> = (0..4).map(|_| plugin.prepare("four", ()).start()).collect();
    for one in running {
        one.wait().result.unwrap();
    }
}

#[test]
fn what_waits_for_a_slot_may_end_before_it_begins() {
    let plugin = opened();
    let holds = plugin.prepare("says_how_far", ()).start();
    holds.wait_for_progress(1);
    let waits = plugin.prepare("limit_ms", ());
    let finished = waits.timeout(Duration::from_millis(20)).run();
    let (code, started, words) = told(&finished);
    assert_eq!((code, started), (Code::Timeout, false));
    assert_eq!(words, "its time was up before it began");

    let waits = plugin.prepare("limit_ms", ()).start();
    waits.cancel();
    let (code, started, words) = told(&waits.wait());
    assert_eq!((code, started), (Code::Cancelled, false));
    assert_eq!(words, "cancelled before it began");
    holds.cancel();
    assert!(holds.wait().result.is_err());
}

#[test]
fn a_result_has_the_room_that_a_line_leaves() {
    let plugin = opened();
    let len_max = limits::result_len_max(limits::LINE_LEN_MAX_DEFAULT);
    let longest = plugin.call("long", len_max).unwrap();
    assert_eq!(longest.as_str().unwrap().len(), len_max - 2);
    let finished = plugin.prepare("long", len_max + 1).run();
    let error = finished.error.unwrap();
    assert_eq!(error.code, Code::ResultTooLarge);
    assert_eq!(
        error.message,
        "the handler's result has 10485249 bytes, and 10485248 are the most; let it write a file and return the path"
    );
    assert_eq!(
        finished.result,
        Err(CallError::ResultTooLarge(error.message))
    );
}

#[test]
fn a_long_error_is_cut_and_keeps_its_kind() {
    let failed = opened().call("long_error", 11 * 1024 * 1024).unwrap_err();
    let CallError::Failed {
        kind,
        message,
        retryable,
        ..
    } = failed
    else {
        panic!("{failed}");
    };
    assert_eq!((kind.as_str(), retryable), ("own", true));
    assert!(message.ends_with("x… (cut, it has 11534336 bytes)"));
    assert!(message.len() < limits::TEXT_LEN_MAX + 100);
}

#[test]
fn a_task_has_a_minute_unless_somebody_says_otherwise() {
    let plugin = opened();
    let left = plugin.call("limit_ms", ()).unwrap().as_u64().unwrap();
    assert!((30_000..=60_000).contains(&left), "{left}");
    // What a client gives is no more than the author's limit.
    let hour = Duration::from_secs(3600);
    let left = plugin.prepare("limit_ms", ()).timeout(hour).run();
    assert!(left.result.unwrap().as_u64().unwrap() <= 60_000);
    let second = Duration::from_secs(1);
    let left = plugin.prepare("limit_ms", ()).timeout(second).run();
    assert!(left.result.unwrap().as_u64().unwrap() <= 1_000);
}

#[test]
fn a_handler_has_the_stack_of_a_worker() {
    assert_eq!(opened().call("stack", ()).unwrap(), 300);
}
