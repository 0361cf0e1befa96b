//! Files that come slowly, that can't be read, and what only has a library's name: it is said what is waited for, and
//! nothing that serves is lost.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tests::{Host, PluginWatch, Setup, Versioned, run, wait_until};

use super::{plugins, put, serving_version_1, version};

#[track_caller]
fn wait_for_version(host: &Host, expected: u64) {
    let mut client = host.client();
    wait_until("the right version to serve", || {
        version(&mut client) == expected
    });
    wait_until("every refusal to be forgotten", || {
        let listed = plugins(host);
        listed.len() == 1 && listed[0].get("last_refusal").is_none()
    });
}

/// The next rejection, whose reason has these texts in it.
#[track_caller]
fn wait_for_refusal(watch: &mut PluginWatch, texts: &[&str]) -> Value {
    wait_for_state(watch, "rejected", texts)
}

/// The next that waits for something, whose reason has these texts in it.
#[track_caller]
fn wait_for_waiting(watch: &mut PluginWatch, texts: &[&str]) -> Value {
    wait_for_state(watch, "candidate", texts)
}

#[track_caller]
fn wait_for_state(watch: &mut PluginWatch, state: &str, texts: &[&str]) -> Value {
    let event = watch.wait_for_state(state);
    let reason = event["reason"].as_str().unwrap();
    for text in texts {
        assert!(reason.contains(text), "{text:?} is missing in {event}");
    }
    event
}

/// Sets the longest file that the host may write, in bytes.
#[track_caller]
fn limit_file_size(host: &Host, max: &str) {
    let (pid, limit) = (host.process().pid().to_string(), format!("--fsize={max}:"));
    let _ = run(Command::new("prlimit").args(["--pid", &pid, &limit])).output();
}

#[test]
fn what_is_written_in_place_is_taken_when_it_is_closed_and_not_before() {
    // By its name from the root.
    taken_when_it_is_closed(Setup::new());
}

#[test]
fn it_is_so_however_the_folder_is_named() {
    taken_when_it_is_closed(Setup::new().plugins_named("./plugins"));
    taken_when_it_is_closed(Setup::new().plugins_named("plugins/../plugins/"));
}

fn taken_when_it_is_closed(setup: Setup) {
    let setup = setup.file(Versioned::FILE_NAME, Versioned::new(1).bytes());
    let host = setup.start();
    let mut watch = PluginWatch::start(&host);
    let old = fs::read(host.plugins_dir().join(Versioned::FILE_NAME)).unwrap();
    let new = Versioned::new(2);
    assert_eq!(old.len(), new.bytes().len(), "each mix of both looks whole");

    let library = host.plugins_dir().join(Versioned::FILE_NAME);
    let mut file = OpenOptions::new().write(true).open(library).unwrap();
    let (first, rest) = new.bytes().split_at(old.len() / 2);
    file.write_all(first).unwrap();
    wait_for_waiting(&mut watch, &["still writing to it", "rename"]);
    assert_eq!(version(&mut host.client()), 1);
    file.write_all(rest).unwrap();
    assert_eq!(version(&mut host.client()), 1);
    drop(file);
    wait_for_version(&host, 2);
    assert_eq!(
        plugins(&host)[0]["generation"],
        2,
        "nothing went live between"
    );
}

#[test]
fn a_configuration_that_is_no_file_is_refused_and_holds_nobody_up() {
    let mut host = serving_version_1("");
    let mut watch = PluginWatch::start(&host);
    let fifo = host.plugins_dir().join("versioned.toml");
    let _ = run(Command::new("mkfifo").arg(&fifo)).output();
    wait_for_refusal(&mut watch, &["versioned.toml", "not a regular file"]);
    assert_eq!(version(&mut host.client()), 1);
    fs::remove_file(fifo).unwrap();
    put(&host, &Versioned::new(2));
    wait_for_version(&host, 2);
    host.signal(Signal::TERM);
    assert!(host.wait().success());
}

#[test]
fn a_limit_of_file_sizes_is_a_refusal_with_its_reason() {
    let host = serving_version_1("");
    let mut watch = PluginWatch::start(&host);
    limit_file_size(&host, "100000");
    put(&host, &Versioned::new(2));
    wait_for_refusal(&mut watch, &["private copy", "File too large"]);
    assert_eq!(version(&mut host.client()), 1);
    limit_file_size(&host, "unlimited");
    put(&host, &Versioned::new(3));
    wait_for_version(&host, 3);
}

#[test]
fn what_could_not_be_read_for_want_of_descriptors_is_tried_again_by_itself() {
    let host = serving_version_1("");
    let mut watch = PluginWatch::start(&host);
    let before = host.process().open_files_limit().0;
    host.process().leave_descriptors(1);
    put(&host, &Versioned::new(2));
    wait_for_waiting(&mut watch, &["Too many open files", "tried again"]);
    host.process().set_open_files_limit(before);
    wait_for_version(&host, 2);
    let mut events = watch.seen().iter();
    assert!(
        events.all(|event| event["state"] != "rejected"),
        "{:?}",
        watch.seen()
    );
}

#[test]
fn what_can_not_be_looked_at_goes_on_serving() {
    let host = serving_version_1("[reload]\nmissing_grace = \"100ms\"\nreconcile = \"50ms\"");
    let mut watch = PluginWatch::start(&host);
    let library = host.plugins_dir().join(Versioned::FILE_NAME);
    let turning = host.plugins_dir().join(".turning");
    symlink(Versioned::FILE_NAME, &turning).unwrap();
    fs::rename(turning, &library).unwrap();
    wait_for_waiting(&mut watch, &["can't be looked at", "goes on"]);
    // Long after a missing file would have counted as gone.
    host.put("libother.so", b"no library");
    wait_for_refusal(&mut watch, &["not an ELF library"]);
    fs::remove_file(host.plugins_dir().join("libother.so")).unwrap();
    assert_eq!(version(&mut host.client()), 1);
    put(&host, &Versioned::new(2));
    wait_for_version(&host, 2);
}

#[test]
fn what_only_has_a_library_s_name_is_listed_with_the_reason() {
    let host = serving_version_1("[reload]\nmissing_grace = \"100ms\"");
    let mut watch = PluginWatch::start(&host);
    let path = |name: &str| host.plugins_dir().join(name);
    fs::create_dir(path("libfolder.so")).unwrap();
    let event = wait_for_refusal(&mut watch, &["not a regular file"]);
    assert!(names(&event, "libfolder.so"), "{event}");
    symlink("/no/such/library", path("libdangling.so")).unwrap();
    let event = wait_for_refusal(&mut watch, &["a link to /no/such/library"]);
    assert!(names(&event, "libdangling.so"), "{event}");
    wait_until("both to be listed", || {
        let listed = plugins(&host);
        ["libfolder.so", "libdangling.so"].iter().all(|name| {
            let mut entries = listed.iter();
            entries.any(|entry| entry["state"] == "rejected" && names(entry, name))
        })
    });
    fs::remove_dir(path("libfolder.so")).unwrap();
    fs::remove_file(path("libdangling.so")).unwrap();
    wait_for_version(&host, 1);
}

fn names(entry: &Value, file: &str) -> bool {
    let path = entry["file"].as_str().unwrap_or_default();
    Path::new(path).file_name().is_some_and(|name| name == file)
}

/// Each piece is left alone for longer than an unfinished file is waited for.
#[test]
fn a_file_that_grows_piece_by_piece_is_refused_once_for_each_reason() {
    let host = serving_version_1("");
    let bytes = Versioned::new(2);
    let library = host.plugins_dir().join(Versioned::FILE_NAME);
    let pieces = bytes.bytes().chunks(bytes.bytes().len() / 8 + 1);
    fs::write(&library, b"").unwrap();
    for piece in pieces {
        thread::sleep(Duration::from_millis(600));
        let mut file = OpenOptions::new().append(true).open(&library).unwrap();
        file.write_all(piece).unwrap();
    }
    wait_for_version(&host, 2);
    let refusals = host.lines_with("rejected");
    assert!((1..=4).contains(&refusals), "{}", host.log());
}

#[test]
fn a_line_break_in_a_file_s_name_makes_no_line_of_the_log() {
    let host = serving_version_1("");
    let mut watch = PluginWatch::start(&host);
    host.put("libx\n2026-01-01T00:00:00Z ERROR forged\n.so", b"nothing");
    wait_for_refusal(&mut watch, &["not an ELF"]);
    host.wait_for_log(&["rejected", "forged"]);
    let log = host.log();
    let forged = log.lines().find(|line| line.starts_with("2026-01-01"));
    assert_eq!(forged, None, "{log}");
}
