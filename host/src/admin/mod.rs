//! The host's own functions, and its pages for operators: what it is, what it has, how it fares. All from snapshots.
//!
//! A new `host.*` function is a variant of [`Function`], a line of [`FUNCTIONS`] and an arm of [`Admin::run`], or of
//! [`Admin::start`] if it takes arguments or goes on.

mod functions;
mod metrics;
mod nodes;
mod pages;
mod plugins;
mod status;
mod tasks;

use std::sync::Arc;

use protocol::{ErrorCode, Outcome, Request, RequestId, TaskFailure, excerpt};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use service::config::did_you_mean;
use service::life::{Phase, Phases};
use tokio::sync::Notify;

use self::plugins::Watch;
use self::tasks::{ChangeAsk, ListAsk, TaskAsk};
use crate::access::hello::HELLO;
use crate::access::{Access, Caller};
use crate::background::{Background, Change};
use crate::clock::Moment;
use crate::config::Limits;
use crate::generations::Roster;
use crate::plugin::reply_data;
use crate::router::shutting_down;
use crate::stats::Stats;
use crate::task::{Answer, Client};

/// A function of the host itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Ping,
    Functions,
    Hello,
    Plugins,
    Status,
    Cancel,
    Task,
    Tasks,
    Retry,
    Discard,
    Pause,
    Resume,
    Nodes,
}

/// Whose whole answer is for operators only.
const STATUS: &str = "host.status";

/// By name.
const FUNCTIONS: [(&str, Function); 13] = [
    ("host.ping", Function::Ping),
    (HELLO, Function::Hello),
    ("host.functions", Function::Functions),
    ("host.plugins", Function::Plugins),
    (STATUS, Function::Status),
    ("host.cancel", Function::Cancel),
    ("host.task", Function::Task),
    ("host.tasks", Function::Tasks),
    ("host.retry", Function::Retry),
    ("host.discard", Function::Discard),
    ("host.pause", Function::Pause),
    ("host.resume", Function::Resume),
    ("host.nodes", Function::Nodes),
];

/// What a request to the host itself has led to.
#[derive(Debug)]
pub(crate) enum Started {
    /// It is over in no time.
    Soon,
    /// It goes on until it is stopped.
    Watch(Stop),
    /// The client wants its request of this id to end, which only its connection knows.
    Cancel(RequestId),
}

/// Ends what goes on until it is stopped.
#[derive(Clone, Debug)]
pub(crate) struct Stop(Arc<Notify>);

impl Stop {
    pub(crate) fn stop(&self) {
        self.0.notify_one();
    }
}

/// What the host's own functions and pages are made from.
#[derive(Debug)]
pub(crate) struct Admin {
    roster: Roster,
    background: Background,
    stats: Arc<Stats>,
    access: Arc<Access>,
    limits: Limits,
    phases: Phases,
    up_since: Moment,
}

impl Admin {
    pub(crate) fn new(
        roster: Roster,
        background: Background,
        stats: Arc<Stats>,
        access: Arc<Access>,
        limits: Limits,
        phases: Phases,
    ) -> Self {
        Self {
            roster,
            background,
            stats,
            access,
            limits,
            phases,
            up_since: Moment::now(),
        }
    }

    /// Starts a function of the host itself, known by this number to `client`, who is told of its end, but for
    /// [`Started::Cancel`].
    ///
    /// # Errors
    /// There is no such function for this caller, or it does not take these arguments.
    pub(crate) fn start(
        self: &Arc<Self>,
        number: u64,
        request: &Request,
        caller: &Caller,
        client: Arc<dyn Client>,
    ) -> Result<Started, TaskFailure> {
        let function = FUNCTIONS
            .iter()
            .find(|(name, _)| *name == request.function && caller.may_call(name))
            .map(|(_, function)| *function)
            .ok_or_else(|| unknown(&request.function, caller))?;
        let args = &request.args;
        match function {
            Function::Cancel if names_id(args) => cancel_target(args).map(Started::Cancel),
            Function::Plugins if plugins::wants_watch(args)? => {
                self.start_watch(number, request, client)
            }
            Function::Tasks => {
                let ask = ListAsk::parse(args)?;
                if ask.watch {
                    return self.start_watch_of_tasks(number, request, ask, client);
                }
                Ok(self.soon(number, client, |admin| async move {
                    tasks::list(&admin.background, ask).await
                }))
            }
            Function::Task => {
                let ask = TaskAsk::parse(args)?;
                let caller = caller.clone();
                if ask.waits() {
                    return Ok(self.start_wait(number, request, ask, caller, client));
                }
                Ok(self.soon(number, client, |admin| async move {
                    tasks::task(&admin.background, &caller, ask).await
                }))
            }
            Function::Cancel | Function::Retry | Function::Discard => {
                let ask = ChangeAsk::parse(&request.function, args)?;
                self.start_change(number, function, ask, request, caller, client)
            }
            Function::Pause | Function::Resume => {
                let args = args.clone();
                Ok(self.soon(number, client, move |admin| async move {
                    tasks::pause(&admin.background, &args, function == Function::Pause).await
                }))
            }
            _ => {
                let caller = caller.clone();
                Ok(self.soon(number, client, move |admin| async move {
                    admin.run(function, &caller).await
                }))
            }
        }
    }

    /// Answers with what `make` gives.
    fn soon<F>(
        self: &Arc<Self>,
        number: u64,
        client: Arc<dyn Client>,
        make: impl FnOnce(Arc<Self>) -> F,
    ) -> Started
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (answer, line_len_max) = (Answer::new(client, number), self.limits.line_len_max);
        let made = make(Arc::clone(self));
        tokio::spawn(async move {
            answer.finish(fitting(made.await, line_len_max));
        });
        Started::Soon
    }

    async fn run(&self, function: Function, caller: &Caller) -> Outcome {
        match function {
            Function::Functions => functions::functions(&self.roster, caller),
            Function::Hello => json(&caller.introduction()),
            Function::Plugins => plugins::plugins(&self.roster).await,
            Function::Nodes => nodes::nodes(&self.background).await,
            Function::Status if caller.is_operator_of(STATUS) => status::status(self).await,
            Function::Status => status::own(self, caller),
            // The others are started.
            _ => json(&"pong"),
        }
    }

    /// `host.cancel`, `host.retry` and `host.discard` of tasks in the background. Who is no operator may do that to its own.
    fn start_change(
        self: &Arc<Self>,
        number: u64,
        function: Function,
        ask: ChangeAsk,
        request: &Request,
        caller: &Caller,
        client: Arc<dyn Client>,
    ) -> Result<Started, TaskFailure> {
        let change = match function {
            Function::Retry => Change::Retry,
            Function::Discard => Change::Discard,
            _ => Change::Cancel,
        };
        let own = match ask.task() {
            _ if caller.is_operator_of(&request.function) => None,
            Some(id) => Some((id, caller.clone(), request.function.clone())),
            None => {
                let message = format!(
                    "`{}` of many tasks is an operator's; name one by `task`",
                    request.function
                );
                return Err(TaskFailure::new(ErrorCode::InvalidArgs, message));
            }
        };
        Ok(self.soon(number, client, |admin| async move {
            if let Some((id, caller, function)) = own {
                tasks::look(&admin.background, &caller, &function, id).await?;
            }
            ask.run(&admin.background, change).await
        }))
    }

    /// `host.task` that waits for the task's end.
    fn start_wait(
        self: &Arc<Self>,
        number: u64,
        request: &Request,
        ask: TaskAsk,
        caller: Caller,
        client: Arc<dyn Client>,
    ) -> Started {
        let stop = Stop(Arc::default());
        let waiting = tasks::Waiting {
            client: Arc::clone(&client),
            key: number,
            caller,
            stop: Arc::clone(&stop.0),
            progress: request.progress,
            timeout: request.timeout,
        };
        let background = self.background.clone();
        self.go_on(number, client, async move {
            waiting.run(&background, ask).await
        });
        Started::Watch(stop)
    }

    /// `host.tasks` with `watch`.
    fn start_watch_of_tasks(
        self: &Arc<Self>,
        number: u64,
        request: &Request,
        ask: ListAsk,
        client: Arc<dyn Client>,
    ) -> Result<Started, TaskFailure> {
        needs_id(request)?;
        let stop = Stop(Arc::default());
        let watch = tasks::Watch {
            client: Arc::clone(&client),
            key: number,
            stop: Arc::clone(&stop.0),
            timeout: request.timeout,
        };
        let background = self.background.clone();
        self.go_on(
            number,
            client,
            async move { watch.run(&background, ask).await },
        );
        Ok(Started::Watch(stop))
    }

    /// Answers with what this gives, or at the host's end.
    fn go_on(
        &self,
        number: u64,
        client: Arc<dyn Client>,
        run: impl Future<Output = Outcome> + Send + 'static,
    ) {
        let (answer, mut phases) = (Answer::new(client, number), self.phases.clone());
        let line_len_max = self.limits.line_len_max;
        tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = run => fitting(outcome, line_len_max),
                _ = phases.wait_for(|phase| *phase > Phase::Serving) => Err(shutting_down()),
            };
            answer.finish(outcome);
        });
    }

    /// `host.plugins` with `watch`: goes on until it is cancelled, its time is up, or its connection or the host ends.
    fn start_watch(
        self: &Arc<Self>,
        number: u64,
        request: &Request,
        client: Arc<dyn Client>,
    ) -> Result<Started, TaskFailure> {
        needs_id(request)?;
        let stop = Stop(Arc::default());
        let watch = Watch {
            client: Arc::clone(&client),
            key: number,
            stop: Arc::clone(&stop.0),
            timeout: request.timeout,
            line_len_max: self.limits.line_len_max,
        };
        let roster = self.roster.clone();
        self.go_on(number, client, async move { watch.run(&roster).await });
        Ok(Started::Watch(stop))
    }

    fn phase(&self) -> Phase {
        *self.phases.borrow()
    }
}

/// What is told in events belongs to a request with a name.
fn needs_id(request: &Request) -> Result<(), TaskFailure> {
    if request.id.is_some() {
        return Ok(());
    }
    let message = "`watch` needs an `id`, by which its events are known and it can be cancelled";
    Err(TaskFailure::new(ErrorCode::InvalidArgs, message))
}

/// Whether `host.cancel` is about a request in flight, and not about tasks in the background.
fn names_id(args: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Args {
        task: Option<IgnoredAny>,
        state: Option<IgnoredAny>,
        function: Option<IgnoredAny>,
        key: Option<IgnoredAny>,
        subject: Option<IgnoredAny>,
    }
    let Ok(args) = serde_json::from_slice::<Args>(args) else {
        return true;
    };
    let Args {
        task,
        state,
        function,
        key,
        subject,
    } = args;
    [task, state, function, key, subject]
        .iter()
        .all(Option::is_none)
}

/// The id that `host.cancel` is about.
fn cancel_target(args: &[u8]) -> Result<RequestId, TaskFailure> {
    #[derive(Deserialize)]
    struct Args {
        id: RequestId,
    }
    let args = serde_json::from_slice::<Args>(args).map_err(|error| {
        let message = format!(
            "host.cancel takes {{\"id\": …}}, the id of a request in flight on this connection, or {{\"task\": …}}, of one in the background: {error}"
        );
        TaskFailure::new(ErrorCode::InvalidArgs, message)
    })?;
    Ok(args.id)
}

fn unknown(wanted: &str, caller: &Caller) -> TaskFailure {
    let known = FUNCTIONS.iter().map(|(name, _)| *name);
    let meant = did_you_mean(wanted, known.filter(|name| caller.may_call(name)));
    let message = format!("the host has no function `{}`{meant}", excerpt(wanted));
    TaskFailure::new(ErrorCode::UnknownFunction, message)
}

/// The outcome, if it fits into a line of that many bytes.
fn fitting(outcome: Outcome, line_len_max: usize) -> Outcome {
    let result = outcome?;
    if result.len() <= plugin_api::limits::result_len_max(line_len_max) {
        return Ok(result);
    }
    let message = format!(
        "the answer has {} bytes, and a line has at most {line_len_max}; raise `limits.line_len_max` of the host",
        result.len()
    );
    Err(TaskFailure::new(ErrorCode::ResultTooLarge, message))
}

fn json(value: &impl Serialize) -> Outcome {
    reply_data(value).ok_or_else(|| {
        TaskFailure::new(
            ErrorCode::Internal,
            "the report could not be written as JSON",
        )
    })
}
