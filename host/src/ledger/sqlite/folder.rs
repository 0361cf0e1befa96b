//! The data folder: whose it is, and the files in it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::fault::{self, Fault};
use super::schema;
use crate::ledger::error::{StoreError, StoreErrorKind};

/// The database's name in the folder.
pub(super) const DATABASE: &str = "ledger.db";
const LOCK: &str = "ledger.lock";

/// A data folder that no other process has, for as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The operating system lets go of it when this process ends, however it does.
    _lock: File,
}

impl Folder {
    /// Makes the folder (for its owner alone) where there is none, and takes it.
    pub(super) fn take(path: &Path) -> Result<Self, Fault> {
        let what = |doing: &str| format!("the data folder {} can't be {doing}", path.display());
        if !path.is_dir() {
            let mut builder = DirBuilder::new();
            let made = builder.recursive(true).mode(0o700).create(path);
            made.map_err(|error| fault::of_io(&what("made"), &error))?;
            if let Some(parent) = path.parent() {
                sync(parent)?;
            }
        }
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        let lock = options
            .open(path.join(LOCK))
            .map_err(|error| fault::of_io(&what("locked"), &error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(path, lock)),
            Err(TryLockError::Error(error)) => return Err(fault::of_io(&what("locked"), &error)),
        }
        // For whoever comes second; nothing goes by it.
        let _ = lock
            .set_len(0)
            .and_then(|()| writeln!(&lock, "{}", std::process::id()));
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Those of which the ledger consists, as far as they are there.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let endings = ["", "-wal"].iter();
        endings
            .map(|ending| self.path.join(format!("{DATABASE}{ending}")))
            .collect()
    }

    /// Makes an empty database where there is none.
    pub(super) fn prepare(&self) -> Result<(), Fault> {
        let database = self.database();
        if database.exists() {
            return Ok(());
        }
        let log = self.path.join(format!("{DATABASE}-wal"));
        if log.metadata().is_ok_and(|log| log.len() > 0) {
            return Err(fault::damaged(
                "its file ledger.db is gone, though its log ledger.db-wal is there",
            ));
        }
        let new = self.fresh("new")?;
        schema::create(&new)?;
        self.put_in_place(&new)
    }

    /// An empty file of this extension beside the database, which its owner alone can read.
    pub(super) fn fresh(&self, extension: &str) -> Result<PathBuf, Fault> {
        let path = self.path.join(format!("{DATABASE}.{extension}"));
        let failed = |error| fault::of_io(&format!("{} can't be made", path.display()), &error);
        for name in [
            path.clone(),
            path.with_extension(format!("{extension}-journal")),
        ] {
            if name.exists() {
                fs::remove_file(&name).map_err(failed)?;
            }
        }
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        file.map_err(failed)?;
        Ok(path)
    }

    /// Gives a whole database its name, and returns when the disk has it.
    pub(super) fn put_in_place(&self, new: &Path) -> Result<(), Fault> {
        let database = self.database();
        let failed = |error| {
            fault::of_io(
                &format!("{} can't be put in place", database.display()),
                &error,
            )
        };
        File::open(new)
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        fs::rename(new, &database).map_err(failed)?;
        sync(&self.path)
    }
}

fn in_use(path: &Path, mut lock: File) -> Fault {
    let mut by = String::new();
    let by = match lock.read_to_string(&mut by) {
        Ok(_) if !by.trim().is_empty() => format!("process {}", by.trim()),
        _ => "another process".into(),
    };
    Fault::Known(StoreError::new(
        StoreErrorKind::InUse,
        format!(
            "the data folder {} is in use by {by}: each host needs one of its own",
            path.display()
        ),
    ))
}

/// Has the disk know which names are in a folder.
fn sync(folder: &Path) -> Result<(), Fault> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let synced = File::open(folder).and_then(|file| file.sync_all());
    synced.map_err(|error| {
        fault::of_io(
            &format!("the folder {} can't be synced", folder.display()),
            &error,
        )
    })
}
