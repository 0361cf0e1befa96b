//! A connection that takes messages: the dialogue, with its bytes moved and its patience limited.

use std::{
    io::{self, Read, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    dialogue::{Dialogue, Finished, Violation},
    error::Error,
    handshake::{Handshake, Step},
    outgoing::Outgoing,
    reply::{Reply, ReplyError, ReplyParser},
    settings::{Settings, TlsMode},
    stream::{IsStopped, SLICE, Stream, is_pause},
    tls,
    wire::Extensions,
};
use crate::message::Message;

/// How long a stopped task still waits for the verdict on a message that is handed over: better than not knowing.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Where an exchange gets its messages from, and where it leaves them.
pub(crate) trait Traffic {
    /// The next message.
    fn next(&mut self) -> Taken;

    /// How many recipients a transaction may have.
    fn recipients_max(&self) -> usize;

    /// A message that the server will not get from here: too long for it, or in need of what it can't do.
    fn unfit(&mut self, mail: Outgoing, error: Error);

    /// What became of a message.
    fn finished(&mut self, finished: Finished);
}

pub(crate) enum Taken {
    Mail(Outgoing),
    /// There is one, and its turn comes then.
    NotBefore(Instant),
    Nothing,
}

/// Why an exchange ended in good order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// There are no more messages.
    Idle,
    /// The session has had as many messages as it may.
    Exhausted,
}

/// What a server said of itself, and how the connection to it stands.
#[derive(Debug)]
pub(crate) struct Welcome {
    /// The version, where there is TLS.
    pub(crate) tls: Option<&'static str>,
    /// The mechanism by which it knows us, where there are credentials.
    pub(crate) auth: Option<&'static str>,
    /// The lines of its reply to EHLO, without the first one.
    pub(crate) extensions: Vec<String>,
}

pub(crate) struct Connection {
    settings: Arc<Settings>,
    line: Line,
    dialogue: Dialogue,
    auth: Option<&'static str>,
    /// How many messages it may still take.
    messages_left: usize,
    /// When it was last of use.
    pub(crate) used_at: Instant,
    out: Vec<u8>,
}

impl Connection {
    /// Connects, greets, begins TLS and logs in, as the settings have it.
    pub(crate) fn open(settings: &Arc<Settings>, is_stopped: IsStopped<'_>) -> Result<Self, Error> {
        let mut line = Line::new(Stream::connect(settings, is_stopped)?, settings);
        let is_secure = settings.tls_mode == TlsMode::Implicit;
        if is_secure {
            line = line.secure(is_stopped)?;
        }
        let (line, extensions, auth) = shake_hands(line, is_secure, is_stopped)?;
        tracing::debug!(server = %settings.server, ?extensions, "connected");
        let limits = [
            settings.messages_per_connection_max,
            extensions.messages_max,
        ];
        Ok(Self {
            settings: settings.clone(),
            line,
            auth,
            messages_left: limits.into_iter().flatten().min().unwrap_or(usize::MAX),
            dialogue: Dialogue::new(extensions),
            used_at: Instant::now(),
            out: Vec::new(),
        })
    }

    /// Sends messages until there are none left, or the session has had its number. After an error the connection is of
    /// no more use; what was in it has been given back.
    pub(crate) fn exchange(
        &mut self,
        traffic: &mut dyn Traffic,
        is_stopped: IsStopped<'_>,
    ) -> Result<Ended, Error> {
        loop {
            let mut not_before = None;
            while not_before.is_none() && self.messages_left > 0 && self.dialogue.wants_mail() {
                match traffic.next() {
                    Taken::Nothing => break,
                    Taken::NotBefore(at) => not_before = Some(at),
                    Taken::Mail(mail) => match self.check(&mail.message) {
                        Ok(()) => {
                            self.messages_left -= 1;
                            let of_server = self.dialogue.extensions().recipients_max;
                            let of_server = of_server.unwrap_or(usize::MAX);
                            let recipients_max = traffic.recipients_max().min(of_server);
                            self.dialogue.start(mail, recipients_max);
                        }
                        Err(error) => traffic.unfit(mail, error),
                    },
                }
            }
            if self.dialogue.is_idle() {
                match not_before {
                    Some(_) if is_stopped() => return Err(Error::Stopped),
                    Some(at) => {
                        thread::sleep(at.saturating_duration_since(Instant::now()).min(SLICE));
                        continue;
                    }
                    None => {}
                }
                self.used_at = Instant::now();
                return Ok(if self.messages_left == 0 {
                    Ended::Exhausted
                } else {
                    Ended::Idle
                });
            }
            let mut is_handed_over = false;
            let result = if is_stopped() {
                Err(Error::Stopped)
            } else {
                self.turn(traffic, &mut is_handed_over, is_stopped)
            };
            if let Err(error) = result {
                self.dialogue
                    .lost(is_handed_over)
                    .into_iter()
                    .for_each(|finished| traffic.finished(finished));
                return Err(error);
            }
        }
    }

    /// Whether the server takes such a message.
    pub(crate) fn check(&self, message: &Message) -> Result<(), Error> {
        let server = || self.settings.server.clone();
        let extensions = self.dialogue.extensions();
        let len = message.bytes.len();
        match extensions.size {
            Some(len_max @ 1..) if len as u64 > len_max => Err(Error::TooLong {
                server: server(),
                len,
                len_max,
            }),
            _ if message.needs_utf8 && !extensions.smtp_utf8 => {
                Err(Error::NoUtf8 { server: server() })
            }
            _ if message.needs_8bit && !extensions.eight_bit_mime => {
                Err(Error::No8Bit { server: server() })
            }
            _ => Ok(()),
        }
    }

    /// What the server said of itself.
    pub(crate) fn welcome(&self) -> Welcome {
        Welcome {
            tls: self.line.stream.tls_version(),
            auth: self.auth,
            extensions: self.dialogue.extensions().lines.clone(),
        }
    }

    /// One write, and all the replies it brings.
    fn turn(
        &mut self,
        traffic: &mut dyn Traffic,
        is_handed_over: &mut bool,
        is_stopped: IsStopped<'_>,
    ) -> Result<(), Error> {
        self.out.clear();
        let handed_over_at = self.dialogue.push_output(&mut self.out);
        let (written_len, result) =
            self.line
                .write(&self.out, self.settings.command_timeout, is_stopped);
        *is_handed_over = handed_over_at.is_some_and(|at| written_len >= at);
        if let Err(error) = result {
            self.hear_last_words(traffic);
            return Err(error);
        }
        while self.dialogue.is_waiting() {
            let is_finishing = self.dialogue.is_finishing();
            let timeout = if is_finishing {
                self.settings.data_timeout
            } else {
                self.settings.command_timeout
            };
            let patience = Patience {
                timeout,
                grace: if is_finishing {
                    STOP_GRACE
                } else {
                    Duration::ZERO
                },
                is_stopped,
            };
            let reply = self.line.read(self.dialogue.waiting_for(), &patience)?;
            self.hear(reply, traffic)?;
        }
        Ok(())
    }

    fn hear(&mut self, reply: Reply, traffic: &mut dyn Traffic) -> Result<(), Error> {
        let server = self.settings.server.clone();
        match self.dialogue.on_reply(reply) {
            Ok(finished) => {
                finished
                    .into_iter()
                    .for_each(|finished| traffic.finished(finished));
                Ok(())
            }
            Err(Violation::Closing(reply)) => Err(Error::Lost {
                server,
                source: None,
                reply: Some(reply),
            }),
            Err(Violation::Unexpected) => Err(Error::Protocol {
                server,
                reason: "a reply that means nothing there",
            }),
        }
    }

    /// A server that ends it in the middle of a message may have said why. What it said is there, or never will be.
    fn hear_last_words(&mut self, traffic: &mut dyn Traffic) {
        let patience = Patience {
            timeout: Duration::ZERO,
            grace: Duration::ZERO,
            is_stopped: &|| false,
        };
        while self.dialogue.is_waiting() {
            let heard = self
                .line
                .read("", &patience)
                .and_then(|reply| self.hear(reply, traffic));
            if heard.is_err() {
                return;
            }
        }
    }

    /// Whether it may be used again.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.line.parser.is_empty() && self.line.stream.is_quiet()
    }

    pub(crate) fn quit(self) {
        self.line.stream.quit();
    }
}

fn shake_hands(
    mut line: Line,
    is_secure: bool,
    is_stopped: IsStopped<'_>,
) -> Result<(Line, Extensions, Option<&'static str>), Error> {
    let settings = line.settings.clone();
    let patience = Patience {
        timeout: settings.command_timeout,
        grace: Duration::ZERO,
        is_stopped,
    };
    let mut handshake = Handshake::new(&settings, is_secure);
    loop {
        let reply = line
            .read(handshake.waiting_for(), &patience)
            .map_err(|error| handshake.explain(error))?;
        let mut step = handshake.on_reply(reply)?;
        if step == Step::StartTls {
            line = line.secure(is_stopped)?;
            step = handshake.secured();
        }
        match step {
            Step::Send(command) => {
                line.write(command.as_bytes(), settings.command_timeout, is_stopped)
                    .1?;
            }
            Step::Ready => {
                let auth = handshake.mechanism();
                return Ok((line, handshake.into_extensions(), auth));
            }
            Step::StartTls => return Err(line.protocol("STARTTLS twice")),
        }
    }
}

/// How long to wait, and for how long still once the task is stopped.
struct Patience<'a> {
    timeout: Duration,
    grace: Duration,
    is_stopped: IsStopped<'a>,
}

/// A stream of commands out, of replies in.
struct Line {
    stream: Stream,
    parser: ReplyParser,
    settings: Arc<Settings>,
}

impl Line {
    fn new(stream: Stream, settings: &Arc<Settings>) -> Self {
        Self {
            stream,
            parser: ReplyParser::default(),
            settings: settings.clone(),
        }
    }

    fn secure(self, is_stopped: IsStopped<'_>) -> Result<Self, Error> {
        // Whatever came in the clear after the reply to STARTTLS was put there by somebody else.
        if !self.parser.is_empty() {
            return Err(self.protocol("it spoke on after STARTTLS"));
        }
        let stream = self.stream.secure(&self.settings, is_stopped)?;
        Ok(Self { stream, ..self })
    }

    /// Writes it all. Returned beside the result: how many bytes may have left; `timeout` bounds every pause.
    fn write(
        &mut self,
        bytes: &[u8],
        timeout: Duration,
        is_stopped: IsStopped<'_>,
    ) -> (usize, Result<(), Error>) {
        let mut written_len = 0;
        let mut since = Instant::now();
        loop {
            let is_flush = written_len == bytes.len();
            let result = if is_flush {
                self.stream.flush().map(|()| 0)
            } else {
                self.stream.write(&bytes[written_len..])
            };
            match result {
                Ok(_) if is_flush => return (written_len, Ok(())),
                Ok(0) => {
                    return (
                        written_len,
                        Err(self.lost(Some(io::ErrorKind::WriteZero.into()))),
                    );
                }
                Ok(len) => {
                    written_len += len;
                    since = Instant::now();
                }
                Err(error) if is_pause(&error) && is_stopped() => {
                    return (written_len, Err(Error::Stopped));
                }
                Err(error) if is_pause(&error) && since.elapsed() < timeout => {}
                Err(error) if is_pause(&error) => {
                    return (
                        written_len,
                        Err(self.timed_out("progress of the transfer", timeout)),
                    );
                }
                Err(error) => return (written_len, Err(self.lost(Some(error)))),
            }
        }
    }

    fn read(&mut self, waiting_for: &'static str, patience: &Patience<'_>) -> Result<Reply, Error> {
        let since = Instant::now();
        let mut stopped_at = None;
        let mut buffer = [0; 4096];
        loop {
            match self.parser.pop() {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(ReplyError::TooLong) => return Err(self.protocol("a reply without an end")),
                Err(ReplyError::Malformed) => {
                    return Err(self.protocol("what it sent is not a reply"));
                }
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(self.lost(None)),
                Ok(len) => self.parser.push(&buffer[..len]),
                Err(error) if is_pause(&error) => {
                    if since.elapsed() >= patience.timeout {
                        return Err(self.timed_out(waiting_for, patience.timeout));
                    }
                    if (patience.is_stopped)() {
                        let stopped_at = *stopped_at.get_or_insert_with(Instant::now);
                        if stopped_at.elapsed() >= patience.grace {
                            return Err(Error::Stopped);
                        }
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Err(self.lost(None));
                }
                Err(error) => return Err(self.lost(Some(error))),
            }
        }
    }

    fn lost(&self, source: Option<io::Error>) -> Error {
        let in_words = |error: io::Error| {
            let of_tls = error.get_ref().and_then(|error| error.downcast_ref());
            of_tls.map(tls::explain).map_or(error, io::Error::other)
        };
        Error::Lost {
            server: self.settings.server.clone(),
            source: source.map(in_words).map(Arc::new),
            reply: None,
        }
    }

    fn protocol(&self, reason: &'static str) -> Error {
        Error::Protocol {
            server: self.settings.server.clone(),
            reason,
        }
    }

    fn timed_out(&self, waiting_for: &'static str, after: Duration) -> Error {
        Error::TimedOut {
            server: self.settings.server.clone(),
            waiting_for,
            after,
        }
    }
}
