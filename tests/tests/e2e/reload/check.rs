//! `host check`: what a library is, and whether this host would take it.

use std::fs;
use std::path::Path;

use tests::{Finished, Host, Plugin, Versioned, run};

#[track_caller]
fn check(bytes: &[u8], config: Option<&str>) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(Versioned::FILE_NAME);
    fs::write(&file, bytes).unwrap();
    check_file(&file, config, folder.path())
}

#[track_caller]
fn check_file(file: &Path, config: Option<&str>, folder: &Path) -> Finished {
    let mut command = Host::command();
    command.arg("check").arg(file);
    if let Some(config) = config {
        let path = folder.join("host.toml");
        fs::write(&path, config).unwrap();
        command.arg("--config").arg(path);
    }
    run(&mut command)
}

#[track_caller]
fn expect(finished: &Finished, code: i32, texts: &[&str]) {
    assert_eq!(finished.status.code(), Some(code), "{finished:?}");
    for text in texts {
        assert!(
            finished.stdout.contains(text),
            "{text:?} is missing in {finished:?}"
        );
    }
}

/// What is known without running the library.
const NOTE: [&str; 5] = [
    "versioned 0.1.0",
    "plugin-api  1.",
    "rustc",
    "target",
    "panic       unwind",
];

#[test]
fn a_good_plugin_is_shown_with_its_functions() {
    let finished = check(Versioned::new(1).bytes(), None);
    expect(&finished, 0, &NOTE);
    expect(
        &finished,
        0,
        &[
            "version: Tells the version that runs.",
            "\"stubborn\"",
            "\"greeting\"",
            "this host takes it",
        ],
    );
}

#[test]
fn of_another_architecture_all_is_shown_that_needs_no_code() {
    let finished = check(Versioned::new(1).with_byte(18, 183).bytes(), None);
    expect(&finished, 1, &NOTE);
    expect(
        &finished,
        1,
        &["functions   version", "this host refuses it", "aarch64"],
    );
}

#[test]
fn what_is_no_plugin_is_refused_with_the_reason() {
    let whole = Versioned::new(1);
    let table: [(&[u8], &str); 3] = [
        (b"", "not an ELF library"),
        (b"nonsense", "not an ELF library"),
        (&whole.bytes()[..100_000], "incomplete"),
    ];
    for (bytes, reason) in table {
        expect(&check(bytes, None), 1, &["this host refuses it", reason]);
    }
    let missing = check_file(Path::new("/nowhere/libnone.so"), None, Path::new("/"));
    expect(&missing, 1, &["can't be read"]);
}

#[test]
fn what_goes_wrong_at_opening_is_found_out() {
    let table = [
        ("open_fail", "told to fail at opening"),
        ("open_crash", "SIGABRT"),
        ("ctor_crash", "SIGABRT"),
    ];
    for (mode, reason) in table {
        let finished = check(Versioned::new(1).mode(mode).bytes(), None);
        expect(&finished, 1, &NOTE);
        expect(&finished, 1, &["this host refuses it", reason]);
    }
    let config = "[plugins.versioned]\nopen_timeout = \"1s\"";
    let finished = check(Versioned::new(1).mode("open_hang").bytes(), Some(config));
    expect(&finished, 1, &["open_timeout"]);
}

#[test]
fn the_plugins_configuration_is_checked_with_it() {
    let with =
        |greeting: &str| format!("[plugins.versioned]\nconfig = {{ {greeting} = \"hello\" }}");
    expect(
        &check(Versioned::new(1).bytes(), Some(&with("greeting"))),
        0,
        &[],
    );
    expect(
        &check(Versioned::new(1).bytes(), Some(&with("greting"))),
        1,
        &["greting"],
    );
}

#[test]
fn what_a_plugin_printed_before_it_died_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let config = r#"plugins.evil.config = { open = "abort", print = "these are my last words" }"#;
    let finished = check_file(Plugin::Evil.library(), Some(config), folder.path());
    expect(&finished, 1, &["this host refuses it", "SIGABRT"]);
    assert!(
        finished.stderr.contains("these are my last words"),
        "{finished:?}"
    );
}
