//! The log of a program that serves, on standard error.
//!
//! Nobody may be reading it, its disk may be full, its reader may have gone: none of this stops, delays or ends the
//! program. Lines that can't be written are dropped and counted. What others put into a line can't end it, nor speak to
//! the terminal: control characters are escaped. The same warning over and over is said once, with a count.

mod escape;
mod repeats;
mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer as Text};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use self::escape::escape;
use self::repeats::Repeats;
use self::writer::Writer;

/// How long a program that ends waits for its last lines to be written.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(1);
/// Target of what the log says of itself.
const OWN_TARGET: &str = "log";
/// What is logged unless somebody says otherwise.
const FILTER_DEFAULT: &str = "info";

static WRITER: OnceLock<Writer> = OnceLock::new();
static REPEATS: Repeats = Repeats::new();
static PANICS: AtomicU64 = AtomicU64::new(0);

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people: in colours on a terminal.
    Text,
    /// For programs: an object a line.
    Json,
}

/// The log on the command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Flags {
    /// What to log: error, warn, info, debug, trace, or a filter like info,plugin=debug; wins over `log` of the configuration
    /// [default: info]
    #[arg(long, value_name = "FILTER", env = "RUST_LOG")]
    log: Option<String>,
    /// How the log is written to standard error
    #[arg(long, value_enum, default_value_t = Format::Text)]
    log_format: Format,
}

/// The log is started. Whoever drops this waits for its last lines, but not for ever.
#[must_use = "without it the last lines are lost"]
#[derive(Debug)]
pub struct Log(Levels);

impl Log {
    /// For whoever changes what is logged.
    #[must_use]
    pub fn levels(&self) -> Levels {
        self.0.clone()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        flush();
    }
}

/// What is logged, which can be changed while the program runs.
#[derive(Clone, Debug)]
pub struct Levels {
    filter: reload::Handle<EnvFilter, Registry>,
    /// The command line has said what is logged, and wins.
    is_fixed: bool,
}

impl Levels {
    /// Logs what the configuration says from now on, unless the command line has said something else.
    ///
    /// # Errors
    /// The filter can't be read; nothing changes.
    pub fn configure(&self, filter: Option<&str>) -> Result<(), String> {
        let filter = filter.unwrap_or(FILTER_DEFAULT);
        let parsed = parse("log", filter)?;
        if self.is_fixed {
            return Ok(());
        }
        self.filter
            .reload(parsed)
            .map_err(|error| format!("the log can't be changed: {error}"))
    }
}

fn parse(name: &str, filter: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(filter).map_err(|error| {
        format!(
            "{name} {filter:?}: {error}; write error, warn, info, debug, trace, or a filter like info,plugin=debug"
        )
    })
}

/// Starts the log of this process: from now on events of `tracing` that pass the filter, panics, and what [`say`] is
/// given, go to standard error through a bounded buffer and a thread of its own.
///
/// # Errors
/// The filter can't be read, or the log is started already; a sentence for whoever started the program.
pub fn start(flags: &Flags) -> Result<Log, String> {
    let filter = parse("--log", flags.log.as_deref().unwrap_or(FILTER_DEFAULT))?;
    let failed = |error: io::Error| format!("the log can't be started: {error}");
    let stderr = io::stderr();
    let is_terminal = stderr.is_terminal();
    // Not `Stderr`, whose lock would be held for as long as its reader takes nothing.
    let out = File::from(stderr.as_fd().try_clone_to_owned().map_err(failed)?);
    let started = Writer::start(
        out,
        |lines_dropped| {
            tracing::warn!(
                target: OWN_TARGET,
                lines_dropped,
                "lines of this log could not be written and are missing; lines_dropped counts them since the start"
            );
        },
        || REPEATS.tell(Instant::now()),
    );
    let started = started.map_err(failed)?;
    let writer = WRITER.get_or_init(|| started);
    let (filter, handle) = reload::Layer::new(filter);
    let format = flags.log_format;
    let colours = is_terminal && format == Format::Text;
    let line = move || Line {
        writer,
        format,
        colours,
    };
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(colours)
        // It would be told on standard error, and whoever tells would wait for its reader.
        .log_internal_errors(false)
        .with_writer(line);
    let registry = tracing_subscriber::registry().with(filter);
    match format {
        Format::Text => registry
            .with(layer.event_format(Once(tracing_subscriber::fmt::format())))
            .try_init(),
        Format::Json => registry
            .with(
                layer
                    .fmt_fields(JsonFields::new())
                    .event_format(Once(tracing_subscriber::fmt::format().json())),
            )
            .try_init(),
    }
    .map_err(|error| format!("the log can't be started: {error}"))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(Log(Levels {
        filter: handle,
        is_fixed: flags.log.is_some(),
    }))
}

/// Says something to whoever started the program, as a line of its own on standard error. It takes its turn in the log
/// where that is started, and is lost where nobody reads it.
pub fn say(line: &str) {
    let line = format!("{line}\n");
    match WRITER.get() {
        Some(writer) => writer.push(line.as_bytes()),
        // If nobody reads it, there is nobody to tell.
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// Waits until all that was logged is written, but not for ever. For a program that is about to end.
pub fn flush() {
    if let Some(writer) = WRITER.get() {
        REPEATS.tell_all();
        writer.flush(FLUSH_WAIT_MAX);
    }
}

/// Lines that could not be written since the start.
#[must_use]
pub fn lines_dropped() -> u64 {
    WRITER.get().map_or(0, Writer::lines_dropped)
}

/// Panics since the start of the log.
#[must_use]
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// What the standard library would write to standard error by itself, however long that takes.
fn log_panic(panic: &PanicHookInfo<'_>) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let message = panic.payload_as_str().unwrap_or("with no message");
    let place = panic.location().map(ToString::to_string);
    tracing::error!(target: "panic", thread, place, "panicked: {message}");
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        say(&backtrace.to_string());
    }
}

/// What one event is written to.
struct Line {
    writer: &'static Writer,
    format: Format,
    colours: bool,
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.writer.push(&escape(line, self.format, self.colours));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Leaves out what was said just now.
struct Once<F>(F);

impl<S, N, F> FormatEvent<S, N> for Once<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        text: Text<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if REPEATS.is_repeat(event, Instant::now()) {
            return Ok(());
        }
        self.0.format_event(context, text, event)
    }
}
