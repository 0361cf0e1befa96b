//! `host task` and `host tasks`: background tasks, for people and for programs.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use client::blocking::News;
use protocol::Outcome;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::reach::Target;
use super::table::{self, Row};
use super::{ask, ended, print, print_or_end, request, say};

/// The longest that a host waits for a task's end in one request.
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);
/// The most tasks that a host tells of at once.
const PAGE_MAX: usize = 1_000;
const TASK: &str = "host.task";
const TASKS: &str = "host.tasks";

/// Prints all that the host knows of a task; with `wait`, at its end, or so long from now.
pub(crate) fn look(target: &Target, task: &str, wait: Option<Duration>) -> ExitCode {
    let until = wait.map(|wait| Instant::now() + wait);
    loop {
        let left = until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        let part = left.min(WAIT_MAX);
        let mut asked = request(
            TASK,
            &serde_json::json!({"task": task, "wait_ms": millis(part)}),
        );
        asked.progress = true;
        let outcome = ask(target, asked, Some(part));
        if left > WAIT_MAX
            && let Ok(Ok(result)) = &outcome
            && !has_ended(result)
        {
            continue;
        }
        return ended("host task", outcome);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn has_ended(result: &Bytes) -> bool {
    #[derive(Deserialize)]
    struct Task {
        ended_at_ms: Option<i64>,
    }
    serde_json::from_slice(result).is_ok_and(|task: Task| task.ended_at_ms.is_some())
}

/// Which tasks are listed, and for whom.
#[derive(Debug)]
pub(crate) struct List {
    /// `state`, `function`, `key`, `subject`, as far as they are given.
    pub(crate) filter: Map<String, Value>,
    /// So many at most, the newest.
    pub(crate) limit: usize,
    /// For programs, whoever reads.
    pub(crate) json: bool,
}

impl List {
    fn is_for_people(&self) -> bool {
        !self.json && io::stdout().is_terminal()
    }
}

/// A part of the list, as the host tells it.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    tasks: Vec<&'a RawValue>,
    next: Option<String>,
}

/// Prints the newest tasks that the filter finds: a table on a terminal, elsewhere an object a line.
pub(crate) fn list(target: &Target, list: &List) -> ExitCode {
    let mut rows = Vec::new();
    let mut left = list.limit;
    let mut after = None;
    while left > 0 {
        let mut args = list.filter.clone();
        args.insert("limit".into(), left.min(PAGE_MAX).into());
        if let Some(after) = after {
            args.insert("after".into(), Value::String(after));
        }
        let result = match ask(target, request(TASKS, &Value::Object(args)), None) {
            Ok(Ok(result)) => result,
            failed => return ended("host tasks", failed),
        };
        let page: Page<'_> = match serde_json::from_slice(&result) {
            Ok(page) => page,
            Err(error) => return not_understood(&error),
        };
        for task in &page.tasks {
            if list.is_for_people() {
                match serde_json::from_str::<Row>(task.get()) {
                    Ok(row) => rows.push(row),
                    Err(error) => return not_understood(&error),
                }
            } else if print(task.get().as_bytes()).is_err() {
                return ExitCode::FAILURE;
            }
        }
        left = left.saturating_sub(page.tasks.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if list.is_for_people() {
        if print(table::of(&rows, now_ms()).as_bytes()).is_err() {
            return ExitCode::FAILURE;
        }
        if after.is_some() {
            say(&format!(
                "these are the newest {}; --limit N shows more",
                rows.len()
            ));
        }
    }
    ExitCode::SUCCESS
}

/// Prints each change of the tasks that the filter finds, until somebody ends it.
pub(crate) fn watch(target: &Target, list: &List) -> ExitCode {
    let mut args = list.filter.clone();
    args.insert("watch".into(), true.into());
    let for_people = list.is_for_people();
    let outcome: Result<Outcome, String> =
        target.ask(request(TASKS, &Value::Object(args)), None, |news| {
            let News::Event(_, data) = news else { return };
            match serde_json::from_slice::<Row>(&data) {
                Ok(row) if for_people => print_or_end(table::change(&row).as_bytes()),
                _ => print_or_end(&data),
            }
        });
    ended("host tasks", outcome)
}

fn not_understood(error: &serde_json::Error) -> ExitCode {
    say(&format!(
        "host tasks: the host's answer is not understood ({error}); is it of another version?"
    ));
    ExitCode::FAILURE
}

/// Milliseconds of Unix time.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
