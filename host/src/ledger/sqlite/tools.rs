//! What operators do to a ledger: look whether it is whole, copy it, and bring a copy back.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::fault::{self, Fault};
use super::folder::{DATABASE, Folder};
use super::schema;
use crate::ledger::error::{StoreError, StoreErrorKind};

/// What a check found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Tasks that are in it.
    pub(crate) tasks: u64,
    /// What is wrong with it, a sentence each, 100 at most; none where it is whole.
    pub(crate) faults: Vec<String>,
}

/// Reads the whole ledger of this folder and looks whether it is what was written; a host may run meanwhile. Takes as long
/// as reading the file does.
///
/// # Errors
/// It can't be opened, or isn't this program's.
pub(crate) fn check(folder: &Path) -> Result<Checked, StoreError> {
    check_file(&folder.join(DATABASE)).map_err(Fault::into_store_error)
}

fn check_file(path: &Path) -> Result<Checked, Fault> {
    let connection = schema::open_reader(path)?;
    let mut statement = connection.prepare("PRAGMA integrity_check(100)")?;
    let faults = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut faults: Vec<String> = faults.collect::<rusqlite::Result<_>>()?;
    faults.retain(|fault| fault != "ok");
    let mut checked = Checked { tasks: 0, faults };
    if checked.faults.is_empty() {
        let tasks: i64 = connection.query_row("SELECT count(*) FROM task", [], |row| row.get(0))?;
        checked.tasks = u64::try_from(tasks).unwrap_or(0);
        checked.faults.extend(miscounts(&connection)?);
    }
    Ok(checked)
}

/// Lanes whose counts aren't those of their tasks.
fn miscounts(connection: &Connection) -> Result<Vec<String>, Fault> {
    let mut statement = connection.prepare(
        "SELECT function.name FROM lane JOIN function USING (function)
         LEFT JOIN (
            SELECT lane,
                sum(state = 0) AS c0, sum(state = 1) AS c1, sum(state = 2) AS c2, sum(state = 3) AS c3,
                sum(state = 4) AS c4, sum(state = 5) AS c5, sum(state = 6) AS c6, sum(state = 7) AS c7,
                sum(stored_len) AS len
            FROM task GROUP BY lane
         ) AS counted USING (lane)
         WHERE scheduled != coalesce(c0, 0) OR available != coalesce(c1, 0) OR running != coalesce(c2, 0)
            OR retryable != coalesce(c3, 0) OR completed != coalesce(c4, 0) OR discarded != coalesce(c5, 0)
            OR cancelled != coalesce(c6, 0) OR unknown != coalesce(c7, 0) OR lane.stored_len != coalesce(len, 0)
         LIMIT 100",
    )?;
    let names = statement.query_map([], |row| row.get::<_, String>(0))?;
    let faults = names.map(|name| Ok(format!("the counts of {} aren't those of its tasks", name?)));
    Ok(faults.collect::<rusqlite::Result<_>>()?)
}

/// Copies the ledger of this folder, as it is at one moment, into a new file; a host may run meanwhile.
///
/// # Errors
/// There is such a file already, or it can't be written; the ledger can't be read.
pub(crate) fn backup(folder: &Path, file: &Path) -> Result<(), StoreError> {
    try_backup(folder, file).map_err(Fault::into_store_error)
}

fn try_backup(folder: &Path, file: &Path) -> Result<(), Fault> {
    let failed = |error| fault::of_io(&format!("{} can't be written", file.display()), &error);
    let connection = schema::open_reader(&folder.join(DATABASE))?;
    // Made here, so that nobody else may read it; an empty file is as good as none to SQLite.
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(failed)?;
    let Some(name) = file.to_str() else {
        return Err(Fault::Known(StoreError::new(
            StoreErrorKind::Unavailable,
            format!("{}: the name of a backup has to be UTF-8", file.display()),
        )));
    };
    if let Err(error) = connection.execute("VACUUM INTO ?", [name]) {
        let _ = fs::remove_file(file);
        return Err(error.into());
    }
    File::open(file)
        .and_then(|file| file.sync_all())
        .map_err(failed)?;
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(failed)
}

/// Puts a backup in the place of this folder's ledger, which no host may have open. What was there is kept beside it, under
/// names that end with `.before-` and `now`; answers that name. What ran when the backup was made is tried again.
///
/// # Errors
/// A host has the folder; the backup is damaged, another version's or no backup; the disk is full.
pub(crate) fn restore(folder: &Path, file: &Path, now: i64) -> Result<Option<PathBuf>, StoreError> {
    try_restore(folder, file, now).map_err(Fault::into_store_error)
}

fn try_restore(folder: &Path, file: &Path, now: i64) -> Result<Option<PathBuf>, Fault> {
    if let Some(fault) = check_backup(file)?.faults.first() {
        return Err(no_backup(file, &format!("it is damaged ({fault})")));
    }
    let folder = Folder::take(folder)?;
    let new = folder.fresh("new")?;
    fs::copy(file, &new).map_err(|error| fault::of_io("the backup can't be copied", &error))?;
    let database = folder.database();
    let aside = folder.path().join(format!("{DATABASE}.before-{now}"));
    let had_one = database.exists();
    // The log first: without its database it is nothing, but a database without its log lacks what was written last.
    for ending in ["-wal", "-shm", ""] {
        let from = folder.path().join(format!("{DATABASE}{ending}"));
        if from.exists() {
            let to = folder
                .path()
                .join(format!("{DATABASE}.before-{now}{ending}"));
            fs::rename(&from, &to)
                .map_err(|error| fault::of_io("the old ledger can't be put aside", &error))?;
        }
    }
    folder.put_in_place(&new)?;
    Ok(had_one.then_some(aside))
}

/// What a check of a backup found; that it is one.
fn check_backup(file: &Path) -> Result<Checked, Fault> {
    // SQLite would say of it that the ledger is gone.
    File::open(file).map_err(|error| no_backup(file, &error.to_string()))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let checked = Connection::open_with_flags(file, flags)
        .map_err(Fault::from)
        .and_then(|connection| schema::check_header(&connection))
        .and_then(|()| check_file(file));
    checked.map_err(|fault| {
        let error = fault.into_store_error();
        match error.kind {
            StoreErrorKind::Damaged => no_backup(file, "it is no ledger, or damaged"),
            _ => Fault::Known(error),
        }
    })
}

fn no_backup(file: &Path, why: &str) -> Fault {
    Fault::Known(StoreError::new(
        StoreErrorKind::Damaged,
        format!(
            "the backup {} can't be brought back: {why}; nothing was changed",
            file.display()
        ),
    ))
}
