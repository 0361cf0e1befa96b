//! Rows of new tasks, and of tasks that have finished.

use tokio_postgres::types::Type;

use super::connection::Connection;
use super::fault::Fault;
use super::known::retry_on_number;
use super::values::{Json, len, narrow, number_of};
use crate::ledger::id::TaskId;
use crate::ledger::record::NewTask;
use crate::ledger::states::State;
use crate::ledger::times::wake_at;

/// A task that is taken in.
pub(super) struct New<'t> {
    pub(super) task: &'t NewTask,
    pub(super) function: i32,
    pub(super) state: State,
    pub(super) now: i64,
}

/// A key that a new task takes.
pub(super) struct Taken<'t> {
    pub(super) function: i32,
    pub(super) subject: &'t str,
    pub(super) key: &'t str,
    pub(super) task: TaskId,
    pub(super) digest: Vec<u8>,
    /// Who had it until now, and has ended.
    pub(super) previous: Option<TaskId>,
}

/// Answers how many keys were taken: fewer, where others were faster.
pub(super) async fn taken(connection: &Connection, taken: &[Taken<'_>]) -> Result<u64, Fault> {
    if taken.is_empty() {
        return Ok(0);
    }
    let functions: Vec<i32> = taken.iter().map(|taken| taken.function).collect();
    let subjects: Vec<&str> = taken.iter().map(|taken| taken.subject).collect();
    let keys: Vec<&str> = taken.iter().map(|taken| taken.key).collect();
    let tasks: Vec<TaskId> = taken.iter().map(|taken| taken.task).collect();
    let digests: Vec<&[u8]> = taken.iter().map(|taken| &*taken.digest).collect();
    let free = TaskId::from_bytes([0; 16]);
    let previous: Vec<TaskId> = taken
        .iter()
        .map(|taken| taken.previous.unwrap_or(free))
        .collect();
    connection
        .execute(
            "INSERT INTO @taken AS taken (function, subject, key, task, digest) \
             SELECT function, subject, key, task, digest \
             FROM unnest($1::int4[], $2::text[], $3::text[], $4::uuid[], $5::bytea[]) \
             AS new (function, subject, key, task, digest) \
             ON CONFLICT (function, subject, key) DO UPDATE SET task = excluded.task, digest = excluded.digest \
             WHERE taken.task = ANY($6)",
            &[
                (&functions, Type::INT4_ARRAY),
                (&subjects, Type::TEXT_ARRAY),
                (&keys, Type::TEXT_ARRAY),
                (&tasks, Type::UUID_ARRAY),
                (&digests, Type::BYTEA_ARRAY),
                (&previous, Type::UUID_ARRAY),
            ],
        )
        .await
}

pub(super) async fn tasks(connection: &Connection, new: &[New<'_>]) -> Result<(), Fault> {
    let (numbers, texts) = (Numbers::of(new), Texts::of(new));
    connection
        .execute(
            "INSERT INTO @task (id, function, priority, retry_on, retry_max, retry_base_ms, retry_cap_ms, created_at, \
             deadline_at, timeout_ms, result_ttl_ms, unique_until, parent, at_most_once, args_len, version, limit_key, key, \
             subject, batch, traceparent, client, args) SELECT * FROM unnest($1::uuid[], $2::int4[], $3::int2[], $4::int2[], \
             $5::int8[], $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::int8[], $12::int8[], $13::uuid[], \
             $14::bool[], $15::int8[], $16::text[], $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], \
             $22::text[], $23::json[])",
            &[
                (&numbers.ids, Type::UUID_ARRAY),
                (&numbers.functions, Type::INT4_ARRAY),
                (&numbers.priorities, Type::INT2_ARRAY),
                (&numbers.retry_on, Type::INT2_ARRAY),
                (&numbers.retry_max, Type::INT8_ARRAY),
                (&numbers.retry_base_ms, Type::INT8_ARRAY),
                (&numbers.retry_cap_ms, Type::INT8_ARRAY),
                (&numbers.created_at, Type::INT8_ARRAY),
                (&numbers.deadline_at, Type::INT8_ARRAY),
                (&numbers.timeout_ms, Type::INT8_ARRAY),
                (&numbers.result_ttl_ms, Type::INT8_ARRAY),
                (&numbers.unique_until, Type::INT8_ARRAY),
                (&numbers.parents, Type::UUID_ARRAY),
                (&numbers.at_most_once, Type::BOOL_ARRAY),
                (&numbers.args_len, Type::INT8_ARRAY),
                (&texts.versions, Type::TEXT_ARRAY),
                (&texts.limit_keys, Type::TEXT_ARRAY),
                (&texts.keys, Type::TEXT_ARRAY),
                (&texts.subjects, Type::TEXT_ARRAY),
                (&texts.batches, Type::TEXT_ARRAY),
                (&texts.traceparents, Type::TEXT_ARRAY),
                (&texts.clients, Type::TEXT_ARRAY),
                (&texts.args, Type::JSON_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// Columns of `task`.
struct Numbers {
    ids: Vec<TaskId>,
    functions: Vec<i32>,
    priorities: Vec<i16>,
    retry_on: Vec<i16>,
    retry_max: Vec<i64>,
    retry_base_ms: Vec<i64>,
    retry_cap_ms: Vec<i64>,
    created_at: Vec<i64>,
    deadline_at: Vec<Option<i64>>,
    timeout_ms: Vec<Option<i64>>,
    result_ttl_ms: Vec<i64>,
    unique_until: Vec<Option<i64>>,
    parents: Vec<Option<TaskId>>,
    at_most_once: Vec<bool>,
    args_len: Vec<i64>,
}

impl Numbers {
    fn of(new: &[New<'_>]) -> Self {
        let tasks = || new.iter().map(|new| new.task);
        Self {
            ids: tasks().map(|task| task.id).collect(),
            functions: new.iter().map(|new| new.function).collect(),
            priorities: tasks().map(|task| i16::from(task.priority)).collect(),
            retry_on: tasks().map(|task| retry_on_number(task.retry.on)).collect(),
            retry_max: tasks().map(|task| i64::from(task.retry.max)).collect(),
            retry_base_ms: tasks().map(|task| task.retry.base_ms).collect(),
            retry_cap_ms: tasks().map(|task| task.retry.cap_ms).collect(),
            created_at: new.iter().map(|new| new.now).collect(),
            deadline_at: tasks().map(|task| task.deadline_at).collect(),
            timeout_ms: tasks().map(|task| task.timeout_ms).collect(),
            result_ttl_ms: tasks().map(|task| task.result_ttl_ms).collect(),
            unique_until: tasks().map(|task| task.unique_until).collect(),
            parents: tasks().map(|task| task.parent).collect(),
            at_most_once: tasks().map(|task| task.at_most_once).collect(),
            args_len: tasks().map(|task| len(&task.args)).collect(),
        }
    }
}

/// More columns of `task`.
struct Texts<'t> {
    versions: Vec<Option<&'t str>>,
    limit_keys: Vec<Option<&'t str>>,
    keys: Vec<Option<&'t str>>,
    subjects: Vec<Option<&'t str>>,
    batches: Vec<Option<&'t str>>,
    traceparents: Vec<Option<&'t str>>,
    clients: Vec<Option<&'t str>>,
    args: Vec<Json<'t>>,
}

impl<'t> Texts<'t> {
    fn of(new: &[New<'t>]) -> Self {
        let tasks = || new.iter().map(|new| new.task);
        Self {
            versions: tasks().map(|task| task.version.as_deref()).collect(),
            limit_keys: tasks().map(|task| task.limit_key.as_deref()).collect(),
            keys: tasks().map(|task| task.key.as_deref()).collect(),
            subjects: tasks().map(|task| task.subject.as_deref()).collect(),
            batches: tasks().map(|task| task.batch.as_deref()).collect(),
            traceparents: tasks().map(|task| task.traceparent.as_deref()).collect(),
            clients: tasks().map(|task| task.client.as_deref()).collect(),
            args: tasks().map(|task| Json(&task.args)).collect(),
        }
    }
}

pub(super) async fn live(connection: &Connection, new: &[New<'_>]) -> Result<(), Fault> {
    let ids: Vec<TaskId> = new.iter().map(|new| new.task.id).collect();
    let functions: Vec<i32> = new.iter().map(|new| new.function).collect();
    let states: Vec<i16> = new.iter().map(|new| number_of(new.state)).collect();
    let priorities: Vec<i16> = new.iter().map(|new| i16::from(new.task.priority)).collect();
    let available_at: Vec<i64> = new
        .iter()
        .map(|new| new.task.available_at.max(new.now))
        .collect();
    let wakes = new.iter().zip(&available_at);
    let wakes = wakes.map(|(new, at)| wake_at(new.state, *at, new.task.deadline_at));
    let wakes: Vec<Option<i64>> = wakes.collect();
    let versions: Vec<Option<&str>> = new.iter().map(|new| new.task.version.as_deref()).collect();
    connection
        .execute(
            "INSERT INTO @live (id, function, state, priority, available_at, wake_at, version) SELECT * FROM \
             unnest($1::uuid[], $2::int4[], $3::int2[], $4::int2[], $5::int8[], $6::int8[], $7::text[])",
            &[
                (&ids, Type::UUID_ARRAY),
                (&functions, Type::INT4_ARRAY),
                (&states, Type::INT2_ARRAY),
                (&priorities, Type::INT2_ARRAY),
                (&available_at, Type::INT8_ARRAY),
                (&wakes, Type::INT8_ARRAY),
                (&versions, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(())
}

/// A task that has finished.
#[derive(Debug)]
pub(super) struct EndedRow<'t> {
    pub(super) id: TaskId,
    pub(super) state: State,
    pub(super) tries: u32,
    pub(super) attempts: u32,
    pub(super) lease: i64,
    pub(super) available_at: i64,
    pub(super) claimed_at: Option<i64>,
    pub(super) ended_at: i64,
    pub(super) forget_at: Option<i64>,
    pub(super) result: Option<&'t [u8]>,
}

pub(super) async fn ended(connection: &Connection, rows: &[EndedRow<'_>]) -> Result<(), Fault> {
    if rows.is_empty() {
        return Ok(());
    }
    let rows = || rows.iter();
    let ids: Vec<TaskId> = rows().map(|row| row.id).collect();
    let states: Vec<i16> = rows().map(|row| number_of(row.state)).collect();
    let tries: Vec<i32> = rows().map(|row| narrow(row.tries)).collect();
    let attempts: Vec<i32> = rows().map(|row| narrow(row.attempts)).collect();
    let leases: Vec<i64> = rows().map(|row| row.lease).collect();
    let available_at: Vec<i64> = rows().map(|row| row.available_at).collect();
    let claimed_at: Vec<Option<i64>> = rows().map(|row| row.claimed_at).collect();
    let ended_at: Vec<i64> = rows().map(|row| row.ended_at).collect();
    let forget_at: Vec<Option<i64>> = rows().map(|row| row.forget_at).collect();
    let lens: Vec<i64> = rows().map(|row| row.result.map_or(0, len)).collect();
    let results: Vec<Option<Json<'_>>> = rows().map(|row| row.result.map(Json)).collect();
    connection
        .execute(
            "INSERT INTO @ended (id, state, tries, attempts, lease, available_at, claimed_at, ended_at, forget_at, \
             result_len, result) SELECT * FROM unnest($1::uuid[], $2::int2[], $3::int4[], $4::int4[], $5::int8[], \
             $6::int8[], $7::int8[], $8::int8[], $9::int8[], $10::int8[], $11::json[])",
            &[
                (&ids, Type::UUID_ARRAY),
                (&states, Type::INT2_ARRAY),
                (&tries, Type::INT4_ARRAY),
                (&attempts, Type::INT4_ARRAY),
                (&leases, Type::INT8_ARRAY),
                (&available_at, Type::INT8_ARRAY),
                (&claimed_at, Type::INT8_ARRAY),
                (&ended_at, Type::INT8_ARRAY),
                (&forget_at, Type::INT8_ARRAY),
                (&lens, Type::INT8_ARRAY),
                (&results, Type::JSON_ARRAY),
            ],
        )
        .await?;
    Ok(())
}
