//! What people do to tasks, one or all that a filter finds.

use rusqlite::OptionalExtension as _;

use super::desk::Desk;
use super::fault::Fault;
use super::find;
use crate::ledger::error::{StoreError, StoreErrorKind};
use crate::ledger::record::Selection;
use crate::ledger::states::Event;
use crate::ledger::work::{Cursor, Progress};

/// So many tasks are looked at in one transaction.
const LOOK_MAX: usize = 2_000;

impl Desk<'_> {
    /// Goes on for a bounded while.
    pub(super) fn change_selected(
        &mut self,
        selection: &Selection,
        event: Event,
        now: i64,
        before: &Progress,
    ) -> Result<Progress, Fault> {
        let mut progress = before.clone();
        let ids = match selection {
            Selection::Task(id) => {
                progress.is_done = true;
                vec![*id]
            }
            Selection::Filter(filter) => {
                let found = find::find(
                    self.connection,
                    filter,
                    &mut progress.cursor,
                    LOOK_MAX,
                    LOOK_MAX,
                )?;
                progress.is_done = progress.cursor.is_at_end;
                found
            }
        };
        for id in ids {
            match self.known(id)? {
                Some(task) => progress.changed += u64::from(self.change(&task, event, now)?),
                None if matches!(selection, Selection::Task(_)) => return Err(unknown_task()),
                None => {}
            }
        }
        Ok(progress)
    }

    pub(super) fn pause(
        &mut self,
        function: &std::sync::Arc<str>,
        paused: bool,
        now: i64,
    ) -> Result<(), Fault> {
        let place = self.book.know(self.connection, function, now)?;
        let number = self.book.functions[place].number;
        let sql = "UPDATE function SET paused = ? WHERE function = ?";
        self.connection
            .prepare_cached(sql)?
            .execute((paused, number))?;
        self.book.function_of_mut(place).paused = paused;
        if !paused {
            self.news.available.insert(place);
        }
        Ok(())
    }
}

pub(super) fn unknown_task() -> Fault {
    Fault::Known(StoreError::new(
        StoreErrorKind::UnknownTask,
        "there is no such task, or its time to be asked for is over",
    ))
}

/// How many of the tasks that are selected an event would change; looks only.
pub(super) fn count(
    connection: &rusqlite::Connection,
    selection: &Selection,
    event: Event,
) -> Result<u64, Fault> {
    let mut statement = connection.prepare_cached("SELECT state FROM task WHERE id = ?")?;
    let mut may_change = |id| -> Result<Option<bool>, Fault> {
        let state = statement
            .query_row([id], |row| Ok(super::known::state_of(row, 0)))
            .optional()?;
        state
            .map(|state| Ok(state?.after(event).is_some()))
            .transpose()
    };
    let filter = match selection {
        Selection::Task(id) => return may_change(*id)?.map(u64::from).ok_or_else(unknown_task),
        Selection::Filter(filter) => filter,
    };
    let mut cursor = Cursor::default();
    let mut changed = 0;
    while !cursor.is_at_end {
        for id in find::find(connection, filter, &mut cursor, LOOK_MAX, LOOK_MAX)? {
            changed += u64::from(may_change(id)?.unwrap_or(false));
        }
    }
    Ok(changed)
}
