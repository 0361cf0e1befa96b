//! Speaking with a client that is known: what it says goes to the session, what the session has to tell goes to it.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt};
use protocol::{ErrorCode, Request, TaskFailure};
use service::life::{Phase, Phases};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::Mode;
use super::close::Close;
use super::flow::Flow;
use super::messages::{Socket, fault, next};
use super::requests::{Attached, Requests};
use super::settings::Settings;
use crate::gateway::Gateway;
use crate::limits::ConnectionPermit;
use crate::message::{self, ClientMessage, Control, Hello, HelloLimits};
use crate::session::Session;

/// Messages that are taken before it is looked whether there is something to tell.
const MESSAGES_AT_ONCE: usize = 64;

pub(super) struct Conversation<'c, S> {
    gateway: &'c Gateway,
    settings: &'c Settings,
    socket: &'c mut Socket<S>,
    client: Attached,
    mode: Mode,
    requests: Requests<'c>,
    flow: Flow,
    /// Messages on their way from the session to the socket.
    batch: Vec<Utf8Bytes>,
}

impl<'c, S: AsyncRead + AsyncWrite + Unpin> Conversation<'c, S> {
    pub(super) fn new(
        gateway: &'c Gateway,
        settings: &'c Settings,
        socket: &'c mut Socket<S>,
        session: Arc<Session>,
        mode: Mode,
        permit: ConnectionPermit,
    ) -> Self {
        Self {
            gateway,
            settings,
            socket,
            client: Attached { session, number: 1 },
            mode,
            requests: Requests::new(gateway, permit),
            flow: Flow::new(&gateway.sessions.settings().limits),
            batch: Vec::new(),
        }
    }

    /// Speaks with the client until either wants no more. `first` was said with its introduction.
    pub(super) async fn run(&mut self, first: Option<Box<Control>>) -> Close {
        if self.mode == Mode::TasksV1 {
            self.hello(false);
        }
        let begun = match first {
            Some(control) => self.control(control).await,
            None => Ok(()),
        };
        let close = match begun {
            Ok(()) => self.converse().await,
            Err(close) => close,
        };
        let Attached { session, number } = &self.client;
        match (self.mode, close) {
            // Nobody comes back to what was closed on purpose, or never could be found again.
            (Mode::Plain, _) => session.end(false),
            (Mode::TasksV1, Close::Unauthorized) => self.gateway.sessions.close(session),
            (Mode::TasksV1, _) => session.detach(*number),
        }
        close
    }

    async fn converse(&mut self) -> Close {
        let heartbeat = self.settings.heartbeat;
        let mut ping_at = pin!(sleep(heartbeat.interval));
        let mut phase = Phase::Serving;
        let mut next_phase = pin!(next_phase(self.gateway.life.phases(), phase));
        loop {
            // Looked at before writing, so that the last answer is written as well.
            let is_over = match phase {
                Phase::Serving => false,
                Phase::Draining => {
                    !self.requests.is_anybodys_turn() && self.client.session.in_flight_count() == 0
                }
                Phase::Closing => true,
            };
            if let Err(close) = self.write().await {
                return close;
            }
            if is_over {
                return Close::Restart;
            }
            let expires_in = self.client.session.identity.expires_in();
            tokio::select! {
                // Nobody is taken for gone whose answers lie there, unread for want of room until now.
                biased;
                () = after(expires_in) => return Close::Unauthorized,
                new = &mut next_phase => {
                    phase = new;
                    next_phase.set(self::next_phase(self.gateway.life.phases(), phase));
                }
                said = next(self.socket), if self.requests.has_room() => {
                    if let Err(close) = self.hear_all(said).await {
                        return close;
                    }
                }
                () = &mut ping_at => {
                    ping_at.as_mut().reset(Instant::now() + heartbeat.interval);
                    if let Err(close) = self.beat().await {
                        return close;
                    }
                }
                () = self.client.session.changed() => {}
            }
        }
    }

    // ---- to the client ----

    /// Lets turns begin, and writes what there is to tell.
    async fn write(&mut self) -> Result<(), Close> {
        loop {
            // Each time, since to take what there is to tell is to take the news that a turn has ended.
            self.requests.take_turns(&self.client);
            let taken = self
                .client
                .session
                .take(self.client.number, &mut self.batch)?;
            self.flow.sent(taken);
            if self.batch.is_empty() {
                break;
            }
            for message in self.batch.drain(..) {
                self.flow.sending(message.len());
                // The buffer is bounded by what the session gives at once.
                let fed = self.socket.feed(Message::Text(message)).await;
                fed.map_err(|error| fault(&error))?;
            }
            if self.mode == Mode::TasksV1 && self.flow.is_to_ask() {
                // What is in the socket's own buffer would be waited for without end.
                self.flush().await?;
                let seq = self.flow.ask();
                self.ask(seq).await?;
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
        let Attached { session, number } = &self.client;
        let evicted = async {
            loop {
                session.changed().await;
                if let Err(eviction) = session.check(*number) {
                    return eviction;
                }
            }
        };
        tokio::select! {
            flushed = self.socket.flush() => flushed.map_err(|error| fault(&error)),
            eviction = evicted => Err(eviction.into()),
            () = sleep(self.settings.heartbeat.stalled_after()) => Err(Close::Gone),
        }
    }

    /// Asks the client whether it is there, and has everything up to now.
    async fn beat(&mut self) -> Result<(), Close> {
        let missed_max = self.settings.heartbeat.missed_max;
        if self.flow.missed() >= missed_max && self.requests.has_room() {
            return Err(Close::Gone);
        }
        if self.socket.get_ref().is_late(Instant::now().into_std()) {
            return Err(Close::TooMany);
        }
        let seq = self.flow.beat();
        self.ask(seq).await?;
        self.flush().await
    }

    /// Puts a ping after what is sent, whose answer says that the client has everything up to that message.
    async fn ask(&mut self, seq: u64) -> Result<(), Close> {
        let payload = Bytes::copy_from_slice(&seq.to_be_bytes());
        let fed = self.socket.feed(Message::Ping(payload)).await;
        fed.map_err(|error| fault(&error))
    }

    fn hello(&self, resumed: bool) {
        let session = &self.client.session;
        let identity = &session.identity;
        let catalogue = self.gateway.upstream.catalogue();
        let catalogue = catalogue.borrow();
        let functions = catalogue
            .functions
            .keys()
            .map(String::as_str)
            .filter(|name| identity.may_call(name))
            .collect();
        session.greet(|seq, in_flight| {
            let hello = Hello {
                session: session.token.as_str(),
                functions,
                limits: self.limits(),
                resumed,
                in_flight,
                expires_in_ms: identity.expires_in().map(millis),
            };
            message::hello(seq, &hello)
        });
    }

    fn limits(&self) -> HelloLimits {
        let limits = &self.gateway.limits;
        HelloLimits {
            message_len_max: limits.message_len_max,
            in_flight_max: limits.caps.connection_in_flight_max,
            resume_window_ms: millis(self.gateway.sessions.settings().resume_window),
            heartbeat_ms: millis(self.settings.heartbeat.interval),
        }
    }

    // ---- from the client ----

    /// Takes what the client has said, and what else it has said meanwhile.
    async fn hear_all(&mut self, said: Option<Result<Message, Error>>) -> Result<(), Close> {
        if let Some(control) = self.hear(said)? {
            self.control(control).await?;
        }
        for _ in 1..MESSAGES_AT_ONCE {
            if !self.requests.has_room() {
                break;
            }
            match next(self.socket).now_or_never() {
                Some(said) => {
                    if let Some(control) = self.hear(said)? {
                        self.control(control).await?;
                    }
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Takes a message. What is not a task is given back.
    fn hear(
        &mut self,
        said: Option<Result<Message, Error>>,
    ) -> Result<Option<Box<Control>>, Close> {
        self.flow.heard();
        match said {
            Some(Ok(Message::Text(text))) => self.text(&text.into()),
            Some(Ok(Message::Pong(payload))) => {
                if let Ok(seen) = <[u8; 8]>::try_from(&payload[..]) {
                    self.client.session.acknowledge(u64::from_be_bytes(seen));
                }
                Ok(None)
            }
            Some(Ok(Message::Ping(_))) => Ok(None),
            Some(Ok(Message::Binary(_) | Message::Frame(_))) => Err(Close::Binary),
            Some(Ok(Message::Close(_))) | None => Err(Close::ByClient),
            Some(Err(error)) => Err(fault(&error)),
        }
    }

    fn text(&mut self, text: &Bytes) -> Result<Option<Box<Control>>, Close> {
        let client = &self.client;
        client.session.check(client.number)?;
        match self.mode {
            Mode::TasksV1 => match ClientMessage::parse(text) {
                Ok(ClientMessage::Task(request)) => {
                    self.requests.run(client, *request, text.len());
                }
                Ok(ClientMessage::Control(control)) => return Ok(Some(control)),
                Err((id, message)) => {
                    let failure = TaskFailure::new(ErrorCode::BadRequest, message);
                    self.requests.refuse(client, id, failure);
                }
            },
            Mode::Plain => match Request::parse_without_background(text) {
                Ok(request) if request.id.is_some() => {
                    self.requests.run(client, request, text.len());
                }
                Ok(request) => self.requests.run_in_turn(client, request, text.len()),
                Err(bad) => self.requests.refuse_bad(client, bad.id, bad.message),
            },
        }
        Ok(None)
    }

    async fn control(&mut self, control: Box<Control>) -> Result<(), Close> {
        let Control {
            cancel,
            resume,
            seen,
            token,
        } = *control;
        if let Some(token) = token {
            // On the heap, and gone when it is over: it would be a part of every idle socket's memory.
            Box::pin(self.renew(&token)).await?;
        }
        if let Some(id) = cancel
            && !self.client.session.cancel(&id)
        {
            // It may just have ended, and its answer be on the way.
            tracing::debug!(%id, "nothing to cancel");
        }
        match resume {
            Some(token) => self.resume(&token, seen.unwrap_or(0)),
            None => {
                if let Some(seen) = seen {
                    self.client.session.acknowledge(seen);
                }
            }
        }
        Ok(())
    }

    /// Takes a new token for the same user: the session lasts as long as that.
    async fn renew(&mut self, token: &str) -> Result<(), Close> {
        let access = &self.gateway.access;
        if !access.is_required() {
            return Ok(());
        }
        let identity = access.authenticate(token).await?;
        let session = &self.client.session;
        if !identity.is_same_user(&session.identity) {
            return Err(Close::Unauthorized);
        }
        session.identity.renew(&identity);
        let expires_in_ms = identity.expires_in().map(millis);
        session.tell(|seq| message::renewed(seq, expires_in_ms));
        Ok(())
    }

    /// Goes on with an earlier session in place of the one that this socket began with.
    fn resume(&mut self, token: &str, seen: u64) {
        let sessions = &self.gateway.sessions;
        let present = &self.client.session;
        let resumed = sessions
            .find(token, &present.identity)
            .filter(|session| !Arc::ptr_eq(session, present))
            .and_then(|session| session.resume(seen).ok().map(|number| (session, number)));
        let Some((session, number)) = resumed else {
            present.tell(message::session_lost);
            return;
        };
        // Whoever comes back may have a fresher token.
        session.identity.renew(&present.identity);
        sessions.close(present);
        self.client = Attached { session, number };
        self.flow.resumed(seen);
        self.gateway.metrics.resumed();
        self.hello(true);
    }
}

/// Waits for the phase that comes after that one.
async fn next_phase(mut phases: Phases, phase: Phase) -> Phase {
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
