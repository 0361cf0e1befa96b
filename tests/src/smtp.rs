use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::command::run;
use crate::tools::{python, venv_python, workspace_dir};

/// A real SMTP server that keeps what it accepts; killed on drop.
#[derive(Debug)]
pub struct SmtpServer {
    child: Child,
    port: u16,
    folder: TempDir,
}

/// A message as a mail reader sees it. The fields are those of `tests/read_mails.py`.
#[derive(Clone, Debug)]
pub struct Mail(pub Value);

impl Mail {
    /// A header's text, decoded; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.0["headers"][name].as_str().unwrap_or_default()
    }

    /// Whom the envelope is addressed to.
    #[must_use]
    pub fn recipients(&self) -> Vec<&str> {
        self.0["envelope_to"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    }
}

impl SmtpServer {
    /// Starts it and waits until it serves.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("smtp-test-")
            .tempdir()
            .expect("the temporary folder is writable");
        let mut command = venv_python();
        command
            .arg(workspace_dir().join("tests/smtp_server.py"))
            .arg(folder.path());
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = child.stdout.take().expect("it was asked for");
        let mut server = Self {
            child,
            port: 0,
            folder,
        };
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("its standard output can be read");
        server.port = line
            .trim_end()
            .parse()
            .unwrap_or_else(|_| panic!("the SMTP server said no port but {line:?}"));
        server
    }

    /// What plugin `mail` has to be told to use it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// How many messages it has accepted so far.
    #[must_use]
    pub fn received(&self) -> usize {
        let files = fs::read_dir(self.folder.path())
            .expect("the folder is there")
            .filter_map(Result::ok);
        files
            .filter(|file| {
                file.path()
                    .extension()
                    .is_some_and(|extension| extension == "json")
            })
            .count()
    }

    /// What it has accepted so far, as Python's own email package reads it.
    #[must_use]
    #[track_caller]
    pub fn mails(&self) -> Vec<Mail> {
        let script = workspace_dir().join("tests/read_mails.py");
        let json = run(python().arg(script).arg(self.folder.path())).output();
        let mails: Vec<Value> = serde_json::from_str(&json).expect("the script prints a list");
        mails.into_iter().map(Mail).collect()
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
