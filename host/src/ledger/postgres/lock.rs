//! Tasks are looked at and locked, before they are changed. What is joined with `OFFSET 0` is looked for task by task, whatever
//! the database thinks of the tables' sizes.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::desk::Desk;
use super::fault::Fault;
use super::known::Known;
use crate::ledger::id::TaskId;

impl Desk<'_> {
    /// The tasks of these that haven't finished, locked until the transaction ends; by id, so that no two transactions wait
    /// for one another.
    pub(super) async fn known_live(&mut self, ids: &[TaskId]) -> Result<Vec<Known>, Fault> {
        let rows = self
            .connection
            .query(
                "SELECT live.id, live.function, live.state, live.priority, live.version, live.lease, live.tries, \
                 live.attempts, live.cancel_asked, live.node, live.run_version, live.available_at, live.claimed_at, \
                 task.deadline_at, task.result_ttl_ms, task.unique_until, task.retry_max, task.retry_base_ms, \
                 task.retry_cap_ms, task.retry_on, task.at_most_once, task.key, task.subject \
                 FROM @live AS live CROSS JOIN LATERAL (SELECT * FROM @task WHERE id = live.id OFFSET 0) AS task \
                 WHERE live.id = ANY($1) \
                 ORDER BY live.id FOR UPDATE OF live",
                &[(&ids, Type::UUID_ARRAY)],
            )
            .await?;
        self.read_known(&rows).await
    }

    /// The tasks of these that have finished, locked as by [`Self::known_live`].
    pub(super) async fn known_ended(&mut self, ids: &[TaskId]) -> Result<Vec<Known>, Fault> {
        let rows = self
            .connection
            .query(
                "SELECT ended.id, task.function, ended.state, task.priority, task.version, ended.lease, ended.tries, \
                 ended.attempts, false, NULL::text, NULL::text, ended.available_at, ended.claimed_at, \
                 task.deadline_at, task.result_ttl_ms, task.unique_until, task.retry_max, task.retry_base_ms, \
                 task.retry_cap_ms, task.retry_on, task.at_most_once, task.key, task.subject \
                 FROM @ended AS ended CROSS JOIN LATERAL (SELECT * FROM @task WHERE id = ended.id OFFSET 0) AS task \
                 WHERE ended.id = ANY($1) \
                 ORDER BY ended.id FOR UPDATE OF ended",
                &[(&ids, Type::UUID_ARRAY)],
            )
            .await?;
        self.read_known(&rows).await
    }

    async fn read_known(&mut self, rows: &[Row]) -> Result<Vec<Known>, Fault> {
        let known: Vec<Known> = rows.iter().map(Known::read).collect::<Result<_, _>>()?;
        if known
            .iter()
            .any(|task| self.memory.name_of(task.function).is_none())
        {
            self.memory.read_functions(self.connection).await?;
        }
        Ok(known)
    }
}
