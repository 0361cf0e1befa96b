use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::artifacts::{Plugin, host_binary};
use crate::client::Client;
use crate::process::Process;
use crate::wait::{wait_for, wait_until};

/// Lines of the host's log that a failed test shows.
const LOG_LINES_SHOWN: usize = 200;

/// What a host is started with: a folder of its own, and nothing in it yet.
#[derive(Debug)]
pub struct Setup {
    folder: TempDir,
    config: String,
    args: Vec<String>,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A host without plugins, on any free port.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("host-test-")
            .tempdir()
            .expect("the temporary folder is writable");
        fs::create_dir(folder.path().join("plugins")).expect("the folder is fresh");
        Self {
            folder,
            config: String::new(),
            args: Vec::new(),
        }
    }

    /// With the plugin's library in its folder.
    #[must_use]
    pub fn plugin(self, plugin: Plugin) -> Self {
        self.plugin_as(plugin, &plugin.file_name())
    }

    /// With the plugin's library in its folder, under another name.
    #[must_use]
    pub fn plugin_as(self, plugin: Plugin, file_name: &str) -> Self {
        fs::copy(plugin.library(), self.plugins_dir().join(file_name))
            .expect("cargo built it just now");
        self
    }

    /// With a file in its plugins folder.
    #[must_use]
    pub fn file(self, name: &str, bytes: &[u8]) -> Self {
        let path = self.plugins_dir().join(name);
        fs::create_dir_all(path.parent().expect("it lies in a folder"))
            .expect("the folder is fresh");
        fs::write(path, bytes).expect("the folder is fresh");
        self
    }

    /// With lines in its configuration.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// With a further argument on its command line.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// The folder in which the host will run.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the host looks for plugins.
    #[must_use]
    pub fn plugins_dir(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The command that starts the host, for tests that expect it not to serve.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Host::command();
        command
            .current_dir(self.folder.path())
            .args(["--listen", "127.0.0.1:0", "--plugins"])
            .arg(self.plugins_dir());
        if !self.config.is_empty() {
            let file = self.folder.path().join("host.toml");
            fs::write(&file, &self.config).expect("the folder is fresh");
            command.arg("--config").arg(file);
        }
        command.args(&self.args);
        command
    }

    /// Starts the host and waits until it serves.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Host {
        Host::start(self.command(), Some(self.folder))
    }
}

/// A running host; killed, with its workers, when the test drops it.
#[derive(Debug)]
pub struct Host {
    child: Child,
    process: Process,
    port: u16,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
    folder: Option<TempDir>,
}

impl Host {
    /// The host's binary, with no arguments and an environment that changes nothing.
    #[must_use]
    pub fn command() -> Command {
        let mut command = Command::new(host_binary());
        command
            .env_remove("RUST_LOG")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null());
        command
    }

    /// A host with these plugins and the default configuration.
    #[must_use]
    #[track_caller]
    pub fn with(plugins: &[Plugin]) -> Self {
        plugins
            .iter()
            .fold(Setup::new(), |setup, plugin| setup.plugin(*plugin))
            .start()
    }

    /// Starts what may be the host, or a program that starts it, and waits until it serves.
    #[must_use]
    #[track_caller]
    pub fn start(mut command: Command, folder: Option<TempDir>) -> Self {
        let spawned = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let process = Process::find(child.id()).expect("it has not been waited for");
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let mut host = Self {
            child,
            process,
            port: 0,
            stdout,
            stderr,
            folder,
        };
        host.port = wait_for("the line that says where the host listens", || {
            let port = host.port_said();
            if port.is_none() {
                let ended = host.child.try_wait().expect("a child can be waited for");
                assert!(
                    ended.is_none(),
                    "the host ended before it served: {ended:?}"
                );
            }
            port
        });
        host
    }

    fn port_said(&self) -> Option<u16> {
        let stdout = self.stdout();
        let line = stdout
            .split_inclusive('\n')
            .find(|line| line.starts_with("listening on ") && line.ends_with('\n'))?;
        line.trim_end().rsplit_once(':')?.1.parse().ok()
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new connection.
    #[must_use]
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.port)
    }

    /// The host's own process.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// Its worker processes.
    #[must_use]
    pub fn workers(&self) -> Vec<Process> {
        self.process.children()
    }

    /// Its worker processes that run this plugin.
    #[must_use]
    pub fn workers_of(&self, plugin: Plugin) -> Vec<Process> {
        let mut workers = self.workers();
        workers.retain(|worker| {
            worker
                .command_line()
                .last()
                .is_some_and(|word| word == plugin.name())
        });
        workers
    }

    /// The folder it runs in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder
            .as_ref()
            .expect("the test gave it a folder")
            .path()
    }

    /// The folder it takes plugins from.
    #[must_use]
    pub fn plugins_dir(&self) -> PathBuf {
        self.folder().join("plugins")
    }

    /// What it has written on its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until one line of the log has all of the texts.
    #[track_caller]
    pub fn wait_for_log(&self, texts: &[&str]) {
        wait_until(&format!("a line of the log with {texts:?}"), || {
            self.log()
                .lines()
                .any(|line| texts.iter().all(|text| line.contains(text)))
        });
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the host's end", || {
            self.child.try_wait().expect("a child can be waited for")
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A program that has started the host is killed with it. It may all have ended long ago.
        self.process.kill_group();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let skipped = log.lines().count().saturating_sub(LOG_LINES_SHOWN);
            eprintln!("--- the host's log, but for its first {skipped} lines:");
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
