//! The one place that puts tasks on connections, takes answers from them, and applies what [`Placement`] says to both.
//!
//! Its lock is held while a decision is made, never during I/O, encoding, or calls of a sink. With a mailbox in its place,
//! each answer would wake one more task.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use client::{Ended, Orphan, Received, Refusal, Refused, Unanswered};
use protocol::{ErrorCode, Outcome, Progress, Request, ServerLine, TaskFailure};
use tokio::sync::{Notify, oneshot, watch};

use super::catalogue::{Catalogue, Function};
use super::placement::{ConnectionKey, HostStatus, Placement, Step, is_handed_back};
use super::task::{HostConnection, Kept, Sink, Task, TaskAtHost};
use service::sync::lock;
use values::secret::Secret;

#[derive(Debug)]
pub(super) struct Dispatcher {
    placement: Mutex<Placement<Arc<HostConnection>>>,
    /// The functions of each host.
    functions: Mutex<Vec<Vec<Function>>>,
    catalogue: watch::Sender<Arc<Catalogue>>,
    /// How much later than a task's time limit its answer is waited for.
    answer_grace: Duration,
}

/// A connection that tasks are put on.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub(super) key: ConnectionKey,
    pub(super) connection: Arc<HostConnection>,
    /// The host doesn't know the gateway any more: it has to show who it is anew.
    pub(super) unauthorized: Arc<Notify>,
}

/// What lines from a host have said, in their order. The reader keeps it, so that its memory is used again.
#[derive(Debug, Default)]
pub(super) struct News(Vec<Item>);

#[derive(Debug)]
enum Item {
    Ended(Ended<Kept>),
    Progress(Arc<dyn Sink>, Progress),
    Watched(Arc<Notify>),
    /// A task has ended that was given up.
    Late,
    /// The connection as a whole is refused.
    Broken(Outcome),
}

impl Dispatcher {
    pub(super) fn new(
        placement: Placement<Arc<HostConnection>>,
        hosts: usize,
        answer_grace: Duration,
    ) -> Self {
        Self {
            placement: Mutex::new(placement),
            functions: Mutex::new(vec![Vec::new(); hosts]),
            catalogue: watch::Sender::default(),
            answer_grace,
        }
    }

    /// Hands a task to a host, or lets it wait for one. Whatever goes wrong comes by its sink.
    pub(super) fn submit(&self, task: Task, now: Instant) {
        let step = self.placement().submit(task, now);
        if self.apply(step) {
            self.fill();
        }
    }

    /// The functions of all hosts, as they are and as they change.
    pub(super) fn catalogue(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.catalogue.subscribe()
    }

    pub(super) fn hosts(&self) -> Vec<HostStatus> {
        self.placement().hosts(Instant::now())
    }

    pub(super) fn is_ready(&self) -> bool {
        self.placement().is_ready(Instant::now())
    }

    pub(super) fn waiting(&self) -> usize {
        self.placement().waiting()
    }

    /// Hands on what waits, as far as there is room, and tells those who have waited for too long.
    pub(super) fn look_after_queue(&self) {
        // A host that was silent may speak again.
        self.fill();
        let over = self.placement().take_over(Instant::now());
        for (task, failure) in over {
            task.sink.done(Err(failure));
        }
    }

    // ---- for those who keep connections ----

    /// A new connection to that host, the host's own of that index. It gets no tasks yet.
    pub(super) fn opened(&self, host: usize, index: usize) -> Handle {
        let connection = Arc::new(HostConnection::new());
        let key = self
            .placement()
            .opened(host, index, Arc::clone(&connection), Instant::now());
        Handle {
            key,
            connection,
            unauthorized: Arc::default(),
        }
    }

    /// The connection gets so many tasks at a time from now on.
    pub(super) fn is_up(&self, handle: &Handle, tasks_max: usize) {
        self.placement().is_up(handle.key, tasks_max);
        self.fill();
    }

    /// A connection has ended. What was on it goes elsewhere, or is answered. True if the error is another one than the
    /// host's last.
    pub(super) fn is_gone(&self, handle: &Handle, error: &str) -> bool {
        // First, so that nothing more is put on it.
        let is_news = self.placement().is_gone(handle.key, error);
        let orphans = handle.connection.end();
        for Orphan {
            request,
            kept,
            may_have_started,
        } in orphans
        {
            let Kept::Task(terms, sink) = kept else {
                continue;
            };
            let task = Task {
                request,
                terms,
                sink,
            };
            let step =
                self.placement()
                    .orphaned(handle.key, task, may_have_started, Instant::now());
            self.apply(step);
        }
        self.fill();
        is_news
    }

    /// A host can't be reached. True if the error is another one than its last.
    pub(super) fn failed(&self, host: usize, error: &str) -> bool {
        self.placement().failed(host, error)
    }

    /// What a host has said on a connection.
    ///
    /// # Errors
    /// The host has refused the connection as a whole.
    pub(super) fn received(
        &self,
        handle: &Handle,
        lines: &mut Vec<ServerLine>,
        news: &mut News,
    ) -> io::Result<()> {
        handle
            .connection
            .receive(lines.drain(..), |received| news.note(received));
        let now = Instant::now();
        let is_to_fill = {
            let mut placement = self.placement();
            placement.heard(handle.key, now);
            if news.has_pong() {
                placement.ponged(handle.key);
            }
            // Before anybody is told: they may hand over the next task at once.
            placement.ended(handle.key, news.tasks());
            placement.waiting() > 0
        };
        let mut result = Ok(());
        for item in news.0.drain(..) {
            match item {
                Item::Ended(ended) => self.told(handle, ended, now),
                Item::Progress(sink, progress) => sink.progress(progress),
                Item::Watched(changed) => changed.notify_one(),
                Item::Late => {}
                Item::Broken(outcome) => result = Err(broken(outcome)),
            }
        }
        if is_to_fill {
            self.fill();
        }
        result
    }

    /// Answers what the host should have answered long ago. It keeps its place there until the host has ended it.
    pub(super) fn expire(&self, handle: &Handle) {
        for Unanswered { kept, .. } in handle.connection.expire(Instant::now()) {
            if let Kept::Task(_, sink) = kept {
                let message = "the host did not end the task when its time was over; it was asked to cancel it";
                sink.done(Err(TaskFailure::new(ErrorCode::Timeout, message)));
            }
        }
    }

    /// Sends a ping, unless one is on its way.
    pub(super) fn ping(&self, handle: &Handle) {
        let now = Instant::now();
        {
            let mut placement = self.placement();
            if placement.silence(handle.key, now).is_some() {
                return;
            }
            placement.pinged(handle.key, now);
        }
        // A connection that takes nothing more is about to be gone.
        drop(
            handle
                .connection
                .send(Request::new("host.ping"), None, Kept::Ping),
        );
    }

    /// How long a ping has been without an answer, and the host silent.
    pub(super) fn silence(&self, handle: &Handle) -> Option<Duration> {
        self.placement().silence(handle.key, Instant::now())
    }

    /// Tasks were refused there since too many bytes waited to be written, and need not be any more.
    pub(super) fn unclogged(&self, handle: &Handle) {
        self.placement().clogged(handle.key, false);
        self.fill();
    }

    /// The host was asked for its functions, whether it has told them or not: it gets tasks from now on.
    pub(super) fn was_asked(&self, host: usize) {
        if self.placement().was_asked(host) {
            self.fill();
        }
    }

    /// The host has told its functions.
    pub(super) fn has_functions(&self, host: usize, list: Vec<Function>) {
        let names = list.iter().map(|function| function.name.clone());
        self.placement().has_functions(host, names.collect());
        let mut functions = lock(&self.functions);
        if functions[host] != list {
            functions[host] = list;
            let catalogue = Catalogue::of_hosts(functions.iter());
            self.catalogue.send_replace(Arc::new(catalogue));
        }
        drop(functions);
        self.fill();
    }

    // ---- what the placement says ----

    /// Hands out what waits, as far as there is room.
    fn fill(&self) {
        loop {
            // In a statement of its own, which ends the lock.
            let step = self.placement().next(Instant::now());
            match step {
                Some(step) => self.apply(step),
                None => return,
            };
        }
    }

    /// Does what is to be done with a task. True if that has made room at a host.
    fn apply(&self, mut step: Step<Arc<HostConnection>>) -> bool {
        loop {
            let (key, connection, task) = match step {
                Step::Hand(key, connection, task) => (key, connection, task),
                Step::Fail(task, failure) => {
                    task.sink.done(Err(failure));
                    return false;
                }
                Step::Wait => return false,
            };
            let Task {
                request,
                terms,
                sink,
            } = task;
            let kept = Kept::Task(terms, Arc::clone(&sink));
            match connection.send(request, terms.expires_at(self.answer_grace), kept) {
                Ok(id) => {
                    sink.placed(TaskAtHost { connection, id });
                    return false;
                }
                Err(Refused { request, why, .. }) => {
                    let task = Task {
                        request,
                        terms,
                        sink,
                    };
                    let Some(next) = self.refused(key, &connection, task, why) else {
                        return true;
                    };
                    step = next;
                }
            }
        }
    }

    /// What is to be done with a task that a connection did not take; none if it was told that it has failed.
    fn refused(
        &self,
        key: ConnectionKey,
        connection: &HostConnection,
        task: Task,
        why: Refusal,
    ) -> Option<Step<Arc<HostConnection>>> {
        let mut placement = self.placement();
        match why {
            Refusal::TooLong(_) => {
                placement.ended(key, 1);
                drop(placement);
                let failure = TaskFailure::new(ErrorCode::TooLarge, why.to_string());
                task.sink.done(Err(failure));
                return None;
            }
            // Its writer may have taken everything meanwhile, and won't say so again.
            Refusal::Clogged | Refusal::Full => {
                placement.clogged(key, connection.is_clogged());
            }
            // It is gone, or is about to be.
            Refusal::Ended => {}
        }
        Some(placement.refused(key, task, Instant::now()))
    }

    fn told(&self, handle: &Handle, ended: Ended<Kept>, now: Instant) {
        let Ended {
            request,
            kept,
            outcome,
        } = ended;
        let is_unauthorized =
            matches!(&outcome, Err(failure) if failure.code == ErrorCode::Unauthorized);
        if is_unauthorized {
            // It gets nothing until it has shown the token that is good by now.
            self.placement().is_up(handle.key, 0);
            handle.unauthorized.notify_one();
        }
        match kept {
            Kept::Task(terms, sink) if is_handed_back(&outcome) => {
                let task = Task {
                    request,
                    terms,
                    sink,
                };
                let step = {
                    let mut placement = self.placement();
                    if !is_unauthorized && placement.drains(handle.key) {
                        let host = placement.address_of(handle.key);
                        tracing::info!(host, "draining");
                    }
                    placement.orphaned(handle.key, task, false, now)
                };
                self.apply(step);
            }
            Kept::Task(_, sink) => sink.done(outcome),
            // Whoever asked may have gone.
            Kept::Asked(sender) => drop(sender.send(outcome)),
            Kept::Ping | Kept::Watch(_) => {}
        }
    }

    fn placement(&self) -> MutexGuard<'_, Placement<Arc<HostConnection>>> {
        lock(&self.placement)
    }
}

impl Handle {
    /// Asks a function of the host itself.
    ///
    /// # Errors
    /// The host refuses, or the connection has ended.
    pub(super) async fn ask(&self, function: &str) -> Result<bytes::Bytes, ()> {
        self.request(Request::new(function)).await.map_err(drop)
    }

    /// Shows the host who the gateway is. It has to be the first that is said.
    ///
    /// # Errors
    /// The host doesn't know it: why.
    pub(super) async fn show(&self, token: &Secret) -> Result<(), String> {
        let mut hello = Request::new("host.hello");
        hello.args = serde_json::json!({"token": token.expose()})
            .to_string()
            .into();
        match self.request(hello).await {
            Ok(_) => Ok(()),
            // A host that doesn't know the function lets everybody in.
            Err(Some(failure)) if failure.code == ErrorCode::UnknownFunction => Ok(()),
            Err(Some(failure)) => Err(failure.message),
            Err(None) => Err("it closed the connection".to_owned()),
        }
    }

    async fn request(&self, request: Request) -> Result<bytes::Bytes, Option<TaskFailure>> {
        let (sender, receiver) = oneshot::channel();
        self.connection
            .send(request, None, Kept::Asked(sender))
            .map_err(|_| None)?;
        receiver.await.map_err(|_| None)?.map_err(Some)
    }
}

impl News {
    fn note(&mut self, received: Received<'_, Kept>) {
        let item = match received {
            Received::Ended(ended) => Item::Ended(ended),
            Received::Progress(Kept::Task(_, sink), progress) => {
                Item::Progress(Arc::clone(sink), progress)
            }
            Received::Event {
                kept: Kept::Watch(changed),
                ..
            } => Item::Watched(Arc::clone(changed)),
            Received::Late => Item::Late,
            Received::OfConnection(outcome) => Item::Broken(outcome),
            Received::Progress(..) | Received::Event { .. } | Received::ForNobody => return,
        };
        self.0.push(item);
    }

    /// Tasks that have ended.
    fn tasks(&self) -> usize {
        let late = self.0.iter().filter(|item| matches!(item, Item::Late));
        self.count(|kept| matches!(kept, Kept::Task(..))) + late.count()
    }

    fn has_pong(&self) -> bool {
        self.count(|kept| matches!(kept, Kept::Ping)) > 0
    }

    fn count(&self, is_meant: impl Fn(&Kept) -> bool) -> usize {
        self.0
            .iter()
            .filter(|item| matches!(item, Item::Ended(ended) if is_meant(&ended.kept)))
            .count()
    }
}

/// The error with which a connection ends that its host has refused.
fn broken(outcome: Outcome) -> io::Error {
    let message = match outcome {
        Ok(_) => "an answer without an id".to_owned(),
        Err(failure) => failure.message,
    };
    io::Error::new(io::ErrorKind::InvalidData, message)
}
