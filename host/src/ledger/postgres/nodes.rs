//! Hosts that share the ledger: each says now and then that it lives, looks whether others have given it something to do, and
//! ends what ran on those that have died.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::condition::LOOK_EVERY;
use super::connection::Connection;
use super::desk::Desk;
use super::fault::Fault;
use super::finish::EndOf;
use super::heard;
use super::link::Link;
use super::shared::Shared;
use super::values::{Kept, count};
use super::writes::Writes;
use crate::ledger::condition::Alarms;
use crate::ledger::id::TaskId;
use crate::ledger::record::Ending;
use crate::ledger::states::State;
use crate::ledger::store::Node;
use crate::ledger::work::{Look, Owed};

/// How often a host says that it lives.
const BEAT: Duration = Duration::from_secs(5);
/// How often it is looked whether tasks of others wait.
const POLL: Duration = Duration::from_millis(100);
/// How often it is looked whether others want to know how far is what runs here.
const FOLLOW: Duration = Duration::from_secs(1);
/// Runs of dead hosts that are ended in one transaction.
const LOST_MAX: usize = 1_000;
/// How often a sweep looks for dead hosts.
const DEAD_LOOK: Duration = Duration::from_secs(1);

/// Beats and looks until the store is closed; then it takes the host off the list.
pub(super) async fn run(shared: &Shared, mut link: Link) {
    let own = &shared.own;
    let mut beat_next = Instant::now() + BEAT;
    let mut condition_next = Instant::now();
    let mut follow_next = Instant::now();
    let mut pause = POLL;
    while !own.is_over() {
        if Instant::now() >= condition_next {
            condition_next = Instant::now() + LOOK_EVERY;
            ask_for_condition(shared);
        }
        let is_news = tokio::select! {
            () = own.news.notified() => true,
            () = tokio::time::sleep(pause) => false,
        };
        let begun = Instant::now();
        let connection = match link.get().await {
            Ok(connection) => connection,
            Err(_) => continue,
        };
        if own.is_over() {
            // Where it can't be written, the others find out.
            let _ = leave(connection, &own.id).await;
            return;
        }
        let worked = if is_news || Instant::now() >= beat_next {
            beat_next = Instant::now() + BEAT;
            own.beat(connection).await
        } else {
            let is_due = Instant::now() >= follow_next;
            if is_due {
                follow_next = Instant::now() + FOLLOW;
            }
            look_around(shared, connection, is_due).await
        };
        if let Err(fault) = worked {
            link.heed(&fault);
        }
        // What is gone is in the way of a look while somebody holds a snapshot: at most a tenth of the time is spent on that.
        pause = (begun.elapsed() * 9).clamp(POLL, BEAT);
    }
}

/// A reader looks at it: a beat may not wait for that. Where it can't now, it does the next time.
fn ask_for_condition(shared: &Shared) {
    let nobody = Owed::new(Box::new(|_| ()));
    let _ = shared
        .looks
        .push(Look::Condition(Alarms::default(), nobody));
}

/// Nothing of this host's runs any more, or it would not have closed the store: what does is taken for lost.
async fn leave(connection: &Connection, id: &str) -> Result<(), Fault> {
    connection
        .execute(
            "UPDATE @node SET dead_at = now() WHERE id = $1",
            &[(&id, Type::TEXT)],
        )
        .await?;
    Ok(())
}

async fn look_around(
    shared: &Shared,
    connection: &Connection,
    for_followed: bool,
) -> Result<(), Fault> {
    if for_followed {
        follow(shared, connection).await?;
    }
    look(shared, connection).await
}

/// Finds out of which tasks that run here others want to know the progress; without a look, where nothing runs.
async fn follow(shared: &Shared, connection: &Connection) -> Result<(), Fault> {
    let has_runs = shared
        .listener()
        .is_some_and(|listener| listener.has_runs());
    let followed = if has_runs {
        heard::followed(connection, &shared.own.id).await?
    } else {
        Vec::new()
    };
    shared.ears.follow(followed);
    Ok(())
}

/// Tells of tasks that others have made available.
async fn look(shared: &Shared, connection: &Connection) -> Result<(), Fault> {
    let Some(listener) = shared.listener() else {
        return Ok(());
    };
    let available = connection
        .texts(
            "SELECT name FROM @function AS function WHERE NOT paused AND EXISTS \
             (SELECT FROM @live WHERE state = 1 AND function = function.number)",
        )
        .await?;
    let available = available.into_iter().map(Arc::from).collect();
    let untold = shared.own.untold(available);
    if !untold.is_empty() {
        shared.own.tells(&untold);
        listener.available(&untold);
    }
    Ok(())
}

pub(super) async fn list(connection: &Connection) -> Result<Vec<Node>, Fault> {
    let rows = connection
        .query(
            "SELECT id, name, about, floor(extract(epoch FROM now() - beat_at) * 1000)::int8, dead_at IS NOT NULL \
             FROM @node ORDER BY started_at, id",
            &[],
        )
        .await?;
    let read = |row: &Row| {
        let about: Option<Kept> = row.try_get(2)?;
        Ok(Node {
            id: row.try_get::<_, &str>(0)?.into(),
            name: row.try_get::<_, &str>(1)?.into(),
            about: about.map(|about| about.0),
            silent_ms: row.try_get::<_, i64>(3)?.max(0),
            is_dead: row.try_get(4)?,
        })
    };
    rows.iter().map(read).collect()
}

/// What is written down of a run whose host died.
const LOST: &[u8] =
    br#"{"code":"worker_crashed","message":"the host ended while this task ran","retryable":true,"started":true}"#;

impl Desk<'_> {
    /// Ends what ran on hosts that have said nothing for 20 seconds of the database's clock; answers how many tasks that were.
    /// Should such a host come back, nothing that it reports of them counts, since each claim has a lease of its own.
    pub(super) async fn end_lost(&mut self, now: i64) -> Result<u64, Fault> {
        if self
            .memory
            .looked_for_dead_at
            .is_some_and(|at| at.elapsed() < DEAD_LOOK)
        {
            return Ok(0);
        }
        self.connection
            .execute(
                "UPDATE @node SET dead_at = now() WHERE id IN (SELECT id FROM @node WHERE dead_at IS NULL \
                 AND beat_at < now() - interval '20 seconds' ORDER BY id FOR UPDATE SKIP LOCKED)",
                &[],
            )
            .await?;
        self.connection
            .execute(
                "WITH gone AS (DELETE FROM @node AS node WHERE dead_at < now() - interval '1 day' \
                 AND NOT EXISTS (SELECT FROM @live WHERE state = 2 AND node = node.id) RETURNING id) \
                 DELETE FROM @writer WHERE node IN (SELECT id FROM gone)",
                &[],
            )
            .await?;
        let rows = self
            .connection
            .query(
                "SELECT live.id FROM @node AS dead CROSS JOIN LATERAL (SELECT id FROM @live WHERE node = dead.id AND state = 2 \
                 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED) AS live WHERE dead.dead_at IS NOT NULL LIMIT $1",
                &[(&count(LOST_MAX), Type::INT8)],
            )
            .await?;
        let ids: Vec<TaskId> = rows
            .iter()
            .map(|row| row.try_get(0))
            .collect::<Result<_, _>>()?;
        if ids.len() < LOST_MAX {
            self.memory.looked_for_dead_at = Some(Instant::now());
        }
        if ids.is_empty() {
            return Ok(0);
        }
        let lost = Ending::Lost {
            error: Bytes::from_static(LOST),
        };
        let mut writes = Writes::default();
        for task in self.known_live(&ids).await? {
            if task.state != State::Running {
                continue;
            }
            let version = task.run_version.clone().unwrap_or_default();
            let end = EndOf {
                ending: &lost,
                started_at: None,
                version: &version,
                now,
            };
            self.end_run(&task, &end, &mut writes);
        }
        self.has_written |= writes.write(self.connection).await?;
        Ok(ids.len() as u64)
    }
}
