//! Disks that are full, read-only or broken, and others who hold the database.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;
use rusqlite::Connection;

use super::{child, child_folder, open, refusal};
use crate::ledger::sqlite::{Sqlite, check};
use crate::ledger::store::Store;
use crate::ledger::tests::{NOW, ask, claim, completed, end, enqueue, finish, id, task, view};
use crate::ledger::{Enqueued, Finished, NewTask, State, StoreError, StoreErrorKind};

/// Runs a test of this file in a mount namespace of its own, on a file system with these options.
fn on_tmpfs(options: &str, test: &str) {
    let folder = tempfile::tempdir().unwrap();
    let script = format!(r#"mount -t tmpfs -o {options} none "$LEDGER_TEST_FOLDER" && exec "$@""#);
    let program = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    let output = child(&program, &format!("faults::{test}"), folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{errors}"
    );
}

fn try_enqueue(store: &Sqlite, number: u64, len: usize) -> Result<Vec<Enqueued>, StoreError> {
    let new = NewTask {
        args: Bytes::from(vec![b'1'; len]),
        ..task(number, "f")
    };
    ask(|done| store.enqueue(vec![new], NOW, done))
}

#[test]
fn on_a_full_disk_nothing_is_promised_that_isnt_kept() {
    on_tmpfs("size=4m", "a_child_on_a_full_disk");
}

#[test]
#[ignore = "a child of another test"]
fn a_child_on_a_full_disk() {
    let Some(mount) = child_folder() else { return };
    let folder = mount.join("data");
    let reserve = mount.join("reserve");
    fs::write(&reserve, vec![0; 400 << 10]).unwrap();
    let store = open(&folder);
    let mut stored = Vec::new();
    let mut refused = Vec::new();
    for number in 1..2_000 {
        match try_enqueue(&store, number, 10_000) {
            Ok(_) => stored.push(number),
            Err(error) => {
                assert_eq!(error.kind, StoreErrorKind::Unavailable, "{error}");
                assert!(error.message().contains("full"), "{error}");
                refused.push(number);
                if refused.len() > 20 {
                    break;
                }
            }
        }
    }
    assert!(
        stored.len() > 20 && refused.len() > 20,
        "{} {}",
        stored.len(),
        refused.len()
    );
    let has_what_it_said = |store: &Sqlite| {
        assert!(
            stored
                .iter()
                .all(|number| view(store, id(*number)).is_some())
        );
        assert!(
            refused
                .iter()
                .all(|number| view(store, id(*number)).is_none())
        );
    };
    has_what_it_said(&store);

    // With room again it goes on, without being opened anew.
    fs::remove_file(&reserve).unwrap();
    assert_eq!(
        try_enqueue(&store, 8_888, 100).unwrap(),
        [Enqueued::Stored(State::Available)]
    );
    let claimed = claim(&store, "f", 5);
    assert_eq!(claimed.len(), 5);
    for claimed in &claimed {
        assert!(matches!(
            finish(&store, end(claimed, completed("1")), NOW),
            Finished::Now { .. }
        ));
    }
    drop(store);
    let store = open(&folder);
    has_what_it_said(&store);
    drop(store);
    assert_eq!(check(&folder).unwrap().faults, [] as [String; 0]);
}

#[test]
fn on_a_read_only_disk_it_says_so() {
    on_tmpfs("size=4m", "a_child_on_a_read_only_disk");
}

#[test]
#[ignore = "a child of another test"]
fn a_child_on_a_read_only_disk() {
    let Some(mount) = child_folder() else { return };
    let folder = mount.join("data");
    drop(open(&folder));
    let mounted = std::process::Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(&mount)
        .status()
        .unwrap();
    assert!(mounted.success());
    let error = refusal(&folder);
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message().contains("read-only"), "{error}");
    assert!(
        refusal(&mount.join("other"))
            .message()
            .contains("read-only")
    );
}

#[test]
fn another_program_that_locks_it_is_waited_for_and_then_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let other = Connection::open(folder.path().join("ledger.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = try_enqueue(&store, 1, 10).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message().contains("another program"), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(
        try_enqueue(&store, 1, 10).unwrap(),
        [Enqueued::Stored(State::Available)]
    );
}

#[test]
fn a_limit_of_the_database_is_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    enqueue(&store, vec![task(1, "f")]);
    // One whose id is used already is refused, and takes nobody with it.
    let error = ask(|done| store.enqueue(vec![task(2, "f"), task(1, "f")], NOW, done)).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(view(&store, id(2)).is_none(), "all of a call, or nothing");
    assert_eq!(
        try_enqueue(&store, 2, 10).unwrap(),
        [Enqueued::Stored(State::Available)]
    );
    let stats = ask(|done| store.stats(done)).unwrap();
    assert_eq!(
        stats.functions[0].counts[State::Available.index()],
        2,
        "nor are its counts wrong"
    );
}

fn spoil(file: &Path, from: u64, len: usize) {
    let file = OpenOptions::new().write(true).open(file).unwrap();
    file.write_all_at(&vec![0x5a; len], from).unwrap();
}

#[test]
fn a_damaged_file_is_noticed_when_it_is_opened_or_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 1..200 {
        try_enqueue(&store, number, 400).unwrap();
    }
    drop(store);
    let file = folder.path().join("ledger.db");
    let whole = fs::read(&file).unwrap();
    assert!(whole.len() > 100_000);

    // Cut short: noticed when it is opened.
    fs::write(&file, &whole[..whole.len() - 4_096]).unwrap();
    let error = refusal(folder.path());
    assert_eq!(error.kind, StoreErrorKind::Damaged);
    assert!(error.message().contains("ledger restore"), "{error}");

    // Its first page: noticed when it is opened.
    fs::write(&file, &whole).unwrap();
    spoil(&file, 0, 100);
    assert_eq!(refusal(folder.path()).kind, StoreErrorKind::Damaged);

    // All others: noticed at the latest when they are read; nothing wrong is answered.
    fs::write(&file, &whole).unwrap();
    spoil(&file, 4_096, whole.len() - 4_096);
    match Sqlite::open(folder.path(), super::OPTIONS, NOW) {
        Err(error) => assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}"),
        Ok(store) => {
            let error = ask(|done| store.get(id(1), done)).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
        }
    }
    assert!(!check(folder.path()).is_ok_and(|checked| checked.faults.is_empty()));

    // As it was, it is well.
    fs::write(&file, &whole).unwrap();
    assert_eq!(check(folder.path()).unwrap().tasks, 199);
}
