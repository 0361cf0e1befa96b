//! A database whose disk is full.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use databases::{Postgres as Server, Release};

use super::{open_at, wait_until};
use crate::ledger::postgres::Postgres;
use crate::ledger::store::Store as _;
use crate::ledger::tests::{NOW, ask, claim, completed, end, finish, id, task, view};
use crate::ledger::{Enqueued, Finished, NewTask, State, StoreError, StoreErrorKind};

const FOLDER: &str = "LEDGER_TEST_FOLDER";

/// In a mount namespace of its own, on a file system that is nearly full with the database's own files.
#[test]
fn on_a_full_disk_nothing_is_promised_and_all_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(r#"mount -t tmpfs -o size=112m none "${FOLDER}" && exec "$@""#);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", &script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "ledger::postgres::tests::full_disk::a_child_on_a_full_disk",
            "--ignored",
            "--nocapture",
        ])
        .env(FOLDER, folder.path());
    let said = databases::run(&mut command);
    assert!(said.contains("1 passed"), "{said}");
}

fn try_enqueue(store: &Postgres, number: u64) -> Result<Vec<Enqueued>, StoreError> {
    // What doesn't shrink when it is kept.
    let mut random = vec![0; 20_000];
    getrandom::fill(&mut random).unwrap();
    let digits = random.iter().map(|byte| char::from(b'0' + byte % 10));
    let text: String = digits.collect();
    let new = NewTask {
        args: Bytes::from(format!("\"{text}\"")),
        ..task(number, "f")
    };
    ask(|done| store.enqueue(vec![new], NOW, done))
}

/// Takes all the room that there is.
fn fill(file: &Path) {
    let mut file = File::create(file).unwrap();
    for len in [1 << 16, 1 << 12] {
        while file.write_all(&vec![0; len]).is_ok() {}
    }
}

#[test]
#[ignore = "a child of another test"]
fn a_child_on_a_full_disk() {
    let Some(mount) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        return;
    };
    let settings = ["min_wal_size=32MB", "max_wal_size=32MB"];
    let within = tempfile::tempdir_in(&mount).unwrap();
    let mut server = Server::start_in(within, Release::Installed, &settings);
    let store = open_at(&server);
    let (mut stored, mut refused) = (Vec::new(), Vec::new());
    for number in 1..=20 {
        try_enqueue(&store, number).unwrap();
        stored.push(number);
    }
    let filler = mount.join("filler");
    fill(&filler);
    let log = server.folder().join("log");
    let has_panicked = || fs::read_to_string(&log).unwrap().contains("PANIC");
    let mut has_said_why = false;
    for number in 100.. {
        assert!(number < 10_000, "it has room for all of them");
        match try_enqueue(&store, number) {
            Ok(_) => stored.push(number),
            Err(error) => {
                assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
                has_said_why |=
                    error.message() == "the disk of the ledger's database is full: make room";
                if !error.message().contains("or not") {
                    refused.push(number);
                }
            }
        }
        if has_panicked() {
            break;
        }
        if has_said_why {
            // The log, too, is to find no room.
            let mut psql = Command::new(databases::program(&["psql"]));
            psql.args([
                "--quiet",
                "--command",
                "SELECT pg_switch_wal()",
                &server.url(),
            ]);
            drop(psql.output().unwrap());
        }
    }
    assert!(has_said_why && !refused.is_empty());

    fs::remove_file(&filler).unwrap();
    wait_until("it goes on", || {
        // Without room, it may not even have come up again.
        if server.has_ended() {
            server.start_again();
        }
        try_enqueue(&store, 50).is_ok()
    });
    for number in &stored {
        assert!(
            view(&store, id(*number)).is_some(),
            "{number} was acknowledged"
        );
    }
    for number in &refused {
        assert!(view(&store, id(*number)).is_none(), "{number} was refused");
    }
    let claimed = claim(&store, "f", 5);
    assert_eq!(claimed.len(), 5);
    for claimed in &claimed {
        let finished = finish(&store, end(claimed, completed("1")), NOW);
        assert!(matches!(finished, Finished::Now { .. }), "{finished:?}");
        let state = view(&store, claimed.id).unwrap().summary.state;
        assert_eq!(state, State::Completed);
    }
}
