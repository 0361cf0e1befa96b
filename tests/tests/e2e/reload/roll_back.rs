//! New code that only crashes: back to the code before, or out of service until it is better.

use std::fs;
use std::thread;

use serde_json::json;
use tests::{Client, PluginWatch, Versioned, wait_until};

use super::{crash_until_quarantined, plugin, put, serving_version_1, version};

/// The version that answers, or how its worker ended.
#[track_caller]
fn try_version(client: &mut Client) -> Option<u64> {
    match client.call("version", json!({})) {
        Ok(result) => Some(result["version"].as_u64().unwrap()),
        Err(failure) => {
            failure.expect("worker_crashed", &["SIGABRT"]);
            assert!(failure.started, "{failure:?}");
            None
        }
    }
}

#[test]
fn a_version_that_only_crashes_gives_way_to_the_one_before() {
    let host = serving_version_1("[reload]\nreconcile = \"50ms\"");
    let mut watch = PluginWatch::start(&host);
    let mut client = host.client();
    assert_eq!(version(&mut client), 1);
    put(&host, &Versioned::new(2).mode("crash"));
    let bad = watch.wait_for_state("live");

    let crashes = (0..20)
        .take_while(|_| try_version(&mut client).is_none())
        .count();
    assert!(crashes < 20, "it was never rolled back");
    assert_eq!(version(&mut client), 1);

    let back = watch.wait_for_state("live");
    assert!(
        back["generation"].as_u64() > bad["generation"].as_u64(),
        "{back}"
    );
    let refused = watch.wait_for_state("rejected");
    let reason = refused["reason"].as_str().unwrap();
    for text in [
        "rolled back to generation 3",
        "crashed",
        "in a row",
        "SIGABRT",
    ] {
        assert!(reason.contains(text), "{text:?} is missing in {refused}");
    }
    let draining = watch.wait_for_state("draining");
    assert_eq!(draining["generation"], bad["generation"]);
    assert_eq!(draining["reason"], refused["reason"]);
    host.wait_for_log(&["WARN", "rolling back"]);
    let serving = plugin(&host, "versioned");
    assert_eq!(serving["state"], "live", "{serving}");
    assert_eq!(serving["generation"], back["generation"], "{serving}");
    assert_eq!(
        serving["last_refusal"]["reason"], refused["reason"],
        "{serving}"
    );

    // The bad file still lies there. Another one that is refused shows that the folder was looked at again.
    host.put("libnone.so", b"nothing");
    watch.wait_for(|event| event["file"].as_str().unwrap().ends_with("libnone.so"));
    assert_eq!(plugin(&host, "versioned")["generation"], back["generation"]);

    put(&host, &Versioned::new(3));
    wait_until("the next file to serve", || version(&mut client) == 3);
    let serving = plugin(&host, "versioned");
    assert!(serving.get("last_refusal").is_none(), "{serving}");
}

#[test]
fn a_plugin_that_goes_on_crashing_is_quarantined_until_it_is_better() {
    thread::scope(|scope| {
        scope.spawn(a_quarantined_plugin_comes_back_by_itself);
        scope.spawn(a_quarantined_plugin_comes_back_with_the_next_file);
    });
}

fn a_quarantined_plugin_comes_back_by_itself() {
    // In quarantine from its first version on: nothing is there to go back to.
    let host = serving_version_1("");
    let sick = host.folder().join("sick");
    fs::write(&sick, b"").unwrap();
    let config = format!(
        "config = {{ crash_while = {:?} }}",
        sick.display().to_string()
    );
    let mut watch = PluginWatch::start(&host);
    host.put("versioned.toml", config.as_bytes());
    watch.wait_for_state("live");
    // The generation before had another configuration and never crashed; let it be forgotten.
    put(&host, &Versioned::new(2));
    watch.wait_for_state("live");
    let mut client = host.client();
    // Rolled back at first, to a generation that crashes as well.
    crash_until_quarantined(&mut client);
    let event = watch.wait_for_state("quarantined");
    assert!(
        event["reason"].as_str().unwrap().contains("SIGABRT"),
        "{event}"
    );
    let told = plugin(&host, "versioned");
    assert_eq!(told["state"], "quarantined", "{told}");
    assert!(told["reason"].is_string(), "{told}");

    fs::remove_file(sick).unwrap();
    wait_until("it to serve again", || {
        client.call("version", json!({})).is_ok()
    });
    let event = watch.wait_for_state("live");
    assert_eq!(event["generation"], told["generation"], "{event}");
    assert_eq!(plugin(&host, "versioned")["state"], "live");
}

fn a_quarantined_plugin_comes_back_with_the_next_file() {
    // No first moments in which it would be rolled back.
    let host = serving_version_1("[reload]\nprobation = \"1ms\"");
    let mut watch = PluginWatch::start(&host);
    let mut client = host.client();
    put(&host, &Versioned::new(2).mode("crash"));
    watch.wait_for_state("live");
    crash_until_quarantined(&mut client);
    watch.wait_for_state("quarantined");
    put(&host, &Versioned::new(3));
    watch.wait_for_state("live");
    assert_eq!(version(&mut client), 3);
}
