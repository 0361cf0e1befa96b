//! One connection to a host: moves bytes to it and lines from it, whatever they mean.

use std::error::Error;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use client::{
    Client, HOST_IN_FLIGHT_MIN, HostLimits, Orphan, Received, Refusal, Refused, Room, Unanswered,
};
use protocol::{LineDecoder, Request, ServerLine};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::stream::{Incoming, Outgoing};
use service::sync::lock;

/// Room that is made before a read, in bytes.
const READ_LEN: usize = 64 * 1024;
/// Lines that are taken at once. More would let the first of them wait while the last are read.
const LINES_AT_ONCE: usize = 32;
/// A buffer for requests that grew beyond this many bytes is given back.
const BUFFER_KEPT_MAX: usize = 256 * 1024;
/// Bytes of requests that wait for the writer: beyond it, the connection takes no tasks.
const UNWRITTEN_LEN_MAX: usize = 64 << 20;

/// A connection to a host, and what is kept for each request on it.
#[derive(Debug)]
pub(super) struct Connection<T> {
    state: Mutex<State<T>>,
    /// There is something to write.
    has_unwritten: Notify,
    /// Longest line that the host sends, in bytes.
    line_len_max: AtomicUsize,
}

#[derive(Debug)]
struct State<T> {
    client: Client<T>,
    /// A task was refused since too many bytes wait for the writer.
    is_clogged: bool,
}

/// The reading end of a connection.
#[derive(Debug)]
pub(super) struct Reader {
    half: Incoming,
    decoder: LineDecoder,
}

impl<T> Connection<T> {
    /// A connection that takes no tasks until it is known how many the host allows.
    pub(super) fn new() -> Self {
        let line_len_max = HostLimits::default().line_len_max;
        let room = Room {
            tasks_max: 0,
            line_len_max,
            unwritten_len_max: UNWRITTEN_LEN_MAX,
        };
        Self {
            state: Mutex::new(State {
                client: Client::new(room),
                is_clogged: false,
            }),
            has_unwritten: Notify::new(),
            line_len_max: AtomicUsize::new(line_len_max),
        }
    }

    /// Takes tasks from now on, as many as the host allows, and returns how many.
    ///
    /// # Errors
    /// The host allows too little: a sentence for its operator.
    pub(super) fn keep_to(&self, limits: HostLimits) -> Result<usize, String> {
        let tasks_max = limits.tasks_max().ok_or_else(|| {
            format!(
                "the host takes {} requests at a time from a connection (its limits.in_flight_max); let it be {HOST_IN_FLIGHT_MIN} or more",
                limits.in_flight_max
            )
        })?;
        self.lock().client.set_room(Room {
            tasks_max,
            line_len_max: limits.line_len_max,
            unwritten_len_max: UNWRITTEN_LEN_MAX,
        });
        self.line_len_max
            .store(limits.line_len_max, Ordering::Relaxed);
        Ok(tasks_max)
    }

    /// Puts a request on the connection, and returns its id there.
    ///
    /// # Errors
    /// The connection takes no more; the request comes back.
    pub(super) fn send(
        &self,
        request: Request,
        expires_at: Option<Instant>,
        kept: T,
    ) -> Result<u64, Refused<T>> {
        self.write(|state| {
            let sent = state.client.send(request, expires_at, kept);
            if let Err(Refused {
                why: Refusal::Clogged,
                ..
            }) = &sent
            {
                state.is_clogged = true;
            }
            sent
        })
    }

    /// Asks the host to end a request. It is answered all the same, by the host.
    pub(super) fn cancel(&self, id: u64) {
        self.write(|state| state.client.cancel(id));
    }

    /// Whether a task was refused because too many bytes wait, and they wait still.
    pub(super) fn is_clogged(&self) -> bool {
        self.lock().is_clogged
    }

    /// Gives out what the host should have answered long ago, and asks it to end that.
    pub(super) fn expire(&self, now: Instant) -> Vec<Unanswered<T>> {
        self.write(|state| state.client.expire(now))
    }

    /// Takes nothing more, and gives out what was in flight.
    pub(super) fn end(&self) -> Vec<Orphan<T>> {
        self.lock().client.end()
    }

    /// Tells `say` what each line means.
    pub(super) fn receive(
        &self,
        lines: impl Iterator<Item = ServerLine>,
        mut say: impl FnMut(Received<'_, T>),
    ) {
        let mut state = self.lock();
        for line in lines {
            say(state.client.receive(line));
        }
    }

    /// Waits until there is something to write, and gives it out. True if tasks were refused because so much was waiting.
    pub(super) async fn unwritten(&self, buffer: &mut Vec<u8>) -> bool {
        if buffer.capacity() > BUFFER_KEPT_MAX {
            *buffer = Vec::new();
        }
        loop {
            {
                let mut state = self.lock();
                if state.client.has_unwritten() {
                    state.client.take_unwritten(buffer);
                    return mem::take(&mut state.is_clogged);
                }
            }
            self.has_unwritten.notified().await;
        }
    }

    /// Writes bytes that [`Connection::unwritten`] gave out.
    pub(super) async fn write_out(&self, half: &mut Outgoing, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match half.write(bytes).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                len => {
                    bytes = &bytes[len..];
                    // At once, since the connection may end any time.
                    self.lock().client.wrote(len);
                }
            }
        }
        // TLS may have kept the last of it.
        half.flush().await
    }

    /// Wakes the writer if the change has given it something to do.
    fn write<R>(&self, change: impl FnOnce(&mut State<T>) -> R) -> R {
        let mut state = self.lock();
        let had_unwritten = state.client.has_unwritten();
        let result = change(&mut state);
        let is_to_wake = !had_unwritten && state.client.has_unwritten();
        drop(state);
        if is_to_wake {
            self.has_unwritten.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        lock(&self.state)
    }
}

impl Reader {
    pub(super) fn new(half: Incoming) -> Self {
        Self {
            half,
            decoder: LineDecoder::new(0),
        }
    }

    /// Waits for lines from the host: those that are there, if they aren't too many.
    ///
    /// # Errors
    /// The connection has ended, or what comes is not of the Text protocol. `lines` holds what came before.
    pub(super) async fn lines<T>(
        &mut self,
        connection: &Connection<T>,
        lines: &mut Vec<ServerLine>,
    ) -> io::Result<()> {
        loop {
            let line_len_max = connection.line_len_max.load(Ordering::Relaxed);
            self.decoder.set_line_len_max(line_len_max);
            while lines.len() < LINES_AT_ONCE
                && let Some(line) = self.decoder.next_line().map_err(invalid)?
            {
                lines.push(ServerLine::parse(&line).map_err(invalid)?);
            }
            if !lines.is_empty() {
                return Ok(());
            }
            self.decoder.release();
            self.decoder.buffer_mut().reserve(READ_LEN);
            if self.half.read_buf(self.decoder.buffer_mut()).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn invalid(error: impl Into<Box<dyn Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
