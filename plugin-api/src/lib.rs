//! All that a handler author needs to write a plugin for the task server.

pub mod abi;
mod answer;
mod args;
mod completion;
mod dispatch;
mod embed;
mod error;
mod export;
mod host;
mod instance;
mod log;
pub mod manifest;
pub mod note;
mod panics;
#[cfg(feature = "async")]
mod runtime;
mod task;
pub mod testing;

pub use abi_stable;
pub use completion::Completion;
pub use dispatch::Plugin;
pub use error::{PluginError, TaskError};
pub use plugin_api_macros::{handler, plugin};
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

/// What the code that `#[plugin]` generates needs. No part of the promise: it may change with every version.
#[doc(hidden)]
pub mod __private {
    pub use std::sync::Arc;

    pub use abi_stable::library::LibHeader;

    pub use crate::{
        args::NoArgs,
        dispatch::{
            Call, Function, Outcome, Plugin, args_schema, open_plain, open_with, result_schema,
        },
        embed::{NoteBytes, note_bytes, note_len},
        export::header,
        instance::Instance,
    };

    /// Answers a task with whatever bytes, whoever else may answer it: how a fixture misbehaves.
    pub fn answer_raw(task: &crate::Task, status: u32, bytes: Vec<u8>) {
        task.complete(status, bytes);
    }
}
