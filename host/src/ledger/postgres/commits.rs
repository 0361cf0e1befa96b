//! What became of a transaction whose commit was never answered. Each transaction that writes also writes, into a row of this
//! host's own, which of its transactions it is; so that row says later whether it was committed. The database's own numbers
//! of transactions wouldn't do: after a crash it gives one that it has forgotten to another transaction, and a standby that
//! takes over may never have heard of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::desk::Desk;
use super::fault::{Fault, unavailable};
use super::link::Link;
use crate::ledger::record::{Ending, Finish};
use crate::ledger::work::Told;

/// For so long it is asked at once what became of a transaction, and so long is waited in between.
const SETTLE_FOR: Duration = Duration::from_secs(4);
const WAIT: Duration = Duration::from_millis(200);

/// This host's transactions that write.
pub(super) struct Commits {
    node: Arc<str>,
    /// The last one.
    number: i64,
    unresolved: Option<Unresolved>,
    /// Claimed, as was found out too late: whoever asked was told that the ledger can't be used. Stays until it is committed
    /// that they were given back; given back twice, the second time counts for nothing.
    claimed: Vec<Finish>,
}

/// A transaction that may have been committed or not.
struct Unresolved {
    number: i64,
    claimed: Vec<Finish>,
}

impl Commits {
    pub(super) fn new(node: Arc<str>) -> Self {
        Self {
            node,
            number: 0,
            unresolved: None,
            claimed: Vec::new(),
        }
    }

    /// Writes down, as a part of a transaction, which one it is.
    pub(super) async fn count(&mut self, connection: &Connection) -> Result<(), Fault> {
        self.number += 1;
        connection
            .execute(
                "INSERT INTO @writer AS writer (node, transaction) VALUES ($1, $2) \
                 ON CONFLICT (node) DO UPDATE SET transaction = excluded.transaction",
                &[(&&*self.node, Type::TEXT), (&self.number, Type::INT8)],
            )
            .await?;
        Ok(())
    }

    /// Finds out whether the last transaction was committed, of which `fault` is all that was heard.
    ///
    /// # Errors
    /// It wasn't: with `fault`. Nobody answers: it is found out before the next one.
    pub(super) async fn settle(
        &mut self,
        link: &mut Link,
        told: &[Told],
        fault: Fault,
    ) -> Result<(), Fault> {
        link.drop_connection();
        match timeout(SETTLE_FOR, self.answer(link)).await {
            Ok(true) => return Ok(()),
            Ok(false) => return Err(fault),
            // In the middle of something, maybe.
            Err(_) => link.give_up(unavailable(
                "the ledger's database doesn't answer after the connection to it was lost",
            )),
        }
        self.unresolved = Some(Unresolved {
            number: self.number,
            claimed: claims(told),
        });
        Err(Fault::Known(unavailable(
            "the connection to the ledger's database was lost while it wrote this down: it may be written down or not",
        )))
    }

    /// Asks again and again whether the last transaction was committed.
    async fn answer(&self, link: &mut Link) -> bool {
        loop {
            link.try_now();
            if let Ok(connection) = link.get().await {
                match self.is_committed(connection, self.number).await {
                    Ok(is_committed) => return is_committed,
                    Err(fault) => {
                        link.heed(&fault);
                    }
                }
            }
            tokio::time::sleep(WAIT).await;
        }
    }

    /// Finds out what wasn't found out in time.
    pub(super) async fn resolve(&mut self, connection: &Connection) -> Result<(), Fault> {
        let Some(unresolved) = &self.unresolved else {
            return Ok(());
        };
        let is_committed = self.is_committed(connection, unresolved.number).await?;
        if let Some(unresolved) = self.unresolved.take()
            && is_committed
        {
            self.claimed.extend(unresolved.claimed);
        }
        Ok(())
    }

    /// Gives back what was claimed for nobody.
    pub(super) async fn give_back(&self, desk: &mut Desk<'_>, now: i64) -> Result<(), Fault> {
        if !self.claimed.is_empty() {
            let ends: Vec<(&Finish, i64)> = self.claimed.iter().map(|end| (end, now)).collect();
            desk.finish(&ends).await?;
        }
        Ok(())
    }

    /// The last transaction is committed.
    pub(super) fn are_well(&mut self) {
        self.claimed.clear();
    }

    /// Waits for the transaction's end where it goes on without us, since its row is locked until then.
    async fn is_committed(&self, connection: &Connection, number: i64) -> Result<bool, Fault> {
        connection.begin().await?;
        let asked = connection
            .query(
                "INSERT INTO @writer AS writer (node, transaction) VALUES ($1, 0) \
                 ON CONFLICT (node) DO UPDATE SET transaction = writer.transaction RETURNING transaction",
                &[(&&*self.node, Type::TEXT)],
            )
            .await;
        connection.rollback().await?;
        let last: i64 = match asked?.first() {
            Some(row) => row.try_get(0)?,
            None => 0,
        };
        Ok(last == number)
    }
}

/// What a transaction claimed, to be given back.
fn claims(told: &[Told]) -> Vec<Finish> {
    let claimed = told.iter().filter_map(|told| match told {
        Told::Claimed(claimed) => Some(claimed),
        _ => None,
    });
    let ends = claimed.flatten().map(|claimed| Finish {
        id: claimed.id,
        lease: claimed.lease,
        started_at: None,
        version: "".into(),
        ending: Ending::Released,
    });
    ends.collect()
}
