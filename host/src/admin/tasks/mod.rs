//! `host.task`, `host.tasks` and what people do to tasks: cancel, retry, discard, pause, resume.

mod report;

use std::sync::Arc;
use std::time::Duration;

use protocol::{ErrorCode, Outcome, TaskFailure};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use self::report::{SummaryReport, report};
use super::json;
use crate::access::Caller;
use crate::background::{Background, Change, Looked, News, Subject, Subscription};
use crate::ledger::{Filter, PageAsk, Selection, State, TaskId, TaskView};
use crate::task::Client;

/// The longest that `host.task` waits.
const WAIT_MAX_MS: u64 = 10 * 60 * 1000;
/// Tasks of a page.
const PAGE_MAX: usize = 1_000;
const PAGE_DEFAULT: usize = 100;

/// Arguments of `host.task`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskArgs {
    task: String,
    #[serde(default)]
    wait_ms: u64,
}

/// A filter, as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    task: Option<String>,
    state: Option<String>,
    function: Option<String>,
    key: Option<String>,
    subject: Option<String>,
    dry_run: bool,
    after: Option<String>,
    limit: Option<usize>,
    watch: bool,
}

/// What is asked of many tasks.
#[derive(Debug)]
pub(super) struct ListAsk {
    page: PageAsk,
    pub(super) watch: bool,
}

/// What is to be done to tasks.
#[derive(Debug)]
pub(super) struct ChangeAsk {
    selection: Selection,
    dry_run: bool,
}

/// Which task, and how long its end is waited for.
#[derive(Debug)]
pub(super) struct TaskAsk {
    id: TaskId,
    wait: Duration,
}

fn invalid(message: impl Into<String>) -> TaskFailure {
    TaskFailure::new(ErrorCode::InvalidArgs, message)
}

fn parse<'a, T: Deserialize<'a>>(
    function: &str,
    args: &'a [u8],
    takes: &str,
) -> Result<T, TaskFailure> {
    // What PHP makes of an empty object.
    let args = if args.trim_ascii() == b"[]" {
        b"{}"
    } else {
        args
    };
    serde_json::from_slice(args)
        .map_err(|error| invalid(format!("{function} takes {takes}: {error}")))
}

fn task_id(text: &str) -> Result<TaskId, TaskFailure> {
    text.parse().map_err(|_| {
        invalid("a task's id is 36 characters, as the answer to the request had it under `task`")
    })
}

impl Written {
    fn filter(&self) -> Result<Filter, TaskFailure> {
        let state = self.state.as_deref().map(|name| {
            State::from_name(name).ok_or_else(|| {
                let all: Vec<&str> = State::ALL.iter().map(|state| state.name()).collect();
                invalid(format!(
                    "there is no state `{}`; there are {}",
                    protocol::excerpt(name),
                    all.join(", ")
                ))
            })
        });
        Ok(Filter {
            state: state.transpose()?,
            function: self.function.as_deref().map(Arc::from),
            key: self.key.clone(),
            subject: self.subject.clone(),
        })
    }
}

impl TaskAsk {
    pub(super) fn parse(args: &[u8]) -> Result<Self, TaskFailure> {
        let TaskArgs { task, wait_ms } = parse("host.task", args, r#"{"task": ID, "wait_ms": …}"#)?;
        if wait_ms > WAIT_MAX_MS {
            return Err(invalid(format!(
                "`wait_ms` is at most {WAIT_MAX_MS}, ten minutes; ask again after that"
            )));
        }
        Ok(Self {
            id: task_id(&task)?,
            wait: Duration::from_millis(wait_ms),
        })
    }

    pub(super) fn waits(&self) -> bool {
        self.wait > Duration::ZERO
    }
}

impl ListAsk {
    pub(super) fn parse(args: &[u8]) -> Result<Self, TaskFailure> {
        let takes = r#"{"state", "function", "key", "subject", "after", "limit", "watch"}"#;
        let written: Written = parse("host.tasks", args, takes)?;
        if written.task.is_some() || written.dry_run {
            return Err(invalid(format!("host.tasks takes {takes}")));
        }
        let limit = written.limit.unwrap_or(PAGE_DEFAULT);
        if !(1..=PAGE_MAX).contains(&limit) {
            return Err(invalid(format!("`limit` is 1 to {PAGE_MAX}")));
        }
        if written.watch && written.key.is_some() {
            return Err(invalid(
                "a `key` can't be watched; watch its task by `host.task` with `wait_ms`",
            ));
        }
        Ok(Self {
            page: PageAsk {
                filter: written.filter()?,
                after: written.after.as_deref().map(task_id).transpose()?,
                limit,
            },
            watch: written.watch,
        })
    }
}

impl ChangeAsk {
    pub(super) fn parse(function: &str, args: &[u8]) -> Result<Self, TaskFailure> {
        let takes = r#"{"task": ID}, or a filter of "state", "function", "key" and "subject", with "dry_run" to see how many that is"#;
        let written: Written = parse(function, args, takes)?;
        if written.after.is_some() || written.limit.is_some() || written.watch {
            return Err(invalid(format!("{function} takes {takes}")));
        }
        let filter = written.filter()?;
        let selection = match &written.task {
            Some(task) if filter == Filter::default() => Selection::Task(task_id(task)?),
            Some(_) => {
                return Err(invalid(format!(
                    "{function} takes a task or a filter, not both"
                )));
            }
            // All of them, by a slip of the hand?
            None if filter == Filter::default() => {
                return Err(invalid(format!(
                    "{function} takes {takes}; neither is there"
                )));
            }
            None => Selection::Filter(filter),
        };
        Ok(Self {
            selection,
            dry_run: written.dry_run,
        })
    }

    /// The task that it is about, if it is one.
    pub(super) fn task(&self) -> Option<TaskId> {
        match self.selection {
            Selection::Task(id) => Some(id),
            Selection::Filter(_) => None,
        }
    }

    pub(super) async fn run(self, background: &Background, change: Change) -> Outcome {
        #[derive(Serialize)]
        struct Changed {
            count: u64,
        }
        let count = background
            .change(change, self.selection, self.dry_run)
            .await?;
        json(&Changed { count })
    }
}

/// `host.pause` and `host.resume`.
pub(super) async fn pause(background: &Background, args: &[u8], paused: bool) -> Outcome {
    #[derive(Deserialize, Serialize)]
    #[serde(deny_unknown_fields)]
    struct Args {
        function: String,
    }
    #[derive(Serialize)]
    struct Paused {
        function: String,
        paused: bool,
    }
    let name = if paused { "host.pause" } else { "host.resume" };
    let Args { function } = parse(name, args, r#"{"function": NAME}"#)?;
    background.pause(&function, paused).await?;
    json(&Paused { function, paused })
}

/// Whether the caller may see this task: its own, or all.
fn may_see(caller: &Caller, function: &str, view: &TaskView) -> bool {
    caller.is_operator_of(function)
        || (view.client.as_deref() == caller.client()
            && caller
                .subject()
                .is_none_or(|subject| view.summary.subject.as_deref() == Some(subject)))
}

/// All that is known of the task, as far as the caller may know.
///
/// # Errors
/// There is no such task, or not for this caller, who can't tell the two apart.
pub(super) async fn look(
    background: &Background,
    caller: &Caller,
    function: &str,
    id: TaskId,
) -> Result<Looked, TaskFailure> {
    let looked = background.task(id).await?;
    if may_see(caller, function, &looked.view) {
        Ok(looked)
    } else {
        Err(Background::unknown_task(id))
    }
}

/// `host.task`, to one who is told more than the answer.
pub(super) struct Waiting {
    pub(super) client: Arc<dyn Client>,
    pub(super) key: u64,
    pub(super) caller: Caller,
    pub(super) stop: Arc<Notify>,
    /// Whether the client wants to know how far the task is.
    pub(super) progress: bool,
    /// The request's own limit.
    pub(super) timeout: Option<Duration>,
}

impl Waiting {
    /// Answers at the end of the task, or of the wait, with what is known then.
    pub(super) async fn run(self, background: &Background, ask: TaskAsk) -> Outcome {
        let limit = self
            .timeout
            .map_or(ask.wait, |timeout| timeout.min(ask.wait));
        let until = Instant::now() + limit;
        // Before it is looked at: nothing falls between the two.
        let mut news = background.watch(Subject::Task {
            id: ask.id,
            progress: self.progress,
        });
        loop {
            let looked = look(background, &self.caller, "host.task", ask.id).await?;
            if looked.view.summary.state.is_finished() {
                return json(&report(&looked));
            }
            if !self.is_over(&mut news, until).await? {
                continue;
            }
            let looked = look(background, &self.caller, "host.task", ask.id).await?;
            return json(&report(&looked));
        }
    }

    /// Waits until the task is in another state, and passes its progress on. True: the time is up.
    async fn is_over(&self, news: &mut Subscription, until: Instant) -> Result<bool, TaskFailure> {
        loop {
            let next = tokio::select! {
                next = timeout_at(until, news.next()) => next,
                () = self.stop.notified() => {
                    let mut failure = TaskFailure::new(ErrorCode::Cancelled, "no longer waited for; the task goes on");
                    failure.started = true;
                    return Err(failure);
                }
            };
            match next {
                Err(_elapsed) => return Ok(true),
                Ok(Some(News::Progress {
                    done,
                    total,
                    message,
                })) => {
                    self.client.progressed(self.key, done, total, message);
                }
                // Some was missed: it is looked at anew, and not in a tight loop.
                Ok(None) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    return Ok(Instant::now() >= until);
                }
                Ok(Some(News::Change(_) | News::Ended)) => return Ok(false),
            }
        }
    }
}

/// `host.tasks`: a page of them.
pub(super) async fn list(background: &Background, ask: ListAsk) -> Outcome {
    #[derive(Serialize)]
    struct Listed<'a> {
        tasks: Vec<SummaryReport<'a>>,
        next: Option<String>,
    }
    let page = background.tasks(ask.page).await?;
    json(&Listed {
        tasks: page
            .tasks
            .iter()
            .map(|(task, why)| SummaryReport::of(task, *why))
            .collect(),
        next: page.next.map(|id| id.to_string()),
    })
}

/// `host.tasks` with `watch`: each change as it happens, until it is stopped or its time is up.
pub(super) struct Watch {
    pub(super) client: Arc<dyn Client>,
    pub(super) key: u64,
    pub(super) stop: Arc<Notify>,
    pub(super) timeout: Option<Duration>,
}

impl Watch {
    pub(super) async fn run(self, background: &Background, ask: ListAsk) -> Outcome {
        #[derive(Serialize)]
        struct Changed<'a> {
            task: String,
            state: &'static str,
            function: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            subject: Option<&'a str>,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            cancel_asked: bool,
        }
        let mut news = background.watch(Subject::Tasks(ask.page.filter));
        let until = self.timeout.map(|timeout| Instant::now() + timeout);
        let is_late = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(is_late);
        let ended = |code, message| {
            let mut failure = TaskFailure::new(code, message);
            failure.started = true;
            Err(failure)
        };
        const BEHIND: &str = "more tasks change than you read of; watch again, or fewer of them";
        loop {
            tokio::select! {
                next = news.next() => match next {
                    Some(News::Change(change)) => {
                        let changed = json(&Changed {
                            task: change.id.to_string(),
                            state: change.state.name(),
                            function: &change.function,
                            subject: change.subject.as_deref(),
                            cancel_asked: change.cancel_asked,
                        })?;
                        if !self.client.happened(self.key, "task", changed) {
                            return ended(ErrorCode::Overloaded, BEHIND);
                        }
                    }
                    Some(News::Ended | News::Progress { .. }) => {}
                    None => return ended(ErrorCode::Overloaded, BEHIND),
                },
                () = self.stop.notified() => return ended(ErrorCode::Cancelled, "no longer watched"),
                () = &mut is_late => return ended(ErrorCode::Timeout, "its time was up; watch again"),
            }
        }
    }
}

/// The answer of `host.task`.
pub(super) async fn task(background: &Background, caller: &Caller, ask: TaskAsk) -> Outcome {
    json(&report(
        &look(background, caller, "host.task", ask.id).await?,
    ))
}
