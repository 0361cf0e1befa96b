//! New code while the host runs.

mod abi;
mod away;
mod check;
mod configuration;
mod drain;
mod events;
mod killed;
mod load;
mod moves;
mod newer;
mod odd_files;
mod rejection;
mod roll_back;
mod soak;
mod watching;

use serde_json::{Value, json};
use tests::{Client, Host, Setup, Versioned, wait_for};

/// A host that serves version 1, with further lines in its configuration.
#[track_caller]
fn serving_version_1(config: &str) -> Host {
    Setup::new()
        .file(Versioned::FILE_NAME, Versioned::new(1).bytes())
        .config(config)
        .start()
}

/// Puts a library into place as one should: written beside it, then renamed.
#[track_caller]
fn put(host: &Host, library: &Versioned) {
    host.put(Versioned::FILE_NAME, library.bytes());
}

#[track_caller]
fn version(client: &mut Client) -> u64 {
    client.result("version", json!({}))["version"]
        .as_u64()
        .unwrap()
}

/// All that `host.plugins` says.
#[track_caller]
fn plugins(host: &Host) -> Vec<Value> {
    let listed = host.client().result("host.plugins", json!({}));
    listed["plugins"].as_array().unwrap().clone()
}

/// The entry in `host.plugins` of what the plugin has live, or in quarantine.
#[track_caller]
fn plugin(host: &Host, name: &str) -> Value {
    let listed = plugins(host);
    let entry = listed.iter().find(|entry| {
        entry["name"] == name && ["live", "quarantined"].iter().any(|s| entry["state"] == *s)
    });
    entry
        .unwrap_or_else(|| panic!("no live {name}: {listed:?}"))
        .clone()
}

/// Calls what crashes its workers, so many times.
#[track_caller]
fn crash(client: &mut Client, times: usize) {
    for _ in 0..times {
        let failure = client.failure("version", json!({}));
        failure.expect("worker_crashed", &["SIGABRT"]);
    }
}

/// Calls until the calls are refused.
#[track_caller]
fn crash_until_quarantined(client: &mut Client) {
    let refused = wait_for("the quarantine", || {
        let failure = client.failure("version", json!({}));
        (failure.code != "worker_crashed").then_some(failure)
    });
    refused.expect("unavailable", &[]);
    assert!(
        refused.data["retry_after_ms"].as_u64().unwrap() > 0,
        "{refused:?}"
    );
}
