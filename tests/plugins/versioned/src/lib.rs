//! Fixture plugin of the reload tests: it tells which version it is.
//!
//! Versions are made without a compiler: the tests write over `VERSION` and `MODE` in the library's bytes.

use std::{
    fs::OpenOptions,
    hint,
    io::Write,
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use plugin_api::{PluginError, Task, TaskError, plugin};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How late a sleeping handler may notice that its task is cancelled.
const NAP: Duration = Duration::from_millis(20);
/// How long the mode `slow_close` takes to close.
const SLOW: Duration = Duration::from_millis(300);

/// Eight digits behind the dash.
static VERSION: [u8; 16] = *b"VERSION-00000000";
/// What goes wrong, filled up with underscores.
static MODE: [u8; 16] = *b"MODE-well_______";

/// Runs when the library is loaded, before anything of it is called.
#[used]
#[expect(
    unsafe_code,
    reason = "misbehaving while it is loaded is this fixture's purpose"
)]
// SAFETY: the loader calls what stands in this section as it calls this function; it uses nothing that is not there yet.
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = constructor;

extern "C" fn constructor() {
    if mode() == "ctor_crash" {
        process::abort();
    }
}

/// The text behind the dash, as it stands in the file: the compiler is kept from knowing it.
fn marker(text: &'static [u8; 16]) -> &'static str {
    let text = str::from_utf8(hint::black_box(text)).unwrap_or_default();
    text.split_once('-').map_or("", |(_, value)| value)
}

fn wait_while(file: &Path) {
    // It may be gone already, and must not be created then.
    if let Ok(mut file) = OpenOptions::new().append(true).open(file) {
        let _ = writeln!(file, "{}", process::id());
    }
    while file.exists() {
        thread::sleep(NAP);
    }
}

fn mode() -> &'static str {
    marker(&MODE).trim_end_matches('_')
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Said by every call.
    #[serde(default)]
    greeting: String,
    /// Every call crashes as long as there is such a file.
    crash_while: Option<PathBuf>,
    /// The mode `open_wait` does not come back from opening as long as there is such a file; it adds a line to it.
    open_while: Option<PathBuf>,
}

struct Versioned {
    config: Config,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Wait {
    /// How long to take, in milliseconds.
    ms: u64,
    /// Not to stop when the task is cancelled.
    stubborn: bool,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    version: u64,
    pid: u32,
    greeting: String,
}

#[plugin]
impl Versioned {
    fn open(config: Config) -> Result<Self, PluginError> {
        match mode() {
            "open_fail" => return Err(PluginError::new("told to fail at opening")),
            "open_hang" => loop {
                thread::park();
            },
            "open_wait" => config
                .open_while
                .as_deref()
                .into_iter()
                .for_each(wait_while),
            "open_crash" => process::abort(),
            "picky" if config.greeting != "well" => {
                return Err(PluginError::new("told to want the greeting `well`"));
            }
            _ => {}
        }
        Ok(Self { config })
    }

    /// Tells the version that runs.
    #[handler]
    fn version(&self, args: Wait, task: &Task) -> Result<Answer, TaskError> {
        let told_to = self
            .config
            .crash_while
            .as_ref()
            .is_some_and(|file| file.exists());
        if told_to || mode() == "crash" {
            process::abort();
        }
        task.progress(0, args.ms, "begun");
        let end = Instant::now() + Duration::from_millis(args.ms);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if !args.stubborn {
                task.check()?;
            }
            thread::sleep(left.min(NAP));
        }
        Ok(Answer {
            version: marker(&VERSION).parse().unwrap_or_default(),
            pid: process::id(),
            greeting: self.config.greeting.clone(),
        })
    }

    /// For tests that write another name over its own: a long one, since the compiler makes code of short ones.
    #[handler(
        name = "a_name_that_no_other_has_and_so_long_that_no_compiler_makes_code_of_it_but_copies_it_from_where_it_stands"
    )]
    fn own_name(&self) -> Result<u64, TaskError> {
        Ok(marker(&VERSION).parse().unwrap_or_default())
    }
}

impl Drop for Versioned {
    fn drop(&mut self) {
        if mode() == "slow_close" {
            thread::sleep(SLOW);
        }
    }
}
