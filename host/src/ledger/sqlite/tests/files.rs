//! The folder and its files: whose they are, and what else may be found there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rusqlite::Connection;

use super::{OPTIONS, open, refusal};
use crate::ledger::sqlite::{Sqlite, backup, check, restore};
use crate::ledger::store::Store as _;
use crate::ledger::tests::{NOW, ask, claim, enqueue, id, task, view};
use crate::ledger::{State, StoreErrorKind};

#[test]
fn the_folder_and_what_is_in_it_are_its_owners_alone() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("a/b");
    let store = open(&folder);
    enqueue(&store, vec![task(1, "f")]);
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn a_folder_is_one_hosts() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let error = refusal(folder.path());
    assert_eq!(error.kind, StoreErrorKind::InUse);
    assert!(
        error
            .message()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    let error = restore(folder.path(), &folder.path().join("ledger.db"), NOW).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::InUse);
    drop(store);
    open(folder.path());
}

#[test]
fn a_newer_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let database = Connection::open(folder.path().join("ledger.db")).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let error = refusal(folder.path());
    assert_eq!(error.kind, StoreErrorKind::NewerSchema);
    assert!(error.message().contains("start that version"), "{error}");
}

#[test]
fn what_is_no_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger.db");
    Connection::open(&file)
        .unwrap()
        .execute_batch("CREATE TABLE task (id)")
        .unwrap();
    let before = fs::read(&file).unwrap();
    assert_eq!(refusal(folder.path()).kind, StoreErrorKind::Damaged);
    assert_eq!(fs::read(&file).unwrap(), before);
    fs::write(
        &file,
        "no database, but long enough to be looked at as if it were one: ".repeat(100),
    )
    .unwrap();
    let error = refusal(folder.path());
    assert_eq!(error.kind, StoreErrorKind::Damaged);
    assert!(error.message().contains("ledger restore"), "{error}");
}

#[test]
fn a_ledger_whose_file_was_deleted_is_not_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    enqueue(&store, vec![task(1, "f")]);
    fs::remove_file(folder.path().join("ledger.db")).unwrap();
    // While it runs, nothing more is promised.
    let error = ask(|done| store.enqueue(vec![task(2, "f")], NOW, done)).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(
        error.message().contains("moved, replaced or deleted"),
        "{error}"
    );
    // As after a power cut, without the end that moves the log.
    fs::write(folder.path().join("ledger.db-wal"), [1; 5_000]).unwrap();
    drop(store);
    fs::write(folder.path().join("ledger.db-wal"), [1; 5_000]).unwrap();
    let error = refusal(folder.path());
    assert_eq!(error.kind, StoreErrorKind::Damaged);
    assert!(error.message().contains("ledger.db is gone"), "{error}");
}

#[test]
fn a_half_made_ledger_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("ledger.db.new"), "half").unwrap();
    fs::write(folder.path().join("ledger.db.new-journal"), "half").unwrap();
    enqueue(&open(folder.path()), vec![task(1, "f")]);
    assert!(check(folder.path()).unwrap().faults.is_empty());
}

#[test]
fn a_backup_is_made_beside_a_host_and_brought_back_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("backup.db");
    let data = folder.path().join("data");
    let store = open(&data);
    enqueue(&store, vec![task(1, "f"), task(2, "f")]);
    claim(&store, "f", 1);
    backup(&data, &copy).unwrap();
    let error = backup(&data, &copy).unwrap_err();
    assert!(error.message().contains("exists"), "{error}");
    enqueue(&store, vec![task(3, "f")]);
    drop(store);
    assert_eq!(check(&data).unwrap().tasks, 3);

    let aside = restore(&data, &copy, NOW).unwrap().unwrap();
    assert!(aside.exists());
    let store = open(&data);
    assert!(view(&store, id(3)).is_none());
    assert_eq!(
        view(&store, id(1)).unwrap().summary.state,
        State::Retryable,
        "it ran when the backup was made"
    );
    assert_eq!(view(&store, id(2)).unwrap().summary.state, State::Available);
    drop(store);

    // What can't be a ledger changes nothing.
    let broken = folder.path().join("broken.db");
    let mut bytes = fs::read(&copy).unwrap();
    let len = bytes.len();
    bytes[4_096..len.min(40_960)].fill(0x55);
    fs::write(&broken, bytes).unwrap();
    assert_eq!(
        restore(&data, &broken, NOW).unwrap_err().kind,
        StoreErrorKind::Damaged
    );
    fs::write(&broken, "").unwrap();
    assert_eq!(
        restore(&data, &broken, NOW).unwrap_err().kind,
        StoreErrorKind::Damaged
    );
    assert_eq!(check(&data).unwrap().tasks, 2);
    // Into a folder that isn't there yet.
    let other = folder.path().join("other");
    assert_eq!(restore(&other, &copy, NOW).unwrap(), None);
    assert!(view(&Sqlite::open(&other, OPTIONS, NOW).unwrap(), id(2)).is_some());
}
