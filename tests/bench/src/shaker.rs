//! A program that makes TLS handshakes with one server, again and again: as fast as it can, or so slowly that none comes to
//! an end. It stands for programs of other machines, and so leaves the processors to everybody else who wants them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConnection;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::contender::{myself, text};
use crate::error::BenchError;
use crate::program::Program;
use crate::runtime::block_on;
use crate::say;
use crate::wire::{Trust, dial, name_of};

/// The niceness of who takes only what is left over.
const LAST: i32 = 19;
/// How much longer than it should a handshake may take in the end.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// What it prints first.
const BEGUN: &str = "shaking hands";

/// Handshakes with one server.
pub(crate) struct Shaker {
    pub(crate) addr: SocketAddr,
    pub(crate) trust: Trust,
    /// At once.
    pub(crate) connections: usize,
    pub(crate) manner: Manner,
    pub(crate) duration: Duration,
}

/// How hands are shaken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// To the end, and then again.
    Fast,
    /// A byte each so often, and never to the end.
    Trickle(Duration),
}

/// Shakes hands for so long, and says how often it did; or how many bytes it sent, where it never comes to the end.
pub(crate) fn run(shaker: &Shaker) -> Result<String, BenchError> {
    rustix::process::nice(LAST).map_err(|error| BenchError::io("can't be nice")(error.into()))?;
    say::print(&format!("{BEGUN}\n")).map_err(BenchError::io("can't write to stdout"))?;
    let end = Instant::now() + shaker.duration;
    let count = Arc::new(AtomicU64::new(0));
    let hello: Arc<[u8]> = hello(shaker)?.into();
    block_on(shaker.duration + SILENCE_MAX, async {
        let mut all = JoinSet::new();
        for number in 0..shaker.connections {
            let (addr, count) = (shaker.addr, Arc::clone(&count));
            match shaker.manner {
                Manner::Fast => all.spawn(shake(addr, shaker.trust.clone(), count, end)),
                Manner::Trickle(pause) => {
                    // One after the other, so that their bytes come all the time.
                    let wait = pause * u32::try_from(number).unwrap_or(0)
                        / u32::try_from(shaker.connections).unwrap_or(u32::MAX);
                    let hello = Arc::clone(&hello);
                    all.spawn(async move {
                        sleep(wait).await;
                        trickle(addr, &hello, pause, &count, end).await
                    })
                }
            };
        }
        while let Some(ended) = all.join_next().await {
            ended.expect("it does not panic")?;
        }
        Ok(())
    })?;
    Ok(format!("{}\n", count.load(Ordering::Relaxed)))
}

async fn shake(
    addr: SocketAddr,
    trust: Trust,
    count: Arc<AtomicU64>,
    end: Instant,
) -> Result<(), BenchError> {
    while Instant::now() < end {
        let shaken = trust.connect(addr).await;
        shaken.map_err(BenchError::io("a handshake failed"))?;
        count.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

async fn trickle(
    addr: SocketAddr,
    hello: &[u8],
    pause: Duration,
    count: &AtomicU64,
    end: Instant,
) -> Result<(), BenchError> {
    while Instant::now() < end {
        let stream = dial(addr).await;
        let mut stream = stream.map_err(BenchError::io("can't connect"))?;
        // All but the last.
        for byte in &hello[..hello.len() - 1] {
            // A server has every right to close such a connection.
            if Instant::now() > end || stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            count.fetch_add(1, Ordering::Relaxed);
            sleep(pause).await;
        }
    }
    Ok(())
}

/// What a client begins with.
fn hello(shaker: &Shaker) -> Result<Vec<u8>, BenchError> {
    let config = Arc::clone(shaker.trust.config());
    let mut hello = Vec::new();
    let made = ClientConnection::new(config, name_of(shaker.addr))
        .map_err(std::io::Error::other)
        .and_then(|mut client| client.write_tls(&mut hello));
    made.map_err(BenchError::io("can't begin a handshake"))?;
    Ok(hello)
}

/// A shaker that runs as a program of its own.
pub(crate) struct Running {
    program: Program,
    duration: Duration,
}

impl Running {
    /// Starts it, and waits until it has begun.
    pub(crate) fn start(
        addr: SocketAddr,
        ca: &Path,
        connections: usize,
        manner: Manner,
        duration: Duration,
    ) -> Result<Self, BenchError> {
        let connect = addr.to_string();
        let connections = connections.to_string();
        let seconds = duration.as_secs_f64().to_string();
        let mut args = vec!["shake", "--connect", &connect, "--ca", text(ca)?];
        args.extend(["--connections", &connections, "--seconds", &seconds]);
        let pause_ms;
        if let Manner::Trickle(pause) = manner {
            pause_ms = pause.as_millis().to_string();
            args.extend(["--trickle-ms", &pause_ms]);
        }
        let mut program = Program::start(&myself()?, &args)?;
        match program.line()? {
            line if line == BEGUN => Ok(Self { program, duration }),
            line => Err(BenchError::NotServing {
                server: program.name.clone(),
                got: line,
            }),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// Waits until it has ended: how often it shook hands in a second, or how many bytes it sent.
    pub(crate) fn per_second(mut self) -> Result<f64, BenchError> {
        let line = self.program.line()?;
        let count: f64 = line.parse().map_err(|_| BenchError::WrongReply {
            expected: "a number of handshakes".to_owned(),
            got: line,
        })?;
        Ok(count / self.duration.as_secs_f64())
    }
}
