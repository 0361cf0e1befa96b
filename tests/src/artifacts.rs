//! What is tested, as cargo builds it.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

use crate::tools::workspace_dir;

/// A plugin that the tests build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plugin {
    /// The fixture that behaves.
    Good,
    /// The fixture that misbehaves on command.
    Evil,
    /// Real mail.
    Mail,
    /// Real reports.
    Report,
    /// Real images.
    Resize,
    /// The fixture that tells its version.
    Versioned,
}

impl Plugin {
    /// Its name, as `host.plugins` says it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Evil => "evil",
            Self::Mail => "mail",
            Self::Report => "report",
            Self::Resize => "resize",
            Self::Versioned => "versioned",
        }
    }

    /// The name of its file.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("lib{}.so", self.name())
    }

    /// The library that cargo built.
    #[must_use]
    pub fn library(self) -> &'static Path {
        artifact(self.name())
    }
}

/// The `host` binary that cargo built.
pub(crate) fn host_binary() -> &'static Path {
    artifact("host")
}

/// What is built together, and so shares what its members ask of their common dependencies.
struct Group {
    packages: &'static [&'static str],
    artifacts: OnceLock<HashMap<String, PathBuf>>,
}

impl Group {
    const fn new(packages: &'static [&'static str]) -> Self {
        Self {
            packages,
            artifacts: OnceLock::new(),
        }
    }
}

/// As `make plugins` builds them, so that the host is the one that `make run` starts; the fixtures apart from it. Each
/// is built when a test first asks for it: nobody waits for a report's SQL engine who tests something else.
static GROUPS: [Group; 3] = [
    Group::new(&["host", "mail", "resize", "gateway"]),
    Group::new(&["report"]),
    Group::new(&["good", "evil", "versioned"]),
];

/// The `gateway` binary that cargo built.
pub(crate) fn gateway_binary() -> &'static Path {
    artifact("gateway")
}

fn artifact(name: &str) -> &'static Path {
    let group = GROUPS
        .iter()
        .find(|group| group.packages.contains(&name))
        .unwrap_or_else(|| panic!("{name} is in no group"));
    let artifacts = group.artifacts.get_or_init(|| build(group.packages));
    artifacts
        .get(name)
        .unwrap_or_else(|| panic!("cargo built no {name}: {artifacts:?}"))
}

/// Builds packages in the profile and the target folder in which this very test was built.
fn build(packages: &[&str]) -> HashMap<String, PathBuf> {
    build_in(workspace_dir(), packages, &[])
}

/// Builds packages of another workspace, beside those of this one.
pub(crate) fn build_in(
    workspace: &Path,
    packages: &[&str],
    flags: &[&str],
) -> HashMap<String, PathBuf> {
    let (target_dir, profile) = where_this_was_built();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    as_from_a_shell(&mut cargo)
        .current_dir(workspace)
        .args([
            "build",
            "--message-format=json-render-diagnostics",
            "--profile",
            &profile,
        ])
        .arg("--target-dir")
        .arg(target_dir)
        .args(flags)
        .args(packages.iter().flat_map(|package| ["--package", package]))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = cargo
        .output()
        .unwrap_or_else(|error| panic!("{cargo:?}: {error}"));
    assert!(output.status.success(), "{cargo:?}: {}", output.status);
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|message| serde_json::from_str(message).ok())
        .filter_map(|message| product(&message))
        .collect()
}

/// Takes out of a command's environment what cargo tells tests of their own package. A build within a test must see
/// what the build before it saw: some build scripts run again, and all that hangs on them, where such a value differs.
pub fn as_from_a_shell(command: &mut Command) -> &mut Command {
    const OF_THE_TEST: [&str; 4] = [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_CRATE_",
        "CARGO_PRIMARY_",
    ];
    for (name, _) in env::vars_os() {
        let own = name
            .to_str()
            .is_some_and(|name| OF_THE_TEST.iter().any(|own| name.starts_with(own)));
        if own {
            command.env_remove(name);
        }
    }
    command
}

/// The program or library that a message of cargo tells of.
fn product(message: &Value) -> Option<(String, PathBuf)> {
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let name = message["target"]["name"].as_str()?.to_owned();
    let files = message["filenames"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str);
    let file = match message["executable"].as_str() {
        Some(executable) => executable,
        None => files.into_iter().find(|file| {
            Path::new(file)
                .extension()
                .is_some_and(|extension| extension == "so")
        })?,
    };
    Some((name, PathBuf::from(file)))
}

/// The target folder in which this very test was built.
#[must_use]
pub fn target_dir() -> PathBuf {
    where_this_was_built().0
}

/// The target folder and the profile's name; tests run from `TARGET/PROFILE/deps`.
fn where_this_was_built() -> (PathBuf, String) {
    let test = env::current_exe().expect("a test knows its own file");
    let mut folders = test.ancestors().skip(2);
    let profile = folders
        .next()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str());
    let target_dir = folders.next();
    match (target_dir, profile) {
        (Some(target_dir), Some("debug")) => (target_dir.to_owned(), "dev".to_owned()),
        (Some(target_dir), Some(profile)) => (target_dir.to_owned(), profile.to_owned()),
        _ => panic!("{} is not where cargo puts tests", test.display()),
    }
}
