//! Runs end, and the tasks go on.

use std::sync::Arc;

use rusqlite::params;

use super::desk::{Desk, Text, len};
use super::fault::Fault;
use super::known::Known;
use crate::ledger::id::TaskId;
use crate::ledger::record::{Ending, Finish, Finished};
use crate::ledger::states::{Event, State};
use crate::ledger::store::Held;
use crate::ledger::times::wake_at;

impl Desk<'_> {
    pub(super) fn finish(&mut self, ends: &[Finish], now: i64) -> Result<Vec<Finished>, Fault> {
        ends.iter().map(|end| self.finish_one(end, now)).collect()
    }

    fn finish_one(&mut self, end: &Finish, now: i64) -> Result<Finished, Fault> {
        match self.known(end.id)? {
            Some(task) if task.state == State::Running && task.lease == end.lease => {
                let version = self.book.word(self.connection, &end.version)?;
                self.end_run(&task, &end.ending, end.started_at, version, now)
            }
            _ => Ok(Finished::Stale),
        }
    }

    /// Writes down how a run ended. `version` is a word's number.
    pub(super) fn end_run(
        &mut self,
        task: &Known,
        ending: &Ending,
        started_at: Option<i64>,
        version: i64,
        now: i64,
    ) -> Result<Finished, Fault> {
        let next = task.run().end(ending, now);
        let Some(to) = task.state.after(next.event) else {
            return Ok(Finished::Stale);
        };
        let (tries, attempts) = if next.counts {
            self.write_attempt(task, ending, started_at, version, now)?;
            (
                task.tries.saturating_add(1),
                task.attempts.saturating_add(1),
            )
        } else {
            (task.tries, task.attempts)
        };
        let result = match ending {
            Ending::Completed { result } if to == State::Completed => Some(result),
            _ => None,
        };
        let result_at = match result {
            Some(result) => self.place_text(result)?,
            None => None,
        };
        let held = result.map_or(0, |result| len(result));
        let ended_at = to.is_finished().then_some(now);
        let available_at = match next.event {
            Event::TryAgain => next.available_at,
            _ => task.available_at,
        };
        self.statements.finish.execute(params![
            to,
            tries,
            attempts,
            now,
            available_at,
            wake_at(to, available_at, task.deadline_at),
            ended_at,
            task.forget_at(to, self.limits, now),
            held,
            result_at,
            result
                .filter(|_| result_at.is_none())
                .map(|result| Text(result)),
            task.id,
        ])?;
        if held != 0 {
            self.book.holds(task.lane, held);
        }
        self.moved(task, to, now)?;
        let available_at = (to == State::Retryable).then_some(available_at);
        Ok(Finished::Now {
            state: to,
            available_at,
        })
    }

    fn write_attempt(
        &mut self,
        task: &Known,
        ending: &Ending,
        started_at: Option<i64>,
        version: i64,
        now: i64,
    ) -> Result<(), Fault> {
        let error = match ending {
            Ending::Failed { error, .. } | Ending::Cancelled { error } | Ending::Lost { error } => {
                Some(error)
            }
            Ending::Completed { .. } | Ending::Released => None,
        };
        let node = match task.node {
            Some(node) => node,
            None => self.book.word(self.connection, &Arc::from(""))?,
        };
        self.statements.attempt.execute(params![
            task.id,
            task.attempts.saturating_add(1),
            node,
            version,
            started_at.or(task.claimed_at).unwrap_or(now),
            now,
            error.map(|error| Text(error)),
        ])?;
        Ok(())
    }

    pub(super) fn beat(&mut self, runs: &[(TaskId, i64)]) -> Result<Vec<Held>, Fault> {
        let held = runs.iter().map(|(id, lease)| {
            Ok(match self.known(*id)? {
                Some(task) if task.state == State::Running && task.lease == *lease => {
                    if task.cancel_asked {
                        Held::CancelAsked
                    } else {
                        Held::Yes
                    }
                }
                _ => Held::Stale,
            })
        });
        held.collect()
    }

    /// What a dead predecessor had claimed: nobody runs it any more. `limit` tasks at most; answers how many there were.
    pub(super) fn recover(&mut self, now: i64, limit: usize) -> Result<usize, Fault> {
        let sql = "SELECT id FROM task INDEXED BY task_rare WHERE (state = 2 OR state > 4) AND state = 2 ORDER BY id LIMIT ?";
        let ids = self.ids(sql, [i64::try_from(limit).unwrap_or(i64::MAX)])?;
        let error = br#"{"code":"worker_crashed","message":"the host ended while this task ran","retryable":true,"started":true}"#;
        let lost = Ending::Lost {
            error: bytes::Bytes::from_static(error),
        };
        let unsaid = self.book.word(self.connection, &Arc::from(""))?;
        for id in &ids {
            if let Some(task) = self.known(*id)? {
                let version = task.run_version.unwrap_or(unsaid);
                self.end_run(&task, &lost, None, version, now)?;
            }
        }
        Ok(ids.len())
    }
}
