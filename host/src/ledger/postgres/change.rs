//! Changes that no run brings: a time has come, or a person wants it.

use rustc_hash::FxHashMap;
use tokio_postgres::types::Type;

use super::desk::Desk;
use super::fault::{self, Fault};
use super::find;
use super::known::Known;
use super::values::{narrow, number_of};
use super::writes::Writes;
use crate::ledger::id::TaskId;
use crate::ledger::record::Selection;
use crate::ledger::states::{Event, State};
use crate::ledger::times::wake_at;
use crate::ledger::work::Progress;

/// So many tasks are changed in one transaction.
const SLICE: usize = 1_000;

impl Desk<'_> {
    /// Goes on for a slice.
    pub(super) async fn change_selected(
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
                let cursor = &mut progress.cursor;
                let found =
                    find::ids(self.connection, filter, cursor, SLICE, find::LOOK_MAX).await?;
                progress.is_done = progress.cursor.is_at_end;
                found
            }
        };
        let known = self.known_all(&ids).await?;
        if known.is_empty() && matches!(selection, Selection::Task(_)) {
            return Err(Fault::Refused(fault::unknown_task()));
        }
        let changes: Vec<(Known, Event)> = known.into_iter().map(|task| (task, event)).collect();
        let changed = self.change(&changes, now).await?;
        progress.changed += changed
            .iter()
            .map(|is_changed| u64::from(*is_changed))
            .sum::<u64>();
        Ok(progress)
    }

    /// The tasks of these that there are, locked, in this order.
    async fn known_all(&mut self, ids: &[TaskId]) -> Result<Vec<Known>, Fault> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut known: FxHashMap<TaskId, Known> = FxHashMap::default();
        // What ends between the two looks is found by the second, what is retried by the third, which is seldom needed.
        for is_ended in [false, true, false] {
            let missing = ids.iter().copied().filter(|id| !known.contains_key(id));
            let missing: Vec<TaskId> = missing.collect();
            if missing.is_empty() {
                break;
            }
            let found = if is_ended {
                self.known_ended(&missing).await?
            } else {
                self.known_live(&missing).await?
            };
            known.extend(found.into_iter().map(|task| (task.id, task)));
        }
        Ok(ids.iter().filter_map(|id| known.remove(id)).collect())
    }

    /// What happens to these tasks, which are locked; answers of each whether it may happen.
    pub(super) async fn change(
        &mut self,
        changes: &[(Known, Event)],
        now: i64,
    ) -> Result<Vec<bool>, Fault> {
        let mut writes = Writes::default();
        let mut answers = Vec::with_capacity(changes.len());
        for (task, event) in changes {
            let Some(to) = task.state.after(*event) else {
                answers.push(false);
                continue;
            };
            if to == State::Running {
                writes.ask_to_cancel(task.id);
                self.tell(task.id, task.function, to, task.subject.as_deref(), true);
                answers.push(true);
                continue;
            }
            if task.state.is_finished() {
                answers.push(self.change_ended(task, to, now).await?);
                continue;
            }
            let mut after = task.clone();
            // When it became available, where it does now.
            if to == State::Available {
                after.available_at = now;
            }
            if *event == Event::Retry {
                after.tries = 0;
            }
            if to.is_finished() {
                writes.end(&after, to, now, task.forget_at(to, self.limits, now), None);
            } else {
                writes.go_on(&after, to);
            }
            self.moved(task, to);
            answers.push(true);
        }
        self.has_written |= writes.write(self.connection).await?;
        Ok(answers)
    }

    /// A person decides otherwise about a task that has finished: rare, so it is written one by one.
    async fn change_ended(&mut self, task: &Known, to: State, now: i64) -> Result<bool, Fault> {
        if to.is_finished() {
            let forget_at = task.forget_at(to, self.limits, now);
            self.connection
                .execute(
                    "UPDATE @ended SET state = $2, ended_at = $3, forget_at = $4 WHERE id = $1",
                    &[
                        (&task.id, Type::UUID),
                        (&number_of(to), Type::INT2),
                        (&now, Type::INT8),
                        (&forget_at, Type::INT8),
                    ],
                )
                .await?;
            if task.gives_key_up(now) {
                let mut writes = Writes::default();
                writes.release_key(task);
                writes.write(self.connection).await?;
            }
        } else {
            if !self.takes_key_again(task).await? {
                return Ok(false);
            }
            self.begin_anew(task, to, now).await?;
        }
        self.has_written = true;
        self.moved(task, to);
        Ok(true)
    }

    /// It gets its attempts anew, and loses its deadline.
    async fn begin_anew(&mut self, task: &Known, to: State, now: i64) -> Result<(), Fault> {
        let id = (&task.id as _, Type::UUID);
        self.connection
            .execute(
                "WITH gone AS (DELETE FROM @ended WHERE id = $1), \
                 freed AS (UPDATE @task SET deadline_at = NULL WHERE id = $1 AND deadline_at IS NOT NULL) \
                 INSERT INTO @live (id, function, state, priority, attempts, lease, available_at, wake_at, claimed_at, version) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                &[
                    id,
                    (&task.function, Type::INT4),
                    (&number_of(to), Type::INT2),
                    (&task.priority, Type::INT2),
                    (&narrow(task.attempts), Type::INT4),
                    (&task.lease, Type::INT8),
                    (&now, Type::INT8),
                    (&wake_at(to, now, None), Type::INT8),
                    (&task.claimed_at, Type::INT8),
                    (&task.version, Type::TEXT),
                ],
            )
            .await?;
        Ok(())
    }

    /// For a task that has ended and is to run once more: whether no other task has its key now.
    async fn takes_key_again(&mut self, task: &Known) -> Result<bool, Fault> {
        if task.key.is_none() {
            return Ok(true);
        }
        let taken = self
            .connection
            .execute(
                "INSERT INTO @taken AS taken (function, subject, key, task, digest) \
                 SELECT function, coalesce(subject, ''), key, id, sha256(convert_to(coalesce(args::text, ''), 'UTF8')) \
                 FROM @task WHERE id = $1 \
                 ON CONFLICT (function, subject, key) DO UPDATE SET task = excluded.task WHERE taken.task = excluded.task",
                &[(&task.id, Type::UUID)],
            )
            .await?;
        Ok(taken == 1)
    }

    pub(super) async fn pause(&mut self, function: &str, paused: bool) -> Result<(), Fault> {
        let Some(number) = self.memory.number_of(function) else {
            return Err(fault::damaged(
                "a function isn't there that was written down",
            ));
        };
        self.connection
            .execute(
                "UPDATE @function SET paused = $2 WHERE number = $1",
                &[(&number, Type::INT4), (&paused, Type::BOOL)],
            )
            .await?;
        self.has_written = true;
        if !paused {
            self.news.available.insert(number);
        }
        Ok(())
    }
}
