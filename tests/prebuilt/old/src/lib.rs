//! Fixture plugin that is built once, with the first plugin-api. It uses all that the ABI had then.

use std::{thread, time::Duration};

use plugin_api::{PluginError, Task, TaskError, plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

struct Old {
    greeting: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    #[serde(default)]
    greeting: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Greet {
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct Greeted {
    text: String,
    len: usize,
}

#[plugin]
impl Old {
    fn open(config: Config) -> Result<Self, PluginError> {
        Ok(Self {
            greeting: config.greeting.unwrap_or_else(|| String::from("Hello")),
        })
    }

    /// Greets somebody.
    #[handler(timeout = "5s")]
    fn old_greet(&self, args: Greet) -> Result<Greeted, TaskError> {
        let text = format!("{}, {}!", self.greeting, args.name);
        Ok(Greeted {
            len: text.len(),
            text,
        })
    }

    /// Fails in its own words.
    #[handler]
    fn old_fail(&self) -> Result<(), TaskError> {
        Err(TaskError::new("worn_out", "told to fail"))
    }

    /// Panics.
    #[handler]
    fn old_panic(&self) -> Result<(), TaskError> {
        panic!("told to panic")
    }

    /// Reports three steps, and says something in the log.
    #[handler]
    fn old_progress(&self, task: &Task) -> Result<u64, TaskError> {
        for step in 1..=3 {
            task.progress(step, 3, "step by step");
        }
        plugin_api::tracing::info!("three steps done");
        Ok(3)
    }

    /// Waits until it is cancelled.
    #[handler]
    fn old_wait(&self, task: &Task) -> Result<(), TaskError> {
        loop {
            task.check()?;
            thread::sleep(Duration::from_millis(5));
        }
    }
}
