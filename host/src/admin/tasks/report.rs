//! What is shown of tasks.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::background::{Looked, Why};
use crate::ledger::{Attempt, TaskSummary, TaskView};

/// What a list shows of a task.
#[derive(Serialize)]
pub(super) struct SummaryReport<'a> {
    task: String,
    state: &'static str,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    function: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    priority: u8,
    attempts: u32,
    created_at_ms: i64,
    available_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_at_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancel_asked: bool,
}

impl<'a> SummaryReport<'a> {
    pub(super) fn of(summary: &'a TaskSummary, why: Option<Why>) -> Self {
        Self {
            task: summary.id.to_string(),
            state: summary.state.name(),
            why: why.map(Why::name),
            function: &summary.function,
            key: summary.key.as_deref(),
            subject: summary.subject.as_deref(),
            priority: summary.priority,
            attempts: summary.attempts,
            created_at_ms: summary.created_at,
            available_at_ms: summary.available_at,
            claimed_at_ms: summary.claimed_at,
            ended_at_ms: summary.ended_at,
            deadline_at_ms: summary.deadline_at,
            limit_key: summary.limit_key.as_deref(),
            version: summary.version.as_deref(),
            parent: summary.parent.map(|id| id.to_string()),
            batch: summary.batch.as_deref(),
            cancel_asked: summary.cancel_asked,
        }
    }
}

#[derive(Serialize)]
struct AttemptReport<'a> {
    number: u32,
    host: &'a str,
    version: &'a str,
    started_at_ms: i64,
    ended_at_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct ProgressReport<'a> {
    done: u64,
    total: u64,
    message: &'a str,
}

/// All that is known of a task.
#[derive(Serialize)]
pub(super) struct TaskReport<'a> {
    #[serde(flatten)]
    summary: SummaryReport<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    forget_at_ms: Option<i64>,
    history: Vec<AttemptReport<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<ProgressReport<'a>>,
    /// Of the last attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
}

pub(super) fn report(looked: &Looked) -> TaskReport<'_> {
    let TaskView {
        summary,
        result,
        attempts,
        traceparent,
        client,
        node,
        forget_at,
        ..
    } = &*looked.view;
    TaskReport {
        summary: SummaryReport::of(summary, looked.why),
        client: client.as_deref(),
        traceparent: traceparent.as_deref(),
        host: node.as_deref(),
        forget_at_ms: *forget_at,
        history: attempts.iter().map(attempt).collect(),
        progress: looked.progress.as_ref().map(|report| ProgressReport {
            done: report.done,
            total: report.total,
            message: &report.message,
        }),
        error: attempts.last().and_then(|last| raw(last.error.as_ref())),
        result: raw(result.as_ref()),
    }
}

fn attempt(attempt: &Attempt) -> AttemptReport<'_> {
    AttemptReport {
        number: attempt.number,
        host: &attempt.node,
        version: &attempt.version,
        started_at_ms: attempt.started_at,
        ended_at_ms: attempt.ended_at,
        error: raw(attempt.error.as_ref()),
    }
}

/// JSON text as it was kept.
fn raw(text: Option<&bytes::Bytes>) -> Option<Box<RawValue>> {
    serde_json::from_slice(text?).ok()
}
