//! What is newer outlives what is older: nothing that was put into the folder is lost, whatever else is going on.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::{Value, json};
use tests::{Client, Host, Plugin, PluginWatch, Setup, Versioned, wait_until};

use super::{crash, crash_until_quarantined, plugin, put, version};

/// A host that serves `first`, whose versions of the mode `open_wait` wait for as long as there is the file, given
/// beside it.
#[track_caller]
pub(super) fn serving(first: &Versioned) -> (Host, PathBuf) {
    let setup = Setup::new();
    let hold = setup.folder().join("hold");
    let host = setup
        .config(&table(&hold, ""))
        .file(Versioned::FILE_NAME, first.bytes())
        .start();
    (host, hold)
}

/// The plugin's table in the host's configuration.
fn table(hold: &Path, greeting: &str) -> String {
    let hold = hold.display().to_string();
    format!("[plugins.versioned]\nconfig = {{ open_while = {hold:?}, greeting = {greeting:?} }}\n")
}

#[track_caller]
fn reconfigure(host: &Host, hold: &Path, greeting: &str) {
    fs::write(host.folder().join("host.toml"), table(hold, greeting)).unwrap();
    host.signal(Signal::HUP);
}

pub(super) fn waiting(version: u32) -> Versioned {
    Versioned::new(version).mode("open_wait")
}

/// Puts a version that crashes into place, and waits until it is alone with its worker.
#[track_caller]
fn put_crashing(host: &Host, watch: &mut PluginWatch, version: u32) {
    put(host, &Versioned::new(version).mode("crash"));
    watch.wait_for_state("live");
    watch.wait_for_state("retired");
}

/// Waits until so many workers have come to open what waits.
#[track_caller]
pub(super) fn wait_until_opening(hold: &Path, count: usize) {
    wait_until("a worker to be opening", || {
        fs::read_to_string(hold).unwrap().lines().count() == count
    });
}

#[track_caller]
fn wait_for_workers(host: &Host, count: usize) {
    wait_until("as many workers", || host.workers().len() == count);
}

/// Whatever was put into the folder before this has been examined when it returns.
#[track_caller]
fn wait_until_examined(host: &Host, watch: &mut PluginWatch) {
    host.put("libzzz.so", b"no library, and the last one by name");
    watch.wait_for(|event| event["file"].as_str().unwrap().ends_with("libzzz.so"));
}

/// What was said of the plugin's generations so far that is not about the end of old ones: state and generation.
fn steps(watch: &PluginWatch) -> Vec<(String, Value)> {
    let events = watch.seen().iter();
    let told = events.filter(|event| event["plugin"] == "versioned");
    let steps = told.map(|event| {
        let state = event["state"].as_str().unwrap().to_owned();
        (state, event["generation"].clone())
    });
    steps
        .filter(|(state, _)| !["draining", "retired"].contains(&state.as_str()))
        .collect()
}

#[track_caller]
pub(super) fn expect_steps(watch: &PluginWatch, expected: &[(&str, Option<u64>)]) {
    assert_eq!(steps(watch), to_steps(expected));
}

fn to_steps(expected: &[(&str, Option<u64>)]) -> Vec<(String, Value)> {
    let steps = expected.iter();
    steps
        .map(|(state, generation)| ((*state).to_owned(), json!(generation)))
        .collect()
}

#[track_caller]
fn wait_for_version(client: &mut Client, expected: u64) {
    wait_until(&format!("version {expected} to serve"), || {
        version(client) == expected
    });
}

#[test]
fn a_roll_back_leaves_newer_content_alone() {
    let (host, hold) = serving(&Versioned::new(1));
    let (mut watch, mut client) = (PluginWatch::start(&host), host.client());
    put_crashing(&host, &mut watch, 2);
    fs::write(&hold, b"").unwrap();
    put(&host, &waiting(3));
    wait_until_opening(&hold, 1);
    crash(&mut client, 3);
    watch.wait_for_state("live");
    assert_eq!(version(&mut client), 1);

    fs::remove_file(hold).unwrap();
    watch.wait_for_state("live");
    assert_eq!(version(&mut client), 3);
    let expected = [
        ("live", Some(2)),
        ("live", Some(4)),
        ("rejected", None),
        ("live", Some(3)),
    ];
    expect_steps(&watch, &expected);
    let serving = plugin(&host, "versioned");
    assert!(serving.get("last_refusal").is_none(), "{serving}");
}

#[test]
fn a_roll_back_goes_on_when_newer_content_is_refused() {
    let (host, hold) = serving(&waiting(1));
    let (mut watch, mut client) = (PluginWatch::start(&host), host.client());
    put_crashing(&host, &mut watch, 2);
    fs::write(&hold, b"").unwrap();
    crash(&mut client, 3);
    wait_until_opening(&hold, 1);
    put(&host, &Versioned::new(3).mode("open_fail"));
    watch.wait_for_state("rejected");

    fs::remove_file(hold).unwrap();
    watch.wait_for_state("live");
    assert_eq!(version(&mut client), 1);
    watch.wait_for_state("rejected");
    let expected = [
        ("live", Some(2)),
        ("rejected", None),
        ("live", Some(3)),
        ("rejected", None),
    ];
    expect_steps(&watch, &expected);
    // What the file holds is what is told of it.
    let refusal = plugin(&host, "versioned")["last_refusal"].clone();
    let reason = refusal["reason"].as_str().unwrap();
    assert!(reason.contains("told to fail at opening"), "{refusal}");
}

#[test]
fn newer_content_ends_a_roll_back_and_is_rolled_back_to_what_was_healthy() {
    let (host, hold) = serving(&waiting(1));
    let (mut watch, mut client) = (PluginWatch::start(&host), host.client());
    put_crashing(&host, &mut watch, 2);
    fs::write(&hold, b"").unwrap();
    crash(&mut client, 3);
    wait_until_opening(&hold, 1);
    put(&host, &Versioned::new(3).mode("crash"));
    let superseded = watch.wait_for_state("superseded");
    assert_eq!(superseded["reason"], "something newer is live");
    fs::remove_file(hold).unwrap();

    crash(&mut client, 3);
    watch.wait_for_state("live");
    assert_eq!(version(&mut client), 1);
    watch.wait_for_state("rejected");
    let expected = [
        ("live", Some(2)),
        ("live", Some(4)),
        ("superseded", None),
        ("live", Some(5)),
        ("rejected", None),
    ];
    expect_steps(&watch, &expected);
}

#[test]
fn a_roll_back_takes_no_names_that_another_plugin_has_by_now() {
    const OWN: &str = "a_name_that_no_other_has_and_so_long_that_no_compiler_makes_code_of_it_but_copies_it_from_where_it_stands";
    const COMMON: &str = "a_name_that_is_in_common_and_so_long_that_no_compiler_makes_code_of_it_but_copies_it_from_where_it_stands";
    let with_a_name = Versioned::new(1).with(OWN.as_bytes(), COMMON.as_bytes());
    let (host, _hold) = serving(&with_a_name);
    let (mut watch, mut client) = (PluginWatch::start(&host), host.client());
    let good = fs::read(Plugin::Good.library()).unwrap();
    host.put(&Plugin::Good.file_name(), &good);
    watch.wait_for_state("rejected");
    put(&host, &Versioned::new(2).mode("crash"));
    watch.wait_for(|event| event["plugin"] == "good" && event["state"] == "live");

    crash_until_quarantined(&mut client);
    watch.wait_for_state("quarantined");
    host.wait_for_log(&["WARN", "can't be rolled back to", COMMON]);
    assert_eq!(client.result(COMMON, json!({})), "good's");
}

#[test]
fn a_changed_configuration_leaves_newer_content_alone() {
    let (host, hold) = serving(&Versioned::new(1));
    let mut watch = PluginWatch::start(&host);
    fs::write(&hold, b"").unwrap();
    put(&host, &waiting(2));
    wait_until_opening(&hold, 1);
    reconfigure(&host, &hold, "new");
    // What serves gets the new configuration, and so does what is being opened; whichever comes first.
    let mut both = vec!["live", "superseded"];
    while !both.is_empty() {
        let event = watch.next_event();
        both.retain(|state| event["state"] != *state);
    }
    wait_until_opening(&hold, 2);
    let mut client = host.client();
    let told = client.result("version", json!({}));
    assert_eq!(
        (&told["version"], &told["greeting"]),
        (&json!(1), &json!("new"))
    );

    fs::remove_file(&hold).unwrap();
    watch.wait_for_state("live");
    let told = client.result("version", json!({}));
    assert_eq!(
        (&told["version"], &told["greeting"]),
        (&json!(2), &json!("new"))
    );
    let mut steps = steps(&watch);
    steps.sort_by_key(|(state, generation)| (state.clone(), generation.as_u64()));
    let expected = [("live", Some(3)), ("live", Some(4)), ("superseded", None)];
    assert_eq!(steps, to_steps(&expected));
}

#[test]
fn what_was_refused_beside_what_serves_is_tried_again_with_another_configuration() {
    let (host, hold) = serving(&Versioned::new(1));
    let (mut watch, mut client) = (PluginWatch::start(&host), host.client());
    put(&host, &Versioned::new(2).mode("picky"));
    watch.wait_for_state("rejected");
    reconfigure(&host, &hold, "well");
    wait_for_version(&mut client, 2);
    let serving = plugin(&host, "versioned");
    assert!(serving.get("last_refusal").is_none(), "{serving}");
}

#[test]
fn what_was_replaced_while_it_opened_never_goes_live() {
    let (host, hold) = serving(&Versioned::new(1));
    let (mut watch, mut client) = (PluginWatch::start(&host), host.client());
    fs::write(&hold, b"").unwrap();
    put(&host, &waiting(2));
    wait_until_opening(&hold, 1);
    put(&host, &Versioned::new(1));
    let event = watch.next_event();
    assert_eq!(event["state"], "superseded", "{event}");
    assert_eq!(event["plugin"], "versioned", "{event}");

    fs::remove_file(hold).unwrap();
    wait_for_workers(&host, 1);
    assert_eq!(version(&mut client), 1);
    assert_eq!(plugin(&host, "versioned")["generation"], 1);
    expect_steps(&watch, &[("superseded", None)]);
}

#[test]
fn what_is_gone_before_it_was_opened_is_told() {
    let (host, hold) = serving(&Versioned::new(1));
    let mut watch = PluginWatch::start(&host);
    fs::write(&hold, b"").unwrap();
    put(&host, &waiting(2));
    wait_until_opening(&hold, 1);
    fs::remove_file(host.plugins_dir().join(Versioned::FILE_NAME)).unwrap();
    let event = watch.next_event();
    assert_eq!(event["state"], "superseded", "{event}");
    assert_eq!(event["reason"], "its file is gone", "{event}");
    watch.wait_for_state("retired");
    fs::remove_file(hold).unwrap();
    wait_for_workers(&host, 0);
    expect_steps(&watch, &[("superseded", None)]);
}

#[test]
fn what_was_rolled_back_is_not_tried_again_for_a_change_of_its_mode() {
    let (host, _hold) = serving(&Versioned::new(1));
    let (mut watch, mut client) = (PluginWatch::start(&host), host.client());
    put_crashing(&host, &mut watch, 2);
    crash(&mut client, 3);
    watch.wait_for_state("rejected");
    touch(&host);
    wait_until_examined(&host, &mut watch);
    // Numbers are given in order: nothing was opened in between.
    put(&host, &Versioned::new(3));
    assert_eq!(watch.wait_for_state("live")["generation"], 4);
}

#[test]
fn what_is_being_opened_is_not_opened_again_for_a_change_of_its_mode() {
    let (host, hold) = serving(&Versioned::new(1));
    let mut watch = PluginWatch::start(&host);
    fs::write(&hold, b"").unwrap();
    put(&host, &waiting(2));
    wait_until_opening(&hold, 1);
    touch(&host);
    wait_until_examined(&host, &mut watch);
    fs::remove_file(hold).unwrap();
    assert_eq!(watch.wait_for_state("live")["generation"], 2);
}

/// Changes the file's dates, and nothing of what it holds.
#[track_caller]
fn touch(host: &Host) {
    let file = host.plugins_dir().join(Versioned::FILE_NAME);
    fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
}
