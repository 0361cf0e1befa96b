//! What `tests/setup.sh` puts in place.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the whole workspace.
#[must_use]
pub fn workspace_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie inside the workspace")
}

/// Python as it is, without any package.
#[must_use]
pub fn python() -> Command {
    let mut python = Command::new(venv());
    // Isolated from what the environment has, the packages of the set-up included.
    python.args(["-I", "-S"]);
    python
}

/// Python with the packages of `tests/requirements.txt`.
#[must_use]
pub fn venv_python() -> Command {
    Command::new(venv())
}

/// PHP without the limits that its `php.ini` may set.
#[must_use]
pub fn php() -> Command {
    let mut php = Command::new("php");
    php.arg("-n");
    php
}

fn venv() -> PathBuf {
    let python = workspace_dir().join("target/tools/venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run tests/setup.sh first",
        python.display()
    );
    python
}
