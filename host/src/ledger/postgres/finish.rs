//! Runs end, and the tasks go on.

use rustc_hash::FxHashMap;
use tokio_postgres::types::Type;

use super::desk::Desk;
use super::fault::Fault;
use super::known::Known;
use super::values::len;
use super::writes::Writes;
use crate::ledger::id::TaskId;
use crate::ledger::record::{Attempt, Ending, Finish, Finished};
use crate::ledger::states::{Event, State};
use crate::ledger::store::Held;

impl Desk<'_> {
    /// Writes these ends down, each with the time at which it was reported.
    pub(super) async fn finish(&mut self, ends: &[(&Finish, i64)]) -> Result<Vec<Finished>, Fault> {
        let ids: Vec<TaskId> = ends.iter().map(|(end, _)| end.id).collect();
        let known = self.known_live(&ids).await?;
        let mut running: FxHashMap<TaskId, Known> = known
            .into_iter()
            .filter(|task| task.state == State::Running)
            .map(|task| (task.id, task))
            .collect();
        let mut writes = Writes::default();
        let mut answers = Vec::with_capacity(ends.len());
        for (end, now) in ends {
            let is_its = running
                .get(&end.id)
                .is_some_and(|task| task.lease == end.lease);
            let task = if is_its {
                running.remove(&end.id)
            } else {
                None
            };
            answers.push(match task {
                Some(task) => {
                    let run = EndOf {
                        ending: &end.ending,
                        started_at: end.started_at,
                        version: &end.version,
                        now: *now,
                    };
                    self.end_run(&task, &run, &mut writes)
                }
                None => Finished::Stale,
            });
        }
        self.has_written |= writes.write(self.connection).await?;
        Ok(answers)
    }

    /// Gathers what follows from the end of a run.
    pub(super) fn end_run(
        &mut self,
        task: &Known,
        end: &EndOf<'_>,
        writes: &mut Writes,
    ) -> Finished {
        let next = task.run().end(end.ending, end.now);
        let Some(to) = task.state.after(next.event) else {
            return Finished::Stale;
        };
        let mut after = task.clone();
        if next.counts {
            after.tries = task.tries.saturating_add(1);
            after.attempts = task.attempts.saturating_add(1);
            writes.attempt(task.id, attempt(&after, end));
        }
        if next.event == Event::TryAgain {
            after.available_at = next.available_at;
        }
        if to.is_finished() {
            let result = match end.ending {
                Ending::Completed { result } if to == State::Completed => Some(result.clone()),
                _ => None,
            };
            if let Some(result) = &result {
                self.holds(task.function, len(result));
            }
            let forget_at = task.forget_at(to, self.limits, end.now);
            writes.end(&after, to, end.now, forget_at, result);
        } else {
            writes.go_on(&after, to);
        }
        self.moved(task, to);
        Finished::Now {
            state: to,
            available_at: (to == State::Retryable).then_some(after.available_at),
        }
    }

    pub(super) async fn beat(&mut self, runs: &[(TaskId, i64)]) -> Result<Vec<Held>, Fault> {
        let ids: Vec<TaskId> = runs.iter().map(|(id, _)| *id).collect();
        let rows = self
            .connection
            .query(
                "SELECT id, lease, cancel_asked, state = 2 FROM @live WHERE id = ANY($1)",
                &[(&ids, Type::UUID_ARRAY)],
            )
            .await?;
        let mut held: FxHashMap<TaskId, (i64, bool)> = FxHashMap::default();
        for row in &rows {
            if row.try_get(3)? {
                held.insert(row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?));
            }
        }
        let answers = runs.iter().map(|(id, lease)| match held.get(id) {
            Some((held, cancel_asked)) if held == lease => {
                if *cancel_asked {
                    Held::CancelAsked
                } else {
                    Held::Yes
                }
            }
            _ => Held::Stale,
        });
        Ok(answers.collect())
    }
}

/// How a run ended.
pub(super) struct EndOf<'a> {
    pub(super) ending: &'a Ending,
    pub(super) started_at: Option<i64>,
    pub(super) version: &'a str,
    pub(super) now: i64,
}

fn attempt(task: &Known, end: &EndOf<'_>) -> Attempt {
    let error = match end.ending {
        Ending::Failed { error, .. } | Ending::Cancelled { error } | Ending::Lost { error } => {
            Some(error.clone())
        }
        Ending::Completed { .. } | Ending::Released => None,
    };
    Attempt {
        number: task.attempts,
        node: task.node.clone().unwrap_or_default(),
        version: end.version.to_owned(),
        started_at: end.started_at.or(task.claimed_at).unwrap_or(end.now),
        ended_at: end.now,
        error,
    }
}
