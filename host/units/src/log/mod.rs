//! The log of a program that serves, on standard error.
//!
//! Nobody may be reading it, its disk may be full, its reader may have gone: none of this stops, delays or ends the
//! program. Lines that can't be written are dropped and counted.

mod writer;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use self::writer::Writer;

/// How long a program that ends waits for its last lines to be written.
const FLUSH_WAIT_MAX: Duration = Duration::from_secs(1);

static WRITER: OnceLock<Writer> = OnceLock::new();

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people: in colours on a terminal.
    Text,
    /// For programs: an object a line.
    Json,
}

/// The log is started. Whoever drops this waits for its last lines, but not for ever.
#[must_use = "without it the last lines are lost"]
#[derive(Debug)]
pub struct Log(());

impl Drop for Log {
    fn drop(&mut self) {
        flush();
    }
}

/// Starts the log of this process: from now on events of `tracing` that pass the filter, panics, and what [`say`] is
/// given, go to standard error through a bounded buffer and a thread of its own.
///
/// # Errors
/// The filter can't be read, or the log is started already; a sentence for whoever started the program.
pub fn start(filter: &str, format: Format) -> Result<Log, String> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| format!("--log {filter:?}: {error}"))?;
    let failed = |error: io::Error| format!("the log can't be started: {error}");
    let stderr = io::stderr();
    let is_terminal = stderr.is_terminal();
    // Not `Stderr`, whose lock would be held for as long as its reader takes nothing.
    let out = File::from(stderr.as_fd().try_clone_to_owned().map_err(failed)?);
    let started = Writer::start(out, |lines_dropped| {
        tracing::warn!(
            lines_dropped,
            "lines of this log could not be written and are missing; lines_dropped counts them since the start"
        );
    });
    let started = started.map_err(failed)?;
    let writer = WRITER.get_or_init(|| started);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || Line(writer));
    match format {
        Format::Text => builder.with_ansi(is_terminal).try_init(),
        Format::Json => builder.json().try_init(),
    }
    .map_err(|error| format!("the log can't be started: {error}"))?;
    std::panic::set_hook(Box::new(say_panic));
    Ok(Log(()))
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
        writer.flush(FLUSH_WAIT_MAX);
    }
}

/// Lines that could not be written since the start.
#[must_use]
pub fn lines_dropped() -> u64 {
    WRITER.get().map_or(0, Writer::lines_dropped)
}

/// What the standard library would write to standard error by itself, however long that takes.
fn say_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let mut text = format!("thread '{}' {panic}", thread.name().unwrap_or("<unnamed>"));
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        text.push_str(&format!("\n{backtrace}"));
    }
    say(&text);
}

/// What one event is written to.
struct Line(&'static Writer);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
