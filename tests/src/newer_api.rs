//! Plugins built with a plugin-api that does not exist yet: today's, with another version and more in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::artifacts::{build_in, target_dir};
use crate::tools::workspace_dir;

/// What is changed in today's plugin-api: file, text, and what stands there instead.
const APPENDED: &[(&str, &str, &str)] = &[
    (
        "plugin-api/src/abi.rs",
        "        fields: RSlice<'_, u8>,\n    ),\n}",
        "        fields: RSlice<'_, u8>,\n    ),\n    /// New.\n    pub newest: extern \"C\" fn() -> u64,\n}",
    ),
    (
        "plugin-api/src/abi.rs",
        "    pub close: extern \"C\" fn(),\n}",
        "    pub close: extern \"C\" fn(),\n    /// New.\n    pub describe: extern \"C\" fn() -> RVec<u8>,\n}",
    ),
    (
        "plugin-api/src/export.rs",
        "        close: close::<P>,\n    }",
        "        close: close::<P>,\n        describe: manifest::<P>,\n    }",
    ),
    (
        "plugin-api/src/export.rs",
        "extern \"C\" fn constructor",
        "pub(crate) fn newest() -> u64 {\n    WORKER.get().map_or(0, |worker| worker.newest()())\n}\n\nextern \"C\" fn constructor",
    ),
];

const LIB_APPENDED: &str =
    "\n/// New.\n#[must_use]\npub fn newest() -> u64 {\n    export::newest()\n}\n";

const PLUGIN: &str = r#"//! Built with a newer plugin-api than the host's.
use plugin_api::{TaskError, plugin};

#[derive(Default)]
pub struct Newer;

#[plugin(name = "newer")]
impl Newer {
    /// Uses nothing new.
    #[handler]
    fn double(&self, args: u64) -> Result<u64, TaskError> {
        Ok(args * 2)
    }

    /// Uses what the host doesn't have.
    #[handler]
    fn newest(&self) -> Result<u64, TaskError> {
        Ok(plugin_api::newest())
    }
}
"#;

/// What follows in it is the name of the library.
const MANIFEST: &str = "[package]
name = \"newer\"
version.workspace = true
edition.workspace = true

[dependencies]
features.workspace = true
plugin-api.workspace = true

[lib]
crate-type = [\"cdylib\"]
name = ";

/// The library of a plugin built with this version of plugin-api, which has more in it than today's.
///
/// What is built stays in the target folder, so that only the first time takes long.
#[must_use]
#[track_caller]
pub fn built_with_newer_plugin_api(version: &str) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = target_dir().join("newer-plugin-api").join(version);
    // Cargo gives a library the path that its name makes, whatever its version: with one name for all versions, what is
    // built last would lie there, and each would be taken for built.
    let name = format!("newer_{}", version.replace('.', "_"));
    write_workspace(&folder, version, &name);
    let built = build_in(&folder, &["newer"], &["--offline"]);
    let library = folder.join("libnewer.so");
    fs::copy(&built[&name], &library).expect("cargo built it just now");
    library
}

fn write_workspace(folder: &Path, version: &str, name: &str) {
    let today = workspace_dir();
    let mut files = Vec::new();
    collect_files(&today.join("plugin-api"), &mut files);
    // So that its dependencies are those that are built already.
    collect_files(&today.join("tests/features"), &mut files);
    for file in files {
        let name = file.strip_prefix(today).expect("it was found there");
        let name = name.to_str().expect("our own names are UTF-8");
        let mut text = fs::read_to_string(&file).expect("it was found there");
        for (_, old, new) in APPENDED.iter().filter(|(changed, ..)| *changed == name) {
            assert!(text.contains(old), "{name} has changed: {old}");
            text = text.replacen(old, new, 1);
        }
        match name {
            "plugin-api/src/lib.rs" => text.push_str(LIB_APPENDED),
            "plugin-api/Cargo.toml" | "plugin-api/macros/Cargo.toml" => {
                text = with_version(
                    &text,
                    &format!("\nversion = \"{}\"", today_version()),
                    version,
                );
            }
            _ => {}
        }
        write(&folder.join(name), &text);
    }
    let workspace = read(today, "Cargo.toml");
    let (head, rest) = workspace.split_once("members = [").expect("it has members");
    let (_, rest) = rest.split_once(']').expect("the list ends");
    // Those that are built by default are a list of their own.
    let (_, rest) = rest.split_once("default-members = [").expect("it has them");
    let (_, rest) = rest.split_once(']').expect("the list ends");
    let members = r#""plugin-api", "plugin-api/macros", "tests/features", "newer""#;
    let mut workspace = format!("{head}members = [{members}]{rest}");
    workspace = with_version(
        &workspace,
        &format!("\"plugin-api\", version = \"{}\"", today_version()),
        version,
    );
    workspace = with_version(
        &workspace,
        &format!("\"plugin-api/macros\", version = \"={}\"", today_version()),
        version,
    );
    // How single crates are built, none of which is here; but all are built as all of ours.
    let all = "[profile.release.package.\"*\"]";
    let (head, rest) = workspace.split_once(all).expect("it says how");
    let (rest, _) = rest.split_once("\n[").unwrap_or((rest, ""));
    let workspace = format!("{head}{all}{rest}\n");
    // Cargo tells packages apart by name, version and place within their workspace: with ours, each would be built anew
    // whenever the other one was.
    let ours = format!(
        "[workspace.package]\nversion = \"{}\"",
        env!("CARGO_PKG_VERSION")
    );
    assert!(workspace.contains(&ours), "{ours} is not there");
    let workspace = workspace.replace(
        &ours,
        &format!("[workspace.package]\nversion = \"{version}\""),
    );
    // What abi_stable makes of an appended field has unsafe code in it.
    let workspace = workspace.replace("unsafe_code = \"deny\"", "unsafe_code = \"allow\"");
    write(&folder.join("Cargo.toml"), &workspace);
    if !folder.join("Cargo.lock").exists() {
        write(&folder.join("Cargo.lock"), &read(today, "Cargo.lock"));
    }
    let manifest = format!("{MANIFEST}\"{name}\"\n");
    write(&folder.join("newer/Cargo.toml"), &manifest);
    write(&folder.join("newer/src/lib.rs"), PLUGIN);
}

/// The version of the plugin-api that lies here.
fn today_version() -> String {
    let manifest = read(workspace_dir(), "plugin-api/Cargo.toml");
    let version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = "));
    version.expect("it has one").trim_matches('"').to_owned()
}

/// `place` names today's version, and comes back with another.
fn with_version(text: &str, place: &str, version: &str) -> String {
    assert!(text.contains(place), "{place} is not there");
    text.replacen(place, &place.replace(&today_version(), version), 1)
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Only what differs is written, so that cargo sees what has changed.
fn write(file: &Path, text: &str) {
    if fs::read_to_string(file).is_ok_and(|there| there == text) {
        return;
    }
    fs::create_dir_all(file.parent().expect("it lies in a folder"))
        .and_then(|()| fs::write(file, text))
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

fn collect_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("it is a folder of ours") {
        let path = entry.expect("it is a folder of ours").path();
        if path.is_dir() {
            collect_files(&path, files);
        } else {
            files.push(path);
        }
    }
}
