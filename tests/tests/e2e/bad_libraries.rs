//! Files in the plugins folder that are no plugin, or not one that can be taken. The others serve all the same.

use std::fs;

use serde_json::{Value, json};
use tests::{Host, Plugin, Setup};

/// The entry of the file in `host.plugins`.
#[track_caller]
fn report(host: &Host, file_name: &str) -> Value {
    let listed = host.client().result("host.plugins", json!({}));
    let entries = listed["plugins"].as_array().unwrap();
    let entry = entries.iter().find(|entry| {
        entry["file"]
            .as_str()
            .is_some_and(|file| file.ends_with(file_name))
    });
    entry
        .unwrap_or_else(|| panic!("no {file_name}: {listed}"))
        .clone()
}

#[track_caller]
fn expect_rejected(host: &Host, file_name: &str, texts: &[&str]) {
    let report = report(host, file_name);
    assert_eq!(report["state"], "rejected", "{report}");
    let reason = report["reason"].as_str().unwrap();
    for text in texts {
        assert!(reason.contains(text), "{text:?} is missing in {report}");
    }
    host.wait_for_log(&[file_name, reason]);
    assert_eq!(
        host.client().result("echo", json!("still here")),
        "still here"
    );
}

/// A shared library that is there on every machine and no plugin.
fn foreign_library() -> Vec<u8> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.lines().find_map(|line| {
        line.find('/')
            .map(|at| &line[at..])
            .filter(|path| path.contains("/libc.so"))
    });
    fs::read(path.expect("tests are linked with libc")).unwrap()
}

#[test]
fn files_that_are_no_plugins_are_rejected_with_a_reason() {
    let whole = fs::read(Plugin::Evil.library()).unwrap();
    let mut zeroed = whole.clone();
    let half = zeroed.len() / 2;
    zeroed[half..].fill(0);
    let table: [(&str, &[u8], &[&str]); 8] = [
        ("empty.so", b"", &[]),
        ("text.so", b"this is no library\n", &["ELF"]),
        ("tiny.so", &whole[..40], &[]),
        ("half.so", &whole[..whole.len() / 2], &["complete"]),
        ("nearly.so", &whole[..whole.len() - 1], &["complete"]),
        ("zeroed.so", &zeroed, &[]),
        ("foreign.so", &foreign_library(), &["plugin"]),
        ("other_machine.so", &other_machine(&whole), &[]),
    ];
    let setup = table.iter().fold(
        Setup::new().plugin(Plugin::Good),
        |setup, (name, bytes, _)| setup.file(name, bytes),
    );
    let host = setup.start();
    for (name, _, texts) in table {
        expect_rejected(&host, name, texts);
    }
}

/// The library, as if it were built for another processor.
fn other_machine(library: &[u8]) -> Vec<u8> {
    let mut library = library.to_vec();
    // e_machine of the ELF header: RISC-V.
    library[18] = 243;
    library[19] = 0;
    library
}

#[test]
fn of_two_files_with_one_plugin_the_second_is_rejected() {
    let host = Setup::new()
        .plugin_as(Plugin::Good, "liba.so")
        .plugin_as(Plugin::Good, "libb.so")
        .start();
    let live = report(&host, "liba.so");
    assert_eq!(live["state"], "live");
    let refusal = &live["last_refusal"];
    let text = |field: &str| refusal[field].as_str().unwrap_or_default();
    assert!(text("file").ends_with("libb.so"), "{live}");
    assert!(text("reason").contains("liba.so"), "{live}");
    host.wait_for_log(&["libb.so", text("reason")]);
    assert_eq!(host.client().result("echo", json!(1)), 1);
}

#[test]
fn what_is_no_library_by_its_name_is_left_alone() {
    let library = fs::read(Plugin::Evil.library()).unwrap();
    let setup = Setup::new()
        .plugin(Plugin::Good)
        .file("deeper/libevil.so", &library)
        .file("notes.txt", b"hello");
    let host = setup
        .file(".libevil.so", &library)
        .file("libevil.so.bak", &library)
        .start();
    let listed = host.client().result("host.plugins", json!({}));
    assert_eq!(listed["plugins"].as_array().unwrap().len(), 1, "{listed}");
}

#[test]
fn a_plugin_that_does_not_open_is_rejected() {
    // In host after host, since one folder has one plugin of a name.
    let table = [
        ("fail", "told to fail at opening"),
        ("panic", "told to panic at opening"),
        ("abort", "SIGABRT"),
        ("exit", "exited with code 0"),
        ("hang", "open"),
    ];
    for (how, text) in table {
        let config =
            format!("[plugins.evil]\nopen_timeout = \"300ms\"\nconfig = {{ open = \"{how}\" }}");
        let host = Setup::new()
            .plugin(Plugin::Good)
            .plugin(Plugin::Evil)
            .config(&config)
            .start();
        expect_rejected(&host, "libevil.so", &[text]);
        host.client()
            .failure("ok", json!({}))
            .expect("unknown_function", &[]);
        tests::wait_until("the candidate's worker to be gone", || {
            host.workers().len() <= 1
        });
    }
}

#[test]
fn a_plugin_that_refuses_its_config_is_rejected() {
    let config = "[plugins.evil]\nconfig = { opne = \"well\" }";
    let host = Setup::new()
        .plugin(Plugin::Good)
        .plugin(Plugin::Evil)
        .config(config)
        .start();
    expect_rejected(&host, "libevil.so", &["opne"]);
}

/// The library with one text in place of another, wherever it stands.
fn with(library: &[u8], text: &[u8], other: &[u8]) -> Vec<u8> {
    assert_eq!(text.len(), other.len());
    let mut library = library.to_vec();
    let mut at = 0;
    let mut found = false;
    while at + text.len() <= library.len() {
        if library[at..].starts_with(text) {
            library[at..at + text.len()].copy_from_slice(other);
            found = true;
        }
        at += 1;
    }
    assert!(found, "{}", String::from_utf8_lossy(text));
    library
}

#[test]
fn what_the_loader_says_is_told_and_what_to_do() {
    let whole = fs::read(Plugin::Evil.library()).unwrap();
    let table: [(&[u8], &[u8], &[&str]); 3] = [
        (
            b"libgcc_s.so.1",
            b"libgcX_s.so.1",
            &["libgcX_s.so.1", "No such file", "LD_LIBRARY_PATH"],
        ),
        (
            b"GLIBC_2.34",
            b"GLIBC_9.34",
            &["GLIBC_9.34", "not found", "newer system"],
        ),
        (
            b"gnu_get_libc_version",
            b"gnu_get_libX_version",
            &[
                "libevil.so",
                "undefined symbol",
                "gnu_get_libX_version",
                "link it",
            ],
        ),
    ];
    for (text, other, texts) in table {
        let library = with(&whole, text, other);
        let setup = Setup::new().plugin(Plugin::Good);
        let host = setup.file("libevil.so", &library).start();
        expect_rejected(&host, "libevil.so", texts);
        let report = report(&host, "libevil.so");
        assert!(!report.to_string().contains("/proc/self"), "{report}");
    }
}
