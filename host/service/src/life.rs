//! A program's life: signals, phases, the drain, and its first and last words.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::log;

/// Exit code for a wrong command line or configuration, or an address that can't be had.
pub const EXIT_USAGE: u8 = 2;
/// Exit code when a part of the program that it can't do without has failed (`EX_SOFTWARE` of sysexits).
pub const EXIT_FAILED: u8 = 70;
/// Exit code after a second signal, as shells give it for Ctrl-C.
pub const EXIT_NOW: u8 = 130;

/// See [`descriptor_limit_before`].
static SOFT_LIMIT_BEFORE: OnceLock<Option<u64>> = OnceLock::new();

/// How often a drain looks whether it is over.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// How far a program's life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Requests are taken.
    Serving,
    /// New requests are refused, those received are finished.
    Draining,
    /// Connections close when they have nothing more to say.
    Closing,
}

/// The phase, for whoever changes it.
#[derive(Debug)]
pub struct Life(watch::Sender<Phase>);

/// The phase, for whoever goes by it.
pub type Phases = watch::Receiver<Phase>;

impl Default for Life {
    fn default() -> Self {
        Self(watch::Sender::new(Phase::Serving))
    }
}

impl Life {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// The phase now and as it changes.
    #[must_use]
    pub fn phases(&self) -> Phases {
        self.0.subscribe()
    }

    /// The next phase begins.
    pub fn enter(&self, phase: Phase) {
        self.0.send_replace(phase);
    }
}

/// Waits until nothing is left, or the time is up. False: something is.
pub async fn wait_until_none(left: impl Fn() -> usize, until: Instant) -> bool {
    while left() > 0 {
        if Instant::now() >= until {
            return false;
        }
        sleep(DRAIN_LOOK).await;
    }
    true
}

/// The signals that end a program, and the one that has it read its configuration again.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// Nobody waits for it. Caught, it no longer kills: what is written beyond a limit (`ulimit -f`) fails with `EFBIG`.
    _file_size: Signal,
}

impl Signals {
    /// Catches SIGTERM and SIGINT from now on, and SIGXFSZ, which would end the program without a word.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(libc::SIGXFSZ))?,
        })
    }

    /// The next one that ends the program: the first begins a drain, the second ends it at once.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Catches SIGHUP from now on.
///
/// # Errors
/// The system refuses.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// A line on standard output for each address: whoever has started the program knows from it where it listens, and that it serves.
/// They may not want to know.
pub fn announce(addresses: &[impl fmt::Display]) {
    let mut stdout = io::stdout().lock();
    for address in addresses {
        tracing::info!(%address, "serving");
        drop(writeln!(stdout, "listening on {address}"));
    }
    drop(stdout.flush());
}

/// Each connection and each child needs descriptors; the usual soft limit of 1024 is for programs that use `select`.
///
/// Returns the limit that holds now; `None`: there is none.
pub fn raise_descriptor_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    SOFT_LIMIT_BEFORE.get_or_init(|| limit.current);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("the limit of open files can't be raised: {error}");
    }
    getrlimit(Resource::Nofile).current
}

/// The soft limit of open files that the program was started with, for its children; `None`: any number.
pub fn descriptor_limit_before() -> Option<u64> {
    *SOFT_LIMIT_BEFORE.get_or_init(|| getrlimit(Resource::Nofile).current)
}

/// Ends the program at once, whatever it is in the middle of.
pub fn end_now() -> ! {
    tracing::warn!("ended before the drain was over");
    log::flush();
    std::process::exit(i32::from(EXIT_NOW));
}

/// Says why the program can't go on, to whoever has started it.
pub fn fail(program: &str, problem: &str, code: u8) -> ExitCode {
    log::say(&format!("{program}: {problem}"));
    ExitCode::from(code)
}
