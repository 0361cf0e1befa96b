//! Those who only look, on connections of their own.

use super::condition;
use super::connection::Connection;
use super::fault::Fault;
use super::link::Link;
use super::nodes;
use super::read;
use super::shared::Shared;
use crate::ledger::error::StoreError;
use crate::ledger::queue::{Batch, Closing};
use crate::ledger::work::Look;

/// Answers until the queue is closed and empty.
pub(super) async fn run(shared: &Shared, mut link: Link) {
    let _closing = Closing(&shared.looks);
    loop {
        match shared.looks.next().await {
            Batch::Work(batch) => {
                for look in batch {
                    answer(shared, &mut link, look).await;
                }
            }
            Batch::Idle => {}
            Batch::Closed => return,
        }
    }
}

async fn answer(shared: &Shared, link: &mut Link, look: Look) {
    match look {
        Look::Get(id, owed) => {
            owed.pay(said(link, async |connection| read::get(connection, id).await).await);
        }
        Look::List(ask, owed) => {
            owed.pay(said(link, async |connection| read::list(connection, &ask).await).await);
        }
        Look::Count(selection, event, owed) => {
            let count =
                async |connection: &Connection| read::count(connection, &selection, event).await;
            owed.pay(said(link, count).await);
        }
        Look::Nodes(owed) => {
            owed.pay(said(link, async |connection| nodes::list(connection).await).await);
        }
        Look::Condition(alarms, owed) => {
            let found = said(link, async |connection| condition::look(connection).await).await;
            let watch = &shared.watch_of_condition;
            owed.pay(match found {
                Ok(found) => {
                    watch.heed(found, alarms);
                    Ok(())
                }
                Err(error) => {
                    watch.knows_nothing();
                    Err(error)
                }
            });
        }
        Look::Stats(_, owed) => {
            owed.pay(said(link, async |connection| read::stats(connection).await).await);
        }
    }
}

/// Looks at one moment's state; once more, where the connection turns out to be lost, since looking changes nothing.
async fn said<T>(
    link: &mut Link,
    look: impl AsyncFn(&Connection) -> Result<T, Fault>,
) -> Result<T, StoreError> {
    for is_last in [false, true] {
        let fault = match link.get().await?.reading(&look).await {
            Ok(found) => return Ok(found),
            Err(fault) => fault,
        };
        let is_worth_it = link.heed(&fault) || fault.breaks_connection();
        if is_last || !is_worth_it {
            return Err(fault.into_store_error());
        }
    }
    Err(Fault::Slow.into_store_error())
}
