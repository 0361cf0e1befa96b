//! A ledger in a folder is copied into a database.

use std::fmt;
use std::path::Path;

use super::error::StoreError;
use super::postgres::import::Import;
use super::sqlite::export::Export;
use super::store::Limits;
use super::whole::RowCounts;

/// Where a ledger is copied to: a schema of a `PostgreSQL` database.
#[derive(Clone, Copy)]
pub(crate) struct Target<'t> {
    pub(crate) url: &'t str,
    pub(crate) schema: &'t str,
}

/// Which side kept a ledger from being copied, and why.
#[derive(Debug)]
pub(crate) enum CopyError {
    From(StoreError),
    To(StoreError),
}

impl From<StoreError> for CopyError {
    fn from(error: StoreError) -> Self {
        Self::From(error)
    }
}

impl fmt::Display for CopyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::From(error) | Self::To(error)) = self;
        error.fmt(f)
    }
}

impl std::error::Error for CopyError {}

/// Copies all that the ledger of this folder has into a database that has no tasks yet, in one transaction. `progress` is
/// told, again and again, how much was copied so far, and how much there is. What ran when the folder's host ended is ended
/// in the folder first, as a start of the host does; otherwise the folder stays as it is. So much is in memory at once:
/// a few batches of 2,000 tasks or 4 MiB.
///
/// # Errors
/// There is no ledger in the folder, a host has it, or it can't be read; the database can't be reached or refuses, or has
/// tasks already. Nothing is in the database then, unless the connection was lost in the moment of the commit.
pub(crate) fn copy(
    folder: &Path,
    target: Target<'_>,
    limits: Limits,
    now: i64,
    progress: &mut dyn FnMut(&RowCounts, &RowCounts),
) -> Result<RowCounts, CopyError> {
    let from = Export::open(folder, limits, now)?;
    let all = from.counts()?;
    let mut to = Import::begin(target.url, target.schema, limits).map_err(CopyError::To)?;
    let mut done = RowCounts::default();
    from.functions(&mut |functions| {
        done.functions += functions.len() as u64;
        to.functions(&functions).map_err(CopyError::To)
    })?;
    from.tasks(&mut |tasks| {
        to.tasks(&tasks).map_err(CopyError::To)?;
        tasks.iter().for_each(|task| done.add_task(task.state));
        progress(&done, &all);
        Ok::<_, CopyError>(())
    })?;
    from.attempts(&mut |attempts| {
        done.attempts += attempts.len() as u64;
        to.attempts(attempts).map_err(CopyError::To)?;
        progress(&done, &all);
        Ok::<_, CopyError>(())
    })?;
    from.keys(&mut |keys| {
        to.keys(&keys).map_err(CopyError::To)?;
        done.keys += keys.len() as u64;
        progress(&done, &all);
        Ok::<_, CopyError>(())
    })?;
    to.commit(&all).map_err(CopyError::To)?;
    Ok(all)
}
