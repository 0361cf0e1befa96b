use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::artifacts::gateway_binary;
use crate::command::logging_to;
use crate::host::Host;
use crate::process::Process;
use crate::server::Server;
use crate::socket::{HttpAnswer, Session, Socket};
use crate::wait::wait_until;

/// What a gateway is started with.
#[derive(Debug)]
pub struct GatewaySetup {
    folder: TempDir,
    config: String,
    args: Vec<String>,
    envs: Vec<(String, PathBuf)>,
    log: Option<PathBuf>,
}

impl Default for GatewaySetup {
    fn default() -> Self {
        Self::new()
    }
}

impl GatewaySetup {
    /// A gateway on any free port, without hosts.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gateway-test-")
            .tempdir()
            .expect("the temporary folder is writable");
        Self {
            folder,
            config: String::new(),
            args: Vec::new(),
            envs: Vec::new(),
            log: None,
        }
    }

    /// With a host.
    #[must_use]
    pub fn host(self, host: &Host) -> Self {
        self.host_at(host.port())
    }

    /// With a host at a port of this machine, where there may be none yet.
    #[must_use]
    pub fn host_at(self, port: u16) -> Self {
        self.arg("--host").arg(&format!("127.0.0.1:{port}"))
    }

    /// With functions that may be called.
    #[must_use]
    pub fn allow(self, name: &str) -> Self {
        self.arg("--allow").arg(name)
    }

    /// With lines in its configuration.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self.config.push('\n');
        self
    }

    /// With a file in its folder.
    #[must_use]
    pub fn file(self, name: &str, content: &[u8]) -> Self {
        fs::write(self.folder.path().join(name), content).expect("the folder is fresh");
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
    pub fn env(mut self, name: &str, value: &Path) -> Self {
        self.envs.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a file, or whatever has a path, for its standard error. The test can't ask for its log then.
    #[must_use]
    pub fn log_to(mut self, file: &Path) -> Self {
        self.log = Some(file.to_owned());
        self
    }

    /// The folder in which it will run.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The command that starts it, for tests that expect it not to serve.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(gateway_binary());
        command
            .env_remove("RUST_LOG")
            .envs(self.envs.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .current_dir(self.folder.path());
        if !self.args.iter().any(|arg| arg == "--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if !self.config.is_empty() {
            let file = self.folder.path().join("gateway.toml");
            fs::write(&file, &self.config).expect("the folder is fresh");
            command.arg("--config").arg(file);
        }
        command.args(&self.args);
        match &self.log {
            Some(file) => logging_to(&command, file),
            None => command,
        }
    }

    /// Starts it and waits until it serves.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Gateway {
        Gateway {
            server: Server::start(self.command()),
            folder: self.folder,
        }
    }
}

/// A running gateway; killed when the test drops it.
#[derive(Debug)]
pub struct Gateway {
    server: Server,
    folder: TempDir,
}

impl Gateway {
    /// A gateway to the host that lets everything pass, once it is connected.
    #[must_use]
    #[track_caller]
    pub fn to(host: &Host) -> Self {
        let gateway = GatewaySetup::new().host(host).allow("*").start();
        gateway.wait_until_ready();
        gateway
    }

    /// Waits until a task would find a host.
    #[track_caller]
    pub fn wait_until_ready(&self) {
        wait_until("the gateway to be connected", || {
            self.get("/readyz").0 == 200
        });
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Its folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A session of `tasks.v1`, greeted.
    #[must_use]
    #[track_caller]
    pub fn session(&self) -> Session {
        Session::greeted(self.socket())
    }

    /// A WebSocket with the subprotocol `tasks.v1`.
    #[must_use]
    #[track_caller]
    pub fn socket(&self) -> Socket {
        Socket::connect(self.port(), &[("Sec-WebSocket-Protocol", "tasks.v1")])
            .unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
    }

    /// A WebSocket without subprotocol.
    #[must_use]
    #[track_caller]
    pub fn plain(&self) -> Socket {
        Socket::connect(self.port(), &[]).unwrap_or_else(|refusal| panic!("refused: {refusal:?}"))
    }

    /// The status and the body of a page.
    #[must_use]
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        self.request("GET", path, &[], b"")
    }

    /// The status and the body of any request.
    #[must_use]
    #[track_caller]
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let answer = self.answer(method, path, headers, body);
        (answer.status, answer.body)
    }

    /// The whole answer to any request.
    #[must_use]
    #[track_caller]
    pub fn answer(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> HttpAnswer {
        crate::socket::http(self.port(), method, path, headers, body)
    }

    /// The whole answer to a request that is written out, after which the gateway closes.
    #[must_use]
    #[track_caller]
    pub fn answer_to(&self, request: &str) -> HttpAnswer {
        crate::socket::http_bytes(self.port(), request.as_bytes())
    }

    /// What it has written on its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.server.stdout()
    }

    /// The status and the answer of `POST /tasks`.
    #[must_use]
    #[track_caller]
    pub fn post(&self, request: &Value) -> (u16, Value) {
        let headers = [("Content-Type", "application/json")];
        let body = request.to_string();
        let (status, body) = self.request("POST", "/tasks", &headers, body.as_bytes());
        let answer = serde_json::from_str(&body).unwrap_or(Value::String(body));
        (status, answer)
    }

    /// A number of `/metrics`.
    #[must_use]
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.get("/metrics");
        page.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
            .and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("no {name} in\n{page}"))
    }

    /// A number of `/metrics` about a host, by its name without `gateway_host_`.
    #[must_use]
    #[track_caller]
    pub fn host_metric(&self, name: &str, host: &Host) -> f64 {
        let port = host.port();
        self.metric(&format!("gateway_host_{name}{{host=\"127.0.0.1:{port}\"}}"))
    }

    /// Waits until a session has lost its socket.
    #[track_caller]
    pub fn wait_until_detached(&self) {
        wait_until("a session to be without a socket", || {
            self.metric("gateway_sessions_detached") >= 1.0
        });
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> Process {
        self.server.process()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.server.log()
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
}
