//! All that another ledger has is taken in, in one transaction: it is there whole, or not at all.

use std::time::Duration;

use rustc_hash::FxHashMap;
use tokio::runtime::Runtime;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::desk::Desk;
use super::fault::{self, Fault, unavailable};
use super::insert::{self, EndedRow, New};
use super::known::state_of;
use super::memory::{Delta, Memory};
use super::reach::Reach;
use super::schema;
use super::values::{len, narrow, number_of};
use super::writes::Writes;
use crate::ledger::error::{StoreError, StoreErrorKind};
use crate::ledger::id::TaskId;
use crate::ledger::record::Attempt;
use crate::ledger::store::Limits;
use crate::ledger::times::wake_at;
use crate::ledger::whole::{RowCounts, WholeFunction, WholeKey, WholeTask};

/// For statements that look at all that was taken in, or commit it. As long as the database's own, below.
const LONG_TIMEOUT: Duration = Duration::from_secs(600);
/// They read whole tables, as the database thinks best.
const LONG_STATEMENTS: &str = "SET LOCAL statement_timeout = '600s'; SET LOCAL enable_seqscan TO DEFAULT; \
                               SET LOCAL enable_hashjoin TO DEFAULT; SET LOCAL enable_mergejoin TO DEFAULT; \
                               SET LOCAL enable_sort TO DEFAULT; SET LOCAL jit TO DEFAULT";
const ANALYZE: &str = "ANALYZE @task, @live, @ended, @attempt, @taken";

/// Nobody else takes tasks in until the transaction ends. In the order in which hosts write to these tables.
const LOCK: &str = "LOCK TABLE @taken, @task IN SHARE ROW EXCLUSIVE MODE";

/// A ledger that is being filled. Dropped before [`Self::commit`], it is as it was.
pub(in crate::ledger) struct Import {
    runtime: Runtime,
    connection: Connection,
    memory: Memory,
    limits: Limits,
    deltas: FxHashMap<i32, Delta>,
}

impl Import {
    /// Opens the ledger of this schema, and makes it where there is none.
    ///
    /// # Errors
    /// The database can't be reached or refuses; the ledger has tasks already.
    pub(in crate::ledger) fn begin(
        url: &str,
        schema: &str,
        limits: Limits,
    ) -> Result<Self, StoreError> {
        let reach = Reach::new(url, schema)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unavailable(format!("a runtime can't be started: {error}")))?;
        let connection = runtime
            .block_on(open(&reach))
            .map_err(Fault::into_store_error)?;
        Ok(Self {
            runtime,
            connection,
            memory: Memory::default(),
            limits,
            deltas: FxHashMap::default(),
        })
    }

    /// Functions that are known already stay paused where they are.
    pub(in crate::ledger) fn functions(
        &mut self,
        functions: &[WholeFunction],
    ) -> Result<(), StoreError> {
        let names: Vec<&str> = functions.iter().map(|function| &*function.name).collect();
        let paused: Vec<bool> = functions.iter().map(|function| function.paused).collect();
        let known_at: Vec<i64> = functions.iter().map(|function| function.known_at).collect();
        let params = [
            (&names as _, Type::TEXT_ARRAY),
            (&paused as _, Type::BOOL_ARRAY),
            (&known_at as _, Type::INT8_ARRAY),
        ];
        let Self {
            runtime,
            connection,
            memory,
            ..
        } = self;
        let written = runtime.block_on(async {
            connection
                .execute(
                    "INSERT INTO @function AS known (name, paused, known_at) \
                     SELECT * FROM unnest($1::text[], $2::bool[], $3::int8[]) ON CONFLICT (name) DO UPDATE \
                     SET paused = known.paused OR excluded.paused, known_at = least(known.known_at, excluded.known_at)",
                    &params,
                )
                .await?;
            memory.read_functions(connection).await
        });
        written.map_err(Fault::into_store_error)
    }

    pub(in crate::ledger) fn tasks(&mut self, tasks: &[WholeTask]) -> Result<(), StoreError> {
        let written = self.try_tasks(tasks);
        let ids = || tasks.iter().map(|whole| whole.task.id).collect::<Vec<_>>();
        written.map_err(|fault| about(fault, &ids()))
    }

    fn try_tasks(&mut self, tasks: &[WholeTask]) -> Result<(), Fault> {
        let mut new: Vec<New<'_>> = Vec::with_capacity(tasks.len());
        let (mut live, mut ended) = (Vec::new(), Vec::new());
        for whole in tasks {
            let function = self.number_of(&whole.task.function)?;
            let delta = self.deltas.entry(function).or_default();
            if let Some(count) = delta.counts.get_mut(whole.state.index()) {
                *count += 1;
            }
            delta.stored_len += len(&whole.task.args) + whole.result.as_deref().map_or(0, len);
            new.push(New {
                task: &whole.task,
                function,
                state: whole.state,
                now: whole.created_at,
            });
            if whole.state.is_finished() {
                ended.push(ended_row(whole));
            } else {
                live.push((whole, function));
            }
        }
        let connection = &self.connection;
        self.runtime.block_on(async {
            let (tasks, live, ended) = tokio::join!(
                insert::tasks(connection, &new),
                insert_live(connection, &live),
                insert::ended(connection, &ended),
            );
            Fault::cause_of([tasks, live, ended])
        })
    }

    pub(in crate::ledger) fn attempts(
        &mut self,
        attempts: Vec<(TaskId, Attempt)>,
    ) -> Result<(), StoreError> {
        let mut writes = Writes::default();
        let ids: Vec<TaskId> = attempts.iter().map(|(task, _)| *task).collect();
        for (task, attempt) in attempts {
            writes.attempt(task, attempt);
        }
        let written = self.runtime.block_on(writes.write(&self.connection));
        written.map_err(|fault| about(fault, &ids)).map(drop)
    }

    /// Of tasks that were taken in before.
    pub(in crate::ledger) fn keys(&mut self, keys: &[WholeKey]) -> Result<(), StoreError> {
        let ids = || keys.iter().map(|key| key.task).collect::<Vec<_>>();
        self.try_keys(keys).map_err(|fault| about(fault, &ids()))
    }

    fn try_keys(&mut self, keys: &[WholeKey]) -> Result<(), Fault> {
        let functions = keys.iter().map(|key| self.number_of(&key.function));
        let functions: Vec<i32> = functions.collect::<Result<_, _>>()?;
        let subjects: Vec<&str> = keys.iter().map(|key| &*key.subject).collect();
        let names: Vec<&str> = keys.iter().map(|key| &*key.key).collect();
        let tasks: Vec<TaskId> = keys.iter().map(|key| key.task).collect();
        self.runtime.block_on(self.connection.execute(
            "INSERT INTO @taken (function, subject, key, task, digest) SELECT new.function, new.subject, new.key, task.id, \
             sha256(convert_to(coalesce(task.args::text, ''), 'UTF8')) \
             FROM unnest($1::int4[], $2::text[], $3::text[], $4::uuid[]) AS new (function, subject, key, task) \
             JOIN @task AS task ON task.id = new.task",
            &[
                (&functions, Type::INT4_ARRAY),
                (&subjects, Type::TEXT_ARRAY),
                (&names, Type::TEXT_ARRAY),
                (&tasks, Type::UUID_ARRAY),
            ],
        ))?;
        Ok(())
    }

    /// Looks whether all that was to come is there, and makes it so for everybody.
    ///
    /// # Errors
    /// Something is missing, or the database can't commit: then nothing is there, unless the connection was lost just then.
    pub(in crate::ledger) fn commit(mut self, expected: &RowCounts) -> Result<(), StoreError> {
        self.runtime
            .block_on(async {
                let mut desk = Desk::new(&self.connection, &mut self.memory, self.limits, false);
                desk.deltas = std::mem::take(&mut self.deltas);
                desk.tally().await?;
                verify(&self.connection, expected).await?;
                self.connection.run_within(LONG_TIMEOUT, "COMMIT").await?;
                // So that the first looks for tasks go by what is there; otherwise the database finds out by itself, later.
                let _ = self.connection.run(ANALYZE).await;
                Ok(())
            })
            .map_err(Fault::into_store_error)
    }

    fn number_of(&self, function: &str) -> Result<i32, Fault> {
        let number = self.memory.number_of(function);
        number.ok_or_else(|| fault::damaged("a function isn't there that was written down"))
    }
}

async fn open(reach: &Reach) -> Result<Connection, Fault> {
    // One transaction: a pooler in between gives it one session. Few of its statements are sent often.
    let connection = Connection::open(reach, Some(true)).await?;
    schema::migrate(&connection, reach).await?;
    connection.begin().await?;
    connection.run(LOCK).await?;
    let rows = connection
        .query("SELECT EXISTS (SELECT FROM @task)", &[])
        .await?;
    let has_tasks = match rows.first() {
        Some(row) => row.try_get(0)?,
        None => false,
    };
    if has_tasks {
        let schema = reach.schema();
        return Err(Fault::Known(StoreError::new(
            StoreErrorKind::InUse,
            format!(
                "the schema `{schema}` has tasks already, and takes in those of another ledger only while it is empty: a \
                 copy that was interrupted leaves none, so one before this was whole, or hosts have begun to use it"
            ),
        )));
    }
    Ok(connection)
}

fn ended_row(whole: &WholeTask) -> EndedRow<'_> {
    EndedRow {
        id: whole.task.id,
        state: whole.state,
        tries: whole.tries,
        attempts: whole.attempts,
        lease: whole.lease,
        available_at: whole.task.available_at,
        claimed_at: whole.claimed_at,
        ended_at: whole.ended_at.unwrap_or(whole.created_at),
        forget_at: whole.forget_at,
        result: whole.result.as_deref(),
    }
}

async fn insert_live(connection: &Connection, live: &[(&WholeTask, i32)]) -> Result<(), Fault> {
    if live.is_empty() {
        return Ok(());
    }
    let rows = || live.iter().map(|(whole, _)| whole);
    let ids: Vec<TaskId> = rows().map(|row| row.task.id).collect();
    let functions: Vec<i32> = live.iter().map(|(_, function)| *function).collect();
    let states: Vec<i16> = rows().map(|row| number_of(row.state)).collect();
    let priorities: Vec<i16> = rows().map(|row| i16::from(row.task.priority)).collect();
    let tries: Vec<i32> = rows().map(|row| narrow(row.tries)).collect();
    let attempts: Vec<i32> = rows().map(|row| narrow(row.attempts)).collect();
    let leases: Vec<i64> = rows().map(|row| row.lease).collect();
    let available_at: Vec<i64> = rows().map(|row| row.task.available_at).collect();
    let wakes = rows().map(|row| wake_at(row.state, row.task.available_at, row.task.deadline_at));
    let wakes: Vec<Option<i64>> = wakes.collect();
    let claimed_at: Vec<Option<i64>> = rows().map(|row| row.claimed_at).collect();
    let versions: Vec<Option<&str>> = rows().map(|row| row.task.version.as_deref()).collect();
    connection
        .execute(
            "INSERT INTO @live (id, function, state, priority, tries, attempts, lease, available_at, wake_at, claimed_at, \
             version) SELECT * FROM unnest($1::uuid[], $2::int4[], $3::int2[], $4::int2[], $5::int4[], $6::int4[], \
             $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::text[])",
            &[
                (&ids, Type::UUID_ARRAY),
                (&functions, Type::INT4_ARRAY),
                (&states, Type::INT2_ARRAY),
                (&priorities, Type::INT2_ARRAY),
                (&tries, Type::INT4_ARRAY),
                (&attempts, Type::INT4_ARRAY),
                (&leases, Type::INT8_ARRAY),
                (&available_at, Type::INT8_ARRAY),
                (&wakes, Type::INT8_ARRAY),
                (&claimed_at, Type::INT8_ARRAY),
                (&versions, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Whether the tables have as many rows as they are to have, and the counts of tasks are those of the tasks.
async fn verify(connection: &Connection, expected: &RowCounts) -> Result<(), Fault> {
    connection.run(LONG_STATEMENTS).await?;
    let by_state = connection
        .query_within(
            LONG_TIMEOUT,
            "SELECT state, count(*) FROM @task JOIN (SELECT id, state FROM @live UNION ALL SELECT id, state FROM @ended) \
             AS held USING (id) GROUP BY state",
            &[],
        )
        .await?;
    let mut found = RowCounts {
        functions: expected.functions,
        ..RowCounts::default()
    };
    for row in by_state {
        let state = state_of(row.try_get(0)?)?;
        if let Some(count) = found.states.get_mut(state.index()) {
            *count = count_of(&row, 1)?;
        }
    }
    let rows = connection
        .query_within(
            LONG_TIMEOUT,
            "SELECT (SELECT count(*) FROM @attempt), (SELECT count(*) FROM @taken), (SELECT count(*) FROM @task), \
             (SELECT coalesce(sum(scheduled + available + running + retryable + completed + discarded + cancelled \
             + unknown), 0)::int8 FROM @tally)",
            &[],
        )
        .await?;
    let Some(row) = rows.first() else {
        return Err(fault::damaged("it counts nothing"));
    };
    (found.attempts, found.keys) = (count_of(row, 0)?, count_of(row, 1)?);
    let tasks = [count_of(row, 2)?, count_of(row, 3)?];
    if found == *expected && tasks == [expected.tasks(); 2] {
        return Ok(());
    }
    Err(Fault::Known(unavailable(format!(
        "not all of the ledger came to the database, so nothing is kept there: {} of {} tasks, {} of {} attempts, {} of {} \
         keys; `host ledger check` looks whether the ledger is whole",
        found.tasks(),
        expected.tasks(),
        found.attempts,
        expected.attempts,
        found.keys,
        expected.keys
    ))))
}

fn count_of(row: &Row, column: usize) -> Result<u64, Fault> {
    let count: i64 = row.try_get(column)?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Where the database can't keep what one of these tasks has, says so.
fn about(fault: Fault, tasks: &[TaskId]) -> StoreError {
    let is_about_one = fault.is_about_one();
    let error = fault.into_store_error();
    match (tasks.first(), tasks.last()) {
        (Some(first), Some(last)) if is_about_one => unavailable(format!(
            "{error}: it is about one of the {} tasks from {first} to {last}",
            tasks.len()
        )),
        _ => error,
    }
}
