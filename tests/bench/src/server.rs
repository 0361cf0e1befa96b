//! Servers as child processes, stopped when they are dropped.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{self, Child, ChildStdout, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::address::Address;
use crate::error::BenchError;
use crate::runtime;

/// How long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(10);
/// How long a server may take to end by itself once it is told.
const STOP_MAX: Duration = Duration::from_secs(10);

/// Children that run and are not waited for yet, for [`stop_all_when_told_to_end`]. A pid is taken out while
/// the lock is held under which it is waited for, so that none in here is another process's by now.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// From now on a signal that ends this process stops its servers first; they would outlive it otherwise.
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
        // Held until the end: no server is started, and none is waited for, from here on.
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

/// A server, or a process that belongs to one.
pub(crate) struct Server {
    child: Child,
    /// Kept open, or the server would write into a closed pipe.
    _stdout: BufReader<ChildStdout>,
    pub(crate) address: Address,
}

impl Server {
    /// Starts a program that says `listening on ADDRESS` on its stdout, and waits for that. What it logs goes to this
    /// process's stderr.
    pub(crate) fn start(program: &Path, args: &[&str]) -> Result<Self, BenchError> {
        let name = format!("{} {}", program.display(), args.join(" "));
        let mut child = spawn(program, args, &name)?;
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        let read = stdout.read_line(&mut line);
        let address = line.trim().strip_prefix("listening on ");
        match (read, address.and_then(|address| address.parse().ok())) {
            (Ok(_), Some(address)) => Ok(Self {
                child,
                _stdout: stdout,
                address,
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

    /// Starts a program that was told where to listen, and waits until it does.
    pub(crate) fn start_at(
        addr: SocketAddr,
        program: &Path,
        args: &[&str],
    ) -> Result<Self, BenchError> {
        let name = format!("{} {}", program.display(), args.join(" "));
        let mut child = spawn(program, args, &name)?;
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        // Dropped, and so stopped, where it doesn't come to serve.
        let server = Self {
            child,
            _stdout: stdout,
            address: Address::Tcp(addr),
        };
        let deadline = Instant::now() + START_MAX;
        loop {
            match TcpStream::connect(addr) {
                Ok(_) => return Ok(server),
                Err(error) if Instant::now() > deadline => {
                    return Err(BenchError::io(format!("{name} doesn't listen"))(error));
                }
                Err(_) => thread::sleep(Duration::from_millis(10)),
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

fn spawn(program: &Path, args: &[&str], name: &str) -> Result<Child, BenchError> {
    let mut running = running();
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(BenchError::io(format!("can't start {name}")))?;
    running.push(Pid::from_child(&child));
    Ok(child)
}

/// Asks it to end, and kills it if it doesn't.
fn stop(child: &mut Child) {
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

fn has_ended(child: &mut Child, pid: Pid) -> bool {
    let mut running = running();
    let ended = matches!(child.try_wait(), Ok(Some(_)));
    if ended {
        running.retain(|other| *other != pid);
    }
    ended
}
