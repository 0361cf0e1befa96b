//! Programs as child processes, stopped when they are dropped.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{self, Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::error::BenchError;
use crate::runtime;

/// How long a program may take to end by itself once it is told.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Children that run and are not waited for yet, for [`stop_all_when_told_to_end`]. A pid is taken out while
/// the lock is held under which it is waited for, so that none in here is another process's by now.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// From now on a signal that ends this process stops its programs first; they would outlive it otherwise.
pub(crate) fn stop_all_when_told_to_end() -> Result<(), BenchError> {
    let runtime = runtime::on_this_thread()?;
    let [mut interrupt, mut terminate, mut hangup] = {
        let _guard = runtime.enter();
        let listen = |kind| signal(kind).map_err(BenchError::io("can't listen for signals"));
        [
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
            listen(SignalKind::hangup())?,
        ]
    };
    thread::spawn(move || {
        let number = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
                _ = hangup.recv() => SignalKind::hangup(),
            }
        });
        // Held until the end: no program is started, and none is waited for, from here on.
        let running = running();
        for pid in running.iter() {
            kill_process(*pid, Signal::TERM).ok();
        }
        process::exit(128 + number.as_raw_value());
    });
    Ok(())
}

fn running() -> MutexGuard<'static, Vec<Pid>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A program that runs.
pub(crate) struct Program {
    /// With its arguments.
    pub(crate) name: String,
    child: Child,
    /// Kept open, or it would write into a closed pipe.
    stdout: BufReader<ChildStdout>,
}

impl Program {
    /// Starts it. What it logs goes to this process's stderr.
    pub(crate) fn start(program: &Path, args: &[&str]) -> Result<Self, BenchError> {
        let name = format!("{} {}", program.display(), args.join(" "));
        let mut running = running();
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::io(format!("can't start {name}")))?;
        running.push(Pid::from_child(&child));
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Ok(Self {
            name,
            child,
            stdout,
        })
    }

    /// The next line that it prints, as soon as it does; empty, where it has ended.
    pub(crate) fn line(&mut self) -> Result<String, BenchError> {
        let mut line = String::new();
        let read = self.stdout.read_line(&mut line);
        read.map_err(BenchError::io(format!("can't read from {}", self.name)))?;
        line.truncate(line.trim_end().len());
        Ok(line)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

/// Asks it to end, and kills it if it doesn't.
impl Drop for Program {
    fn drop(&mut self) {
        let child = &mut self.child;
        let deadline = Instant::now() + STOP_MAX;
        let pid = Pid::from_child(child);
        // Not waited for yet, so the pid is still its own.
        kill_process(pid, Signal::TERM).ok();
        while Instant::now() < deadline {
            if has_ended(child, pid) {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        child.kill().ok();
        running().retain(|other| *other != pid);
        child.wait().ok();
    }
}

fn has_ended(child: &mut Child, pid: Pid) -> bool {
    let mut running = running();
    let ended = matches!(child.try_wait(), Ok(Some(_)));
    if ended {
        running.retain(|other| *other != pid);
    }
    ended
}
