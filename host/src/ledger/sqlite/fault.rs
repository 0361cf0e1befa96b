//! What `SQLite` and the file system say went wrong, in this room's own words.

use std::io;

use rusqlite::ffi;

use crate::ledger::error::{StoreError, StoreErrorKind};

/// Something that kept an operation from being done.
#[derive(Debug)]
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    /// One that is already said as others should hear it.
    Known(StoreError),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Fault {
    /// Whether it is about the one operation rather than about the database: alone, the others may succeed.
    pub(super) fn is_about_one(&self) -> bool {
        let Self::Sqlite(error) = self else {
            return false;
        };
        matches!(
            error.sqlite_error_code(),
            Some(
                rusqlite::ErrorCode::ConstraintViolation
                    | rusqlite::ErrorCode::TooBig
                    | rusqlite::ErrorCode::TypeMismatch
                    | rusqlite::ErrorCode::OutOfMemory
            )
        )
    }

    pub(super) fn into_store_error(self) -> StoreError {
        match self {
            Self::Known(error) => error,
            Self::Sqlite(error) => of_sqlite(&error),
        }
    }
}

/// A sentence about a file or folder that couldn't be worked on.
pub(super) fn of_io(what: &str, error: &io::Error) -> Fault {
    let message = match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => format!("{what}: the disk is full"),
        Some(libc::EROFS) => format!("{what}: the file system is read-only"),
        Some(libc::EACCES | libc::EPERM) => format!(
            "{what}: {error}; it has to be the host's user's, or the host needs another data folder (`data`)"
        ),
        _ => format!("{what}: {error}"),
    };
    Fault::Known(StoreError::new(StoreErrorKind::Unavailable, message))
}

/// What stands where a ledger should be isn't one.
pub(super) fn not_ours() -> Fault {
    damaged("it is another program's database, or its first page is damaged")
}

/// With what to do about it.
pub(super) fn damaged(what: &str) -> Fault {
    Fault::Known(StoreError::new(
        StoreErrorKind::Damaged,
        damaged_message(what),
    ))
}

fn damaged_message(what: &str) -> String {
    format!(
        "the ledger is damaged: {what}; `host ledger check` says more, `host ledger restore` brings a backup back, and a \
         host whose data folder was moved away begins with an empty ledger"
    )
}

fn of_sqlite(error: &rusqlite::Error) -> StoreError {
    let code = error
        .sqlite_error()
        .map_or(ffi::SQLITE_ERROR, |error| error.extended_code);
    let unavailable = |message: String| StoreError::new(StoreErrorKind::Unavailable, message);
    match code & 0xff {
        ffi::SQLITE_FULL => {
            unavailable("the ledger's disk is full, or its size limit is reached: make room".into())
        }
        ffi::SQLITE_READONLY => {
            unavailable("the ledger can't be written: its file or file system is read-only".into())
        }
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => unavailable(
            "another program has the ledger locked; no program but the host should write to it"
                .into(),
        ),
        ffi::SQLITE_CANTOPEN => {
            unavailable("the ledger's file can't be opened: is its folder still there, and may this user write to it?".into())
        }
        ffi::SQLITE_IOERR => unavailable(format!("the ledger's disk failed ({error})")),
        ffi::SQLITE_TOOBIG | ffi::SQLITE_MISMATCH => StoreError::new(
            StoreErrorKind::Unfit,
            format!("the ledger can't keep this: {error}"),
        ),
        ffi::SQLITE_NOMEM => unavailable("there is no memory left for the ledger".into()),
        ffi::SQLITE_CORRUPT => StoreError::new(
            StoreErrorKind::Damaged,
            damaged_message("what is in its file isn't what was written"),
        ),
        ffi::SQLITE_NOTADB => StoreError::new(
            StoreErrorKind::Damaged,
            damaged_message("its file is no database"),
        ),
        _ => unavailable(format!("the ledger refused: {error}")),
    }
}
