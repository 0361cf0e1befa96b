//! Old plugins load in today's host, and newer ones where they use nothing new.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tests::{Host, Plugin, Setup, built_with_newer_plugin_api, run, workspace_dir};

use super::{plugin, plugins};

fn old_library() -> PathBuf {
    workspace_dir().join("tests/prebuilt/libold.so")
}

#[test]
fn a_plugin_built_with_the_first_plugin_api_does_all_that_it_ever_did() {
    let library = fs::read(old_library()).unwrap();
    let host = Setup::new()
        .plugin(Plugin::Good)
        .file("libold.so", &library)
        .config("[plugins.old]\nconfig = { greeting = \"Good day\" }")
        .start();
    let entry = plugin(&host, "old");
    assert_eq!(entry["plugin_api"], "1.0.0", "{entry}");
    let mut client = host.client();
    assert_eq!(
        client.result("old_greet", json!({"name": "Ada"})),
        json!({"text": "Good day, Ada!", "len": 14})
    );
    client
        .failure("old_greet", json!({"nam": "Ada"}))
        .expect("invalid_args", &["name"]);
    let failure = client.failure("old_fail", json!({}));
    failure.expect("handler_failed", &["told to fail"]);
    assert_eq!(failure.data["kind"], "worn_out");
    client
        .failure("old_panic", json!({}))
        .expect("handler_panicked", &["told to panic", "lib.rs"]);

    client.send(json!({"id": 1, "function": "old_progress", "progress": true}));
    assert_eq!(client.reply().outcome, Ok(json!(3)));
    host.wait_for_log(&["three steps done", "old"]);

    client
        .request(json!({"id": 2, "function": "old_wait", "timeout_ms": 50}))
        .unwrap_err()
        .expect("timeout", &[]);

    let listed = client.result("host.functions", json!({}));
    let greet = listed["functions"]
        .as_array()
        .unwrap()
        .iter()
        .find(|function| function["name"] == "old_greet");
    let greet = greet.unwrap_or_else(|| panic!("{listed}"));
    assert_eq!(greet["description"], "Greets somebody.");
    assert_eq!(greet["timeout_ms"], 5000);
    assert_eq!(greet["args_schema"]["required"], json!(["name"]));
}

#[test]
fn the_prebuilt_library_is_small_and_names_no_machine() {
    let library = fs::read(old_library()).unwrap();
    assert!(library.len() < 1 << 20, "{} bytes", library.len());
    for text in ["/home/", "/root/", "/tmp/"] {
        let found = library
            .windows(text.len())
            .any(|window| window == text.as_bytes());
        assert!(!found, "{text}");
    }
}

#[test]
fn a_plugin_of_a_newer_minor_runs_where_it_uses_nothing_new() {
    let library = fs::read(built_with_newer_plugin_api("1.999.0")).unwrap();
    let host = Setup::new().file("libnewer.so", &library).start();
    let entry = plugin(&host, "newer");
    assert_eq!(entry["plugin_api"], "1.999.0", "{entry}");
    let mut client = host.client();
    assert_eq!(client.result("double", json!(21)), 42);
    // What it calls and the host doesn't have is that one task's panic, and no more.
    client
        .failure("newest", json!({}))
        .expect("handler_panicked", &["newest"]);
    assert_eq!(client.result("double", json!(4)), 8);
}

#[test]
fn a_plugin_of_a_newer_major_is_refused_and_the_host_is_to_be_upgraded() {
    let library = built_with_newer_plugin_api("2.0.0");
    let host = Setup::new()
        .plugin(Plugin::Good)
        .file("libnewer.so", &fs::read(&library).unwrap())
        .start();
    let listed = plugins(&host);
    let entry = listed
        .iter()
        .find(|entry| entry["name"] == "newer")
        .or_else(|| listed.iter().find(|entry| entry["state"] == "rejected"));
    let reason = entry.unwrap()["reason"].as_str().unwrap();
    for text in ["plugin-api 2.0.0", "this host has 1.", "upgrade the host"] {
        assert!(reason.contains(text), "{text:?} is missing in {reason}");
    }
    assert_eq!(
        host.client().result("echo", json!("still here")),
        "still here"
    );

    let checked = run(Host::command().arg("check").arg(&library));
    assert_eq!(checked.status.code(), Some(1), "{checked:?}");
    for text in ["plugin-api  2.0.0", "upgrade the host"] {
        assert!(checked.stdout.contains(text), "{checked:?}");
    }
}
