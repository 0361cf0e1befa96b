//! The real server: aiosmtpd in a process of its own.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

use plugin_api::serde_json::{self, Value};

const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
    messages: Receiver<Value>,
}

impl Server {
    /// Starts it; `config` is for `smtp_server.py`.
    pub(crate) fn start(config: &Value) -> Self {
        let mut process = Command::new(python())
            .arg(manifest_dir().join("tests/mail/smtp_server.py"))
            .arg(config.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python starts");
        let stdout = process.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let value = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let port: Value = lines
            .recv_timeout(DEADLINE)
            .expect("the server says its port");
        let port = port
            .as_u64()
            .and_then(|port| port.try_into().ok())
            .expect("a port");
        Self {
            process,
            port,
            messages: lines,
        }
    }

    /// Without encryption.
    pub(crate) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}?tls=none", self.port)
    }

    /// The next `count` messages it accepted; there must be no more of them.
    pub(crate) fn take(&self, count: usize) -> Vec<Value> {
        let messages = (0..count)
            .map(|_| self.messages.recv_timeout(DEADLINE).expect("a message"))
            .collect();
        // It prints a message before it accepts it, so that a further one would be on its way by now, at the latest.
        assert!(
            self.messages
                .recv_timeout(Duration::from_millis(100))
                .is_err(),
            "more than {count} messages"
        );
        messages
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A header of a message, `null` when there is none.
pub(crate) fn header(message: &Value, name: &str) -> Value {
    let headers = message["headers"].as_array().unwrap();
    let mut found = headers
        .iter()
        .filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
    let value = found.next().map_or(Value::Null, |header| header[1].clone());
    assert!(found.next().is_none(), "{name} is there twice");
    value
}

fn manifest_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn python() -> PathBuf {
    let tools = std::env::var_os("TASK_SERVER_TOOLS").expect("`cargo test` sets it");
    let python = Path::new(&tools).join("venv/bin/python");
    let has_server = Command::new(&python)
        .args(["-c", "import aiosmtpd"])
        .output();
    assert!(
        has_server.is_ok_and(|output| output.status.success()),
        "{} has no aiosmtpd: run tests/setup.sh, which installs it",
        python.display()
    );
    python
}
