//! Whether the database keeps up with the ledger: each change of a task leaves a dead row, which vacuum removes, unless
//! somebody holds a snapshot in which it isn't dead yet. Then claims become slower and slower, and nothing says why.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustc_hash::{FxHashMap, FxHashSet};
use tokio::time::Instant;

use super::connection::Connection;
use super::fault::Fault;
use crate::ledger::condition::{Alarms, Condition};

/// How often it is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(30);

/// So many of those who hold snapshots are told, the oldest first.
const TOLD_MAX: usize = 5;

/// A table of the ledger whose rows change all the time.
struct Table {
    name: String,
    /// With its schema, as statements have it.
    full_name: String,
    dead_rows: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Session,
    Slot,
    Prepared,
}

/// Who holds a snapshot, or has a transaction that isn't over; and by what it is known the next time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holder {
    kind: Kind,
    /// A session's process, or what the slot or the prepared transaction is called.
    name: String,
    /// The number of its own transaction, or of the first one that it can't see the end of.
    transaction: String,
    /// The number is its own transaction's.
    is_own: bool,
}

struct Held {
    holder: Holder,
    user: String,
    application: String,
    /// What it does now, if this host may know.
    state: String,
    /// None where this host may not know.
    age: Option<Duration>,
    /// Of the ledger's database; of others there are only such as have numbers of their own.
    is_here: bool,
}

/// What was found.
pub(super) struct Found {
    tables: Vec<Table>,
    held: Vec<Held>,
}

/// What is known from one look to the next.
#[derive(Default)]
struct Inner {
    /// Since when they have been seen.
    since: FxHashMap<Holder, Instant>,
    condition: Option<Condition>,
    has_told_of_rows: bool,
    has_told_of_snapshots: bool,
}

/// The database's condition, as this host sees it.
#[derive(Default)]
pub(super) struct Watch(Mutex<Inner>);

/// Within [`Connection::reading`], for a moment only: nobody is to wait for this.
pub(super) async fn look(connection: &Connection) -> Result<Found, Fault> {
    connection.run("SET LOCAL statement_timeout = '2s'").await?;
    let rows = connection
        .query(
            "SELECT relname::text, relid::regclass::text, n_dead_tup FROM pg_stat_user_tables WHERE relid IN \
             ('@live'::regclass, '@tally'::regclass, '@writer'::regclass, '@node'::regclass) ORDER BY 1",
            &[],
        )
        .await?;
    let mut tables = Vec::with_capacity(rows.len());
    for row in &rows {
        let dead_rows: i64 = row.try_get(2)?;
        tables.push(Table {
            name: row.try_get(0)?,
            full_name: row.try_get(1)?,
            dead_rows: u64::try_from(dead_rows).unwrap_or(0),
        });
    }
    Ok(Found {
        tables,
        held: held(connection).await?,
    })
}

/// Vacuum itself holds nothing back, and nor do sessions of other databases, though snapshots here have the numbers of their
/// transactions. Whoever may not read others' statistics sees
/// their transactions' numbers all the same, but not since when they have them.
async fn held(connection: &Connection) -> Result<Vec<Held>, Fault> {
    let rows = connection
        .query(
            "SELECT 0, pid::text, coalesce(backend_xid, backend_xmin)::text, backend_xid IS NOT NULL, \
             coalesce(usename::text, ''), coalesce(application_name, ''), coalesce(state, ''), \
             floor(extract(epoch FROM clock_timestamp() - xact_start) * 1000)::int8, \
             coalesce(datname = current_database(), true) FROM pg_stat_activity \
             WHERE coalesce(backend_xid, backend_xmin) IS NOT NULL AND pid <> pg_backend_pid() \
             AND (coalesce(datname = current_database(), true) OR backend_xid IS NOT NULL) AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum) \
             UNION ALL SELECT 1, slot_name::text, xmin::text, false, '', '', \
             CASE WHEN active THEN 'active' ELSE 'inactive' END, NULL, true FROM pg_replication_slots WHERE xmin IS NOT NULL \
             UNION ALL SELECT 2, gid, transaction::text, true, owner::text, '', '', \
             floor(extract(epoch FROM clock_timestamp() - prepared) * 1000)::int8, database = current_database() \
             FROM pg_prepared_xacts",
            &[],
        )
        .await?;
    let mut held = Vec::with_capacity(rows.len());
    for row in &rows {
        let kind: i32 = row.try_get(0)?;
        let age: Option<i64> = row.try_get(7)?;
        held.push(Held {
            holder: Holder {
                kind: match kind {
                    0 => Kind::Session,
                    1 => Kind::Slot,
                    _ => Kind::Prepared,
                },
                name: row.try_get(1)?,
                transaction: row.try_get(2)?,
                is_own: row.try_get(3)?,
            },
            user: row.try_get(4)?,
            application: row.try_get(5)?,
            state: row.try_get(6)?,
            age: age.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0))),
            is_here: row.try_get(8)?,
        });
    }
    Ok(held)
}

impl Watch {
    /// None before it was looked at, and while it can't be.
    pub(super) fn condition(&self) -> Option<Condition> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.condition.clone()
    }

    /// It couldn't be looked at.
    pub(super) fn knows_nothing(&self) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.condition = None;
    }

    /// Takes in what was found, and has the log say so once when something is amiss, and once when it isn't any more.
    pub(super) fn heed(&self, found: Found, alarms: Alarms) {
        let now = Instant::now();
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = inner.with_ages(found.held, now);
        let oldest = held.first().map(|(_, age)| *age).unwrap_or_default();
        let too_old = held.iter().filter(|(_, age)| *age >= alarms.held_for);
        let snapshots: Vec<String> = too_old.take(TOLD_MAX).map(of_holder).collect();
        let too_many = found
            .tables
            .iter()
            .filter(|table| table.dead_rows > alarms.dead_rows);
        let rows: Vec<String> = too_many
            .map(|table| of_table(table, !snapshots.is_empty()))
            .collect();
        let tell = |warnings: &[String], has_told: &mut bool, over: &str| {
            match warnings.first() {
                Some(warning) if !*has_told => tracing::warn!("{warning}"),
                None if *has_told => tracing::info!("{over}"),
                _ => {}
            }
            *has_told = !warnings.is_empty();
        };
        tell(
            &snapshots,
            &mut inner.has_told_of_snapshots,
            "no old snapshot is held in the ledger's database any more",
        );
        tell(
            &rows,
            &mut inner.has_told_of_rows,
            "the dead rows of the ledger's tables are removed",
        );
        inner.condition = Some(Condition {
            dead_rows: found
                .tables
                .into_iter()
                .map(|table| (table.name, table.dead_rows))
                .collect(),
            oldest_snapshot_ms: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
            warnings: snapshots.into_iter().chain(rows).collect(),
        });
    }
}

impl Inner {
    /// Each with its age, the oldest first; where the database doesn't tell, it is for how long this host has seen it.
    fn with_ages(&mut self, held: Vec<Held>, now: Instant) -> Vec<(Held, Duration)> {
        let own: FxHashSet<&str> = held
            .iter()
            .filter(|one| one.holder.is_own)
            .map(|one| one.holder.transaction.as_str())
            .collect();
        // While a transaction goes on, every new snapshot has its number: only the transaction itself is old then.
        let is_anothers = |holder: &Holder| {
            !holder.is_own
                && holder.kind == Kind::Session
                && own.contains(holder.transaction.as_str())
        };
        let is_to_blame: Vec<bool> = held
            .iter()
            .map(|one| one.is_here && (one.age.is_some() || !is_anothers(&one.holder)))
            .collect();
        let before = std::mem::take(&mut self.since);
        let mut aged = Vec::with_capacity(held.len());
        for (one, is_to_blame) in held.into_iter().zip(is_to_blame) {
            if !is_to_blame {
                continue;
            }
            let since = before.get(&one.holder).copied().unwrap_or(now);
            self.since.insert(one.holder.clone(), since);
            let age = one.age.unwrap_or(now - since);
            aged.push((one, age));
        }
        aged.sort_by_key(|(_, age)| std::cmp::Reverse(*age));
        aged
    }
}

const HARM: &str = "what it could still see isn't removed from the ledger's tables, and claims become slower and slower";

fn of_holder((held, age): &(Held, Duration)) -> String {
    let (name, user, for_long) = (&held.holder.name, &held.user, in_words(*age));
    match held.holder.kind {
        Kind::Session => {
            let (application, state) = (&held.application, &held.state);
            let state = if state.is_empty() {
                String::new()
            } else {
                format!(", {state}")
            };
            format!(
                "session {name} of the ledger's database (user \"{user}\", application \"{application}\"{state}) has held a \
                 snapshot for {for_long}: {HARM}; have it end its transaction, or end it by \"SELECT \
                 pg_terminate_backend({name})\""
            )
        }
        Kind::Slot => format!(
            "replication slot \"{name}\" of the ledger's database ({}) has held a snapshot for {for_long}: {HARM}; look for a \
             long query on its standby, or drop the slot if nobody needs it",
            held.state
        ),
        Kind::Prepared => format!(
            "transaction \"{name}\" of user \"{user}\" has been prepared in the ledger's database for {for_long}: {HARM}; \
             end it by COMMIT PREPARED or ROLLBACK PREPARED"
        ),
    }
}

fn of_table(table: &Table, is_held: bool) -> String {
    let (name, rows) = (&table.full_name, table.dead_rows);
    let what_to_do = if is_held {
        "end what holds the old snapshot".to_owned()
    } else {
        format!(
            "look whether autovacuum is on and gets to it (pg_stat_user_tables, pg_stat_progress_vacuum); \"VACUUM {name}\" \
             does it at once"
        )
    };
    format!("the ledger's table {name} has {rows} dead rows, and claims become slow: {what_to_do}")
}

fn in_words(age: Duration) -> String {
    match age.as_secs() {
        secs @ ..120 => format!("{secs} s"),
        secs @ ..7_200 => format!("{} min", secs / 60),
        secs => format!("{} h", secs / 3_600),
    }
}
