//! Fixture plugin of the end-to-end tests: it behaves, in every way a plugin may.
#![forbid(unsafe_code)]

use std::{
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use plugin_api::{PluginError, Task, TaskError, plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};

/// How late a sleeping handler may notice that its task is cancelled.
const NAP: Duration = Duration::from_millis(5);

struct Good {
    config: Value,
    calls: AtomicU64,
}

#[derive(Deserialize, JsonSchema)]
struct Sleep {
    /// How long to sleep, in milliseconds.
    ms: u64,
}

#[derive(Serialize, JsonSchema)]
struct Slept {
    /// How long it was, in milliseconds.
    slept_ms: u128,
}

#[derive(Deserialize, JsonSchema)]
struct Steps {
    /// How many steps to take.
    steps: u64,
    /// How long each of them takes, in milliseconds.
    #[serde(default)]
    ms: u64,
}

#[derive(Deserialize, JsonSchema)]
struct Big {
    /// The length of the result, in bytes.
    len: usize,
}

#[derive(Deserialize, JsonSchema)]
struct Fail {
    kind: String,
    message: String,
    #[serde(default)]
    retryable: bool,
    data: Option<Value>,
}

#[derive(Deserialize, JsonSchema)]
struct Log {
    level: Level,
    message: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

#[derive(Serialize, JsonSchema)]
struct Count {
    /// Calls of this function in this process.
    count: u64,
    pid: u32,
}

#[plugin(slots = 1)]
impl Good {
    fn open(config: Value) -> Result<Self, PluginError> {
        tracing::info!(%config, "opened");
        Ok(Self {
            config,
            calls: AtomicU64::new(0),
        })
    }

    /// Results in its arguments, byte for byte.
    #[handler]
    fn echo(&self, args: Box<RawValue>) -> Result<Box<RawValue>, TaskError> {
        Ok(args)
    }

    /// Sleeps, and stops when it is cancelled.
    #[handler]
    fn sleep(&self, args: Sleep, task: &Task) -> Result<Slept, TaskError> {
        let start = Instant::now();
        let duration = Duration::from_millis(args.ms);
        while let Some(left) = duration
            .checked_sub(start.elapsed())
            .filter(|left| !left.is_zero())
        {
            task.check()?;
            thread::sleep(left.min(NAP));
        }
        Ok(slept_since(start))
    }

    /// Sleeps without a thread, and stops when it is cancelled.
    #[handler]
    async fn async_sleep(&self, args: Sleep, task: &Task) -> Result<Slept, TaskError> {
        let start = Instant::now();
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(args.ms)) => Ok(slept_since(start)),
            () = task.cancelled() => task.check().map(|()| slept_since(start)),
        }
    }

    /// For tests that write its name over another plugin's.
    #[handler(
        name = "a_name_that_is_in_common_and_so_long_that_no_compiler_makes_code_of_it_but_copies_it_from_where_it_stands"
    )]
    fn common_name(&self) -> Result<&'static str, TaskError> {
        Ok("good's")
    }

    /// Takes steps, reports each of them, and results in their number.
    #[handler]
    fn progress(&self, args: Steps, task: &Task) -> Result<u64, TaskError> {
        for step in 1..=args.steps {
            task.check()?;
            thread::sleep(Duration::from_millis(args.ms));
            task.progress(step, args.steps, &format!("step {step}"));
        }
        Ok(args.steps)
    }

    /// Results in a long string.
    #[handler]
    fn big(&self, args: Big) -> Result<String, TaskError> {
        Ok("x".repeat(args.len))
    }

    /// Results in lists within lists.
    #[handler]
    fn nested(&self, args: Big) -> Result<Box<RawValue>, TaskError> {
        let half = args.len / 2;
        let text = "[".repeat(half) + &"]".repeat(half);
        RawValue::from_string(text).map_err(|error| TaskError::new("nested", error.to_string()))
    }

    /// Sleeps until its time is up.
    #[handler(timeout = "300ms")]
    fn limited(&self, task: &Task) -> Result<(), TaskError> {
        loop {
            task.check()?;
            thread::sleep(NAP);
        }
    }

    /// Fails with a long message.
    #[handler]
    fn long_error(&self, args: Big) -> Result<(), TaskError> {
        Err(TaskError::new("long", "x".repeat(args.len)))
    }

    /// Has a result that JSON doesn't have.
    #[handler]
    fn not_a_number(&self) -> Result<f32, TaskError> {
        Ok(f32::NAN)
    }

    /// Takes nothing.
    #[handler]
    fn unit(&self, args: ()) -> Result<(), TaskError> {
        Ok(args)
    }

    /// Takes something, or nothing.
    #[handler]
    fn perhaps(&self, args: Option<Sleep>) -> Result<Option<u64>, TaskError> {
        Ok(args.map(|sleep| sleep.ms))
    }

    /// Fails as it is told.
    #[handler]
    fn fail(&self, args: Fail) -> Result<(), TaskError> {
        let mut error = TaskError::new(args.kind, args.message);
        if args.retryable {
            error = error.retryable();
        }
        if let Some(data) = args.data {
            error = error.data(data);
        }
        Err(error)
    }

    /// Counts its calls in this process.
    #[handler]
    fn count(&self) -> Result<Count, TaskError> {
        Ok(Count {
            count: self.calls.fetch_add(1, Ordering::Relaxed) + 1,
            pid: process::id(),
        })
    }

    /// Results in the plugin's configuration.
    #[handler]
    fn config(&self) -> Result<Value, TaskError> {
        Ok(self.config.clone())
    }

    /// Logs an event.
    #[handler]
    fn log(&self, args: Log) -> Result<(), TaskError> {
        let message = args.message;
        match args.level {
            Level::Error => tracing::error!(fixture = "good", "{message}"),
            Level::Warn => tracing::warn!(fixture = "good", "{message}"),
            Level::Info => tracing::info!(fixture = "good", "{message}"),
            Level::Debug => tracing::debug!(fixture = "good", "{message}"),
            Level::Trace => tracing::trace!(fixture = "good", "{message}"),
        }
        Ok(())
    }

    /// Results in the number of its process.
    #[handler(timeout = "10s")]
    fn pid(&self) -> Result<u32, TaskError> {
        Ok(process::id())
    }
}

fn slept_since(start: Instant) -> Slept {
    Slept {
        slept_ms: start.elapsed().as_millis(),
    }
}

/// A plugin is tested in its own crate, as any library is.
#[cfg(test)]
mod tests {
    use plugin_api::testing::{self, CallError};
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_are_called_by_name_and_json() {
        let good = testing::open::<Good>(json!({"key": 1})).unwrap();
        assert_eq!(
            good.call("echo", json!({"a": [1.5]})).unwrap(),
            json!({"a": [1.5]})
        );
        assert_eq!(good.call("config", ()).unwrap(), json!({"key": 1}));
        assert_eq!(good.call("count", ()).unwrap()["count"], 1);
        assert_eq!(good.call("count", ()).unwrap()["count"], 2);
        assert_eq!(good.call("big", json!({"len": 3})).unwrap(), "xxx");
        let failed = good
            .call("fail", json!({"kind": "k", "message": "m"}))
            .unwrap_err();
        assert_eq!(failed.kind(), Some("k"));
        assert_eq!(good.logs()[0].message, "opened");
    }

    #[test]
    fn calls_end_as_a_client_reads_it() {
        let endings: Value = serde_json::from_str(include_str!("../endings.json")).unwrap();
        let good = testing::open::<Good>(()).unwrap();
        for ending in endings.as_array().unwrap() {
            let function = ending["function"].as_str().unwrap();
            // The kit writes `null` as `{}`, which is what a host hands over for missing arguments.
            let finished = good.prepare(function, &ending["args"]).run();
            let code = finished.error.as_ref().map(|error| error.code.as_str());
            assert_eq!(code, ending["code"].as_str(), "{ending}");
            let Some(error) = finished.error else {
                continue;
            };
            let begins = ending["begins"].as_str().unwrap();
            assert!(error.message.starts_with(begins), "{ending}: {error}");
            let data: Value =
                serde_json::from_str(&error.data.unwrap_or_default()).unwrap_or_default();
            assert_eq!(data["kind"].as_str(), ending["kind"].as_str(), "{ending}");
        }
    }

    #[test]
    fn sleeping_ends_when_it_is_cancelled() {
        let good = testing::open::<Good>(()).unwrap();
        for function in ["sleep", "async_sleep"] {
            let running = good.prepare(function, json!({"ms": 3_600_000})).start();
            running.cancel();
            let error = running.wait().result.unwrap_err();
            assert!(
                matches!(error, CallError::Cancelled(_)),
                "{function}: {error}"
            );
        }
    }

    #[test]
    fn every_step_is_reported() {
        let good = testing::open::<Good>(()).unwrap();
        let finished = good.prepare("progress", json!({"steps": 3})).run();
        assert_eq!(finished.result.unwrap(), 3);
        let done: Vec<u64> = finished
            .progress
            .iter()
            .map(|progress| progress.done)
            .collect();
        assert_eq!(done, [1, 2, 3]);
    }
}
