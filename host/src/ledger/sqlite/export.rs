//! All that a ledger has, read batch by batch, to be kept elsewhere.

use std::path::Path;

use bytes::Bytes;
use rusqlite::{Connection, Row};

use super::fault::{self, Fault};
use super::folder::Folder;
use super::known::{policy_of, state_of, task_id};
use super::read::{attempt, text};
use super::{Sqlite, recover, schema};
use crate::ledger::error::{StoreError, StoreErrorKind};
use crate::ledger::id::TaskId;
use crate::ledger::record::{Attempt, NewTask};
use crate::ledger::states::State;
use crate::ledger::store::{Durability, Limits};
use crate::ledger::whole::{
    BATCH_BYTES_MAX, BATCH_LEN_MAX, RowCounts, WholeFunction, WholeKey, WholeTask,
};

/// The columns of [`task`], in order. Tasks are read in the order in which they stand, whatever else is joined to them.
const TASKS: &str = "SELECT task.id, function.name, state, priority, lease, tries, attempts, created_at, available_at, \
claimed_at, ended_at, forget_at, deadline_at, timeout_ms, result_ttl_ms, unique_until, retry_max, retry_base_ms, \
retry_cap_ms, retry_on, at_most_once, key, subject, parent, batch, traceparent, client, limit_key, version, \
coalesce(args, long_args.text), result_at IS NOT NULL, coalesce(result, long_result.text) \
FROM task CROSS JOIN lane USING (lane) CROSS JOIN function USING (function) \
LEFT JOIN long_text AS long_args ON long_args.at = args_at \
LEFT JOIN long_text AS long_result ON long_result.at = result_at ORDER BY task.id";

/// What a batch is given to; what it answers ends the reading, where it is an error.
pub(in crate::ledger) type Take<'t, T, E> = &'t mut dyn FnMut(Vec<T>) -> Result<(), E>;

/// A ledger that nobody else has, for as long as this lives.
pub(in crate::ledger) struct Export {
    connection: Connection,
    /// Let go of last.
    _folder: Folder,
}

impl Export {
    /// Takes the ledger of this folder, brings it up to date, and ends what a dead host ran, as a start of the host does.
    ///
    /// # Errors
    /// There is none, a host has it, or it can't be opened.
    pub(in crate::ledger) fn open(
        folder: &Path,
        limits: Limits,
        now: i64,
    ) -> Result<Self, StoreError> {
        if !Sqlite::is_there(folder) {
            let message = "there is no ledger in this folder";
            return Err(StoreError::new(StoreErrorKind::Unavailable, message));
        }
        Self::try_open(folder, limits, now).map_err(Fault::into_store_error)
    }

    fn try_open(folder: &Path, limits: Limits, now: i64) -> Result<Self, Fault> {
        let folder = Folder::take(folder)?;
        folder.prepare()?;
        let connection = schema::open_writer(&folder.database(), Durability::Fsync)?;
        recover(&connection, limits, now)?;
        Ok(Self {
            connection,
            _folder: folder,
        })
    }

    pub(in crate::ledger) fn counts(&self) -> Result<RowCounts, StoreError> {
        self.try_counts().map_err(Fault::into_store_error)
    }

    fn try_counts(&self) -> Result<RowCounts, Fault> {
        let count = |sql: &str| -> Result<u64, Fault> {
            let rows: i64 = self.connection.query_row(sql, [], |row| row.get(0))?;
            Ok(u64::try_from(rows).unwrap_or(0))
        };
        let mut counts = RowCounts {
            functions: count("SELECT count(*) FROM function")?,
            attempts: count("SELECT count(*) FROM attempt")?,
            keys: count("SELECT count(*) FROM taken JOIN task ON task.id = taken.task")?,
            ..RowCounts::default()
        };
        for state in State::ALL {
            let of_state = format!("SELECT count(*) FROM task WHERE state = {}", state.index());
            if let Some(place) = counts.states.get_mut(state.index()) {
                *place = count(&of_state)?;
            }
        }
        Ok(counts)
    }

    pub(in crate::ledger) fn functions<E: From<StoreError>>(
        &self,
        take: Take<'_, WholeFunction, E>,
    ) -> Result<(), E> {
        let sql = "SELECT name, paused, known_at FROM function";
        let read = |row: &Row<'_>| {
            let function = WholeFunction {
                name: row.get(0)?,
                paused: row.get(1)?,
                known_at: row.get(2)?,
            };
            Ok((function, 0))
        };
        self.batches(sql, read, take)
    }

    pub(in crate::ledger) fn tasks<E: From<StoreError>>(
        &self,
        take: Take<'_, WholeTask, E>,
    ) -> Result<(), E> {
        self.batches(TASKS, task, take)
    }

    pub(in crate::ledger) fn attempts<E: From<StoreError>>(
        &self,
        take: Take<'_, (TaskId, Attempt), E>,
    ) -> Result<(), E> {
        let sql = "SELECT task, number, node.text, version.text, started_at, ended_at, error FROM attempt \
                   CROSS JOIN word AS node ON node.word = node CROSS JOIN word AS version ON version.word = version";
        let read = |row: &Row<'_>| {
            let attempt = attempt(row, 1)?;
            let len = attempt.error.as_ref().map_or(0, Bytes::len);
            let task = task_id(row, 0)?;
            Ok(((task, attempt), len))
        };
        self.batches(sql, read, take)
    }

    pub(in crate::ledger) fn keys<E: From<StoreError>>(
        &self,
        take: Take<'_, WholeKey, E>,
    ) -> Result<(), E> {
        let sql = "SELECT function.name, taken.subject, taken.key, taken.task FROM taken \
                   CROSS JOIN function USING (function) CROSS JOIN task ON task.id = taken.task";
        let read = |row: &Row<'_>| {
            let key = WholeKey {
                function: row.get(0)?,
                subject: row.get(1)?,
                key: row.get(2)?,
                task: task_id(row, 3)?,
            };
            Ok((key, 0))
        };
        self.batches(sql, read, take)
    }

    /// Reads rows and, of each, how many bytes it has of what may be long.
    fn batches<T, E: From<StoreError>>(
        &self,
        sql: &str,
        mut read: impl FnMut(&Row<'_>) -> Result<(T, usize), Fault>,
        take: Take<'_, T, E>,
    ) -> Result<(), E> {
        let failed = |error: rusqlite::Error| E::from(Fault::from(error).into_store_error());
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(failed)? {
            let (item, len) = read(row).map_err(Fault::into_store_error)?;
            batch.push(item);
            bytes += len;
            if batch.len() >= BATCH_LEN_MAX || bytes >= BATCH_BYTES_MAX {
                take(std::mem::take(&mut batch))?;
                bytes = 0;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        take(batch)
    }
}

fn task(row: &Row<'_>) -> Result<(WholeTask, usize), Fault> {
    let state = state_of(row, 2)?;
    let parent: Option<[u8; 16]> = row.get(23)?;
    let Some(args) = text(row, 29)? else {
        return Err(fault::damaged("a task's arguments aren't there"));
    };
    let result = text(row, 31)?;
    if result.is_none() && row.get(30)? {
        return Err(fault::damaged("a task's result isn't there"));
    }
    let len = args.len() + result.as_ref().map_or(0, Bytes::len);
    let whole = WholeTask {
        task: NewTask {
            id: task_id(row, 0)?,
            function: row.get(1)?,
            args,
            key: row.get(21)?,
            unique_until: row.get(15)?,
            available_at: row.get(8)?,
            priority: row.get(3)?,
            retry: policy_of(row, 16)?,
            deadline_at: row.get(12)?,
            result_ttl_ms: row.get(14)?,
            timeout_ms: row.get(13)?,
            at_most_once: row.get(20)?,
            subject: row.get(22)?,
            limit_key: row.get(27)?,
            version: row.get(28)?,
            parent: parent.map(TaskId::from_bytes),
            batch: row.get(24)?,
            traceparent: row.get(25)?,
            client: row.get(26)?,
        },
        created_at: row.get(7)?,
        state,
        lease: row.get(4)?,
        tries: row.get(5)?,
        attempts: row.get(6)?,
        claimed_at: row.get(9)?,
        ended_at: row.get(10)?,
        forget_at: row.get(11)?,
        result,
    };
    Ok((whole, len))
}
