//! What hosts write down and read of one another, statement by statement: see `fifth.sql`.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::desk::Desk;
use super::fault::Fault;
use super::known::state_of;
use super::values::{count, number_of};
use crate::ledger::id::TaskId;
use crate::ledger::listening::RunReport;
use crate::ledger::store::Change;

/// Changes that are forgotten in one go.
const FORGET_MAX: usize = 20_000;

/// The moment up to which changes are known, as the database writes it: which transactions were over.
pub(super) type Snapshot = String;

/// Has the others know what is wanted here. Answers a snapshot from before they do, and whether they knew already that each
/// change is.
pub(super) async fn listen(
    connection: &Connection,
    node: &str,
    watches: bool,
    tasks: &[TaskId],
) -> Result<(Snapshot, bool), Fault> {
    let rows = connection
        .query(
            "WITH before AS (SELECT watches FROM @listener WHERE node = $1 AND until > now()), \
             written AS (INSERT INTO @listener (node, until, watches, tasks) \
             VALUES ($1, now() + interval '15 seconds', $2, $3) ON CONFLICT (node) DO UPDATE \
             SET until = excluded.until, watches = excluded.watches, tasks = excluded.tasks) \
             SELECT pg_current_snapshot()::text, coalesce((SELECT watches FROM before), false)",
            &[
                (&node, Type::TEXT),
                (&watches, Type::BOOL),
                (&tasks, Type::UUID_ARRAY),
            ],
        )
        .await?;
    let row = rows.first().ok_or(Fault::Raced)?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// Nothing more is wanted here.
pub(super) async fn listen_no_more(connection: &Connection, node: &str) -> Result<(), Fault> {
    let sql = "DELETE FROM @listener WHERE node = $1";
    connection.execute(sql, &[(&node, Type::TEXT)]).await?;
    Ok(())
}

/// Of the tasks that run on this host, those that somebody on another one wants to know the progress of.
pub(super) async fn followed(connection: &Connection, node: &str) -> Result<Vec<TaskId>, Fault> {
    let sql = "SELECT id FROM @live WHERE node = $1 AND state = 2 AND id = ANY (ARRAY (SELECT unnest(tasks) \
               FROM @listener WHERE until > now() AND node <> $1)) ORDER BY id";
    let look = async |connection: &Connection| connection.query(sql, &[(&node, Type::TEXT)]).await;
    let rows = connection.reading(look).await?;
    let tasks = rows.iter().map(|row| Ok(row.try_get(0)?));
    tasks.collect()
}

/// Writes down how far runs are that this host still has.
pub(super) async fn write_progress(
    connection: &Connection,
    node: &str,
    reports: &[RunReport],
) -> Result<(), Fault> {
    let tasks: Vec<TaskId> = reports.iter().map(|report| report.task).collect();
    let leases: Vec<i64> = reports.iter().map(|report| report.lease).collect();
    let longs = |of: fn(&RunReport) -> u64| {
        let longs = reports.iter().map(|report| of(report).cast_signed());
        longs.collect::<Vec<i64>>()
    };
    let (numbers, done, total) = (
        longs(|report| report.number),
        longs(|report| report.done),
        longs(|report| report.total),
    );
    let messages = reports.iter().map(|report| report.message.as_bytes());
    let messages: Vec<&[u8]> = messages.collect();
    let sql = "INSERT INTO @progress AS progress (task, lease, number, done, total, message) SELECT new.* FROM \
               unnest($1::uuid[], $2::int8[], $3::int8[], $4::int8[], $5::int8[], $6::bytea[]) \
               AS new (task, lease, number, done, total, message) CROSS JOIN LATERAL \
               (SELECT FROM @live WHERE id = new.task AND lease = new.lease AND state = 2 AND node = $7 OFFSET 0) AS live \
               ON CONFLICT (task) DO UPDATE SET lease = excluded.lease, number = excluded.number, done = excluded.done, \
               total = excluded.total, message = excluded.message, at = excluded.at \
               WHERE (progress.lease, progress.number) <= (excluded.lease, excluded.number)";
    let write = async |connection: &Connection| {
        let values = [
            (&tasks as _, Type::UUID_ARRAY),
            (&leases as _, Type::INT8_ARRAY),
            (&numbers as _, Type::INT8_ARRAY),
            (&done as _, Type::INT8_ARRAY),
            (&total as _, Type::INT8_ARRAY),
            (&messages as _, Type::BYTEA_ARRAY),
            (&node as _, Type::TEXT),
        ];
        connection.execute(sql, &values).await
    };
    connection.writing(write).await?;
    Ok(())
}

/// What has become of tasks, as far as it is something.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// They have ended, or aren't there.
    pub(super) ended: Vec<TaskId>,
    pub(super) progress: Vec<RunReport>,
}

/// Looks at these tasks.
pub(super) async fn look(connection: &Connection, tasks: &[TaskId]) -> Result<Found, Fault> {
    let sql = "SELECT asked.id, live.id IS NULL, progress.lease, progress.number, progress.done, progress.total, \
               progress.message FROM unnest($1::uuid[]) AS asked (id) \
               LEFT JOIN LATERAL (SELECT id, lease, state FROM @live WHERE id = asked.id OFFSET 0) AS live ON true \
               LEFT JOIN LATERAL (SELECT * FROM @progress WHERE task = live.id AND lease = live.lease AND live.state = 2 \
               OFFSET 0) AS progress ON true WHERE live.id IS NULL OR progress.task IS NOT NULL";
    let look =
        async |connection: &Connection| connection.query(sql, &[(&tasks, Type::UUID_ARRAY)]).await;
    let rows = connection.reading(look).await?;
    let mut found = Found::default();
    for row in &rows {
        let task: TaskId = row.try_get(0)?;
        if row.try_get(1)? {
            found.ended.push(task);
            continue;
        }
        let long = |at: usize| row.try_get::<_, i64>(at).map(i64::cast_unsigned);
        let message: &[u8] = row.try_get(6)?;
        found.progress.push(RunReport {
            task,
            lease: row.try_get(2)?,
            number: long(3)?,
            done: long(4)?,
            total: long(5)?,
            message: String::from_utf8_lossy(message).into_owned(),
        });
    }
    Ok(found)
}

pub(super) async fn snapshot(connection: &Connection) -> Result<Snapshot, Fault> {
    let sql = "SELECT pg_current_snapshot()::text";
    let rows = connection.query(sql, &[]).await?;
    let row = rows.first().ok_or(Fault::Raced)?;
    Ok(row.try_get(0)?)
}

/// The first `limit` changes, each with its number, that were committed between two snapshots, and whose number is above
/// `after`.
pub(super) async fn changes(
    connection: &Connection,
    (from, to): (&Snapshot, &Snapshot),
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, Change)>, Fault> {
    let rows = connection
        .query(
            "SELECT change.number, change.id, change.state, function.name, change.subject, change.cancel_asked \
             FROM @change AS change JOIN @function AS function ON function.number = change.function \
             WHERE change.txid >= pg_snapshot_xmin($1::text::pg_snapshot) \
             AND NOT pg_visible_in_snapshot(change.txid, $1::text::pg_snapshot) \
             AND pg_visible_in_snapshot(change.txid, $2::text::pg_snapshot) AND change.number > $3 \
             ORDER BY change.number LIMIT $4",
            &[
                (from, Type::TEXT),
                (to, Type::TEXT),
                (&after, Type::INT8),
                (&count(limit), Type::INT8),
            ],
        )
        .await?;
    let read = |row: &Row| {
        let subject: Option<&str> = row.try_get(4)?;
        let change = Change {
            id: row.try_get(1)?,
            state: state_of(row.try_get(2)?)?,
            function: row.try_get::<_, &str>(3)?.into(),
            subject: subject.map(Into::into),
            cancel_asked: row.try_get(5)?,
        };
        Ok((row.try_get(0)?, change))
    };
    rows.iter().map(read).collect()
}

/// Forgets changes that were committed before a snapshot.
pub(super) async fn forget_changes(
    connection: &Connection,
    before: &Snapshot,
) -> Result<(), Fault> {
    connection
        .execute(
            "DELETE FROM @change WHERE ctid = ANY (ARRAY (SELECT ctid FROM @change \
             WHERE txid < pg_snapshot_xmin($1::text::pg_snapshot) LIMIT $2 FOR UPDATE SKIP LOCKED))",
            &[(before, Type::TEXT), (&count(FORGET_MAX), Type::INT8)],
        )
        .await?;
    Ok(())
}

impl Desk<'_> {
    /// Tells hosts on which somebody watches what the transaction has changed. `is_watched`: that there is one, as far as
    /// it has been looked at already.
    pub(super) async fn tell_hosts(&mut self, is_watched: Option<bool>) -> Result<(), Fault> {
        if self.news.changes.is_empty() {
            return Ok(());
        }
        let is_watched = match is_watched {
            Some(is_watched) => is_watched,
            None => {
                let sql = "SELECT EXISTS (SELECT FROM @listener WHERE watches AND until > now())";
                let rows = self.connection.query(sql, &[]).await?;
                rows.first().map_or(Ok(false), |row| row.try_get(0))?
            }
        };
        if !is_watched {
            return Ok(());
        }
        let changes = &self.news.changes;
        let ids: Vec<TaskId> = changes.iter().map(|change| change.id).collect();
        let states: Vec<i16> = changes
            .iter()
            .map(|change| number_of(change.state))
            .collect();
        let numbers = changes
            .iter()
            .map(|change| self.memory.number_of(&change.function));
        let functions: Vec<Option<i32>> = numbers.collect();
        let subjects: Vec<Option<&str>> = changes
            .iter()
            .map(|change| change.subject.as_deref())
            .collect();
        let cancel_asked: Vec<bool> = changes.iter().map(|change| change.cancel_asked).collect();
        self.connection
            .execute(
                "INSERT INTO @change (id, state, function, subject, cancel_asked) SELECT * FROM \
                 unnest($1::uuid[], $2::int2[], $3::int4[], $4::text[], $5::bool[])",
                &[
                    (&ids, Type::UUID_ARRAY),
                    (&states, Type::INT2_ARRAY),
                    (&functions, Type::INT4_ARRAY),
                    (&subjects, Type::TEXT_ARRAY),
                    (&cancel_asked, Type::BOOL_ARRAY),
                ],
            )
            .await?;
        Ok(())
    }

    /// Forgets what hosts have left behind that listened. Answers whether there is more.
    pub(super) async fn forget_heard(&mut self) -> Result<bool, Fault> {
        for sql in [
            "DELETE FROM @listener WHERE node IN (SELECT node FROM @listener \
             WHERE until < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)",
            "DELETE FROM @progress WHERE task IN (SELECT task FROM @progress \
             WHERE at < now() - interval '1 minute' FOR UPDATE SKIP LOCKED)",
        ] {
            self.connection.execute(sql, &[]).await?;
        }
        let forgotten = self
            .connection
            .execute(
                "DELETE FROM @change WHERE ctid = ANY (ARRAY (SELECT ctid FROM @change \
                 WHERE at < now() - interval '2 minutes' LIMIT $1 FOR UPDATE SKIP LOCKED))",
                &[(&count(FORGET_MAX), Type::INT8)],
            )
            .await?;
        Ok(usize::try_from(forgotten).unwrap_or(usize::MAX) >= FORGET_MAX)
    }
}
