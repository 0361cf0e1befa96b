//! A program of ours that serves, as a child of the test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::Signal;

use crate::process::Process;
use crate::wait::{wait_for, wait_until};

/// Lines of the log that a failed test shows.
const LOG_LINES_SHOWN: usize = 200;

/// A running server; killed, with all that it has started, when the test drops it.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    process: Process,
    port: u16,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Server {
    /// Starts what may be the server, or a program that starts it, and waits until it serves.
    #[track_caller]
    pub(crate) fn start(mut command: Command) -> Self {
        let spawned = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let process = Process::find(child.id()).expect("it has not been waited for");
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let mut server = Self {
            child,
            process,
            port: 0,
            stdout,
            stderr,
        };
        server.port = wait_for("the line that says where the server listens", || {
            let port = server.port_said();
            if port.is_none() {
                let ended = server.child.try_wait().expect("a child can be waited for");
                assert!(
                    ended.is_none(),
                    "the server ended before it served: {ended:?}"
                );
            }
            port
        });
        server
    }

    fn port_said(&self) -> Option<u16> {
        let stdout = self.stdout();
        let line = stdout
            .split_inclusive('\n')
            .find(|line| line.starts_with("listening on ") && line.ends_with('\n'))?;
        line.trim_end().rsplit_once(':')?.1.parse().ok()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn process(&self) -> Process {
        self.process
    }

    /// What it has written on its standard output so far.
    pub(crate) fn stdout(&self) -> String {
        self.stdout
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until one line of the log has all of the texts.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, texts: &[&str]) {
        wait_until(&format!("a line of the log with {texts:?}"), || {
            self.log()
                .lines()
                .any(|line| texts.iter().all(|text| line.contains(text)))
        });
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the server's end", || {
            self.child.try_wait().expect("a child can be waited for")
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A program that has started the server is killed with it. It may all have ended long ago.
        self.process.kill_group();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let skipped = log.lines().count().saturating_sub(LOG_LINES_SHOWN);
            eprintln!("--- its log, but for its first {skipped} lines:");
            log.lines()
                .skip(skipped)
                .for_each(|line| eprintln!("{line}"));
            eprintln!("---");
        }
    }
}

/// Reads a stream to its end in a thread of its own, so that who writes to it never waits.
fn collect(stream: Option<impl Read + Send + 'static>) -> Arc<Mutex<String>> {
    let stream = stream.expect("it was asked for");
    let collected = Arc::new(Mutex::new(String::new()));
    let collecting = Arc::clone(&collected);
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            collecting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    });
    collected
}
