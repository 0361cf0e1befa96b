//! The statements that each task needs, prepared once: looking them up by their text would cost as much as running them.

use rusqlite::{Connection, Statement};

use super::known::KNOWN;

pub(super) struct Statements<'c> {
    pub(super) begin: Statement<'c>,
    pub(super) commit: Statement<'c>,
    pub(super) insert: Statement<'c>,
    pub(super) known: Statement<'c>,
    pub(super) ready: Statement<'c>,
    pub(super) ready_of_priority: Statement<'c>,
    pub(super) to_claim: Statement<'c>,
    pub(super) claim: Statement<'c>,
    pub(super) finish: Statement<'c>,
    pub(super) attempt: Statement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare("BEGIN IMMEDIATE")?,
            commit: connection.prepare("COMMIT")?,
            insert: connection.prepare(
                "INSERT INTO task (id, lane, state, priority, created_at, since, available_at, wake_at, deadline_at, \
                 timeout_ms, result_ttl_ms, unique_until, retry_max, retry_base_ms, retry_cap_ms, retry_on, at_most_once, \
                 key, subject, parent, batch, traceparent, client, stored_len, args_at, args) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, \
                 ?22, ?23, ?24, ?25)",
            )?,
            known: connection.prepare(&format!("SELECT {KNOWN} FROM task WHERE id = ?"))?,
            ready: connection.prepare(
                "SELECT id, priority FROM task INDEXED BY task_ready WHERE state = 1 AND lane = ? \
                 ORDER BY priority, id LIMIT ?",
            )?,
            ready_of_priority: connection.prepare(
                "SELECT id FROM task INDEXED BY task_ready WHERE state = 1 AND lane = ? AND priority = ? \
                 ORDER BY id LIMIT ?",
            )?,
            to_claim: connection.prepare(
                "SELECT lease, attempts, created_at, deadline_at, timeout_ms, at_most_once, priority, key, subject, \
                 traceparent, client, args_at, args FROM task WHERE id = ?",
            )?,
            claim: connection.prepare(
                "UPDATE task SET state = 2, lease = ?, node = ?, run_version = ?, claimed_at = ?, wake_at = NULL WHERE id = ?",
            )?,
            finish: connection.prepare(
                "UPDATE task SET state = ?, tries = ?, attempts = ?, cancel_asked = 0, node = NULL, run_version = NULL, \
                 since = ?, available_at = ?, wake_at = ?, ended_at = ?, forget_at = ?, stored_len = stored_len + ?, \
                 result_at = ?, result = ? WHERE id = ?",
            )?,
            attempt: connection.prepare(
                "INSERT INTO attempt (task, number, node, version, started_at, ended_at, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
            )?,
        })
    }
}
