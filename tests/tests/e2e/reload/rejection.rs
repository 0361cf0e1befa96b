//! What can't be taken is refused with a reason, and what serves goes on serving.

use std::fs;
use std::sync::Mutex;
use std::thread;

use serde_json::Value;
use tests::{Host, PluginWatch, Versioned, wait_until};

use super::{plugins, put, serving_version_1, version};

/// Hosts that run side by side.
const SIDE_BY_SIDE: usize = 4;

struct Case {
    name: &'static str,
    /// Puts what is bad into the plugins folder.
    put: fn(&Host),
    /// The file that is refused.
    file: &'static str,
    /// What the reason says.
    reason: &'static [&'static str],
    config: &'static str,
}

const CASE: Case = Case {
    name: "",
    put: |_| (),
    file: Versioned::FILE_NAME,
    reason: &[],
    config: "",
};

const CASES: &[Case] = &[
    Case {
        name: "truncated",
        put: |host| {
            let whole = Versioned::new(2);
            let half = &whole.bytes()[..whole.bytes().len() / 2];
            host.put(Versioned::FILE_NAME, half);
        },
        reason: &["incomplete", "copy it again"],
        ..CASE
    },
    Case {
        name: "its end is zeros",
        put: |host| {
            let mut bytes = Versioned::new(2).bytes().to_vec();
            let half = bytes.len() / 2;
            bytes[half..].fill(0);
            host.put(Versioned::FILE_NAME, &bytes);
        },
        reason: &["incomplete", "copy it again"],
        ..CASE
    },
    Case {
        name: "empty",
        put: |host| host.put(Versioned::FILE_NAME, b""),
        reason: &["not an ELF library", "crate-type"],
        ..CASE
    },
    Case {
        name: "not an ELF file",
        put: |host| host.put(Versioned::FILE_NAME, b"#!/bin/sh\necho hello\n"),
        reason: &["not an ELF library", "crate-type"],
        ..CASE
    },
    Case {
        name: "another architecture",
        // e_machine of the ELF header: RISC-V.
        put: |host| put(host, &Versioned::new(2).with_byte(18, 243)),
        reason: &["built for riscv", "this host runs on", "build it for"],
        ..CASE
    },
    Case {
        name: "a library that is no plugin",
        put: |host| host.put(Versioned::FILE_NAME, &foreign_library()),
        reason: &["not a plugin of this host", "#[plugin_api::plugin]"],
        ..CASE
    },
    Case {
        name: "a newer major of plugin-api",
        put: |host| put(host, &built_with_plugin_api("2.0.0")),
        reason: &["plugin-api 2.0.0", "this host has 1.", "upgrade the host"],
        ..CASE
    },
    Case {
        name: "an older major of plugin-api",
        put: |host| put(host, &built_with_plugin_api("0.9.0")),
        reason: &["plugin-api 0.9.0", "this host has 1.", "rebuild the plugin"],
        ..CASE
    },
    Case {
        name: "a function that another plugin has",
        put: |host| {
            let bytes = Versioned::new(2).named("duplicate");
            host.put("libduplicate.so", bytes.bytes());
        },
        file: "libduplicate.so",
        reason: &[
            "`version`",
            "plugin `versioned`",
            "libversioned.so",
            "rename one of the two",
        ],
        ..CASE
    },
    Case {
        name: "a plugin that another file has",
        put: |host| host.put("libzweite.so", Versioned::new(2).bytes()),
        file: "libzweite.so",
        reason: &["`versioned`", "libversioned.so", "remove one of the two"],
        ..CASE
    },
    Case {
        name: "open fails",
        put: |host| put(host, &Versioned::new(2).mode("open_fail")),
        reason: &["told to fail at opening"],
        ..CASE
    },
    Case {
        name: "open hangs",
        put: |host| put(host, &Versioned::new(2).mode("open_hang")),
        reason: &["`open` did not return within 2000 ms", "open_timeout"],
        config: "[plugins.versioned]\nopen_timeout = \"2s\"",
        ..CASE
    },
    Case {
        name: "open crashes",
        put: |host| put(host, &Versioned::new(2).mode("open_crash")),
        reason: &["SIGABRT", "while it opened the plugin"],
        ..CASE
    },
    Case {
        name: "a constructor crashes",
        put: |host| put(host, &Versioned::new(2).mode("ctor_crash")),
        reason: &["SIGABRT", "while it opened the plugin"],
        ..CASE
    },
    Case {
        name: "the plugin refuses its configuration",
        put: |host| host.put("versioned.toml", b"config = { greting = \"hello\" }"),
        reason: &["configuration is refused", "greting"],
        ..CASE
    },
    Case {
        name: "the host refuses its configuration",
        put: |host| host.put("versioned.toml", b"wrokers = 3"),
        reason: &["versioned.toml", "wrokers"],
        ..CASE
    },
];

fn built_with_plugin_api(version: &str) -> Versioned {
    let note = |version: &str| format!("\"plugin_api\":\"{version}\"").into_bytes();
    Versioned::new(2).with(&note("1.0.0"), &note(version))
}

/// A shared library that is there on every machine and no plugin.
fn foreign_library() -> Vec<u8> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let paths = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]));
    let path = paths.into_iter().find(|path| path.contains("/libc.so"));
    fs::read(path.expect("tests are linked with libc")).unwrap()
}

#[test]
fn what_can_not_be_taken_is_refused_with_a_reason_and_what_serves_stays() {
    let queue = Mutex::new(CASES.iter());
    let failed: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..SIDE_BY_SIDE)
            .map(|_| {
                scope.spawn(|| {
                    let mut failed = Vec::new();
                    loop {
                        let case = queue.lock().unwrap().next();
                        let Some(case) = case else { return failed };
                        // A thread of the case's name, which a panic shows.
                        let running = thread::Builder::new().name(case.name.to_owned());
                        if running.spawn(|| check(case)).unwrap().join().is_err() {
                            failed.push(case.name);
                        }
                    }
                })
            })
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.flatten().collect()
    });
    assert!(failed.is_empty(), "{failed:?}");
}

fn check(case: &Case) {
    let host = serving_version_1(case.config);
    let mut watch = PluginWatch::start(&host);
    let mut client = host.client();
    assert_eq!(version(&mut client), 1);
    (case.put)(&host);

    let event = watch.wait_for_state("rejected");
    let reason = event["reason"].as_str().unwrap();
    for text in case.reason {
        assert!(reason.contains(text), "{text:?} is missing in {event}");
    }
    assert!(!reason.contains('\n'), "one sentence: {event}");
    assert!(
        event["file"].as_str().unwrap().ends_with(case.file),
        "{event}"
    );
    host.wait_for_log(&["ERROR", case.file, reason]);
    let told = refusal(&host, case.file);
    assert_eq!(told["reason"], event["reason"], "{told}");
    assert_eq!(version(&mut client), 1);
    wait_until("the candidate's worker to be gone", || {
        host.workers().len() == 1
    });

    // What is good goes live at once, and the refusal is history.
    let config = host.plugins_dir().join("versioned.toml");
    if config.exists() {
        fs::remove_file(config).unwrap();
    }
    if case.file != Versioned::FILE_NAME {
        fs::remove_file(host.plugins_dir().join(case.file)).unwrap();
    }
    put(&host, &Versioned::new(3));
    wait_until("what is good to serve", || version(&mut client) == 3);
    wait_until("the refusal to be forgotten", || {
        let listed = plugins(&host);
        listed.len() == 1 && listed[0].get("last_refusal").is_none()
    });
}

/// What `host.plugins` says of a refused file: beside the plugin that serves, or on its own.
#[track_caller]
fn refusal(host: &Host, file: &str) -> Value {
    let listed = plugins(host);
    let is_it = |entry: &Value| {
        entry["file"]
            .as_str()
            .is_some_and(|path| path.ends_with(file))
    };
    let serving = listed.iter().find(|entry| entry["state"] == "live");
    let serving = serving.unwrap_or_else(|| panic!("nothing serves: {listed:?}"));
    if is_it(&serving["last_refusal"]) {
        return serving["last_refusal"].clone();
    }
    let own = listed
        .iter()
        .find(|entry| entry["state"] == "rejected" && is_it(entry));
    own.unwrap_or_else(|| panic!("{file} is not listed: {listed:?}"))
        .clone()
}
