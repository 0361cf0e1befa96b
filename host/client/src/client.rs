//! One connection to a host: what is pending on it, and what is to be written.

use std::fmt;
use std::mem;
use std::time::Instant;

use bytes::Bytes;
use protocol::{Outcome, Progress, Request, RequestId, ServerLine};
use rustc_hash::FxHashMap;

/// How much a connection takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Tasks at a time. Requests to the host itself (`host.*`) don't count, and are always taken.
    pub tasks_max: usize,
    /// Longest request, in bytes without its newline.
    pub line_len_max: usize,
    /// Bytes that wait to be written: beyond it no task is taken.
    pub unwritten_len_max: usize,
}

impl Room {
    /// Takes whatever comes.
    pub const UNLIMITED: Self = Self {
        tasks_max: usize::MAX,
        line_len_max: usize::MAX,
        unwritten_len_max: usize::MAX,
    };
}

/// A connection to a host, shared by many requests: each has an id of its own on it.
///
/// `T` is what the user of the client keeps for a request: who waits for its end, and what is needed to send it again.
#[derive(Debug)]
pub struct Client<T> {
    room: Room,
    /// Requests that have not been handed to the writer.
    unwritten: Vec<u8>,
    /// Bytes ever appended to `unwritten`.
    queued: u64,
    /// Bytes that the socket has taken.
    written: u64,
    pending: FxHashMap<u64, Pending<T>>,
    /// Of those that are pending, the ones that are not for the host itself.
    tasks: usize,
    id_last: u64,
    has_ended: bool,
}

#[derive(Debug)]
struct Pending<T> {
    request: Request,
    /// When all bytes up to here are written, the host may have begun it.
    end: u64,
    /// When the host should have answered, whatever happened.
    expires_at: Option<Instant>,
    /// None for what the client asks by itself, and for what has expired.
    kept: Option<T>,
}

/// What a line from the host means.
#[derive(Debug)]
pub enum Received<'c, T> {
    /// A request has ended.
    Ended(Ended<T>),
    /// How far a request is.
    Progress(&'c T, Progress),
    /// News of another kind for a request.
    Event {
        /// What was kept for the request.
        kept: &'c T,
        /// What kind of news.
        name: String,
        /// The news: valid JSON.
        data: Bytes,
    },
    /// A task has ended that had expired: there is room for another one.
    Late,
    /// Said of the connection as a whole: that it is one too many, or sent what is no request.
    OfConnection(Outcome),
    /// Nobody waits for it, or no longer.
    ForNobody,
}

/// A request that the host has answered.
#[derive(Debug)]
pub struct Ended<T> {
    /// As it was sent.
    pub request: Request,
    /// What was kept for it.
    pub kept: T,
    /// The host's answer.
    pub outcome: Outcome,
}

/// A request that the host did not answer in time.
#[derive(Debug)]
pub struct Unanswered<T> {
    /// As it was sent.
    pub request: Request,
    /// What was kept for it.
    pub kept: T,
}

/// What was in flight when a connection ended.
#[derive(Debug)]
pub struct Orphan<T> {
    /// As it was sent.
    pub request: Request,
    /// What was kept for it.
    pub kept: T,
    /// Whether the host can have begun it: the socket had taken all of it.
    pub may_have_started: bool,
}

/// A request that was not taken.
#[derive(Debug)]
pub struct Refused<T> {
    /// The request.
    pub request: Request,
    /// What was to be kept for it.
    pub kept: T,
    /// Why.
    pub why: Refusal,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The connection has ended.
    Ended,
    /// The host has as many tasks of this connection as it takes.
    Full,
    /// Too many bytes wait to be written. There is room again when they were taken out.
    Clogged,
    /// The request is longer than this, in bytes, the most that the host takes.
    TooLong(usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the connection has ended"),
            Self::Full => f.write_str("the connection has as many tasks as the host takes"),
            Self::Clogged => f.write_str("too many bytes wait to be written"),
            Self::TooLong(len_max) => write!(
                f,
                "the request is longer than {len_max} bytes, the most that the host takes"
            ),
        }
    }
}

impl std::error::Error for Refusal {}

impl<T> Client<T> {
    /// A connection on which nothing has been said.
    #[must_use]
    pub fn new(room: Room) -> Self {
        Self {
            room,
            unwritten: Vec::new(),
            queued: 0,
            written: 0,
            pending: FxHashMap::default(),
            tasks: 0,
            id_last: 0,
            has_ended: false,
        }
    }

    /// There is so much room from now on. What is in flight stays, also when it is more.
    pub fn set_room(&mut self, room: Room) {
        self.room = room;
    }

    /// How much the connection takes.
    #[must_use]
    pub fn room(&self) -> Room {
        self.room
    }

    /// Tasks in flight. Requests to the host itself don't count.
    #[must_use]
    pub fn tasks(&self) -> usize {
        self.tasks
    }

    /// Sends a request. It gets an id of the client's own, whatever it had before: that id is what is returned.
    /// `expires_at` is when [`Client::expire`] takes it for unanswered: some time after what the host was told.
    ///
    /// # Errors
    /// The connection takes no more, or not so much at once.
    pub fn send(
        &mut self,
        mut request: Request,
        expires_at: Option<Instant>,
        kept: T,
    ) -> Result<u64, Refused<T>> {
        let sent = match self.check_room(&request) {
            Some(why) => Err(why),
            None => self.append(&mut request),
        };
        match sent {
            Ok(id) => {
                self.keep(id, request, expires_at, Some(kept));
                Ok(id)
            }
            Err(why) => Err(Refused { request, kept, why }),
        }
    }

    /// Asks the host to cancel a request, which is answered all the same. False if the host has answered it already.
    pub fn cancel(&mut self, id: u64) -> bool {
        if self.has_ended || !self.pending.contains_key(&id) {
            return false;
        }
        let mut request = Request::new("host.cancel");
        request.args = Bytes::from(format!("{{\"id\":{id}}}"));
        // It is short, and always taken.
        let Ok(id) = self.append(&mut request) else {
            return false;
        };
        self.keep(id, request, None, None);
        true
    }

    /// Whether there is something to write.
    #[must_use]
    pub fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Gives out what is to be written, in exchange for an empty buffer. [`Client::wrote`] is to be told how much of it
    /// the socket takes, as it takes it.
    pub fn take_unwritten(&mut self, buffer: &mut Vec<u8>) {
        buffer.clear();
        mem::swap(buffer, &mut self.unwritten);
    }

    /// The socket has taken so many bytes more.
    pub fn wrote(&mut self, len: usize) {
        self.written += len as u64;
    }

    /// What a line from the host means, and for whom.
    pub fn receive(&mut self, line: ServerLine) -> Received<'_, T> {
        match line {
            ServerLine::Reply(reply) => match reply.id {
                Some(id) => self.end_request(&id, reply.outcome),
                None => Received::OfConnection(reply.outcome),
            },
            ServerLine::Progress(progress) => match self.kept(&progress.id) {
                Some(kept) => Received::Progress(kept, progress),
                None => Received::ForNobody,
            },
            ServerLine::Event(event) => match self.kept(&event.id) {
                Some(kept) => Received::Event {
                    kept,
                    name: event.name,
                    data: event.data,
                },
                None => Received::ForNobody,
            },
        }
    }

    /// Gives out what the host should have answered by now, and asks the host to cancel it. It keeps its place until the
    /// host has answered ([`Received::Late`]), since the host may be busy with it; the answer is for nobody.
    pub fn expire(&mut self, now: Instant) -> Vec<Unanswered<T>> {
        let is_over = |(id, pending): (&u64, &Pending<T>)| {
            let is_over = pending.expires_at.is_some_and(|at| at <= now);
            is_over.then_some(*id)
        };
        let expired: Vec<u64> = self.pending.iter().filter_map(is_over).collect();
        let mut unanswered = Vec::with_capacity(expired.len());
        for id in expired {
            self.cancel(id);
            let Some(pending) = self.pending.get_mut(&id) else {
                continue;
            };
            pending.expires_at = None;
            // What is left says whether it counts.
            let left = Request::new(pending.request.function.clone());
            let request = mem::replace(&mut pending.request, left);
            if let Some(kept) = pending.kept.take() {
                unanswered.push(Unanswered { request, kept });
            }
        }
        unanswered
    }

    /// The connection has ended: takes nothing more, and gives out all that was in flight.
    pub fn end(&mut self) -> Vec<Orphan<T>> {
        self.has_ended = true;
        self.unwritten = Vec::new();
        self.tasks = 0;
        let written = self.written;
        mem::take(&mut self.pending)
            .into_values()
            .filter_map(|pending| {
                Some(Orphan {
                    request: pending.request,
                    kept: pending.kept?,
                    may_have_started: pending.end <= written,
                })
            })
            .collect()
    }

    fn check_room(&self, request: &Request) -> Option<Refusal> {
        if self.has_ended {
            Some(Refusal::Ended)
        } else if weight(request) == 0 {
            None
        } else if self.tasks >= self.room.tasks_max {
            Some(Refusal::Full)
        } else if self.unwritten.len() > self.room.unwritten_len_max {
            Some(Refusal::Clogged)
        } else {
            None
        }
    }

    /// Appends a request to what is to be written, unless it is too long: its id.
    fn append(&mut self, request: &mut Request) -> Result<u64, Refusal> {
        let id = self.id_last + 1;
        request.id = Some(id.into());
        let before = self.unwritten.len();
        request.encode(&mut self.unwritten);
        let len = self.unwritten.len() - before;
        // The newline doesn't count.
        if len - 1 > self.room.line_len_max {
            self.unwritten.truncate(before);
            return Err(Refusal::TooLong(self.room.line_len_max));
        }
        self.id_last = id;
        self.queued += len as u64;
        Ok(id)
    }

    /// Notes the request that was appended last.
    fn keep(&mut self, id: u64, request: Request, expires_at: Option<Instant>, kept: Option<T>) {
        self.tasks += weight(&request);
        let pending = Pending {
            request,
            end: self.queued,
            expires_at,
            kept,
        };
        self.pending.insert(id, pending);
    }

    fn end_request(&mut self, id: &RequestId, outcome: Outcome) -> Received<'_, T> {
        let ended = id.as_u64().and_then(|id| self.pending.remove(&id));
        let Some(Pending { request, kept, .. }) = ended else {
            return Received::ForNobody;
        };
        self.tasks -= weight(&request);
        match kept {
            Some(kept) => Received::Ended(Ended {
                request,
                kept,
                outcome,
            }),
            None if weight(&request) > 0 => Received::Late,
            None => Received::ForNobody,
        }
    }

    fn kept(&self, id: &RequestId) -> Option<&T> {
        self.pending.get(&id.as_u64()?)?.kept.as_ref()
    }
}

/// How much it counts among the tasks.
fn weight(request: &Request) -> usize {
    usize::from(!request.is_for_host())
}

#[cfg(test)]
mod tests;
