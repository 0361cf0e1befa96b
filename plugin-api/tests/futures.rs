//! Handlers that are futures.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use plugin_api::{
    Task, TaskError, plugin,
    testing::{self, CallError, Opened},
    tracing,
};
use tokio::sync::{Barrier, Semaphore};

/// Longer than any test waits.
const LONG: Duration = Duration::from_secs(3600);

struct Futures {
    calls: AtomicU64,
    barrier: Barrier,
    gate: Arc<Semaphore>,
}

impl Default for Futures {
    fn default() -> Self {
        Self {
            calls: AtomicU64::new(0),
            barrier: Barrier::new(64),
            gate: Arc::new(Semaphore::new(0)),
        }
    }
}

#[plugin]
impl Futures {
    /// What a sync handler spawns on the plugin's runtime.
    #[handler]
    fn by_runtime(&self, args: u64) -> Result<u64, TaskError> {
        Ok(
            plugin_api::runtime()
                .block_on(async { tokio::spawn(async move { args + 1 }).await })?,
        )
    }

    #[handler]
    async fn plain(&self) -> Result<u64, TaskError> {
        Ok(self.calls.fetch_add(1, Ordering::Relaxed) + 1)
    }

    #[handler]
    async fn all(&self, args: String, task: &Task) -> Result<(String, u64), TaskError> {
        tokio::task::yield_now().await;
        Ok((args, task.id()))
    }

    #[handler]
    async fn with_task(&self, task: &Task) -> Result<u64, TaskError> {
        Ok(task.id())
    }

    #[handler]
    async fn meet(&self, args: u64) -> Result<u64, TaskError> {
        self.barrier.wait().await;
        Ok(args)
    }

    #[handler]
    async fn panic_late(&self) -> Result<(), TaskError> {
        tokio::task::yield_now().await;
        panic!("late");
    }

    #[handler]
    async fn fail(&self) -> Result<(), TaskError> {
        let parsed: Result<u8, _> = "x".parse();
        parsed?;
        Ok(())
    }

    #[handler]
    async fn until_cancelled(&self, task: &Task) -> Result<&'static str, TaskError> {
        task.progress(1, 1, "");
        tokio::select! {
            () = tokio::time::sleep(LONG) => Ok("slept"),
            () = task.cancelled() => {
                task.check()?;
                Ok("unreachable")
            }
        }
    }

    #[handler]
    async fn log(&self, args: u64) -> Result<(), TaskError> {
        for step in 0..3_u64 {
            tracing::info!(args, step, "step");
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    #[handler]
    async fn wait(&self, task: &Task) -> Result<(), TaskError> {
        task.progress(1, 1, "");
        let _permit = Arc::clone(&self.gate).acquire_owned().await?;
        Ok(())
    }

    #[handler]
    fn open_gate(&self) -> Result<(), TaskError> {
        self.gate.add_permits(1);
        Ok(())
    }
}

fn opened() -> Opened<Futures> {
    testing::open::<Futures>(()).unwrap().slots(64)
}

#[test]
fn futures_of_every_form_answer() {
    let futures = opened();
    assert_eq!(futures.call("plain", ()).unwrap(), 1);
    assert_eq!(futures.call("plain", ()).unwrap(), 2);
    assert_eq!(futures.call("all", "x").unwrap()[0], "x");
    assert!(futures.call("with_task", ()).unwrap().is_u64());
    assert_eq!(futures.call("fail", ()).unwrap_err().kind(), Some("error"));
    let refused = futures.call("all", 5).unwrap_err();
    assert!(matches!(refused, CallError::InvalidArgs(_)), "{refused}");
}

#[test]
fn the_runtime_is_within_reach_of_sync_handlers_and_threads() {
    let futures = opened();
    assert_eq!(futures.call("by_runtime", 1).unwrap(), 2);
    // Where no plugin runs, there is none, and that is said.
    let panic = thread::spawn(|| drop(plugin_api::runtime()))
        .join()
        .unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("is for `open` and handlers"), "{text}");
}

#[test]
fn many_wait_at_once_on_few_threads() {
    let futures = opened();
    let running: Vec<_> = (0..64)
        .map(|number| futures.prepare("meet", number).start())
        .collect();
    for (running, number) in running.into_iter().zip(0..) {
        let result: u64 = serde_json::from_value(running.wait().result.unwrap()).unwrap();
        assert_eq!(result, number);
    }
}

#[test]
fn a_panic_in_a_poll_is_located_and_the_runtime_lives() {
    let futures = opened();
    for _ in 0..4 {
        let CallError::Panicked(text) = futures.call("panic_late", ()).unwrap_err() else {
            panic!("not answered as a panic");
        };
        assert!(
            text.starts_with("panicked at plugin-api/tests/futures.rs:"),
            "{text}"
        );
        assert!(text.ends_with(": late"), "{text}");
    }
    assert_eq!(futures.call("plain", ()).unwrap(), 1);
}

#[test]
fn a_future_hears_that_it_is_cancelled() {
    let running = opened().prepare("until_cancelled", ()).start();
    running.wait_for_progress(1);
    running.cancel();
    assert!(matches!(
        running.wait().result,
        Err(CallError::Cancelled(_))
    ));
}

#[test]
fn events_of_a_future_belong_to_its_task_on_whatever_thread_it_runs() {
    let futures = opened();
    let running: Vec<_> = (0..8_u64)
        .map(|number| futures.prepare("log", number).start())
        .collect();
    for (running, number) in running.into_iter().zip(0_u64..) {
        let logs = running.wait().logs;
        assert_eq!(logs.len(), 3);
        assert!(
            logs.iter().all(|log| log.fields["args"] == number),
            "{logs:?}"
        );
    }
}

#[test]
fn a_future_may_wait_for_a_handler_that_is_none() {
    let futures = opened();
    let running = futures.prepare("wait", ()).start();
    running.wait_for_progress(1);
    futures.call("open_gate", ()).unwrap();
    assert_eq!(running.wait().result.unwrap(), serde_json::json!(null));
}

#[test]
fn what_still_runs_when_the_plugin_is_closed_is_answered() {
    let futures = opened();
    let running = futures.prepare("wait", ()).start();
    running.wait_for_progress(1);
    futures.close();
    assert_eq!(running.wait().result.unwrap_err(), CallError::Abandoned);
}

#[test]
fn the_kit_works_inside_a_runtime_of_the_test() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let futures = opened();
        assert_eq!(futures.call("plain", ()).unwrap(), 1);
    });
    thread::spawn(|| drop(opened())).join().unwrap();
}
