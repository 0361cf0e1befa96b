//! However a file gets into the folder, what it holds in the end is what serves.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tests::{Client, Host, PluginWatch, Setup, Versioned, run, wait_until};

use super::plugins;

/// Hosts that run side by side.
const SIDE_BY_SIDE: usize = 6;
/// How often a client looks which version answers.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Where a case works.
struct Place {
    /// The plugins folder.
    plugins: PathBuf,
    /// The library in it.
    library: PathBuf,
    /// A folder beside it, with `v1.so` and `v2.so`.
    store: PathBuf,
}

struct Case {
    name: &'static str,
    /// What is in place when the host starts: version 1.
    before: fn(&Place),
    /// What happens while it runs.
    act: fn(&Place),
    /// The version that serves in the end; none: the function is unknown.
    end: Option<u64>,
    /// There is never half a file to be seen, so none may ever be refused.
    is_whole: bool,
    /// The function may be unknown for a while, because its file is missing for a long time.
    may_be_gone: bool,
}

const CASE: Case = Case {
    name: "",
    before: |place| copy(&place.store.join("v1.so"), &place.library),
    act: |_| (),
    end: Some(2),
    is_whole: false,
    may_be_gone: false,
};

const CASES: &[Case] = &[
    Case {
        name: "cp over",
        act: |place| tool("cp", &[], &[&place.v2(), &place.library]),
        ..CASE
    },
    Case {
        name: "cp --remove-destination",
        act: |place| {
            tool(
                "cp",
                &["--remove-destination"],
                &[&place.v2(), &place.library],
            );
        },
        ..CASE
    },
    Case {
        name: "mv into place",
        act: |place| tool("mv", &["-f"], &[&place.v2(), &place.library]),
        is_whole: true,
        ..CASE
    },
    Case {
        name: "written under a hidden name, then renamed",
        act: |place| {
            let new = place.plugins.join(".libversioned.so.x7Ka");
            write_in_pieces(
                &new,
                Versioned::new(2).bytes(),
                10,
                Duration::from_millis(20),
            );
            fs::rename(new, &place.library).unwrap();
        },
        is_whole: true,
        ..CASE
    },
    Case {
        name: "install",
        act: |place| tool("install", &["-m", "755"], &[&place.v2(), &place.library]),
        ..CASE
    },
    Case {
        name: "ln -f",
        act: |place| tool("ln", &["-f"], &[&place.v2(), &place.library]),
        is_whole: true,
        ..CASE
    },
    Case {
        name: "ln -sf over the file",
        act: |place| tool("ln", &["-sf"], &[&place.v2(), &place.library]),
        is_whole: true,
        ..CASE
    },
    Case {
        name: "ln -sf over a link",
        before: |place| symlink(place.store.join("v1.so"), &place.library).unwrap(),
        act: |place| tool("ln", &["-sf"], &[&place.v2(), &place.library]),
        is_whole: true,
        ..CASE
    },
    Case {
        name: "links swapped by a rename",
        before: |place| symlink(place.store.join("v1.so"), &place.library).unwrap(),
        act: |place| {
            let new = place.store.join("new");
            symlink(place.v2(), &new).unwrap();
            fs::rename(new, &place.library).unwrap();
        },
        is_whole: true,
        ..CASE
    },
    Case {
        name: "the target of a link rewritten",
        before: |place| symlink(place.store.join("v1.so"), &place.library).unwrap(),
        act: |place| tool("cp", &[], &[&place.v2(), &place.store.join("v1.so")]),
        ..CASE
    },
    Case {
        name: "a link to a folder swapped, as deployments do",
        before: |place| {
            for version in [1, 2] {
                let release = place.store.join(format!("release{version}"));
                fs::create_dir(&release).unwrap();
                let library = place.store.join(format!("v{version}.so"));
                copy(&library, &release.join(Versioned::FILE_NAME));
            }
            let current = place.store.join("current");
            symlink("release1", &current).unwrap();
            symlink(current.join(Versioned::FILE_NAME), &place.library).unwrap();
        },
        act: |place| {
            let new = place.store.join("next");
            symlink("release2", &new).unwrap();
            fs::rename(new, place.store.join("current")).unwrap();
        },
        is_whole: true,
        ..CASE
    },
    Case {
        name: "tar -x",
        act: |place| {
            let packed = place.store.join("packed");
            fs::create_dir(&packed).unwrap();
            copy(&place.v2(), &packed.join(Versioned::FILE_NAME));
            let archive = place.store.join("plugins.tar");
            tool(
                "tar",
                &["-cf"],
                &[&archive, Path::new("-C"), &packed, Path::new(".")],
            );
            tool(
                "tar",
                &["-xf"],
                &[&archive, Path::new("-C"), &place.plugins],
            );
        },
        ..CASE
    },
    Case {
        name: "removed and linked anew, as cargo does",
        act: |place| {
            fs::remove_file(&place.library).unwrap();
            fs::hard_link(place.v2(), &place.library).unwrap();
        },
        is_whole: true,
        ..CASE
    },
    Case {
        name: "a slow copy in place",
        act: |place| {
            let bytes = Versioned::new(2);
            write_in_pieces(&place.library, bytes.bytes(), 40, Duration::from_millis(50));
        },
        ..CASE
    },
    Case {
        name: "a copy in place that stops for a long time",
        act: |place| {
            let bytes = Versioned::new(2);
            write_in_pieces(&place.library, bytes.bytes(), 4, Duration::from_millis(600));
        },
        ..CASE
    },
    Case {
        name: "appended piece by piece, and closed each time",
        act: |place| {
            File::create(&place.library).unwrap();
            for piece in Versioned::new(2).bytes().chunks(100_000) {
                let file = OpenOptions::new().append(true).open(&place.library);
                file.unwrap().write_all(piece).unwrap();
                thread::sleep(Duration::from_millis(60));
            }
        },
        ..CASE
    },
    Case {
        name: "deleted",
        act: |place| fs::remove_file(&place.library).unwrap(),
        end: None,
        may_be_gone: true,
        ..CASE
    },
    Case {
        name: "deleted and at once re-created",
        act: |place| {
            fs::remove_file(&place.library).unwrap();
            copy(&place.v2(), &place.library);
        },
        ..CASE
    },
    Case {
        name: "deleted for a long time and re-created",
        act: |place| {
            fs::remove_file(&place.library).unwrap();
            thread::sleep(Duration::from_secs(3));
            copy(&place.v2(), &place.library);
        },
        may_be_gone: true,
        ..CASE
    },
    Case {
        name: "renamed",
        act: |place| {
            fs::rename(&place.library, place.plugins.join("libother.so")).unwrap();
            copy(&place.v2(), &place.plugins.join("libother.so"));
        },
        ..CASE
    },
    Case {
        name: "the whole folder replaced",
        act: |place| {
            let new = place.store.join("plugins");
            fs::create_dir(&new).unwrap();
            copy(&place.v2(), &new.join(Versioned::FILE_NAME));
            fs::rename(&place.plugins, place.store.join("old")).unwrap();
            fs::rename(new, &place.plugins).unwrap();
        },
        is_whole: true,
        ..CASE
    },
    Case {
        name: "the whole folder replaced, then the file",
        act: |place| {
            let new = place.store.join("plugins");
            fs::create_dir(&new).unwrap();
            copy(&place.store.join("v1.so"), &new.join(Versioned::FILE_NAME));
            fs::rename(&place.plugins, place.store.join("old")).unwrap();
            fs::rename(new, &place.plugins).unwrap();
            tool("cp", &[], &[&place.v2(), &place.library]);
        },
        ..CASE
    },
    Case {
        name: "a burst of 100 writes",
        act: |place| {
            for version in 2..=101 {
                fs::write(&place.library, Versioned::new(version).bytes()).unwrap();
            }
        },
        end: Some(101),
        ..CASE
    },
    Case {
        name: "a burst of 100 renames",
        act: |place| {
            for version in 2..=101 {
                let new = place.store.join("new.so");
                fs::write(&new, Versioned::new(version).bytes()).unwrap();
                fs::rename(new, &place.library).unwrap();
            }
        },
        end: Some(101),
        is_whole: true,
        ..CASE
    },
    Case {
        name: "back to what it was",
        act: |place| {
            copy(&place.v2(), &place.library);
            copy(&place.store.join("v1.so"), &place.library);
        },
        end: Some(1),
        ..CASE
    },
];

impl Place {
    fn v2(&self) -> PathBuf {
        self.store.join("v2.so")
    }
}

/// Runs a tool with its options and paths.
fn tool(name: &str, options: &[&str], paths: &[&Path]) {
    let _ = run(Command::new(name).args(options).args(paths)).output();
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

/// As a program writes that waits for its data, now and then.
fn write_in_pieces(path: &Path, bytes: &[u8], pieces: usize, pause: Duration) {
    let mut file = File::create(path).unwrap();
    for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
        file.write_all(piece).unwrap();
        thread::sleep(pause);
    }
}

#[test]
fn however_a_file_is_put_into_place_it_is_what_serves_in_the_end() {
    let queue = Mutex::new(CASES.iter());
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..SIDE_BY_SIDE {
            threads.push(scope.spawn(|| {
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
            }));
        }
        let failed: Vec<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
}

fn check(case: &Case) {
    let setup = Setup::new();
    let plugins_dir = setup.plugins_dir();
    let place = Place {
        library: plugins_dir.join(Versioned::FILE_NAME),
        store: plugins_dir.with_file_name("store"),
        plugins: plugins_dir,
    };
    fs::create_dir(&place.store).unwrap();
    for version in [1, 2] {
        let path = place.store.join(format!("v{version}.so"));
        fs::write(path, Versioned::new(version).bytes()).unwrap();
    }
    (case.before)(&place);
    let host = setup.start();
    let mut watch = PluginWatch::start(&host);
    let mut client = host.client();
    assert_eq!(answer(&mut client), Some(1));

    let done = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut answers = BTreeSet::new();
            let mut client = host.client();
            while !done.load(Ordering::Relaxed) {
                answers.insert(answer(&mut client));
                thread::sleep(LOOK_AGAIN);
            }
            answers
        });
        (case.act)(&place);
        let end = thread::Builder::new().name(case.name.to_owned());
        let reached = end
            .spawn_scoped(scope, || {
                wait_until("the right version to serve", || {
                    answer(&mut client) == case.end
                });
                expect_settled(&host, case, &mut watch);
            })
            .unwrap()
            .join();
        done.store(true, Ordering::Relaxed);
        assert!(reached.is_ok());
        looking.join().unwrap()
    });
    assert_eq!(answer(&mut client), case.end);
    for answer in answers {
        let expected = match answer {
            Some(version) => version <= case.end.unwrap_or(1).max(2),
            None => case.may_be_gone,
        };
        assert!(expected, "{answer:?}");
    }
}

/// Nothing but what serves is left, and nothing else ever was tried.
fn expect_settled(host: &Host, case: &Case, watch: &mut PluginWatch) {
    wait_until("nothing but the right generation to be there", || {
        let listed = plugins(host);
        match case.end {
            Some(_) => listed.len() == 1 && listed[0]["state"] == "live",
            None => listed.is_empty(),
        }
    });
    let listed = plugins(host);
    let Some(entry) = listed.first() else {
        watch.wait_for_state("retired");
        return;
    };
    assert!(entry.get("last_refusal").is_none(), "{entry}");
    let generation = entry["generation"].as_u64().unwrap();
    if generation > 1 {
        watch.wait_for(|event| {
            event["state"] == "live" && event["generation"].as_u64() == Some(generation)
        });
    }
    for event in watch.seen() {
        let reason = event["reason"].as_str().unwrap_or_default();
        // Half a file is waited for, but not for ever: on a busy machine it may be told as what it is.
        let unfinished = [
            "incomplete",
            "not an ELF library",
            "it changed while it was read",
            "still writing to it",
            "it keeps changing",
        ];
        let is_unfinished = unfinished.iter().any(|text| reason.contains(text));
        assert!(
            event["state"] != "rejected" || (!case.is_whole && is_unfinished),
            "{event}"
        );
    }
}

/// The version that answers; none: the function is unknown, or its plugin is only being opened.
#[track_caller]
fn answer(client: &mut Client) -> Option<u64> {
    match client.call("version", json!({})) {
        Ok(result) => Some(result["version"].as_u64().unwrap()),
        Err(failure) => {
            if failure.code != "unknown_function" {
                failure.expect("unavailable", &["is being opened"]);
            }
            None
        }
    }
}
