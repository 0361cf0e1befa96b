//! What a plugin says about itself once it is loaded.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A plugin and its functions. Readers ignore fields they don't know, and do without optional ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The plugin's name, by default that of its crate.
    pub name: String,
    /// The version of the plugin's crate.
    pub version: String,
    /// The version of plugin-api that the plugin was built with (semver).
    pub plugin_api: String,
    /// The output of `rustc -V` of the compiler that built it.
    #[serde(default)]
    pub rustc: String,
    /// The target triple it was built for.
    #[serde(default)]
    pub target: String,
    /// Its panic strategy: `unwind` or `abort`.
    #[serde(default)]
    pub panic: String,
    /// Whether its handlers compute rather than wait.
    #[serde(default)]
    pub cpu_bound: bool,
    /// How many tasks one worker may run at once, if the author sets it.
    #[serde(default)]
    pub slots: Option<u32>,
    /// Its functions; `call` takes an index into this list.
    pub functions: Vec<Function>,
}

/// One function of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// The name that requests use.
    pub name: String,
    /// The handler's doc comment.
    #[serde(default)]
    pub description: String,
    /// JSON Schema of the arguments.
    #[serde(default)]
    pub args_schema: Value,
    /// JSON Schema of the result.
    #[serde(default)]
    pub result_schema: Value,
    /// The handler's time limit in milliseconds, if the author sets one.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
}
