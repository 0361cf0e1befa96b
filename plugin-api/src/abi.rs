//! The ABI: one `abi_stable` root module, bytes in and bytes out.
//!
//! Handler authors don't need this: `#[plugin]` generates it. It is public for the host, and for programs that export or
//! load a plugin by other means.
//!
//! **The promise.** A plugin built with plugin-api 1.x loads in every host built with plugin-api 1.y, y ≥ x. That holds as
//! long as fields are only ever appended, behind the field marked `last_prefix_field`, no ABI type moves to another
//! crate or module (a layout holds names), and status codes stay open-ended integers.

use abi_stable::{
    StableAbi,
    library::RootModule,
    package_version_strings,
    sabi_types::VersionStrings,
    std_types::{RResult, RSlice, RStr, RVec},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What the worker offers to the plugin. Every function may be called from any thread, and none of them blocks for long.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = HostServicesRef)))]
#[sabi(missing_field(panic))]
pub struct HostServices {
    /// Answers `task` with a [`status`] and its payload. A second answer for a task is ignored, and logged by the worker.
    pub complete: extern "C" fn(task: u64, status: u32, bytes: RVec<u8>),
    /// Whether `task` was cancelled, by its client or because its time is up.
    pub is_cancelled: extern "C" fn(task: u64) -> bool,
    /// Nanoseconds until the deadline of `task`, 0 when it has passed, `u64::MAX` when there is none.
    pub remaining_ns: extern "C" fn(task: u64) -> u64,
    /// Reports how far `task` is: `done` of `total`, and a few words.
    pub progress: extern "C" fn(task: u64, done: u64, total: u64, message: RStr<'_>),
    /// The most verbose [`log_level`] that the worker wants to receive.
    pub log_level_max: extern "C" fn() -> u32,
    /// Logs an event at `level`, a [`log_level`], for `task` (0: none). `fields` is a JSON object, or empty.
    #[sabi(last_prefix_field)]
    pub log: extern "C" fn(
        task: u64,
        level: u32,
        target: RStr<'_>,
        message: RStr<'_>,
        fields: RSlice<'_, u8>,
    ),
}

/// What a library exports.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = PluginModuleRef)))]
#[sabi(missing_field(panic))]
pub struct PluginModule {
    /// The manifest as JSON (UTF-8), see [`Manifest`](crate::manifest::Manifest).
    pub manifest: extern "C" fn() -> RVec<u8>,
    /// Opens the plugin; `config` is JSON (`{}` when there is none). Called once, before any `call`. The error is a
    /// UTF-8 sentence.
    pub open: extern "C" fn(host: HostServicesRef, config: RSlice<'_, u8>) -> RResult<(), RVec<u8>>,
    /// Runs function number `function` (index into the manifest's functions) with `args` (JSON). Returns when the handler
    /// has returned, or at once for an async handler. The answer goes through [`HostServices::complete`], exactly once.
    pub call: extern "C" fn(function: u32, task: u64, args: RSlice<'_, u8>),
    /// Drops the plugin's state. No call follows.
    #[sabi(last_prefix_field)]
    pub close: extern "C" fn(),
}

impl RootModule for PluginModuleRef {
    abi_stable::declare_root_module_statics! {PluginModuleRef}
    const BASE_NAME: &'static str = "plugin";
    const NAME: &'static str = "plugin";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// The statuses of [`HostServices::complete`]. Open-ended: a later plugin-api may add more.
pub mod status {
    /// The handler's result; the payload is JSON.
    pub const OK: u32 = 0;
    /// The handler returned an error; the payload is a [`Failure`](super::Failure) as JSON.
    pub const FAILED: u32 = 1;
    /// The handler's argument type refused the arguments; the payload is a UTF-8 sentence with path and reason.
    pub const INVALID_ARGS: u32 = 2;
    /// The handler panicked; the payload is a UTF-8 sentence with place and message.
    pub const PANICKED: u32 = 3;
    /// The completion was dropped unanswered; the payload is empty.
    pub const ABANDONED: u32 = 4;
    /// The handler noticed that its task is cancelled, and stopped; the payload is a UTF-8 sentence.
    pub const CANCELLED: u32 = 5;
}

/// The levels of [`HostServices::log`], and of [`HostServices::log_level_max`]. A higher number is more verbose.
pub mod log_level {
    /// Nothing is logged.
    pub const OFF: u32 = 0;
    /// Something failed.
    pub const ERROR: u32 = 1;
    /// Something may be wrong.
    pub const WARN: u32 = 2;
    /// What happens in normal operation.
    pub const INFO: u32 = 3;
    /// What helps to find a fault.
    pub const DEBUG: u32 = 4;
    /// Every step.
    pub const TRACE: u32 = 5;
}

/// The payload of [`status::FAILED`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong, as a word for programs, of the handler's choice.
    pub kind: String,
    /// What went wrong, for people.
    #[serde(default)]
    pub message: String,
    /// Whether the same request may succeed later.
    #[serde(default)]
    pub retryable: bool,
    /// More data for the client's program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}
