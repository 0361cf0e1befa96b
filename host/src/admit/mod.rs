//! The one door between a connection and a task: what may become a task, now, and how it begins and ends early.

use std::collections::VecDeque;
use std::sync::Arc;

use protocol::{ErrorCode, Request, RequestId, TaskFailure};
use service::bytes::{ByteBudget, HeldBytes};
use service::life::{Phase, Phases};

use crate::access::{Busy, Caller, Denied, Pass};
use crate::background::Background;
use crate::clock::Moment;
use crate::config::Limits;
use crate::generations::Roster;
pub(crate) use crate::router::Routed;
use crate::router::{Router, shutting_down};
use crate::stats::{InFlight, Stats, count};
pub(crate) use crate::task::RETRY_AFTER;
use crate::task::{Answer, Client, Numbers, Task, TaskId};

/// Lets requests in.
#[derive(Debug)]
pub(crate) struct Door {
    router: Router,
    roster: Roster,
    stats: Arc<Stats>,
    requests: ByteBudget,
    phases: Phases,
    numbers: Numbers,
    background: Background,
}

/// A request that was let in.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) request: Request,
    pub(crate) ticket: Ticket,
    /// It counts until it is answered.
    pub(crate) in_flight: InFlight,
    /// The same, for its client.
    pub(crate) busy: Busy,
}

/// What a request that was let in has beside what it says.
#[derive(Debug)]
pub(crate) struct Ticket {
    received: Moment,
    held: HeldBytes,
    caller: Caller,
}

impl Ticket {
    /// Who asks.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }
}

impl Door {
    pub(crate) fn new(
        router: Router,
        roster: Roster,
        stats: Arc<Stats>,
        limits: &Limits,
        phases: Phases,
        numbers: Numbers,
        background: Background,
    ) -> Self {
        Self {
            router,
            roster,
            stats,
            requests: ByteBudget::new(limits.requests_len_max),
            phases,
            numbers,
            background,
        }
    }

    /// What all requests together may hold, for those that are not whole yet.
    pub(crate) fn requests(&self) -> &ByteBudget {
        &self.requests
    }

    /// A number that no other request of this run of the host has; never 0.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.next()
    }

    /// Counts a request that is answered with an error before it becomes a task.
    pub(crate) fn count_refused(&self) {
        count(&self.stats.requests_refused);
    }

    /// Lets a request in whose line has that many bytes, of the client that has this pass.
    ///
    /// # Errors
    /// The host takes nothing new, or has no memory for it, or the client asks for too much: the request's id, and the
    /// client's error.
    pub(crate) fn admit(
        &self,
        request: Request,
        pass: &Pass,
        line_len: usize,
        received: Moment,
    ) -> Result<Admitted, (Option<RequestId>, TaskFailure)> {
        if *self.phases.borrow() > Phase::Serving && !request.is_for_host() {
            return Err((request.id, shutting_down()));
        }
        let Some(held) = self.requests.hold(line_len) else {
            return Err((request.id, memory_full()));
        };
        match pass.admit(&request) {
            Ok((caller, busy)) => Ok(Admitted {
                request,
                ticket: Ticket {
                    received,
                    held,
                    caller,
                },
                in_flight: self.stats.begin(),
                busy,
            }),
            Err(Denied(failure)) => Err((request.id, failure)),
        }
    }

    /// Has a task written down that is to run in the background; `client` is told, by this number, when it is safe.
    ///
    /// # Errors
    /// The host takes no tasks any more.
    pub(crate) fn enqueue(
        &self,
        number: u64,
        mut request: Request,
        ticket: Ticket,
        client: Arc<dyn Client>,
    ) -> Result<(), TaskFailure> {
        if *self.phases.borrow() == Phase::Closing {
            return Err(shutting_down());
        }
        let Ticket { caller, .. } = ticket;
        let answer = Answer::new(client, number);
        if let Some(asked) = request.background.take() {
            self.background.enqueue(request, *asked, &caller, answer);
        }
        Ok(())
    }

    /// Makes a request a task, known by this number to `client`, who is told of its end. It begins with
    /// [`Door::submit`].
    ///
    /// # Errors
    /// Nothing runs its function now. It does not become a task.
    pub(crate) fn route(
        &self,
        number: u64,
        request: Request,
        ticket: Ticket,
        client: Arc<dyn Client>,
    ) -> Result<Routed, TaskFailure> {
        let Ticket {
            received,
            held,
            caller,
        } = ticket;
        // What was received before the drain began still runs, as long as there is time for it.
        let runner = match *self.phases.borrow() {
            Phase::Closing => Err(shutting_down()),
            Phase::Serving | Phase::Draining => self.router.route(&request.function, &caller),
        };
        let runner = runner.inspect_err(|_| self.count_refused())?;
        let deadline = request.timeout.map(|timeout| received + timeout);
        let task = Task {
            id: TaskId(number),
            args: request.args,
            received,
            deadline: deadline.unwrap_or(Moment::NEVER),
            progress: request.progress,
            answer: Answer::new(client, number),
            held,
            caller,
        };
        Ok(Routed {
            function: request.function,
            runner,
            task,
        })
    }

    /// Has tasks run, in their order.
    pub(crate) fn submit(&self, tasks: &mut VecDeque<Routed>) {
        self.router.submit_all(tasks);
    }

    /// Ends a task early, wherever it is by now. It is answered all the same.
    pub(crate) fn cancel(&self, number: u64) {
        self.roster.cancel(TaskId(number));
    }
}

/// The host holds as many bytes of requests as it may.
pub(crate) fn memory_full() -> TaskFailure {
    TaskFailure::new(
        ErrorCode::Overloaded,
        "the host holds as many bytes of requests as it may (requests_len_max); try again later",
    )
    .with_retry_after(RETRY_AFTER)
}
