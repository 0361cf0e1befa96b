//! Opening a plugin's library. The only place where foreign code enters a process, and that process is a worker.

use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{
    CheckingGlobals, check_layout_compatibility_with_globals,
};
use abi_stable::library::{AbiHeaderRef, LibHeader, ROOT_MODULE_LOADER_NAME_WITH_NUL, RootModule};
use abi_stable::sabi_types::VersionNumber;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use plugin_api::abi::PluginModuleRef;

/// Why a library was not taken, as a sentence for its author.
#[derive(Debug)]
pub(super) enum LibraryError {
    Load(libloading::Error),
    NotAPlugin,
    OtherAbiStable(String),
    Version {
        plugin: VersionNumber,
        host: VersionNumber,
    },
    NoLayout,
    Layout {
        plugin: VersionNumber,
        host: VersionNumber,
    },
    Constructor(String),
}

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => write!(f, "the dynamic loader refused it: {error}"),
            Self::NotAPlugin => f.write_str(
                "it is a library, but not a plugin of this host: it exports no plugin header; \
                 put #[plugin_api::plugin] on an impl block and build with crate-type = [\"cdylib\"]",
            ),
            Self::OtherAbiStable(error) => {
                write!(f, "it was built with another abi_stable, rebuild it with plugin-api 1.x: {error}")
            }
            Self::Version { plugin, host } if plugin.major > host.major => {
                write!(f, "it was built with plugin-api {plugin} and this host has {host}: upgrade the host")
            }
            Self::Version { plugin, host } => write!(
                f,
                "it was built with plugin-api {plugin} and this host has {host}: rebuild the plugin with plugin-api {}",
                host.major
            ),
            Self::NoLayout => f.write_str("it carries no description of its layout; rebuild it with plugin-api 1.x"),
            Self::Layout { plugin, host } if (plugin.minor, plugin.patch) > (host.minor, host.patch) => write!(
                f,
                "it was built with plugin-api {plugin} and uses more of it than this host's {host} has: upgrade the host"
            ),
            Self::Layout { plugin, host } => write!(
                f,
                "its layout (plugin-api {plugin}) does not fit this host's (plugin-api {host}): \
                 rebuild the plugin with the published plugin-api"
            ),
            Self::Constructor(error) => write!(f, "its root module could not be made: {error}"),
        }
    }
}

impl std::error::Error for LibraryError {}

/// Loads the library behind `file` for the rest of this process, checks that it is a plugin this host understands,
/// and gives its functions. `debug` takes the layout checker's long report.
pub(super) fn open(
    file: OwnedFd,
    debug: impl FnOnce(&str),
) -> Result<PluginModuleRef, LibraryError> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let header = load(&path)?;
    // The path must go on naming this file: a reused descriptor number would look like the same library.
    std::mem::forget(file);
    let plugin = version(header)?;
    let host = VersionNumber::new(PluginModuleRef::VERSION_STRINGS)
        .map_err(|error| LibraryError::Constructor(error.to_string()))?;
    if plugin.major != host.major {
        return Err(LibraryError::Version { plugin, host });
    }
    check_layout(header, plugin, host, debug)?;
    #[expect(
        unsafe_code,
        reason = "the root module is a reinterpreted pointer; see the SAFETY comment"
    )]
    // SAFETY: the layout of the library's root module has just been found compatible with `PluginModuleRef`.
    let module = unsafe { header.unchecked_layout::<PluginModuleRef>() };
    module.map_err(|error| LibraryError::Constructor(error.to_string()))
}

fn load(path: &str) -> Result<&'static LibHeader, LibraryError> {
    #[expect(
        unsafe_code,
        reason = "dlopen runs the library's initialisers; see the SAFETY comment"
    )]
    // SAFETY: initialisers are foreign code, which is why this process does nothing else but serve this one library;
    // the file behind the descriptor is sealed, so its pages cannot change under us.
    let library =
        unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(LibraryError::Load)?;
    #[expect(
        unsafe_code,
        reason = "the symbol's type is an agreement; see the SAFETY comment"
    )]
    // SAFETY: abi_stable's loader symbol is a static of type `AbiHeaderRef` in every library that exports it; what the
    // header says of its version is checked by `upgrade` before anything behind it is read.
    let header =
        unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) }
            .map(|symbol| *symbol)
            .map_err(|_| LibraryError::NotAPlugin)?;
    // Unloading is unsound for Rust libraries: this one leaves memory when the process does.
    std::mem::forget(library);
    header
        .upgrade()
        .map_err(|error| LibraryError::OtherAbiStable(error.to_string()))
}

fn version(header: &LibHeader) -> Result<VersionNumber, LibraryError> {
    VersionNumber::new(header.version_strings())
        .map_err(|error| LibraryError::Constructor(error.to_string()))
}

/// The stock check takes the host's side as the interface, and so refuses older plugins for having fewer fields than
/// this host knows. With the older side as the interface, each is checked for all that it promises.
fn check_layout(
    header: &LibHeader,
    plugin: VersionNumber,
    host: VersionNumber,
    debug: impl FnOnce(&str),
) -> Result<(), LibraryError> {
    let theirs = header.layout().ok_or(LibraryError::NoLayout)?;
    let ours = PluginModuleRef::LAYOUT;
    let (older, newer) = if plugin.minor <= host.minor {
        (theirs, ours)
    } else {
        (ours, theirs)
    };
    check_layout_compatibility_with_globals(older, newer, &CheckingGlobals::new()).map_err(
        |report| {
            debug(&report.to_string());
            LibraryError::Layout { plugin, host }
        },
    )
}
