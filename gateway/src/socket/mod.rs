//! One WebSocket: what its client says goes to the session, what the session has to tell goes to the client.

mod close;
mod frames;
mod goodbye;
mod metered;

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use protocol::{ErrorCode, Request, RequestId, TaskFailure};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

pub(crate) use self::close::Close;
use self::metered::Metered;
use crate::access::Identity;
use crate::app::{Gateway, Phase};
use crate::config::Config;
use crate::limits::{ConnectionBucket, ConnectionPermit, TaskPermit, overloaded};
use crate::message::{self, ClientMessage, Control, Hello, HelloLimits};
use crate::session::{Session, TaskKey};
use crate::upstream::Submit;

/// The subprotocol with sessions.
pub(crate) const TASKS_V1: &str = "tasks.v1";
/// Read at once. More costs memory for each connection, and is no faster for messages of usual length.
const READ_BUFFER_LEN: usize = 4 * 1024;
/// Messages that are taken before it is looked whether there is something to tell.
const MESSAGES_AT_ONCE: usize = 64;
/// After so many messages, or bytes, the client is asked what it has.
const ASKED_EACH_COUNT: usize = 128;
const ASKED_EACH_LEN: usize = 256 * 1024;
/// Requests without ids that wait for their turn; beyond it nothing more is read.
const TURNS_MAX: usize = 1024;

/// How the client wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    TasksV1,
    Plain,
}

/// What is known of a client when its socket opens.
#[derive(Debug)]
pub(crate) struct Client {
    /// None: it has yet to say who it is.
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) mode: Mode,
    pub(crate) permit: ConnectionPermit,
}

/// Speaks with a client until either wants no more.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send>(
    gateway: Arc<Gateway>,
    stream: S,
    read_already: Bytes,
    client: Client,
) {
    let message_len_max = gateway.config.limits.message_len_max;
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_LEN)
        .max_message_size(Some(message_len_max))
        .max_frame_size(Some(message_len_max));
    // In a buffer of its own, since the original is in one of 8 KiB, which would be kept. Those that follow it when it is
    // full are as large as this one.
    let mut ahead = Vec::with_capacity(READ_BUFFER_LEN.max(read_already.len()));
    ahead.extend_from_slice(&read_already);
    drop(read_already);
    let is_known = client.identity.is_some();
    let stream = Metered::new(stream, &ahead, client.permit.incoming(), is_known);
    let mut socket =
        WebSocketStream::from_partially_read(stream, ahead, Role::Server, Some(config)).await;
    // Each part in a box of its own, which goes when the part is over: idle clients are many.
    let close = Box::pin(speak(&gateway, &mut socket, client)).await;
    Box::pin(goodbye::end(socket, close)).await;
}

/// All of it but the goodbye.
async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send>(
    gateway: &Gateway,
    socket: &mut WebSocketStream<Metered<S>>,
    client: Client,
) -> Close {
    let Client {
        identity,
        mode,
        mut permit,
    } = client;
    let (identity, first) = match identity {
        Some(identity) => (identity, None),
        None => match Box::pin(introduce(gateway, socket)).await {
            Ok((identity, control)) => (identity, Some(control)),
            Err(close) => return close,
        },
    };
    if let Some(user) = &identity.user
        && permit.of_user(user).is_err()
    {
        return Close::TooMany;
    }
    let Some(session) = open(gateway, mode, identity) else {
        return Close::Internal;
    };
    let mut conversation = Conversation::new(gateway, socket, session, mode, permit);
    conversation.run(first).await
}

/// Waits for the message that says who the client is; what else it said in it.
async fn introduce<S: AsyncRead + AsyncWrite + Unpin>(
    gateway: &Gateway,
    socket: &mut WebSocketStream<Metered<S>>,
) -> Result<(Arc<Identity>, Control), Close> {
    let said = async {
        loop {
            match next(socket).await {
                Some(Ok(Message::Text(text))) => return Ok(Bytes::from(text)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Binary(_) | Message::Frame(_))) => return Err(Close::Binary),
                Some(Ok(Message::Close(_))) | None => return Err(Close::ByClient),
                Some(Err(error)) => return Err(fault(&error)),
            }
        }
    };
    let text = timeout(gateway.config.limits.auth_timeout, said)
        .await
        .map_err(|_| Close::AuthTimeout)??;
    let Ok(ClientMessage::Control(mut control)) = ClientMessage::parse(&text) else {
        return Err(Close::Unauthorized);
    };
    let identity = control
        .token
        .take()
        .and_then(|token| gateway.config.access.authenticate(&token).ok())
        .ok_or(Close::Unauthorized)?;
    socket.get_mut().introduced();
    Ok((Arc::new(identity), control))
}

fn open(gateway: &Gateway, mode: Mode, identity: Arc<Identity>) -> Option<Arc<Session>> {
    match mode {
        Mode::TasksV1 => gateway.sessions.open(identity).ok(),
        Mode::Plain => {
            let notify_text = gateway.config.notify_text.as_deref().map(Utf8Bytes::from);
            Some(gateway.sessions.open_plain(identity, notify_text))
        }
    }
}

/// The next message, which is no longer on its way in.
async fn next<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<Metered<S>>,
) -> Option<Result<Message, Error>> {
    let said = socket.next().await;
    if let Some(Ok(message)) = &said {
        socket.get_mut().became(message);
    }
    said
}

/// What an error on a socket means to its client.
fn fault(error: &Error) -> Close {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Close::TooLong,
        Error::Utf8(_) => Close::NotUtf8,
        Error::Protocol(_) => Close::Protocol,
        Error::Io(error) if error.kind() == io::ErrorKind::QuotaExceeded => Close::TooMany,
        Error::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Close::Unauthorized,
        Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed => Close::ByClient,
        _ => Close::Protocol,
    }
}

/// A request without id: its answer is known by its place alone.
#[derive(Debug)]
enum Turn {
    Task(Request, TaskPermit),
    Refused(TaskFailure),
}

/// Messages, and their length.
#[derive(Clone, Copy, Debug, Default)]
struct Amount {
    count: usize,
    len: usize,
}

impl Amount {
    /// Whether the client should say what it has, so that no more need be kept.
    fn is_much(self, config: &Config) -> bool {
        let kept = config.session.limits.log;
        self.count >= ASKED_EACH_COUNT.min(kept.count_max / 4)
            || self.len >= ASKED_EACH_LEN.min(kept.len_max / 4)
    }
}

struct Conversation<'c, S> {
    gateway: &'c Gateway,
    socket: &'c mut WebSocketStream<Metered<S>>,
    session: Arc<Session>,
    /// Its number in the session.
    number: u64,
    mode: Mode,
    permit: ConnectionPermit,
    bucket: ConnectionBucket,
    turns: VecDeque<Turn>,
    /// Pings of the heartbeat since the client said anything.
    missed: u32,
    /// The last message that was sent.
    sent: u64,
    /// The last message that had been sent when the client was asked what it has, and what was sent since.
    asked: u64,
    since_asked: Amount,
    batch: Vec<Utf8Bytes>,
}

impl<'c, S: AsyncRead + AsyncWrite + Unpin> Conversation<'c, S> {
    fn new(
        gateway: &'c Gateway,
        socket: &'c mut WebSocketStream<Metered<S>>,
        session: Arc<Session>,
        mode: Mode,
        permit: ConnectionPermit,
    ) -> Self {
        Self {
            bucket: ConnectionBucket::new(&gateway.config.limits.caps),
            gateway,
            socket,
            session,
            number: 1,
            mode,
            permit,
            turns: VecDeque::new(),
            missed: 0,
            sent: 0,
            asked: 0,
            since_asked: Amount::default(),
            batch: Vec::new(),
        }
    }

    async fn run(&mut self, first: Option<Control>) -> Close {
        if self.mode == Mode::TasksV1 {
            self.hello(false);
        }
        let close = match first.map_or(Ok(()), |control| self.control(control)) {
            Ok(()) => self.converse().await,
            Err(close) => close,
        };
        match (self.mode, close) {
            // Nobody comes back to what was closed on purpose, or never could be found again.
            (Mode::Plain, _) => self.session.end(false),
            (Mode::TasksV1, Close::ByClient | Close::TakenOver) => {
                self.session.detach(self.number);
            }
            (Mode::TasksV1, Close::Unauthorized) => self.gateway.sessions.close(&self.session),
            (Mode::TasksV1, _) => self.session.detach(self.number),
        }
        close
    }

    async fn converse(&mut self) -> Close {
        let heartbeat = self.gateway.config.heartbeat;
        let mut ping_at = pin!(sleep(heartbeat.interval));
        let mut phase = Phase::Serving;
        let mut next_phase = pin!(next_phase(self.gateway.phase(), phase));
        loop {
            // Looked at before writing, so that the last answer is written as well.
            let is_over = match phase {
                Phase::Serving => false,
                Phase::Draining => self.turns.is_empty() && self.session.in_flight_count() == 0,
                Phase::Closing => true,
            };
            if let Err(close) = self.write().await {
                return close;
            }
            if is_over {
                return Close::Restart;
            }
            let expires_in = self.session.identity.expires_in();
            tokio::select! {
                said = next(self.socket), if self.listens() => {
                    if let Err(close) = self.hear_all(said) {
                        return close;
                    }
                }
                () = self.session.changed() => {}
                () = &mut ping_at => {
                    if self.missed >= heartbeat.missed_max && self.listens() {
                        return Close::Gone;
                    }
                    if self.socket.get_ref().is_late(Instant::now().into_std()) {
                        return Close::TooMany;
                    }
                    self.missed += 1;
                    ping_at.as_mut().reset(Instant::now() + heartbeat.interval);
                    if let Err(close) = self.ping().await {
                        return close;
                    }
                }
                new = &mut next_phase => {
                    phase = new;
                    next_phase.set(self::next_phase(self.gateway.phase(), phase));
                }
                () = after(expires_in) => return Close::Unauthorized,
            }
        }
    }

    // ---- to the client ----

    /// Lets turns begin, and writes what there is to tell.
    async fn write(&mut self) -> Result<(), Close> {
        loop {
            // Each time, since to take what there is to tell is to take the news that a turn has ended.
            self.take_turns();
            self.sent = self.session.take(self.number, &mut self.batch)?;
            if self.batch.is_empty() {
                break;
            }
            for message in self.batch.drain(..) {
                self.since_asked.count += 1;
                self.since_asked.len += message.len();
                // The buffer is bounded by what the session gives at once.
                let fed = self.socket.feed(Message::Text(message)).await;
                fed.map_err(|error| fault(&error))?;
            }
            if self.mode == Mode::TasksV1 && self.since_asked.is_much(&self.gateway.config) {
                // What is in the socket's own buffer would be waited for without end.
                self.flush().await?;
                // For those before the last time: what has just arrived at the client's end may not have been looked at.
                self.ask(self.asked).await?;
            }
            self.flush().await?;
        }
        // Idle clients are many.
        if self.batch.capacity() > MESSAGES_AT_ONCE {
            self.batch = Vec::new();
        }
        Ok(())
    }

    /// Waits until the client has taken all, unless it is too slow for that. Takes the news that there is more to tell:
    /// whoever calls this looks for that afterwards.
    async fn flush(&mut self) -> Result<(), Close> {
        if let Some(flushed) = self.socket.flush().now_or_never() {
            return flushed.map_err(|error| fault(&error));
        }
        let heartbeat = self.gateway.config.heartbeat;
        let stalled_after = heartbeat.interval * heartbeat.missed_max;
        let session = &self.session;
        let number = self.number;
        let evicted = async {
            loop {
                session.changed().await;
                if let Err(eviction) = session.check(number) {
                    return eviction;
                }
            }
        };
        tokio::select! {
            flushed = self.socket.flush() => flushed.map_err(|error| fault(&error)),
            eviction = evicted => Err(eviction.into()),
            () = sleep(stalled_after) => Err(Close::Gone),
        }
    }

    /// Asks the client whether it is there, and has everything up to now.
    async fn ping(&mut self) -> Result<(), Close> {
        self.ask(self.sent).await?;
        self.flush().await
    }

    /// Puts a ping after what is sent, whose answer says that the client has everything up to that message.
    async fn ask(&mut self, seq: u64) -> Result<(), Close> {
        let payload = Bytes::copy_from_slice(&seq.to_be_bytes());
        let fed = self.socket.feed(Message::Ping(payload)).await;
        self.asked = self.sent;
        self.since_asked = Amount::default();
        fed.map_err(|error| fault(&error))
    }

    fn hello(&self, resumed: bool) {
        let config = &self.gateway.config;
        let catalogue = self.gateway.upstream.catalogue();
        let catalogue = catalogue.borrow();
        let identity = &self.session.identity;
        let functions = catalogue
            .functions
            .keys()
            .map(String::as_str)
            .filter(|name| identity.may_call(name))
            .collect();
        self.session.greet(|seq, in_flight| {
            let hello = Hello {
                session: self.session.token.as_str(),
                functions,
                limits: HelloLimits {
                    message_len_max: config.limits.message_len_max,
                    in_flight_max: config.limits.caps.connection_in_flight_max,
                    resume_window_ms: millis(config.session.resume_window),
                    heartbeat_ms: millis(config.heartbeat.interval),
                },
                resumed,
                in_flight,
                expires_in_ms: identity.expires_in().map(millis),
            };
            message::hello(seq, &hello)
        });
    }

    // ---- from the client ----

    /// Takes what the client has said, and what else it has said meanwhile.
    fn hear_all(&mut self, said: Option<Result<Message, Error>>) -> Result<(), Close> {
        self.hear(said)?;
        for _ in 1..MESSAGES_AT_ONCE {
            if !self.listens() {
                break;
            }
            match next(self.socket).now_or_never() {
                Some(said) => self.hear(said)?,
                None => break,
            }
        }
        Ok(())
    }

    fn hear(&mut self, said: Option<Result<Message, Error>>) -> Result<(), Close> {
        self.missed = 0;
        match said {
            Some(Ok(Message::Text(text))) => self.text(&text.into()),
            Some(Ok(Message::Pong(payload))) => {
                if let Ok(seen) = <[u8; 8]>::try_from(&payload[..]) {
                    self.session.acknowledge(u64::from_be_bytes(seen));
                }
                Ok(())
            }
            Some(Ok(Message::Ping(_))) => Ok(()),
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => Err(Close::Binary),
            Some(Ok(Message::Close(_))) | None => Err(Close::ByClient),
            Some(Err(error)) => Err(fault(&error)),
        }
    }

    fn text(&mut self, text: &Bytes) -> Result<(), Close> {
        self.session.check(self.number)?;
        match self.mode {
            Mode::TasksV1 => match ClientMessage::parse(text) {
                Ok(ClientMessage::Task(request)) => self.task(*request, text.len()),
                Ok(ClientMessage::Control(control)) => return self.control(control),
                Err((id, message)) => {
                    self.refuse(id, TaskFailure::new(ErrorCode::BadRequest, message));
                }
            },
            Mode::Plain => match Request::parse(text) {
                Ok(request) if request.id.is_some() => self.task(request, text.len()),
                Ok(request) => {
                    let turn = match self.admit(&request, text.len()) {
                        Ok(permit) => Turn::Task(request, permit),
                        Err(failure) => Turn::Refused(failure),
                    };
                    self.turns.push_back(turn);
                }
                Err(bad) if bad.id.is_some() => {
                    self.refuse(bad.id, TaskFailure::new(ErrorCode::BadRequest, bad.message));
                }
                Err(bad) => {
                    let failure = TaskFailure::new(ErrorCode::BadRequest, bad.message);
                    self.turns.push_back(Turn::Refused(failure));
                }
            },
        }
        Ok(())
    }

    /// Whether more is taken from the client.
    fn listens(&self) -> bool {
        self.turns.len() < TURNS_MAX
    }

    /// Lets the next request without an id begin, when the one before it has ended.
    fn take_turns(&mut self) {
        while self.session.is_turn_free() {
            match self.turns.pop_front() {
                None => break,
                Some(Turn::Refused(failure)) => self.refuse(None, failure),
                Some(Turn::Task(request, permit)) => {
                    if let Err(failure) = self.begin(request, permit) {
                        self.refuse(None, failure);
                    }
                }
            }
        }
    }

    fn task(&mut self, request: Request, len: usize) {
        let id = request.id.clone();
        let in_flight_max = self.gateway.config.limits.caps.connection_in_flight_max;
        let begun = if self.session.in_flight_count() >= in_flight_max {
            let message = format!(
                "this connection may have {in_flight_max} tasks in flight; wait for one of them"
            );
            Err(overloaded(&message, None))
        } else {
            self.admit(&request, len)
                .and_then(|permit| self.begin(request, permit))
        };
        if let Err(failure) = begun {
            self.refuse(id, failure);
        }
    }

    /// Whether the client may call that, now.
    fn admit(&mut self, request: &Request, len: usize) -> Result<TaskPermit, TaskFailure> {
        let identity = &self.session.identity;
        self.gateway.check_call(identity, &request.function)?;
        self.bucket.take()?;
        self.permit.task(len)
    }

    fn begin(&mut self, request: Request, permit: TaskPermit) -> Result<(), TaskFailure> {
        let Request {
            id,
            function,
            args,
            timeout,
            progress,
        } = request;
        let access = &self.gateway.config.access;
        let args = access.fill(&self.session.identity, &args)?;
        let key = id.clone().map_or(TaskKey::Turn, TaskKey::Id);
        let Ok(begun) = self.session.begin(self.number, key, progress, permit) else {
            // It came too late, and was never there: the next look at the session ends this socket.
            return Ok(());
        };
        let Some(task) = begun else {
            let id = id.map_or_else(String::new, |id| id.to_string());
            let message = format!("a task with the id {id} is in flight; ids must differ");
            return Err(TaskFailure::new(ErrorCode::BadRequest, message));
        };
        let submit = Submit::new(function.into(), args, timeout, progress);
        self.gateway.submit(submit, task);
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<(), Close> {
        let Control {
            cancel,
            resume,
            seen,
            token,
        } = control;
        if let Some(token) = token {
            self.renew(&token)?;
        }
        if let Some(id) = cancel
            && !self.session.cancel(&id)
        {
            // It may just have ended, and its answer be on the way.
            tracing::debug!(%id, "nothing to cancel");
        }
        match resume {
            Some(token) => self.resume(&token, seen.unwrap_or(0)),
            None => {
                if let Some(seen) = seen {
                    self.session.acknowledge(seen);
                }
            }
        }
        Ok(())
    }

    /// A new token for the same user: the session lasts as long as that.
    fn renew(&mut self, token: &str) -> Result<(), Close> {
        let access = &self.gateway.config.access;
        if !access.is_required() {
            return Ok(());
        }
        let identity = access
            .authenticate(token)
            .map_err(|_| Close::Unauthorized)?;
        if !identity.is_same_user(&self.session.identity) {
            return Err(Close::Unauthorized);
        }
        self.session.identity.renew(&identity);
        let expires_in_ms = identity.expires_in().map(millis);
        self.session
            .tell(|seq| message::renewed(seq, expires_in_ms));
        Ok(())
    }

    /// Goes on with an earlier session in place of the one that this socket began with.
    fn resume(&mut self, token: &str, seen: u64) {
        let resumed = self
            .gateway
            .sessions
            .find(token, &self.session.identity)
            .filter(|session| !Arc::ptr_eq(session, &self.session))
            .and_then(|session| session.resume(seen).ok().map(|number| (session, number)));
        match resumed {
            Some((session, number)) => {
                // Whoever comes back may have a fresher token.
                session.identity.renew(&self.session.identity);
                self.gateway.sessions.close(&self.session);
                self.session = session;
                self.number = number;
                self.asked = seen;
                self.since_asked = Amount::default();
                self.gateway.metrics.resumed();
                self.hello(true);
            }
            None => self.session.tell(message::session_lost),
        }
    }

    fn refuse(&self, id: Option<RequestId>, failure: TaskFailure) {
        self.gateway.metrics.refused();
        self.session.refuse(id, failure);
    }
}

/// Waits for the phase that comes after that one.
async fn next_phase(mut phases: watch::Receiver<Phase>, phase: Phase) -> Phase {
    match phases.wait_for(|now| *now > phase).await {
        Ok(next) => *next,
        // The gateway is gone.
        Err(_) => Phase::Closing,
    }
}

/// Waits so long, or for ever.
async fn after(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
