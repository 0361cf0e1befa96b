//! Every command builds the same crates with the same features, so that nothing is built twice; and no environment asks for
//! two versions of anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use tests::{as_from_a_shell, run, workspace_dir};

/// The sets of features with which crates of others are built: one, or two where build scripts ask for another.
type Features = BTreeMap<String, BTreeSet<BTreeSet<String>>>;

/// What cargo would build, and with which features, when it is asked for these packages.
fn features(packages: &[&str], edges: &str) -> Features {
    let mut cargo = Command::new("cargo");
    as_from_a_shell(&mut cargo)
        .current_dir(workspace_dir())
        .args(["tree", "--locked", "--prefix", "none", "--edges", edges])
        // Members of the workspace stand with their folder behind the version.
        .args(["--format", "{p}|{f}"])
        .args(packages);
    let mut features = Features::new();
    for line in run(&mut cargo).output().lines() {
        let Some((package, asked)) = line.split_once('|') else {
            continue;
        };
        let package = package.trim_end_matches(" (proc-macro)");
        if package.contains('(') {
            continue;
        }
        let asked = asked.trim_end_matches(" (*)");
        let asked = asked.split(',').filter(|feature| !feature.is_empty());
        features
            .entry(package.to_owned())
            .or_default()
            .insert(asked.map(str::to_owned).collect());
    }
    assert!(features.len() > 20, "{packages:?}: {features:?}");
    features
}

#[test]
fn no_command_builds_a_crate_that_another_command_builds_with_other_features() {
    const BUILT: &str = "normal,build";
    const TESTED: &str = "normal,build,dev";
    let of_all = features(&["--workspace"], TESTED);
    let selections: [(&[&str], &str); 18] = [
        // As `make run` and `make plugins` build them, and `make bench`.
        (&["-p", "host"], BUILT),
        (&["-p", "mail"], BUILT),
        (&["-p", "gateway"], BUILT),
        (&["-p", "resize"], BUILT),
        (&["-p", "report"], BUILT),
        (&["-p", "good", "-p", "evil", "-p", "versioned"], BUILT),
        (&["-p", "bench"], BUILT),
        // As who works on one room tests it.
        (&["-p", "host"], TESTED),
        (&["-p", "protocol"], TESTED),
        (&["-p", "gateway"], TESTED),
        (&["-p", "plugin-api"], TESTED),
        (&["-p", "service"], TESTED),
        (&["-p", "client"], TESTED),
        (&["-p", "kit"], TESTED),
        (&["-p", "mail"], TESTED),
        (&["-p", "resize"], TESTED),
        (&["-p", "report-document"], TESTED),
        (&["-p", "tests"], TESTED),
    ];
    let mut differing = Vec::new();
    for (packages, edges) in selections {
        for (package, asked) in features(packages, edges) {
            let all = &of_all[&package];
            for asked in asked.difference(all) {
                let missing = all.iter().map(|all| all.difference(asked));
                let missing: BTreeSet<&String> = missing.flatten().collect();
                differing.push(format!("{packages:?}: {package} lacks {missing:?}"));
            }
        }
    }
    assert!(
        differing.is_empty(),
        "these would be built twice; ask for what they lack in tests/features/Cargo.toml, or in the package's own \
         manifest where host and mail don't have them:\n{}",
        differing.join("\n")
    );
}

#[test]
fn what_benchmarks_need_of_python_beside_the_tests_is_pinned_once() {
    let mut pinned = BTreeMap::new();
    for file in ["tests/requirements.txt", "tests/bench/requirements.txt"] {
        let text = fs::read_to_string(workspace_dir().join(file)).unwrap();
        for (package, version) in text.lines().filter_map(|line| line.split_once("==")) {
            let name = package.to_lowercase().replace(['_', '.'], "-");
            let other = pinned.insert(name, (file, version.to_owned()));
            assert_eq!(other, None, "{package} in {file}");
        }
    }
    assert!(pinned.len() > 20, "{pinned:?}");
}
