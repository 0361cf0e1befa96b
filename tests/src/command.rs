use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

use crate::wait::wait_for;

/// What a program left behind.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote on its standard output.
    pub stdout: String,
    /// What it wrote on its standard error.
    pub stderr: String,
}

impl Finished {
    /// Its standard output, if it ended well.
    #[must_use]
    #[track_caller]
    pub fn output(self) -> String {
        assert!(
            self.status.success(),
            "{}\n{}{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }
}

/// Runs a program to its end, with nothing to read.
#[track_caller]
pub fn run(command: &mut Command) -> Finished {
    run_with_input(command, Vec::new())
}

/// Runs a program to its end. What it has to read may be larger than any buffer.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: Vec<u8>) -> Finished {
    let spawned = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut running = Running(
        spawned.unwrap_or_else(|error| panic!("{command:?}: {error}; tests/setup.sh installs it")),
    );
    let mut stdin = running.0.stdin.take().expect("it was asked for");
    // A program need not read it all; whether it should have is for the test to say.
    thread::spawn(move || stdin.write_all(&input));
    let stdout = read_all(running.0.stdout.take());
    let stderr = read_all(running.0.stderr.take());
    let status = wait_for(&format!("the end of {command:?}"), || {
        running.0.try_wait().expect("a child can be waited for")
    });
    Finished {
        status,
        stdout: join(stdout),
        stderr: join(stderr),
    }
}

/// The same command, with a file, or whatever has a path, for its standard error.
pub(crate) fn logging_to(command: &Command, file: &Path) -> Command {
    let file = file.to_str().expect("the test's folder is text");
    within(
        command,
        &[
            "sh",
            "-c",
            r#"log=$1; shift; exec "$@" 2>"$log""#,
            "sh",
            file,
        ],
    )
}

/// The same command, started by another program, which takes it as its last arguments.
#[must_use]
pub fn within(command: &Command, program: &[&str]) -> Command {
    let (program, args) = program.split_first().expect("it has a name");
    let mut within = Command::new(program);
    within
        .args(args)
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        within.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => within.env(name, value),
            None => within.env_remove(name),
        };
    }
    within
}

/// Killed if the test gives up on it.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read_all(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    let mut stream = stream.expect("it was asked for");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is all there is.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    })
}

fn join(reader: JoinHandle<Vec<u8>>) -> String {
    String::from_utf8_lossy(&reader.join().expect("reading does not panic")).into_owned()
}
