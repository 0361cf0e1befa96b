//! Plugins that come from another file, or take their time: whoever calls them is never told that they are unknown.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::json;
use tests::{Host, Plugin, PluginWatch, Setup, Versioned, wait_until};

use super::{plugin, plugins, serving_version_1, version};

/// Calls the functions, over and over, while `act` runs; each call must be answered well.
fn while_called(host: &Host, functions: &[&str], act: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for function in functions {
            scope.spawn(|| {
                let mut client = host.client();
                while !is_over.load(Ordering::Relaxed) {
                    client.result(function, json!({}));
                }
            });
        }
        // Also where it panics: the others would go on for ever.
        let over = Over(&is_over);
        act();
        drop(over);
    });
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn two_files_swap_their_plugins() {
    let host = Setup::new()
        .plugin(Plugin::Good)
        .file(Versioned::FILE_NAME, Versioned::new(1).bytes())
        .start();
    let folder = host.plugins_dir();
    let (first, second) = (
        folder.join(Versioned::FILE_NAME),
        folder.join(Plugin::Good.file_name()),
    );
    while_called(&host, &["version", "echo"], || {
        let aside = folder.join(".aside");
        fs::rename(&first, &aside).unwrap();
        fs::rename(&second, &first).unwrap();
        fs::rename(&aside, &second).unwrap();
        for (name, file) in [("versioned", &second), ("good", &first)] {
            wait_until("both to come from their new files", || {
                plugin(&host, name)["file"] == file.display().to_string()
            });
        }
    });
    let refused = plugins(&host);
    let refused = refused.iter().filter(|entry| entry["state"] == "rejected");
    assert_eq!(refused.count(), 0);
}

#[test]
fn a_file_that_waits_for_a_name_takes_over_when_the_other_goes() {
    let host = serving_version_1("[reload]\nmissing_grace = \"50ms\"");
    let mut watch = PluginWatch::start(&host);
    let folder = host.plugins_dir();
    fs::write(folder.join("libversioned-2.so"), Versioned::new(2).bytes()).unwrap();
    let refused = watch.wait_for_state("rejected");
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("comes from"), "{reason}");
    while_called(&host, &["version"], || {
        fs::remove_file(folder.join(Versioned::FILE_NAME)).unwrap();
        watch.wait_for_state("live");
    });
    assert_eq!(version(&mut host.client()), 2);
    let listed = plugins(&host);
    assert!(
        listed.iter().all(|entry| entry["state"] != "rejected"),
        "{listed:?}"
    );
}

/// The host serves what is ready, and the slow one when it is.
#[test]
fn a_plugin_that_takes_its_time_holds_up_no_other_at_the_start() {
    let setup = Setup::new().plugin(Plugin::Good).file(
        Versioned::FILE_NAME,
        Versioned::new(1).mode("open_wait").bytes(),
    );
    let wait = setup.folder().join("wait");
    fs::write(&wait, b"").unwrap();
    let config = format!(
        "[plugins.versioned]\nconfig = {{ open_while = {:?} }}",
        wait.display().to_string()
    );
    let host = setup.config(&config).start();
    host.wait_for_log(&["WARN", "versioned", "still being opened"]);
    let mut client = host.client();
    assert_eq!(client.result("echo", json!(1)), 1);
    let failure = client.failure("version", json!({}));
    failure.expect("unavailable", &["`versioned`", "is being opened"]);
    assert!(failure.retryable && !failure.started, "{failure:?}");
    assert!(failure.data["retry_after_ms"].is_u64(), "{failure:?}");
    assert_eq!(host.lines_with("no library brings it"), 0);
    fs::remove_file(&wait).unwrap();
    wait_until("the slow one to be live", || {
        client.call("version", json!({})).is_ok()
    });
}
