//! All that a handler author needs to write a plugin for the task server.
//!
//! A plugin is a library with a type whose methods clients call by name, over the network, with JSON. `#[plugin]` and
//! `#[handler]` make these functions of plain methods: their names, descriptions and JSON Schemas come from the code.
//!
//! ```standalone_crate
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use plugin_api::{PluginError, Task, TaskError, plugin};
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! pub struct Greeter {
//!     greeting: String,
//!     greeted: AtomicU64,
//! }
//!
//! #[derive(Deserialize)]
//! struct Config {
//!     #[serde(default = "Config::default_greeting")]
//!     greeting: String,
//! }
//!
//! impl Config {
//!     fn default_greeting() -> String {
//!         String::from("Hello")
//!     }
//! }
//!
//! #[derive(Deserialize, JsonSchema)]
//! struct Greet {
//!     /// Whom to greet.
//!     names: Vec<String>,
//! }
//!
//! #[derive(Serialize, JsonSchema)]
//! struct Greeted {
//!     /// One greeting for each name.
//!     greetings: Vec<String>,
//!     /// How many this worker has greeted since it started.
//!     total: u64,
//! }
//!
//! #[plugin]
//! impl Greeter {
//!     fn open(config: Config) -> Result<Self, PluginError> {
//!         if config.greeting.is_empty() {
//!             return Err(PluginError::new("`greeting` must not be empty"));
//!         }
//!         Ok(Self { greeting: config.greeting, greeted: AtomicU64::new(0) })
//!     }
//!
//!     /// Greets everybody.
//!     #[handler(timeout = "10s")]
//!     fn greet(&self, args: Greet, task: &Task) -> Result<Greeted, TaskError> {
//!         let count = args.names.len() as u64;
//!         let mut greetings = Vec::new();
//!         for (name, done) in args.names.iter().zip(1..) {
//!             task.check()?;
//!             greetings.push(format!("{}, {name}!", self.greeting));
//!             task.progress(done, count, name);
//!         }
//!         let total = self.greeted.fetch_add(count, Ordering::Relaxed) + count;
//!         Ok(Greeted { greetings, total })
//!     }
//! }
//!
//! // Its test:
//! use plugin_api::testing;
//! use serde_json::json;
//!
//! let plugin = testing::open::<Greeter>(json!({"greeting": "Good morning"})).unwrap();
//! let finished = plugin.prepare("greet", json!({"names": ["Ada", "Bob"]})).run();
//! assert_eq!(
//!     finished.result.unwrap(),
//!     json!({"greetings": ["Good morning, Ada!", "Good morning, Bob!"], "total": 2})
//! );
//! assert_eq!(finished.progress.len(), 2);
//!
//! let refused = testing::open::<Greeter>(json!({"greeting": ""})).unwrap_err();
//! assert_eq!(refused.message(), "`greeting` must not be empty");
//! ```
//!
//! The author's `Cargo.toml` needs `crate-type = ["cdylib"]`, and beside this crate `serde` (with `derive`) and
//! `schemars`, both in version 1: their derive macros look for them there. To do without these two dependencies, write
//! `#[serde(crate = "plugin_api::serde")]` and `#[schemars(crate = "plugin_api::schemars")]` at each type.
//! `tracing` and `serde_json` can be used as `plugin_api::tracing` and `plugin_api::serde_json`.
//!
//! # Features
//! - `async`: handlers may be `async fn`.

pub mod abi;
mod answer;
mod args;
mod completion;
mod dispatch;
mod embed;
mod error;
mod export;
mod finite;
mod host;
mod instance;
pub mod limits;
mod log;
mod log_crate;
pub mod manifest;
pub mod note;
mod panics;
mod refusal;
#[cfg(feature = "async")]
mod runtime;
mod task;
pub mod testing;
pub mod verdict;

pub use abi_stable;
pub use completion::Completion;
pub use dispatch::Plugin;
pub use error::{HandlerError, PluginError, TaskError};
pub use plugin_api_macros::{handler, plugin};
#[cfg(feature = "async")]
pub use runtime::runtime;
pub use schemars;
pub use serde;
pub use serde_json;
pub use task::Task;
pub use tracing;

/// The version of this crate (semver).
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The output of `rustc -V` of the compiler that built this crate.
pub const RUSTC: &str = env!("PLUGIN_API_RUSTC");
/// The target triple this crate was built for.
pub const TARGET: &str = env!("PLUGIN_API_TARGET");

/// What the code that `#[plugin]` generates needs. Not part of the promise: it may change with every version.
#[doc(hidden)]
pub mod __private {
    pub use std::sync::Arc;

    pub use abi_stable::library::LibHeader;

    pub use crate::{
        answer::Outcome,
        args::NoArgs,
        dispatch::{
            Call, Function, Plugin, args_schema, completed_schema, config, no_config, opened,
            opened_by_default, returned, returned_schema,
        },
        embed::{NoteBytes, note_bytes, note_len},
        export::{Exported, header, only_one, slots_max},
        instance::Instance,
    };

    /// Answers a task with any status and bytes, even if it has been answered: for fixtures that misbehave.
    pub fn answer_raw(task: &crate::Task, status: u32, bytes: Vec<u8>) {
        task.complete(status, bytes);
    }
}

/// Keeps the examples of the authors' page true.
#[cfg(doctest)]
#[doc = include_str!("../../docs/HANDLERS.md")]
mod handlers_page {}

/// Keeps the handler on the page about background tasks true.
#[cfg(doctest)]
#[doc = include_str!("../../docs/BACKGROUND.md")]
mod background_page {}

/// Keeps the handler on the first page true.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod first_page {}
