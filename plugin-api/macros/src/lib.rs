//! The macros of `plugin-api`. They check the shape of what an author wrote, and generate a table of functions; all that
//! works on this table is plain Rust in `plugin-api` itself.

use proc_macro::TokenStream;

mod attributes;
mod features;
mod handler;
mod plugin;
mod signature;

/// Makes a type a plugin. Write it above `impl YourPlugin { … }`, the block with the handlers.
///
/// `#[plugin(name = "…", cpu_bound, slots = 8)]`, all optional:
/// - `name`: the plugin's name, by default that of its crate.
/// - `cpu_bound`: its handlers keep a core busy; the host then runs no more workers than there are cores.
/// - `slots`: how many tasks one worker process may run at once, by default 1, at most 256.
///
/// The type must be `Send + Sync + 'static`. It is opened by its function `open`, where there is one, else by `Default`:
/// - `fn open(config: C) -> Result<Self, PluginError>`, where `C: serde::Deserialize`; a configuration that doesn't fit `C`
///   is refused, with path and reason;
/// - `fn open() -> Result<Self, PluginError>`.
///
/// Methods marked `#[handler]` become functions of the plugin; all others are left alone. A library holds one plugin.
#[proc_macro_attribute]
pub fn plugin(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let features = features::Features::enabled();
    plugin::expand(attribute.into(), &item.into(), features).into()
}

/// Makes a method of a `#[plugin]` a function that clients can call.
///
/// `#[handler(name = "…", timeout = "30s")]`, all optional:
/// - `name`: the name that requests use, by default that of the method. Names that begin with `host.` are reserved.
/// - `timeout`: the time limit of a task: a whole number, at least 1, and `ms`, `s`, `m` or `h`.
///
/// The doc comment is the function's description. The method takes `&self`, then its arguments (`args: T`, where `T`
/// derives `serde::Deserialize` and `schemars::JsonSchema`), then `task: &Task`; the last two may be missing. It returns
/// `Result<R, TaskError>`, where `R` derives `serde::Serialize` and `schemars::JsonSchema`. With the feature `async` it may
/// be an `async fn`. In place of `TaskError` it may name a type that implements `plugin_api::HandlerError`. Instead of a task, a method may take `completion: Completion<R>`, return nothing, and answer later.
#[proc_macro_attribute]
pub fn handler(_attribute: TokenStream, item: TokenStream) -> TokenStream {
    plugin::refuse_stray_handler(&item.into()).into()
}
