//! Opening a plugin's library. The only place where foreign code enters a process, and that process is a worker.

use std::error::Error;
use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use abi_stable::StableAbi;
use abi_stable::abi_stability::abi_checking::{
    CheckingGlobals, check_layout_compatibility_with_globals,
};
use abi_stable::library::{AbiHeaderRef, LibHeader, ROOT_MODULE_LOADER_NAME_WITH_NUL, RootModule};
use abi_stable::sabi_types::VersionNumber;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use plugin_api::abi::PluginModuleRef;
use rustix::fs::{StatVfsMountFlags, statvfs};

/// Where this process finds its open files by their numbers.
const FD_DIR: &str = "/proc/self/fd";

/// Why a library was not taken, as a sentence for its author.
#[derive(Debug)]
pub(super) enum LibraryError {
    Load {
        /// In the loader's own words.
        words: String,
        /// The file lies where nothing may be executed.
        noexec: bool,
    },
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
            Self::Load { words, noexec } => {
                write!(f, "the dynamic loader refused it: {words}")?;
                advice(words, *noexec).map_or(Ok(()), |advice| write!(f, "; {advice}"))
            }
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

impl Error for LibraryError {}

/// What to do about a library for which the loader has such words. They are glibc's, which has no error numbers for it.
fn advice(words: &str, noexec: bool) -> Option<&'static str> {
    let says = |text| words.contains(text);
    if says("version `GLIBC") {
        Some(
            "it was built on a newer system than this: build it on one that is no newer, or upgrade this one",
        )
    } else if says(": cannot open shared object file") {
        if words.starts_with(FD_DIR) {
            Some("/proc must be mounted: workers read their library from there")
        } else {
            Some(
                "a library that it needs is not here: install it, or set LD_LIBRARY_PATH for the host",
            )
        }
    } else if says("undefined symbol") {
        Some("it uses what no library that it names has: link it with the library that has it")
    } else if says("failed to map segment") && noexec {
        Some("TMPDIR is mounted noexec: name a folder for the host from which code may be run")
    } else if says("failed to map segment") || says("Cannot allocate memory") {
        Some("its worker has too little memory for it: raise memory_max")
    } else {
        None
    }
}

/// Loads the library behind `file` for the rest of this process, checks that it is a plugin this host understands,
/// and gives its functions. `name`: what its author calls it. `debug` takes the layout checker's long report.
pub(super) fn open(
    file: OwnedFd,
    name: &Path,
    debug: impl FnOnce(&str),
) -> Result<PluginModuleRef, LibraryError> {
    let path = format!("{FD_DIR}/{}", file.as_raw_fd());
    let header = load(&path, name)?;
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

fn load(path: &str, name: &Path) -> Result<&'static LibHeader, LibraryError> {
    #[expect(
        unsafe_code,
        reason = "dlopen runs the library's initialisers; see the SAFETY comment"
    )]
    // SAFETY: initialisers are foreign code, which is why this process does nothing else but serve this one library;
    // the file behind the descriptor is sealed, so its pages cannot change under us.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(|error| {
        let words = error
            .source()
            .map_or_else(|| error.to_string(), ToString::to_string);
        LibraryError::Load {
            words: in_words_of_author(&words, path, name),
            noexec: statvfs(path)
                .is_ok_and(|system| system.f_flag.contains(StatVfsMountFlags::NOEXEC)),
        }
    })?;
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

/// The loader names the library by the descriptor that it was read from, of which its author knows nothing. Where that
/// can't be opened at all, it is what matters.
fn in_words_of_author(words: &str, path: &str, name: &Path) -> String {
    if words.starts_with(&format!("{path}: cannot open")) {
        return words.to_owned();
    }
    let name = name.file_name().unwrap_or(name.as_os_str());
    words.replace(path, &name.to_string_lossy())
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
