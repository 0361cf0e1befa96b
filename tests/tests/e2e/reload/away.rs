//! The folder can't be read, or not be watched: what serves goes on, and it is said once, and once when it is over.

use std::fs;
use std::process::Command;

use tests::{Host, PluginWatch, Setup, Versioned, run, wait_until, within};

use super::{put, serving_version_1, version};

const OFTEN: &str = "[reload]\nreconcile = \"20ms\"";

#[test]
fn a_folder_that_is_away_is_told_once() {
    const AWAY: &str = "the plugins folder can't be read";
    let host = serving_version_1(OFTEN);
    let mut client = host.client();
    let (folder, away) = (host.plugins_dir(), host.folder().join("away"));
    for round in 1..=2_u32 {
        let times = round as usize;
        fs::rename(&folder, &away).unwrap();
        wait_until("it to be missed", || host.lines_with(AWAY) == times);
        assert_eq!(version(&mut client), u64::from(round));
        fs::rename(&away, &folder).unwrap();
        wait_until("it to be back", || {
            host.lines_with("can be read again") == times
        });
        put(&host, &Versioned::new(round + 1));
        wait_until("the next version", || {
            version(&mut client) == u64::from(round + 1)
        });
        assert_eq!(host.lines_with(AWAY), times, "{}", host.log());
    }
}

/// A namespace of users has a limit of its own.
#[test]
fn a_folder_that_can_not_be_watched_is_looked_at_and_that_is_told_once() {
    const LIMIT: &str = "/proc/sys/user/max_inotify_instances";
    let setup = Setup::new()
        .file(Versioned::FILE_NAME, Versioned::new(1).bytes())
        .config(OFTEN);
    let script = format!(r#"echo 0 >{LIMIT} && exec "$@""#);
    let program = [
        "unshare",
        "--user",
        "--map-root-user",
        "sh",
        "-c",
        &script,
        "sh",
    ];
    let host = Host::start(within(&setup.command(), &program), None);
    host.wait_for_log(&["WARN", "can't be watched"]);
    let mut client = host.client();
    let mut watch = PluginWatch::start(&host);
    let library = setup.plugins_dir().join(Versioned::FILE_NAME);
    for number in 2..=3_u32 {
        let new = setup.folder().join("new");
        fs::write(&new, Versioned::new(number).bytes()).unwrap();
        fs::rename(&new, &library).unwrap();
        watch.wait_for_state("live");
        assert_eq!(version(&mut client), u64::from(number));
    }
    assert_eq!(host.lines_with("can't be watched"), 1, "{}", host.log());
    let mut raise = Command::new("nsenter");
    let pid = host.process().pid().to_string();
    raise.args([
        "--target",
        &pid,
        "--user",
        "sh",
        "-c",
        &format!("echo 1000 >{LIMIT}"),
    ]);
    let _ = run(&mut raise).output();
    host.wait_for_log(&["INFO", "is watched again"]);
}
