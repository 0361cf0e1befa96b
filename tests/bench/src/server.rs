//! Servers as child processes, stopped when they are dropped.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::BenchError;

/// How long a server may take to end by itself once it is told.
const STOP_MAX: Duration = Duration::from_secs(10);

/// A server that says `listening on ADDR` on its stdout.
pub(crate) struct Server {
    child: Child,
    /// Kept open, or the server would write into a closed pipe.
    _stdout: BufReader<ChildStdout>,
    pub(crate) addr: SocketAddr,
}

impl Server {
    /// Starts it and waits for its line. What it logs goes to this process's stderr.
    pub(crate) fn start(program: &Path, args: &[&str]) -> Result<Self, BenchError> {
        let name = format!("{} {}", program.display(), args.join(" "));
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(BenchError::io(format!("can't start {name}")))?;
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        let read = stdout.read_line(&mut line);
        let addr = line.trim().strip_prefix("listening on ");
        match (read, addr.and_then(|addr| addr.parse().ok())) {
            (Ok(_), Some(addr)) => Ok(Self {
                child,
                _stdout: stdout,
                addr,
            }),
            (read, _) => {
                stop(&mut child);
                read.map_err(BenchError::io(format!("can't read from {name}")))?;
                Err(BenchError::NotServing {
                    server: name,
                    got: line,
                })
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child);
    }
}

/// Asks it to end, and kills it if it doesn't.
fn stop(child: &mut Child) {
    let deadline = Instant::now() + STOP_MAX;
    let mut ended = matches!(child.try_wait(), Ok(Some(_)));
    if !ended {
        // Not waited for yet, so the pid is still its own.
        kill_process(Pid::from_child(child), Signal::TERM).ok();
    }
    while !ended && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
        ended = matches!(child.try_wait(), Ok(Some(_)));
    }
    if !ended {
        child.kill().ok();
        child.wait().ok();
    }
}
