//! Changes of tasks that are written together.

use bytes::Bytes;
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::fault::Fault;
use super::insert::{self, EndedRow};
use super::known::Known;
use super::values::{Json, narrow, number_of};
use crate::ledger::id::TaskId;
use crate::ledger::record::Attempt;
use crate::ledger::states::State;
use crate::ledger::times::wake_at;

/// What is to be written. No task stands in it twice: all of it is written at once, in no order.
#[derive(Debug, Default)]
pub(super) struct Writes {
    /// Tasks that have finished.
    ended: Vec<Ended>,
    /// Tasks that go on otherwise than before.
    live: Vec<Live>,
    attempts: Vec<(TaskId, Attempt)>,
    /// Keys that others may have now, and who had them.
    released: Vec<(i32, String, String, TaskId)>,
    cancel_asked: Vec<TaskId>,
}

#[derive(Debug)]
struct Ended {
    task: Known,
    state: State,
    ended_at: i64,
    forget_at: Option<i64>,
    result: Option<Bytes>,
}

#[derive(Debug)]
struct Live {
    id: TaskId,
    state: State,
    tries: u32,
    attempts: u32,
    available_at: i64,
    wake_at: Option<i64>,
}

impl Writes {
    /// The task, as it was with its last run, has ended.
    pub(super) fn end(
        &mut self,
        task: &Known,
        state: State,
        ended_at: i64,
        forget_at: Option<i64>,
        result: Option<Bytes>,
    ) {
        if task.gives_key_up(ended_at) {
            self.release_key(task);
        }
        self.ended.push(Ended {
            task: task.clone(),
            state,
            ended_at,
            forget_at,
            result,
        });
    }

    /// The task waits, or may be claimed.
    pub(super) fn go_on(&mut self, task: &Known, state: State) {
        self.live.push(Live {
            id: task.id,
            state,
            tries: task.tries,
            attempts: task.attempts,
            available_at: task.available_at,
            wake_at: wake_at(state, task.available_at, task.deadline_at),
        });
    }

    pub(super) fn attempt(&mut self, task: TaskId, attempt: Attempt) {
        self.attempts.push((task, attempt));
    }

    pub(super) fn ask_to_cancel(&mut self, task: TaskId) {
        self.cancel_asked.push(task);
    }

    pub(super) fn release_key(&mut self, task: &Known) {
        if let Some(key) = &task.key {
            let subject = task.subject.clone().unwrap_or_default();
            self.released
                .push((task.function, subject, key.clone(), task.id));
        }
    }

    /// Sends all of it together, and waits for all of it. Answers whether there was anything.
    pub(super) async fn write(&self, connection: &Connection) -> Result<bool, Fault> {
        let (ended, gone, live, attempts, released, cancel_asked) = tokio::join!(
            self.write_ended(connection),
            self.delete_live(connection),
            self.write_live(connection),
            self.write_attempts(connection),
            self.write_released(connection),
            self.write_cancel_asked(connection),
        );
        Fault::cause_of([ended, gone, live, attempts, released, cancel_asked])?;
        Ok(!self.ended.is_empty() || !self.live.is_empty() || !self.cancel_asked.is_empty())
    }

    async fn write_ended(&self, connection: &Connection) -> Result<(), Fault> {
        let rows = self.ended.iter().map(|end| EndedRow {
            id: end.task.id,
            state: end.state,
            tries: end.task.tries,
            attempts: end.task.attempts,
            lease: end.task.lease,
            available_at: end.task.available_at,
            claimed_at: end.task.claimed_at,
            ended_at: end.ended_at,
            forget_at: end.forget_at,
            result: end.result.as_deref(),
        });
        insert::ended(connection, &rows.collect::<Vec<_>>()).await
    }

    async fn delete_live(&self, connection: &Connection) -> Result<(), Fault> {
        let ids: Vec<TaskId> = self.ended.iter().map(|end| end.task.id).collect();
        if !ids.is_empty() {
            let sql = "DELETE FROM @live WHERE id = ANY($1)";
            connection.execute(sql, &[(&ids, Type::UUID_ARRAY)]).await?;
        }
        Ok(())
    }

    async fn write_live(&self, connection: &Connection) -> Result<(), Fault> {
        if self.live.is_empty() {
            return Ok(());
        }
        let live = || self.live.iter();
        let ids: Vec<TaskId> = live().map(|live| live.id).collect();
        let states: Vec<i16> = live().map(|live| number_of(live.state)).collect();
        let tries: Vec<i32> = live().map(|live| narrow(live.tries)).collect();
        let attempts: Vec<i32> = live().map(|live| narrow(live.attempts)).collect();
        let available_at: Vec<i64> = live().map(|live| live.available_at).collect();
        let wake_at: Vec<Option<i64>> = live().map(|live| live.wake_at).collect();
        connection
            .execute(
                "UPDATE @live AS live SET state = new.state, tries = new.tries, attempts = new.attempts, \
                 cancel_asked = false, node = NULL, run_version = NULL, available_at = new.available_at, \
                 wake_at = new.wake_at FROM unnest($1::uuid[], $2::int2[], $3::int4[], $4::int4[], $5::int8[], $6::int8[]) \
                 AS new (id, state, tries, attempts, available_at, wake_at) WHERE live.id = new.id",
                &[
                    (&ids, Type::UUID_ARRAY),
                    (&states, Type::INT2_ARRAY),
                    (&tries, Type::INT4_ARRAY),
                    (&attempts, Type::INT4_ARRAY),
                    (&available_at, Type::INT8_ARRAY),
                    (&wake_at, Type::INT8_ARRAY),
                ],
            )
            .await?;
        Ok(())
    }

    async fn write_attempts(&self, connection: &Connection) -> Result<(), Fault> {
        if self.attempts.is_empty() {
            return Ok(());
        }
        let rows = || self.attempts.iter();
        let ids: Vec<TaskId> = rows().map(|(id, _)| *id).collect();
        let numbers: Vec<i32> = rows().map(|(_, attempt)| narrow(attempt.number)).collect();
        let started_at: Vec<i64> = rows().map(|(_, attempt)| attempt.started_at).collect();
        let ended_at: Vec<i64> = rows().map(|(_, attempt)| attempt.ended_at).collect();
        let nodes: Vec<&str> = rows().map(|(_, attempt)| attempt.node.as_str()).collect();
        let versions: Vec<&str> = rows()
            .map(|(_, attempt)| attempt.version.as_str())
            .collect();
        let errors: Vec<Option<Json<'_>>> = rows()
            .map(|(_, attempt)| attempt.error.as_deref().map(Json))
            .collect();
        connection
            .execute(
                "INSERT INTO @attempt (task, number, started_at, ended_at, node, version, error) SELECT * FROM \
                 unnest($1::uuid[], $2::int4[], $3::int8[], $4::int8[], $5::text[], $6::text[], $7::json[])",
                &[
                    (&ids, Type::UUID_ARRAY),
                    (&numbers, Type::INT4_ARRAY),
                    (&started_at, Type::INT8_ARRAY),
                    (&ended_at, Type::INT8_ARRAY),
                    (&nodes, Type::TEXT_ARRAY),
                    (&versions, Type::TEXT_ARRAY),
                    (&errors, Type::JSON_ARRAY),
                ],
            )
            .await?;
        Ok(())
    }

    async fn write_released(&self, connection: &Connection) -> Result<(), Fault> {
        release_keys(connection, &self.released).await
    }

    async fn write_cancel_asked(&self, connection: &Connection) -> Result<(), Fault> {
        if !self.cancel_asked.is_empty() {
            let sql = "UPDATE @live SET cancel_asked = true WHERE id = ANY($1)";
            let ids = (&self.cancel_asked as _, Type::UUID_ARRAY);
            connection.execute(sql, &[ids]).await?;
        }
        Ok(())
    }
}

/// Others may have these keys, where these tasks still have them.
pub(super) async fn release_keys(
    connection: &Connection,
    released: &[(i32, String, String, TaskId)],
) -> Result<(), Fault> {
    if released.is_empty() {
        return Ok(());
    }
    // In the order in which they are taken, so that seldom two transactions wait for one another.
    let mut released: Vec<&(i32, String, String, TaskId)> = released.iter().collect();
    released.sort_unstable();
    let functions: Vec<i32> = released.iter().map(|key| key.0).collect();
    let subjects: Vec<&str> = released.iter().map(|key| key.1.as_str()).collect();
    let keys: Vec<&str> = released.iter().map(|key| key.2.as_str()).collect();
    let tasks: Vec<TaskId> = released.iter().map(|key| key.3).collect();
    connection
        .execute(
            "DELETE FROM @taken AS taken USING unnest($1::int4[], $2::text[], $3::text[], $4::uuid[]) \
             AS old (function, subject, key, task) WHERE taken.function = old.function AND taken.subject = old.subject \
             AND taken.key = old.key AND taken.task = old.task",
            &[
                (&functions, Type::INT4_ARRAY),
                (&subjects, Type::TEXT_ARRAY),
                (&keys, Type::TEXT_ARRAY),
                (&tasks, Type::UUID_ARRAY),
            ],
        )
        .await?;
    Ok(())
}
