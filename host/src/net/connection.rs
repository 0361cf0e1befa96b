//! One client: its requests in, their replies out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use protocol::{
    BadRequest, ErrorCode, Event, Outcome, Progress, Reply, Request, RequestId, TaskFailure,
};
use service::life::Phase;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::Shared;
use super::inbox::{Arrived, Inbox};
use super::input::{Input, Received};
use super::lanes::{Lanes, Turn};
use super::member::Member;
use super::output::Output;
use super::socket::Socket;
use super::unread::Share;
use crate::access::{Busy, hello};
use crate::admin::{Started, Stop};
use crate::admit::{Admitted, Routed};
use crate::clock::Moment;
use crate::stats::{InFlight, count};
use crate::task::{Client, keep};

/// How long the rest of an unusable input is read and thrown away after the last reply.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// How long a connection that is about to be closed, since the host ends, waits for what may be on its way.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// Room for tasks of one turn that is kept.
const BEGUN_KEPT_MAX: usize = 16;

/// Lines that are taken in one turn: then it is the turn of other connections on the same thread.
const LINES_A_TURN_MAX: usize = 32;

/// How long a client that may not be here any more is told so, before nothing more is read from it. Longer than clients
/// that ping wait between their pings.
const LEAVE_AFTER: Duration = Duration::from_secs(3);

/// What is kept for a request in flight.
#[derive(Debug)]
struct Running {
    ends: Ends,
    _in_flight: InFlight,
    _busy: Busy,
}

/// How a request in flight can be ended by its client.
#[derive(Debug)]
enum Ends {
    Task,
    Watch(Stop),
    /// It is over in no time.
    Soon,
}

pub(super) struct Connection {
    socket: Socket,
    state: State,
}

/// Everything but the socket, whose halves are borrowed while the rest changes.
struct State {
    shared: Arc<Shared>,
    /// Who the client is.
    member: Member,
    inbox: Arc<Inbox>,
    input: Input,
    output: Output,
    /// What of the unread bytes of all connections is this one's.
    share: Share,
    lanes: Lanes<Box<Admitted>, Running>,
    /// Tasks that were let in in this turn: they begin together. Reused.
    begun: VecDeque<Routed>,
    /// The last turn was a full one: others come first, and more lines may lie here.
    had_enough: bool,
    /// The client is slow: events and progress stay in the inbox.
    puts_off: bool,
    /// When a client that may not be here any more has to leave.
    leaves_at: Option<Instant>,
    /// Until when the rest of an unusable input is read, after the last reply has been sent.
    lingers_until: Option<Instant>,
    /// Replies written since the client has ended its sending: it may have gone for good.
    replies_after_end: u64,
}

/// Why the loop has woken up.
enum Wake {
    Readable,
    Writable,
    /// The inbox, or the phase: looked at every time round anyway.
    News,
    Stalled,
}

impl Connection {
    /// Of a client that has sent `bytes` so far.
    pub(super) fn new(
        socket: Socket,
        shared: Arc<Shared>,
        mut member: Member,
        bytes: &[u8],
    ) -> Self {
        let requests = shared.door.requests().clone();
        let inbox = Arc::<Inbox>::default();
        let mut input = Input::new(shared.limits.line_len_max, requests);
        input.push(bytes);
        member.ring(&inbox);
        let state = State {
            member,
            input,
            share: shared.unread.share(&inbox),
            output: Output::default(),
            lanes: Lanes::default(),
            begun: VecDeque::new(),
            had_enough: false,
            puts_off: false,
            leaves_at: None,
            lingers_until: None,
            replies_after_end: 0,
            inbox,
            shared,
        };
        Self { socket, state }
    }

    /// Serves the client until it has gone, or the host ends, and every request of it has been answered.
    pub(super) async fn run(mut self) {
        let state = &mut self.state;
        let socket = &self.socket;
        let mut phase = state.shared.phases.clone();
        loop {
            state.take_arrived();
            state.take_requests();
            state.output.send(socket);
            state.check_output();
            if state.is_over() {
                if !state.hears_more(socket).await {
                    break;
                }
                if state.input.read(socket).is_err() {
                    state.client_gone();
                }
                continue;
            }
            let may_be_told = state.puts_off && !state.output.is_full();
            if state.had_enough || may_be_told {
                tokio::task::yield_now().await;
                continue;
            }
            if state.is_lingering() {
                // The last reply is on its way; the client may know that nothing follows it.
                let _ = socket.shutdown();
            }
            let event = state.wait(socket, &mut phase).await;
            match event {
                Wake::Readable => {
                    if state.input.read(socket).is_err() {
                        state.client_gone();
                    }
                }
                Wake::Stalled if state.lingers_until.is_some() => break,
                Wake::Stalled => state.client_gone(),
                Wake::Writable | Wake::News => {}
            }
        }
        // The client may have gone without a word; the kernel knows by now, if it can.
        if matches!(self.socket.take_error(), Ok(Some(_)) | Err(_)) {
            self.state.count_unread();
        }
    }
}

impl State {
    async fn wait(&self, socket: &Socket, phase: &mut watch::Receiver<Phase>) -> Wake {
        let wants_input = self.input.is_discarding() || (self.input.is_open() && self.has_room());
        let has_output = !self.output.is_empty();
        let stalls_at = self.lingers_until.or(self.output.stalls_at());
        // Asked once: what it becomes from here on is heard.
        let is_closing = self.shared.phase() == Phase::Closing;
        if is_closing && self.is_over() {
            return Wake::News;
        }
        tokio::select! {
            _ = socket.readable(), if wants_input => Wake::Readable,
            _ = socket.writable(), if has_output => Wake::Writable,
            () = self.inbox.wait() => Wake::News,
            _ = phase.changed(), if !is_closing => Wake::News,
            () = sleep_until(stalls_at) => Wake::Stalled,
        }
    }

    /// Whether further requests may be taken from this client.
    fn has_room(&self) -> bool {
        self.lanes.len() < self.shared.limits.in_flight_max && !self.output.is_full()
    }

    fn is_quiet(&self) -> bool {
        self.lanes.is_empty() && self.output.is_empty()
    }

    fn is_over(&self) -> bool {
        let done = match self.shared.phase() {
            Phase::Closing => true,
            Phase::Serving | Phase::Draining => self.input.is_ended(),
        };
        done && self.is_quiet() && !self.had_enough
    }

    /// Whether something has come that nobody has looked at: what was sent before the end is answered, so that its client
    /// knows that none of it has begun.
    async fn hears_more(&self, socket: &Socket) -> bool {
        self.input.is_open() && timeout(LAST_LOOK, socket.readable()).await.is_ok()
    }

    /// Whether only the rest of an unusable input is waited for. True once, when that begins.
    fn is_lingering(&mut self) -> bool {
        let begins = self.lingers_until.is_none() && self.input.is_discarding() && self.is_quiet();
        if begins {
            self.lingers_until = Some(Instant::now() + LINGER_MAX);
        }
        begins
    }

    // ---- requests in ----

    fn take_requests(&mut self) {
        self.take_turns();
        self.check_pass();
        let mut left = LINES_A_TURN_MAX;
        while left > 0 && self.has_room() {
            left -= 1;
            match self.input.next() {
                Received::Line(line) => self.take_line(&line),
                Received::Unusable(failure) => self.refuse(None, failure),
                Received::Nothing => break,
            }
            self.take_turns();
        }
        self.had_enough = left == 0;
        self.begin();
    }

    /// Has the tasks run that were let in.
    fn begin(&mut self) {
        self.shared.door.submit(&mut self.begun);
        // Idle clients are many.
        self.begun.shrink_to(BEGUN_KEPT_MAX);
    }

    /// A client that may not be here any more: what it sends is refused, so that it knows that none of that has begun, and
    /// what runs is answered. It may show another token; if it doesn't, nothing more is read.
    fn check_pass(&mut self) {
        if !self.member.pass().is_revoked() || !self.input.is_open() {
            return;
        }
        let now = Instant::now();
        match self.leaves_at {
            Some(at) if at <= now => self.input.turn_away(),
            Some(_) => {}
            None => {
                let at = now + LEAVE_AFTER;
                self.leaves_at = Some(at);
                let bell = Arc::clone(&self.inbox);
                tokio::spawn(async move {
                    tokio::time::sleep_until(at).await;
                    bell.ring();
                });
            }
        }
    }

    fn take_line(&mut self, line: &Bytes) {
        let received = Moment::now();
        let request = match Request::parse(line) {
            Ok(request) => request,
            Err(BadRequest { id, message }) => {
                self.refuse(id, TaskFailure::new(ErrorCode::BadRequest, message));
                return;
            }
        };
        if let Some(id) = request.id.clone().filter(|id| self.lanes.has(id)) {
            let message = format!(
                "a request with the id {id} is in flight on this connection; ids must differ"
            );
            self.refuse(Some(id), TaskFailure::new(ErrorCode::BadRequest, message));
            return;
        }
        if request.function == hello::HELLO {
            if let Err(failure) = self.member.hello(&request, &self.inbox) {
                self.refuse(request.id, failure);
                self.input.turn_away();
                return;
            }
            self.leaves_at = None;
        }
        match self
            .shared
            .door
            .admit(request, self.member.pass(), line.len(), received)
        {
            Err((id, failure)) => self.refuse(id, failure),
            Ok(admitted) if admitted.request.id.is_some() => self.start(admitted),
            Ok(mut admitted) => {
                keep(&mut admitted.request.args);
                self.lanes.wait(Turn::Start(Box::new(admitted)));
            }
        }
    }

    /// Answers a line that becomes no task: at once where it has an id, in its turn where it has none.
    fn refuse(&mut self, id: Option<RequestId>, failure: TaskFailure) {
        self.shared.door.count_refused();
        if id.is_some() {
            self.reply(id, Err(failure));
        } else {
            self.lanes.wait(Turn::Refused(failure));
        }
    }

    /// Lets the lane without ids go on until a request of it runs.
    fn take_turns(&mut self) {
        while let Some(turn) = self.lanes.next_turn() {
            match turn {
                Turn::Refused(failure) => self.reply(None, Err(failure)),
                Turn::Start(admitted) => self.start(*admitted),
            }
        }
    }

    /// Starts a request, or answers it.
    fn start(&mut self, admitted: Admitted) {
        let Admitted {
            mut request,
            ticket,
            in_flight,
            busy,
        } = admitted;
        let number = self.shared.door.next_number();
        let client = Arc::clone(&self.inbox) as Arc<dyn Client>;
        let (id, started) = if request.is_for_host() {
            // What it asks about includes those.
            self.begin();
            let started = match self
                .shared
                .admin
                .start(number, &request, ticket.caller(), client)
            {
                Ok(Started::Soon) => Ok(Ends::Soon),
                Ok(Started::Watch(stop)) => Ok(Ends::Watch(stop)),
                Ok(Started::Cancel(id)) => Err(Ok(self.cancel(&id))),
                Err(failure) => Err(Err(failure)),
            };
            (request.id, started)
        } else if request.background.is_some() {
            let id = request.id.take();
            let begun = self.shared.door.enqueue(number, request, ticket, client);
            (id, begun.map(|()| Ends::Soon).map_err(Err))
        } else {
            let id = request.id.take();
            let routed = self.shared.door.route(number, request, ticket, client);
            let started = routed.map(|task| self.begun.push_back(task));
            (id, started.map(|()| Ends::Task).map_err(Err))
        };
        match started {
            Ok(ends) => {
                let running = Running {
                    ends,
                    _in_flight: in_flight,
                    _busy: busy,
                };
                self.lanes.started(number, id, running);
            }
            Err(outcome) => self.reply(id, outcome),
        }
    }

    /// Ends the request of this id, if it is in flight and can be ended.
    fn cancel(&mut self, id: &RequestId) -> Bytes {
        let found = self.lanes.find(id);
        match found.map(|(number, running)| (number, &running.ends)) {
            Some((number, Ends::Task)) => {
                self.inbox.cancel(number);
                self.shared.door.cancel(number);
            }
            Some((_, Ends::Watch(stop))) => stop.stop(),
            Some((_, Ends::Soon)) | None => return Bytes::from_static(b"{\"cancelled\":false}"),
        }
        Bytes::from_static(b"{\"cancelled\":true}")
    }

    // ---- replies out ----

    fn take_arrived(&mut self) {
        self.puts_off = self.output.is_full();
        let Arrived {
            progress,
            events,
            finished,
        } = if self.puts_off {
            self.inbox.take_finished()
        } else {
            self.inbox.take()
        };
        for (number, name, data) in events {
            if let Some(id) = self.lanes.id(number).cloned() {
                let line = Event { id, name, data };
                self.output.push(|bytes| line.encode(bytes));
            }
        }
        for event in progress {
            if let Some(id) = self.lanes.id(event.key).cloned() {
                let line = Progress {
                    id,
                    done: event.done,
                    total: event.total,
                    message: event.message,
                };
                self.output.push(|bytes| line.encode(bytes));
            }
        }
        for (number, outcome) in finished {
            self.inbox.forget(number);
            if let Some(ended) = self.lanes.ended(number) {
                self.reply(ended.id, outcome);
            }
        }
    }

    fn reply(&mut self, id: Option<RequestId>, outcome: Outcome) {
        if self.output.is_gone() {
            count(&self.shared.stats.replies_dropped);
        } else {
            self.output
                .push(|bytes| Reply { id, outcome }.encode(bytes));
            if self.input.is_ended() {
                self.replies_after_end += 1;
            }
        }
    }

    /// Counts the replies that were written to a client which had gone.
    fn count_unread(&mut self) {
        let unread = std::mem::take(&mut self.replies_after_end);
        self.shared
            .stats
            .replies_dropped
            .fetch_add(unread, Ordering::Relaxed);
    }

    fn check_output(&mut self) {
        if self.output.len() > self.shared.limits.output_len_max {
            tracing::warn!(
                unread = self.output.len(),
                "a client was closed that doesn't read its replies (output_len_max)"
            );
            self.client_gone();
        } else if self.output.is_gone() {
            self.replies_unread();
        }
        self.share.set(self.output.len());
        if self.share.is_taken() {
            tracing::warn!(
                unread = self.output.len(),
                "a client was closed that has more unread replies than any other, while all together have too many (replies_len_max)"
            );
            self.client_gone();
            self.share.set(0);
        }
    }

    /// The client has gone, or is given up: nothing more is read. What was received still runs.
    fn client_gone(&mut self) {
        self.replies_unread();
        self.input.end();
    }

    /// Nobody reads any more: replies are dropped. What the client had sent before is still read, and runs; it ends where
    /// the client's sending has.
    fn replies_unread(&mut self) {
        for running in self.lanes.states() {
            if let Ends::Watch(stop) = &running.ends {
                stop.stop();
            }
        }
        self.count_unread();
        self.output.give_up();
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
