//! Who may know whom: no circles of imports in any crate of ours, and no import of what stands above.
//!
//! **Circles.** A crate is a tree of modules, a module a file. At each level of the tree the modules beside one another
//! are looked at alone: an import from anywhere inside of `a` by anywhere inside of `b` counts as one of `a` by `b`, and
//! these must have no circle. So rooms are judged as wholes at the root, and the files of one room among one another. A
//! module and its submodules may know each other, which is no edge; but what a file takes from its own `mod.rs`, and this
//! from another of its files, counts as taken from that file. What a room passes on (`pub(crate) use`) to other rooms
//! counts as the room's.
//!
//! **Floors.** A room imports only what its table allows, and a table allows only what stands below.
//!
//! Code under `#[cfg(test)]` doesn't count, nor do dependencies for tests.

mod circles;
mod floors;
mod imports;
mod modules;
mod samples;
mod tokens;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::{as_from_a_shell, run, workspace_dir};

use circles::circles;
use floors::{CRATES, GATEWAY, HOST};
use modules::{Crate, Edge};

/// Has no code, and each program and plugin depends on it.
const FEATURES: &str = "features";

/// A crate of the workspace.
struct Package {
    name: String,
    /// From the workspace.
    folder: String,
    /// The crates of ours that it needs to be built; those that its tests need are not among them.
    needs: Vec<String>,
}

fn packages() -> Vec<Package> {
    let mut cargo = Command::new("cargo");
    as_from_a_shell(&mut cargo)
        .current_dir(workspace_dir())
        .args(["metadata", "--locked", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&run(&mut cargo).output()).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let packages: Vec<Package> = packages
        .iter()
        .map(package)
        .filter(|package| package.name != FEATURES)
        .collect();
    assert!(packages.len() > 10, "{}", packages.len());
    packages
}

fn package(package: &Value) -> Package {
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    let folder = manifest.parent().unwrap();
    let folder = folder.strip_prefix(workspace_dir()).unwrap();
    let needs = package["dependencies"].as_array().unwrap();
    let needs = needs
        .iter()
        .filter(|needed| needed["path"].is_string() && needed["kind"] != "dev")
        .map(|needed| needed["name"].as_str().unwrap().to_owned())
        .filter(|name| name != FEATURES);
    Package {
        name: package["name"].as_str().unwrap().to_owned(),
        folder: folder.to_str().unwrap().to_owned(),
        needs: needs.collect(),
    }
}

/// The library of a package, its program, or both.
fn crates(package: &Package) -> Vec<Crate> {
    let roots = ["lib.rs", "main.rs"].into_iter().filter(|root| {
        let file = Path::new(&package.folder).join("src").join(root);
        workspace_dir().join(file).exists()
    });
    let read = |file: &str| fs::read_to_string(workspace_dir().join(file)).ok();
    let crates: Vec<Crate> = roots
        .map(|root| Crate::read(&package.name, &package.folder, root, read))
        .collect();
    assert!(!crates.is_empty(), "{} has no code", package.name);
    crates
}

#[test]
fn imports_never_go_round_in_a_circle() {
    let packages = packages();
    let crates: Vec<Crate> = packages.iter().flat_map(crates).collect();
    let imports: usize = crates.iter().map(|one| one.edges().len()).sum();
    assert!(imports > 100, "found only {imports} imports");
    let found: Vec<String> = crates.iter().flat_map(circles).collect();
    assert!(
        found.is_empty(),
        "imports go round in a circle. Break it where it is easiest: move what both need into a file of its own below \
         them, or let the one below name what it needs as a trait, or take it as an argument.\n{}",
        found.join("\n")
    );
}

#[test]
fn rooms_know_only_what_stands_below_them() {
    let packages = packages();
    let mut found = Vec::new();
    for (name, house) in [("host", HOST), ("gateway", GATEWAY)] {
        found.extend(house.faults());
        let package = packages.iter().find(|package| package.name == name);
        // A library, where there is one; its program is a file that starts it.
        let built = &crates(package.unwrap())[0];
        found.extend(house.strays(built.rooms(), &built.edges()));
    }
    check_floors(&found);
}

#[test]
fn crates_know_only_what_stands_below_them() {
    let packages = packages();
    let mut found = CRATES.faults();
    let edges: Vec<Edge> = packages.iter().flat_map(needs).collect();
    let names = packages.iter().map(|package| package.name.as_str());
    found.extend(CRATES.strays(names, &edges));
    check_floors(&found);
}

fn needs(package: &Package) -> impl Iterator<Item = Edge> {
    package.needs.iter().map(|needed| Edge {
        level: Vec::new(),
        from: package.name.clone(),
        to: needed.clone(),
        place: format!("{}/Cargo.toml", package.folder),
        import: String::from("a dependency"),
    })
}

#[track_caller]
fn check_floors(found: &[String]) {
    assert!(
        found.is_empty(),
        "these don't fit the tables in tests/tests/e2e/house/floors.rs. Go by way of a room that may be known, or move \
         what is needed to where it belongs; if the house itself is to be another, change the table.\n{}",
        found.join("\n")
    );
}
