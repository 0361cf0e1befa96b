//! One connection of the load generator: so many requests in flight, each reply checked.

use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use protocol::{LINE_LEN_MAX_DEFAULT, LineDecoder};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::sync::Semaphore;

use crate::error::BenchError;
use crate::gearman::Packets;
use crate::histogram::Histogram;
use crate::websocket::{self, Frames};
use crate::wire::{Way, Wire};
use crate::workload::{Dialect, Workload};

const READ_LEN: usize = 64 * 1024;

/// What to do with the next reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Don't count it, send another request.
    WarmUp,
    /// Count it, send another request.
    Measure,
    /// Count it, send no more.
    Once,
    /// Don't count it, send no more.
    Over,
}

/// The phase of all connections of a load.
pub(crate) struct PhaseCell(AtomicU8);

impl PhaseCell {
    pub(crate) fn new(phase: Phase) -> Self {
        Self(AtomicU8::new(phase as u8))
    }

    pub(crate) fn set(&self, phase: Phase) {
        self.0.store(phase as u8, Ordering::Relaxed);
    }

    fn get(&self) -> Phase {
        let value = self.0.load(Ordering::Relaxed);
        [Phase::WarmUp, Phase::Measure, Phase::Once]
            .into_iter()
            .find(|phase| *phase as u8 == value)
            .unwrap_or(Phase::Over)
    }
}

/// Connects, sends `depth` requests, then one for each reply, until the phase says otherwise and all are answered.
/// Returns the latencies of the replies that count. Connects when `connecting` lets it.
pub(crate) async fn drive(
    way: &Way,
    workload: &Workload,
    depth: usize,
    phase: &PhaseCell,
    connecting: &Semaphore,
) -> Result<Histogram, BenchError> {
    let permit = connecting
        .acquire()
        .await
        .expect("nobody closes the semaphore");
    let flight = Flight::new(workload, depth);
    match way.connect().await? {
        Wire::Tcp(mut stream) => {
            let incoming = greet(&mut stream, way, workload.dialect).await?;
            drop(permit);
            let (reader, writer) = stream.split();
            exchange(reader, writer, incoming, flight, phase).await
        }
        Wire::Tls(mut stream) => {
            let incoming = greet(&mut stream, way, workload.dialect).await?;
            drop(permit);
            let (reader, writer) = split(stream);
            exchange(reader, writer, incoming, flight, phase).await
        }
        Wire::Unix(mut stream) => {
            let incoming = greet(&mut stream, way, workload.dialect).await?;
            drop(permit);
            let (reader, writer) = stream.split();
            exchange(reader, writer, incoming, flight, phase).await
        }
    }
}

/// Sends and receives until nothing is in flight.
async fn exchange(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    mut incoming: Incoming,
    mut flight: Flight<'_>,
    phase: &PhaseCell,
) -> Result<Histogram, BenchError> {
    flight.start();
    // Reading never waits for writing, or a server that does the same and we would block each other for ever.
    while flight.len > 0 {
        tokio::select! {
            biased;
            sent = flight.out.send(&mut writer), if !flight.out.is_sent() => {
                sent.map_err(BenchError::io("can't write"))?;
            }
            read = reader.read_buf(incoming.room()) => {
                if read.map_err(BenchError::io("can't read"))? == 0 {
                    return Err(BenchError::Closed { in_flight: flight.len });
                }
                let now = Instant::now();
                let phase = phase.get();
                while let Some(line) = incoming.next(&mut flight.out.bytes)? {
                    flight.land(&line, now, phase)?;
                }
            }
        }
    }
    Ok(flight.latencies)
}

/// What comes before the first request.
async fn greet(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    way: &Way,
    dialect: Dialect,
) -> Result<Incoming, BenchError> {
    match dialect {
        Dialect::LineEcho
        | Dialect::Text
        | Dialect::Background
        | Dialect::Beanstalk
        | Dialect::Redis
        | Dialect::Gearman
        | Dialect::GearmanBackground => {}
        Dialect::WebSocketEcho => websocket::open(stream, &way.address, None).await?,
        Dialect::TasksV1 => websocket::open(stream, &way.address, Some("tasks.v1")).await?,
    }
    let mut incoming = Incoming::of(dialect);
    if let Some(token) = &way.token {
        show(stream, &mut incoming, token).await?;
    }
    Ok(incoming)
}

/// Shows who the client is, and waits until the host has let it in.
async fn show(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    incoming: &mut Incoming,
    token: &str,
) -> Result<(), BenchError> {
    let hello = json!({"function": "host.hello", "args": {"token": token}});
    let line = format!("{hello}\n");
    let write = async {
        stream.write_all(line.as_bytes()).await?;
        stream.flush().await
    };
    write.await.map_err(BenchError::io("can't write"))?;
    let reply = loop {
        if let Some(line) = incoming.next(&mut Vec::new())? {
            break line;
        }
        let read = stream.read_buf(incoming.room()).await;
        if read.map_err(BenchError::io("can't read"))? == 0 {
            return Err(BenchError::Closed { in_flight: 1 });
        }
    };
    match serde_json::from_slice::<Value>(&reply) {
        Ok(reply) if reply["ok"] == true => Ok(()),
        _ => Err(BenchError::WrongReply {
            expected: "a host that knows the token".to_owned(),
            got: String::from_utf8_lossy(&reply).into_owned(),
        }),
    }
}

/// What has come and was not looked at yet.
enum Incoming {
    Lines(LineDecoder),
    Messages(Frames),
    Packets(Packets),
}

impl Incoming {
    fn of(dialect: Dialect) -> Self {
        match dialect {
            Dialect::LineEcho
            | Dialect::Text
            | Dialect::Background
            | Dialect::Beanstalk
            | Dialect::Redis => Self::Lines(LineDecoder::new(LINE_LEN_MAX_DEFAULT)),
            Dialect::WebSocketEcho | Dialect::TasksV1 => Self::Messages(Frames::default()),
            Dialect::Gearman => Self::Packets(Packets::default()),
            Dialect::GearmanBackground => Self::Packets(Packets::of_background()),
        }
    }

    fn room(&mut self) -> &mut BytesMut {
        let buffer = match self {
            Self::Lines(decoder) => decoder.buffer_mut(),
            Self::Messages(frames) => &mut frames.buffer,
            Self::Packets(packets) => &mut packets.buffer,
        };
        buffer.reserve(READ_LEN);
        buffer
    }

    /// The next reply. What has to be answered without being one is appended to `out`.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Bytes>, BenchError> {
        match self {
            Self::Lines(decoder) => Ok(decoder.next_line()?),
            Self::Messages(frames) => frames.next_text(out),
            Self::Packets(packets) => packets.next_result(),
        }
    }
}

/// The requests of one connection that are not answered yet.
struct Flight<'a> {
    workload: &'a Workload,
    /// Request `number` is in slot `number % depth`.
    slots: Vec<Option<Sent>>,
    len: usize,
    out: Out,
    latencies: Histogram,
    scratch: Vec<u8>,
}

struct Sent {
    number: u64,
    at: Instant,
}

impl<'a> Flight<'a> {
    fn new(workload: &'a Workload, depth: usize) -> Self {
        Self {
            workload,
            slots: (0..depth).map(|_| None).collect(),
            len: 0,
            out: Out::default(),
            latencies: Histogram::new(),
            scratch: Vec::new(),
        }
    }

    fn start(&mut self) {
        let now = Instant::now();
        for number in 0..self.slots.len() as u64 {
            self.send(number, now);
        }
    }

    fn slot(&self, number: u64) -> usize {
        usize::try_from(number % self.slots.len() as u64).expect("below a usize")
    }

    fn send(&mut self, number: u64, at: Instant) {
        let slot = self.slot(number);
        self.slots[slot] = Some(Sent { number, at });
        self.len += 1;
        self.workload.request(number, &mut self.out.bytes);
    }

    fn land(&mut self, line: &Bytes, now: Instant, phase: Phase) -> Result<(), BenchError> {
        if self.workload.is_aside(line) {
            return Ok(());
        }
        let alone = self.slots[0].as_ref().map_or(0, |sent| sent.number);
        let number = self.workload.check(line, alone, &mut self.scratch)?;
        let slot = self.slot(number);
        let sent = self.slots[slot]
            .take_if(|sent| sent.number == number)
            .ok_or_else(|| BenchError::WrongReply {
                expected: "a reply to a request in flight".to_owned(),
                got: format!("a second one, or one never asked for, to request {number}"),
            })?;
        self.len -= 1;
        if matches!(phase, Phase::Measure | Phase::Once) {
            self.latencies.record(now - sent.at);
        }
        if matches!(phase, Phase::WarmUp | Phase::Measure) {
            self.send(number + self.slots.len() as u64, now);
        }
        Ok(())
    }
}

/// Bytes to send; keeps its memory.
#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    sent: usize,
    /// By TLS, the writer may keep some of what was written.
    is_kept: bool,
}

impl Out {
    fn is_sent(&self) -> bool {
        !self.has_remaining() && !self.is_kept
    }

    /// Sends some of it. Nothing is lost when this is dropped.
    async fn send(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        if self.has_remaining() {
            writer.write_buf(self).await?;
            self.is_kept = true;
        } else {
            writer.flush().await?;
            self.is_kept = false;
        }
        Ok(())
    }
}

impl bytes::Buf for Out {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.sent
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    fn advance(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}
