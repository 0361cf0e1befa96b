//! What a library exports: the four functions of [`PluginModule`], and the header that loaders look for.
//!
//! This is the one file of this crate with an unsafe block. No panic leaves any of these functions: past `extern "C"` it would abort.

use std::sync::OnceLock;

use abi_stable::{
    library::{
        __call_root_module_loader, CheckTypeLayout, LibHeader, ROOT_MODULE_LOADER_NAME,
        RootModuleResult,
    },
    prefix_type::PrefixTypeTrait,
    std_types::{RResult, RSlice, RVec},
};

use crate::{
    abi::{HostServicesRef, PluginModule, PluginModuleRef},
    dispatch::{self, Plugin},
    host::{Host, Worker},
    instance::Instance,
    limits, log, panics,
    task::Task,
};

/// A plugin that a library exports.
// `Plugin` is not its supertrait: the compiler would complain twice about a type that can't be a plugin.
pub trait Exported: Sized + 'static {
    /// The one instance of this library.
    fn instance() -> &'static Instance<Self>;
}

/// The task number that means no task.
const NO_TASK: u64 = 0;

/// The worker that opened this library.
static WORKER: OnceLock<HostServicesRef> = OnceLock::new();

/// The header that `#[plugin]` exports as `symbol`, for loaders to find.
///
/// # Panics
/// While the plugin is compiled, when loaders would look for another symbol.
#[must_use]
pub const fn header<P: Plugin + Exported>(symbol: &str) -> LibHeader {
    assert!(
        equal(symbol, ROOT_MODULE_LOADER_NAME),
        "plugin-api-macros and abi_stable don't agree on the header's symbol"
    );
    #[expect(
        unsafe_code,
        reason = "abi_stable has no other way to make a header in a constant"
    )]
    // SAFETY: `from_constructor` wants the constructor's root module to be made of a `PluginModuleRef`, and
    // `constructor` makes it of nothing else.
    unsafe {
        LibHeader::from_constructor::<PluginModuleRef>(constructor::<P>, CheckTypeLayout::Yes)
    }
}

/// Checks that of the handlers of one name only one is there, the others being left out by their `#[cfg]`s.
///
/// # Panics
/// While the plugin is compiled, with `text`, when there are more.
pub const fn only_one(handlers: &[()], text: &str) {
    assert!(handlers.len() <= 1, "{}", text);
}

/// Checks that the macros refuse what workers would.
///
/// # Panics
/// While the plugin is compiled, when they would refuse another number.
pub const fn slots_max(macros: u32) {
    assert!(
        macros == limits::SLOTS_MAX,
        "plugin-api-macros and plugin-api don't agree on the most slots"
    );
}

const fn equal(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut index = 0;
    while index < one.len() && index < other.len() && one[index] == other[index] {
        index += 1;
    }
    index == one.len() && index == other.len()
}

extern "C" fn constructor<P: Plugin + Exported>() -> RootModuleResult {
    __call_root_module_loader(module::<P>)
}

fn module<P: Plugin + Exported>() -> PluginModuleRef {
    PluginModule {
        manifest: manifest::<P>,
        open: open::<P>,
        call: call::<P>,
        close: close::<P>,
    }
    .leak_into_prefix()
}

extern "C" fn manifest<P: Plugin>() -> RVec<u8> {
    let json = panics::catch(|| {
        serde_json::to_vec(&dispatch::manifest::<P>()).map_err(|error| error.to_string())
    });
    // An error is not JSON: the host, which can't read it as a manifest, shows it in its complaint.
    RVec::from(json.flatten().unwrap_or_else(String::into_bytes))
}

extern "C" fn open<P: Plugin + Exported>(
    host: HostServicesRef,
    config: RSlice<'_, u8>,
) -> RResult<(), RVec<u8>> {
    let opened = panics::catch(|| {
        let worker = *WORKER.get_or_init(|| host);
        let nobody = Task::new(NO_TASK, Host::Worker(Worker(worker)));
        log::set_default_task(&nobody);
        let opened = P::instance().open(&nobody, config.as_slice());
        // Only here, where nothing else runs yet: while hooks are changed, a panic finds none.
        panics::hook_again();
        opened
    });
    match opened.flatten() {
        Ok(()) => RResult::ROk(()),
        Err(text) => RResult::RErr(RVec::from(text.into_bytes())),
    }
}

extern "C" fn call<P: Plugin + Exported>(function: u32, task: u64, args: RSlice<'_, u8>) {
    // Before `open` there is no host to answer.
    let Some(worker) = WORKER.get() else { return };
    let task = Task::new(task, Host::Worker(Worker(*worker)));
    let outcome = panics::catch(|| P::instance().call(function, &task, args.as_slice()));
    if let Err(text) = outcome {
        // Not the handler's panic, which is caught closer to it, but a schema's or a destructor's.
        task.complete(crate::abi::status::PANICKED, text.into_bytes());
    }
}

extern "C" fn close<P: Plugin + Exported>() {
    // The worker that closes a plugin has no use for its last panic.
    let _ = panics::catch(|| P::instance().close());
}
