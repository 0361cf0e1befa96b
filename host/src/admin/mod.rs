//! The host's own functions, and its pages for operators: what it is, what it has, how it fares. All from snapshots.
//!
//! A new `host.*` function is a variant of [`Function`], a line of [`FUNCTIONS`] and an arm of [`Admin::run`], or of
//! [`Admin::start`] if it takes arguments or goes on.

mod functions;
mod metrics;
mod pages;
mod plugins;
mod status;

use std::sync::Arc;

use protocol::{ErrorCode, Outcome, Request, RequestId, TaskFailure, excerpt};
use serde::{Deserialize, Serialize};
use service::config::did_you_mean;
use service::life::{Phase, Phases};
use tokio::sync::Notify;

use self::plugins::Watch;
use crate::access::hello::HELLO;
use crate::access::{Access, Caller};
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
}

/// Whose whole answer is for operators only.
const STATUS: &str = "host.status";

/// By name.
const FUNCTIONS: [(&str, Function); 6] = [
    ("host.ping", Function::Ping),
    (HELLO, Function::Hello),
    ("host.functions", Function::Functions),
    ("host.plugins", Function::Plugins),
    (STATUS, Function::Status),
    ("host.cancel", Function::Cancel),
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
    stats: Arc<Stats>,
    access: Arc<Access>,
    limits: Limits,
    phases: Phases,
    up_since: Moment,
}

impl Admin {
    pub(crate) fn new(
        roster: Roster,
        stats: Arc<Stats>,
        access: Arc<Access>,
        limits: Limits,
        phases: Phases,
    ) -> Self {
        Self {
            roster,
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
        match function {
            Function::Cancel => cancel_target(&request.args).map(Started::Cancel),
            Function::Plugins if plugins::wants_watch(&request.args)? => {
                self.start_watch(number, request, client)
            }
            _ => {
                let (admin, answer) = (Arc::clone(self), Answer::new(client, number));
                let caller = caller.clone();
                tokio::spawn(async move {
                    let outcome = admin.run(function, &caller).await;
                    answer.finish(fitting(outcome, admin.limits.line_len_max));
                });
                Ok(Started::Soon)
            }
        }
    }

    async fn run(&self, function: Function, caller: &Caller) -> Outcome {
        match function {
            Function::Functions => functions::functions(&self.roster, caller),
            Function::Hello => json(&caller.introduction()),
            Function::Plugins => plugins::plugins(&self.roster).await,
            Function::Status if caller.is_operator_of(STATUS) => status::status(self).await,
            Function::Status => status::own(self, caller),
            // A cancellation is the connection's.
            Function::Ping | Function::Cancel => json(&"pong"),
        }
    }

    /// `host.plugins` with `watch`: goes on until it is cancelled, its time is up, or its connection or the host ends.
    fn start_watch(
        self: &Arc<Self>,
        number: u64,
        request: &Request,
        client: Arc<dyn Client>,
    ) -> Result<Started, TaskFailure> {
        if request.id.is_none() {
            return Err(TaskFailure::new(
                ErrorCode::InvalidArgs,
                "`watch` needs an `id`, by which its events are known and it can be cancelled",
            ));
        }
        let stop = Stop(Arc::default());
        let watch = Watch {
            client: Arc::clone(&client),
            key: number,
            stop: Arc::clone(&stop.0),
            timeout: request.timeout,
            line_len_max: self.limits.line_len_max,
        };
        let (admin, mut phases) = (Arc::clone(self), self.phases.clone());
        let answer = Answer::new(client, number);
        tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = watch.run(&admin.roster) => outcome,
                _ = phases.wait_for(|phase| *phase > Phase::Serving) => Err(shutting_down()),
            };
            answer.finish(outcome);
        });
        Ok(Started::Watch(stop))
    }

    fn phase(&self) -> Phase {
        *self.phases.borrow()
    }
}

/// The id that `host.cancel` is about.
fn cancel_target(args: &[u8]) -> Result<RequestId, TaskFailure> {
    #[derive(Deserialize)]
    struct Args {
        id: RequestId,
    }
    let args = serde_json::from_slice::<Args>(args).map_err(|error| {
        let message = format!(
            "host.cancel takes {{\"id\": …}}, the id of a request in flight on this connection: {error}"
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
