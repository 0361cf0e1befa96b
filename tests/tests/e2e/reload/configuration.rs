//! A changed configuration is a reload too.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, Host, PluginWatch, wait_until};

use super::{plugin, plugins, serving_version_1};

#[track_caller]
fn greeting(client: &mut Client) -> Value {
    client.result("version", json!({}))["greeting"].clone()
}

#[track_caller]
fn wait_for_greeting(host: &Host, expected: &str) {
    let mut client = host.client();
    wait_until(&format!("the greeting {expected:?}"), || {
        greeting(&mut client) == expected
    });
}

#[test]
fn the_file_beside_the_library_is_its_configuration() {
    let host = serving_version_1("[plugins.versioned]\nconfig = { greeting = \"host's\" }");
    let mut watch = PluginWatch::start(&host);
    wait_for_greeting(&host, "host's");
    host.put(
        "versioned.toml",
        b"workers = 2\nconfig = { greeting = \"first\" }",
    );
    wait_for_greeting(&host, "first");
    fs::write(
        host.plugins_dir().join("versioned.toml"),
        b"config = { greeting = \"second\" }",
    )
    .unwrap();
    wait_for_greeting(&host, "second");

    host.put("versioned.toml", b"config = { greeting = ");
    let refused = watch.wait_for_state("rejected");
    assert!(
        refused["reason"]
            .as_str()
            .unwrap()
            .contains("versioned.toml"),
        "{refused}"
    );
    wait_for_greeting(&host, "second");

    fs::remove_file(host.plugins_dir().join("versioned.toml")).unwrap();
    wait_for_greeting(&host, "host's");
    assert!(plugin(&host, "versioned").get("last_refusal").is_none());
}

#[test]
fn a_hang_up_reads_the_hosts_configuration_again() {
    let host = serving_version_1("[plugins.versioned]\nconfig = { greeting = \"first\" }");
    let config = host.folder().join("host.toml");
    let write = |text: &str| fs::write(&config, text).unwrap();
    wait_for_greeting(&host, "first");
    let generation = plugin(&host, "versioned")["generation"].clone();

    // As it was: nothing is opened anew.
    host.signal(Signal::HUP);
    host.wait_for_log(&["the configuration was read again"]);
    write("[plugins.versioned]\nworkers = 2\nconfig = { greeting = \"second\" }");
    host.signal(Signal::HUP);
    wait_for_greeting(&host, "second");
    assert_eq!(
        plugin(&host, "versioned")["generation"].as_u64(),
        generation.as_u64().map(|number| number + 1)
    );

    write("[plugins.versioned]\nwrokers = 2");
    host.signal(Signal::HUP);
    host.wait_for_log(&["unknown key `wrokers`; did you mean `workers`?"]);
    wait_for_greeting(&host, "second");

    // What the plugin refuses is told as for a bad file.
    let mut watch = PluginWatch::start(&host);
    write("[plugins.versioned]\nconfig = { greting = \"third\" }");
    host.signal(Signal::HUP);
    let refused = watch.wait_for_state("rejected");
    assert!(
        refused["reason"].as_str().unwrap().contains("greting"),
        "{refused}"
    );
    wait_for_greeting(&host, "second");
    write("[plugins.versioned]\nconfig = { greeting = \"third\" }");
    host.signal(Signal::HUP);
    wait_for_greeting(&host, "third");
}

#[test]
fn what_was_refused_for_its_configuration_is_tried_again_with_another() {
    let host = serving_version_1("[plugins.versioned]\nconfig = { greting = \"first\" }");
    let refused = &plugins(&host)[0];
    assert_eq!(refused["state"], "rejected", "{refused}");
    let config = "[plugins.versioned]\nconfig = { greeting = \"second\" }";
    let mut watch = PluginWatch::start(&host);
    fs::write(host.folder().join("host.toml"), config).unwrap();
    host.signal(Signal::HUP);
    watch.wait_for_state("live");
    wait_for_greeting(&host, "second");
}
