use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::artifacts::{Plugin, host_binary};
use crate::client::Client;
use crate::command::logging_to;
use crate::process::Process;
use crate::server::Server;
use crate::wait::wait_for;

/// What a host is started with: a folder of its own, and nothing in it yet.
#[derive(Debug)]
pub struct Setup {
    folder: TempDir,
    /// Its plugins' folder, as it is told.
    plugins: PathBuf,
    config: String,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    /// None: where its configuration says.
    port: Option<u16>,
    log: Option<PathBuf>,
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
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins).expect("the folder is fresh");
        Self {
            folder,
            plugins,
            config: String::new(),
            args: Vec::new(),
            variables: Vec::new(),
            port: Some(0),
            log: None,
        }
    }

    /// Told by this name where its plugins are, from the folder in which it will run.
    #[must_use]
    pub fn plugins_named(mut self, name: &str) -> Self {
        self.plugins = name.into();
        self
    }

    /// At a port that a host had before, in place of any free one.
    #[must_use]
    pub fn listen(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// At the addresses of its configuration, the first of them by TCP.
    #[must_use]
    pub fn listen_as_configured(mut self) -> Self {
        self.port = None;
        self
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

    /// With a variable in its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a file, or whatever has a path, for its standard error. The test can't ask for its log then.
    #[must_use]
    pub fn log_to(mut self, file: &Path) -> Self {
        self.log = Some(file.to_owned());
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
            .arg("--plugins")
            .arg(&self.plugins);
        if let Some(port) = self.port {
            command.arg("--listen").arg(format!("127.0.0.1:{port}"));
        }
        if !self.config.is_empty() {
            let file = self.folder.path().join("host.toml");
            fs::write(&file, &self.config).expect("the folder is fresh");
            command.arg("--config").arg(file);
        }
        command.args(&self.args);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        match &self.log {
            Some(file) => logging_to(&command, file),
            None => command,
        }
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
    server: Server,
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
    pub fn start(command: Command, folder: Option<TempDir>) -> Self {
        Self {
            server: Server::start(command),
            folder,
        }
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// All its addresses, in the order of its configuration, which has so many.
    #[must_use]
    #[track_caller]
    pub fn addresses(&self, count: usize) -> Vec<String> {
        wait_for("all addresses of the host", || {
            let stdout = self.stdout();
            let lines = stdout.lines();
            let said: Vec<String> = lines
                .filter_map(|line| line.strip_prefix("listening on ").map(str::to_owned))
                .collect();
            (said.len() == count).then_some(said)
        })
    }

    /// A new connection.
    #[must_use]
    #[track_caller]
    pub fn client(&self) -> Client {
        Client::connect(self.port())
    }

    /// The host's own process.
    #[must_use]
    pub fn process(&self) -> Process {
        self.server.process()
    }

    /// Its worker processes.
    #[must_use]
    pub fn workers(&self) -> Vec<Process> {
        self.process().children()
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

    /// Puts a file among its plugins as one should: written beside its place, then renamed.
    #[track_caller]
    pub fn put(&self, file_name: &str, bytes: &[u8]) {
        let new = self.plugins_dir().join(format!(".{file_name}.new"));
        fs::write(&new, bytes).expect("the folder is there");
        fs::rename(new, self.plugins_dir().join(file_name)).expect("it is in the same folder");
    }

    /// As [`Self::put`], with the library of one of these tests' plugins.
    #[track_caller]
    pub fn put_plugin(&self, plugin: Plugin) {
        let library = fs::read(plugin.library()).expect("it is built");
        self.put(&plugin.file_name(), &library);
    }

    /// What it has written on its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.server.stdout()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// The status and the body of a page for operators, of a host that was started with `--http 127.0.0.1:0`.
    #[must_use]
    #[track_caller]
    pub fn page(&self, path: &str) -> (u16, String) {
        const SAID: &str = "serving pages for operators by HTTP";
        self.wait_for_log(&[SAID]);
        let log = self.log();
        let line = log.lines().find(|line| line.contains(SAID));
        let port = line.and_then(|line| line.trim_end().rsplit(':').next()?.parse().ok());
        let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
        let answer = crate::socket::http(port, "GET", path, &[], b"");
        (answer.status, answer.body)
    }

    /// How many lines of the log have this text.
    #[must_use]
    pub fn lines_with(&self, text: &str) -> usize {
        let log = self.log();
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until one line of the log has all of the texts.
    #[track_caller]
    pub fn wait_for_log(&self, texts: &[&str]) {
        self.server.wait_for_log(texts);
    }

    /// Sends it a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        self.server.wait()
    }

    /// Ends it by a signal, and starts it again in the same folder, at another free port.
    #[must_use]
    #[track_caller]
    pub fn again_after(mut self, signal: Signal) -> Self {
        let words = self.process().command_line();
        let [program, args @ ..] = words.as_slice() else {
            panic!("it runs")
        };
        let mut command = Command::new(program);
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command.args(args).current_dir(self.folder());
        self.signal(signal);
        self.wait();
        Self::start(command, self.folder.take())
    }
}
