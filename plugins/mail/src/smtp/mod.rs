//! A blocking SMTP client for many messages: pooled connections, PIPELINING, an answer for every recipient.
//!
//! At most once: a message is sent again only to those who can't have got it: because the connection broke before it was
//! handed over, then at once; or because the server said "not now", then as `limits` has it. `dialogue`, `handshake`,
//! `limits`, `reply` and `wire` do no I/O; `stream` and `connection` do all of it.

mod connection;
mod dialogue;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod handshake;
mod limits;
mod outgoing;
mod pool;
mod relay;
mod reply;
mod settings;
mod stream;
mod tls;
mod wire;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use self::{
    connection::Welcome,
    error::Error,
    outgoing::{Answer, Answers, Outgoing},
    reply::Reply,
    settings::{Credentials, Settings, TlsMode},
    tls::TlsSettings,
};
use self::{
    connection::{Connection, Ended},
    limits::Limits,
    pool::Pool,
    relay::Relay,
    stream::IsStopped,
};
use crate::message::Message;

/// How many connections in a row may fail before any message on them is answered.
const FAILURES_MAX: usize = 3;

/// Many messages: where they come from, and where their results go.
pub(crate) trait Mails {
    /// The next message, `None` when there are no more.
    fn next(&mut self) -> Option<Outgoing>;

    /// What became of a message.
    fn result(&mut self, mail: Outgoing, result: Result<Answers, Error>);

    /// A message that was taken and can't be sent for now; whoever is still open in it has got nothing of it.
    fn give_back(&mut self, mail: Outgoing);

    /// Whether nobody else sends these messages: then a server that wants no connection now is waited for.
    fn is_last(&self) -> bool;
}

pub(crate) struct Client {
    settings: Arc<Settings>,
    pool: Pool,
    limits: Limits,
}

impl Client {
    /// Connects only when there is something to send.
    pub(crate) fn new(settings: Settings) -> Self {
        let pool = Pool::new(settings.connections, settings.idle_timeout);
        Self {
            pool,
            limits: Limits::new(settings.messages_per_second_max),
            settings: Arc::new(settings),
        }
    }

    /// How many connections may be used at once.
    pub(crate) fn connections(&self) -> usize {
        self.settings.connections
    }

    /// Host and port of the server.
    pub(crate) fn server(&self) -> &str {
        &self.settings.server
    }

    /// Connects, greets, logs in and takes leave: what the server says of itself. A message, if any, is held against
    /// what the server takes.
    pub(crate) fn check(
        &self,
        message: Option<&Message>,
        is_stopped: IsStopped<'_>,
    ) -> Result<Welcome, Error> {
        let connection = Connection::open(&self.settings, is_stopped)?;
        let fit = message.map_or(Ok(()), |message| connection.check(message));
        let welcome = connection.welcome();
        connection.quit();
        fit.map(|()| welcome)
    }

    /// Sends one message. After `until`, the server is not tried again.
    pub(crate) fn send(
        &self,
        message: Message,
        until: Option<Instant>,
        is_stopped: IsStopped<'_>,
    ) -> Result<Answers, Error> {
        let mut one = One {
            mail: Some(Outgoing::new(0, message)),
            result: None,
        };
        let ended = self.send_all(&mut one, until, is_stopped);
        // What is known of the message says more than why the connection ended.
        match (one.result, ended, one.mail) {
            (Some(result), ..) => result,
            (None, Err(error), Some(mut mail)) => mail.conclude(error),
            (None, Err(error), None) => Err(error),
            (None, Ok(()), _) => Err(Error::Stopped),
        }
    }

    /// Sends messages over one connection at a time, until there are none left. The error says why it can't go on; it
    /// is not about any message whose result was reported.
    pub(crate) fn send_all(
        &self,
        mails: &mut dyn Mails,
        until: Option<Instant>,
        is_stopped: IsStopped<'_>,
    ) -> Result<(), Error> {
        let mut relay = Relay::new(mails, &self.limits, self.settings.retry_for, until);
        let mut failures = 0;
        if is_stopped() {
            return Err(Error::Stopped);
        }
        loop {
            // After a failure only a fresh connection will do: the others in the pool may be as old as the lost one.
            let pooled = if failures == 0 && relay.may_reuse() {
                self.pool.take()
            } else {
                None
            };
            let opened = pooled.map_or_else(|| Connection::open(&self.settings, is_stopped), Ok);
            let mut connection = match opened {
                Ok(connection) => connection,
                Err(error) if relay.may_knock_again(&error) => {
                    tracing::debug!(%error, "the server is waited for");
                    relay.pause(is_stopped)?;
                    continue;
                }
                Err(error) => {
                    relay.give_back();
                    return Err(error);
                }
            };
            relay.connected();
            match connection.exchange(&mut relay, is_stopped) {
                Ok(ended) => {
                    failures = 0;
                    if ended == Ended::Idle && relay.may_reuse() {
                        self.pool.put(connection);
                        return Ok(());
                    }
                    connection.quit();
                }
                Err(error) => {
                    tracing::debug!(%error, "connection failed");
                    failures = relay.sort_out(&error, failures);
                    if matches!(error, Error::Stopped) || failures >= FAILURES_MAX {
                        relay.give_back();
                        return Err(error);
                    }
                }
            }
            if !relay.has_more() {
                return Ok(());
            }
            relay.pause(is_stopped)?;
        }
    }
}

/// How long before its end a task stops trying again, so that there is time to tell what came of it.
pub(crate) fn report_time(remaining: Duration) -> Duration {
    REPORT_TIME.min(remaining / 4)
}

/// Long enough to wait for what is under way, and to report. Once its time is up, the host answers for a task, and knows
/// nothing of what was sent.
const REPORT_TIME: Duration = Duration::from_millis(1500);

struct One {
    mail: Option<Outgoing>,
    result: Option<Result<Answers, Error>>,
}

impl Mails for One {
    fn next(&mut self) -> Option<Outgoing> {
        self.mail.take()
    }

    fn result(&mut self, _: Outgoing, result: Result<Answers, Error>) {
        self.result = Some(result);
    }

    fn give_back(&mut self, mail: Outgoing) {
        self.mail = Some(mail);
    }

    fn is_last(&self) -> bool {
        true
    }
}
