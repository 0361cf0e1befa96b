//! A blocking SMTP client for many messages: pooled connections, PIPELINING, an answer for every recipient.
//!
//! At most once: a message is sent again only when nothing of it can have been accepted, and then at once, on a fresh
//! connection. `dialogue`, `handshake`, `reply` and `wire` do no I/O; `stream` and `connection` do all of it.

mod connection;
mod dialogue;
mod error;
mod handshake;
mod pool;
mod reply;
mod settings;
mod stream;
mod tls;
mod wire;

use std::{collections::VecDeque, sync::Arc};

use self::{
    connection::{Connection, Traffic},
    dialogue::{Finished, Outcome},
    pool::Pool,
    stream::IsStopped,
};
pub(crate) use self::{
    dialogue::Outgoing,
    error::Error,
    reply::Reply,
    settings::{Credentials, Settings, TlsMode},
    tls::TlsSettings,
};
use crate::message::Message;

/// How many connections in a row may fail before any message on them is answered.
const FAILURES_MAX: usize = 3;

/// For every recipient of the envelope: `None` when it was accepted, or the reply that refuses it.
pub(crate) type Answers = Vec<Option<Reply>>;

/// Many messages: where they come from, and where their results go.
pub(crate) trait Mails {
    /// The next message, `None` when there are no more.
    fn next(&mut self) -> Option<Outgoing>;

    /// What became of a message.
    fn result(&mut self, mail: Outgoing, result: Result<Answers, Error>);

    /// A message that was taken and can't be sent for now; nothing of it has reached anybody.
    fn give_back(&mut self, mail: Outgoing);
}

pub(crate) struct Client {
    settings: Arc<Settings>,
    pool: Pool,
}

impl Client {
    /// Connects only when there is something to send.
    pub(crate) fn new(settings: Settings) -> Self {
        let pool = Pool::new(settings.connections, settings.idle_timeout);
        Self {
            settings: Arc::new(settings),
            pool,
        }
    }

    /// How many connections may be used at once.
    pub(crate) fn connections(&self) -> usize {
        self.settings.connections
    }

    /// Sends one message.
    pub(crate) fn send(
        &self,
        message: Message,
        is_stopped: IsStopped<'_>,
    ) -> Result<Answers, Error> {
        let mut one = One {
            mail: Some(Outgoing { tag: 0, message }),
            result: None,
        };
        let ended = self.send_all(&mut one, is_stopped);
        // What is known of the message says more than why the connection ended.
        match (one.result, ended) {
            (Some(result), _) => result,
            (None, Err(error)) => Err(error),
            (None, Ok(())) => Err(Error::Stopped),
        }
    }

    /// Sends messages over one connection at a time, until there are none left. The error says why it can't go on; it
    /// is not about any message whose result was reported.
    pub(crate) fn send_all(
        &self,
        mails: &mut dyn Mails,
        is_stopped: IsStopped<'_>,
    ) -> Result<(), Error> {
        let mut relay = Relay {
            mails,
            again: VecDeque::new(),
            lost: Vec::new(),
            has_answer: false,
        };
        let mut failures = 0;
        if is_stopped() {
            return Err(Error::Stopped);
        }
        loop {
            // After a failure only a fresh connection will do: the others in the pool may be as old as the lost one.
            let pooled = if failures == 0 {
                self.pool.take()
            } else {
                None
            };
            let opened = pooled.map_or_else(|| Connection::open(&self.settings, is_stopped), Ok);
            let mut connection = opened.inspect_err(|_| relay.give_back())?;
            relay.has_answer = false;
            let Err(error) = connection.exchange(&mut relay, is_stopped) else {
                self.pool.put(connection);
                return Ok(());
            };
            tracing::debug!(%error, "connection failed");
            failures = if relay.has_answer { 1 } else { failures + 1 };
            relay.sort_out(&error);
            if matches!(error, Error::Stopped) || failures >= FAILURES_MAX {
                relay.give_back();
                return Err(error);
            }
            if !relay.has_more() {
                return Ok(());
            }
        }
    }
}

/// Between the caller's messages and one connection after the other.
struct Relay<'a> {
    mails: &'a mut dyn Mails,
    /// They are sent again before any others.
    again: VecDeque<Outgoing>,
    /// They were in a connection that failed.
    lost: Vec<Finished>,
    has_answer: bool,
}

impl Relay<'_> {
    fn sort_out(&mut self, error: &Error) {
        for Finished { mail, outcome } in self.lost.drain(..) {
            match outcome {
                Outcome::Answered(answers) => self.mails.result(mail, Ok(answers)),
                Outcome::Unanswered => {
                    self.mails.result(
                        mail,
                        Err(Error::Unanswered {
                            cause: Box::new(error.clone()),
                        }),
                    );
                }
                Outcome::Returned { is_first: true } if !matches!(error, Error::Stopped) => {
                    self.mails.result(mail, Err(error.clone()));
                }
                Outcome::Returned { .. } => self.again.push_back(mail),
            }
        }
    }

    fn has_more(&mut self) -> bool {
        if self.again.is_empty() {
            self.again.extend(self.mails.next());
        }
        !self.again.is_empty()
    }

    fn give_back(&mut self) {
        self.again
            .drain(..)
            .for_each(|mail| self.mails.give_back(mail));
    }
}

impl Traffic for Relay<'_> {
    fn next(&mut self) -> Option<Outgoing> {
        self.again.pop_front().or_else(|| self.mails.next())
    }

    fn unfit(&mut self, mail: Outgoing, error: Error) {
        self.mails.result(mail, Err(error));
    }

    fn finished(&mut self, finished: Finished) {
        match finished {
            Finished {
                mail,
                outcome: Outcome::Answered(answers),
            } => {
                self.has_answer = true;
                self.mails.result(mail, Ok(answers));
            }
            lost => self.lost.push(lost),
        }
    }
}

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

    fn give_back(&mut self, _: Outgoing) {}
}
