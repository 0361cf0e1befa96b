//! Who may connect to a host, and what they may call.

mod exchange;
mod listening;
mod programs;
mod proxied;
mod strangers;
mod table;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Host, Plugin, Setup, run, run_with_input, venv_python, workspace_dir};

/// Tokens of the tests. Their hashes are made by `sha256sum`, as an operator may.
const WEB: &str = "task_web";
const OPS: &str = "task_ops";
const EXPIRED: &str = "task_expired";

/// By `sha256sum`.
fn hash(token: &str) -> String {
    let mut sum = std::process::Command::new("sha256sum");
    let printed = run_with_input(&mut sum, token.as_bytes().to_vec()).output();
    printed.split(' ').next().unwrap().to_owned()
}

/// A host's configuration, so that it can be changed part by part.
struct Config {
    head: String,
    clients: BTreeMap<&'static str, String>,
}

impl Config {
    /// Of a host that listens there, and has no clients.
    fn new(listen: &str) -> Self {
        Self {
            head: format!("listen = {listen}\n"),
            clients: BTreeMap::new(),
        }
    }

    /// With further keys, and tables.
    fn and(mut self, toml: &str) -> Self {
        writeln!(self.head, "{toml}").unwrap();
        self
    }

    fn client(mut self, name: &'static str, toml: &str) -> Self {
        self.clients.insert(name, toml.to_owned());
        self
    }

    fn text(&self) -> String {
        let mut text = self.head.clone();
        for (name, toml) in &self.clients {
            write!(text, "[clients.{name}]\n{toml}\n").unwrap();
        }
        text
    }

    /// Has a running host read it.
    #[track_caller]
    fn apply(&self, host: &Host) {
        fs::write(host.folder().join("host.toml"), self.text()).unwrap();
        let read = "configuration was read again";
        let before = host.lines_with(read);
        host.signal(Signal::HUP);
        tests::wait_until("the configuration to be read", || {
            host.lines_with(read) > before
        });
    }

    fn setup(&self) -> Setup {
        Setup::new()
            .plugin(Plugin::Good)
            .listen_as_configured()
            .config(&self.text())
    }
}

/// What the tests' client `web` has: two functions of `good`, by tokens.
fn web(tokens: &[&str]) -> String {
    let tokens: Vec<String> = tokens
        .iter()
        .map(|token| format!("{{ sha256 = \"{}\" }}", hash(token)))
        .collect();
    format!(
        "tokens = [{}]\nfunctions = [\"echo\", \"sle*\"]",
        tokens.join(", ")
    )
}

/// Puts certificates into a folder: see `tests/authority.py`.
#[track_caller]
fn certify(folder: &Path) {
    certify_until(folder, None);
}

/// The same, and they end in so many hours.
#[track_caller]
fn certify_until(folder: &Path, hours: Option<&str>) {
    let made = run(venv_python()
        .arg(workspace_dir().join("tests/authority.py"))
        .arg(folder)
        .args(hours));
    assert_eq!(made.output(), "");
}

const TLS: &str = "[tls]\ncertificates = \"chain.pem\"\nkey = \"key.pem\"\nclient_ca = \"ca.pem\"";

/// One connection, and what is said on it.
#[derive(Clone, Debug)]
struct Conversation {
    /// `tcp:PORT`, `tls:PORT` or `unix:PATH`.
    connect: String,
    certificate: Option<&'static str>,
    lines: Vec<Value>,
}

/// What was answered to each; none: the connection could not be made.
#[track_caller]
fn converse(folder: &Path, conversations: &[Conversation]) -> Vec<Option<Vec<Value>>> {
    let all: Vec<Value> = conversations
        .iter()
        .map(|one| {
            json!({
                "connect": one.connect,
                "certificate": one.certificate,
                "lines": one.lines,
                "ca": folder.join("ca.pem"),
            })
        })
        .collect();
    let mut script = venv_python();
    script
        .arg(workspace_dir().join("tests/clients/converse.py"))
        .current_dir(folder);
    let printed = run_with_input(&mut script, Value::from(all).to_string().into_bytes()).output();
    serde_json::from_str(&printed).unwrap()
}

fn hello(token: &str) -> Value {
    json!({"function": "host.hello", "args": {"token": token}})
}

/// `tls://127.0.0.1:7` as [`Conversation`] has it.
fn as_connect(address: &str) -> String {
    let port = || address.rsplit_once(':').unwrap().1;
    if let Some(path) = address.strip_prefix("unix:") {
        format!("unix:{path}")
    } else if address.starts_with("tls://") {
        format!("tls:{}", port())
    } else {
        format!("tcp:{}", port())
    }
}

fn port_of(address: &str) -> u16 {
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// The user that runs the tests.
fn own_user() -> u32 {
    rustix::process::getuid().as_raw()
}

fn in_folder(host: &Host, name: &str) -> PathBuf {
    host.folder().join(name)
}
