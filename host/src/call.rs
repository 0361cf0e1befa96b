//! `host call`: one request from the shell.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::blocking::{self, News};
use protocol::{Outcome, Progress, Request, json};

/// Longest line that is read: what a host may be configured to send.
const LINE_LEN_MAX: usize = 512 * 1024 * 1024;
/// Exit code when nobody reads the events any more.
const EXIT_UNREAD: u8 = 1;
/// How long each address of the host is tried.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long after the task's own limit its answer is waited for: the host answers in time, unless it hangs.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
const CONNECT_HINT: &str = "is the host running? Name its address with --connect ADDR";

/// Sends the request, prints progress to standard error and the result to standard output.
pub(crate) fn run(
    connect: &str,
    function: String,
    args: String,
    timeout: Option<Duration>,
) -> ExitCode {
    match exchange(connect, function, args, timeout) {
        Ok(Ok(result)) => {
            let mut stdout = io::stdout().lock();
            let printed = stdout
                .write_all(&result)
                .and_then(|()| stdout.write_all(b"\n"));
            if printed.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Ok(Err(failure)) => {
            say(&format!("{}: {}", failure.code, failure.message));
            if let Some(data) = &failure.data {
                say(&String::from_utf8_lossy(data));
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&format!("host call: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn exchange(
    connect: &str,
    function: String,
    args: String,
    timeout: Option<Duration>,
) -> Result<Outcome, String> {
    let args = json::one_line(&Bytes::from(args))
        .map_err(|error| format!("ARGS must be JSON: {error}"))?;
    let mut request = Request::new(function);
    request.args = args;
    request.timeout = timeout;
    request.progress = true;
    let stream =
        connect_to(connect).map_err(|error| format!("{connect}: {error}; {CONNECT_HINT}"))?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout + ANSWER_WAIT);
    let mut stream = Until { stream, deadline };
    blocking::call(&mut stream, request, LINE_LEN_MAX, print).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("{connect}: no answer in time, and not from the host's own limit; the host hangs, or the way to it is cut")
        }
        _ => format!("{connect}: {error}"),
    })
}

/// The first address that answers.
fn connect_to(address: &str) -> io::Result<TcpStream> {
    let mut last = None;
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_WAIT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("the name stands for no address")))
}

/// A stream whose reads and writes wait until a moment at most.
struct Until {
    stream: TcpStream,
    deadline: Option<Instant>,
}

impl Until {
    /// How long there is; an error when the time is up.
    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self
            .deadline
            .map(|at| at.saturating_duration_since(Instant::now()));
        match left {
            Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(left),
        }
    }
}

impl Read for Until {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Until {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Nobody may be there to read it.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints progress to standard error and events, a line each, to standard output.
fn print(news: News) {
    match news {
        News::Progress(progress) => {
            let Progress {
                done,
                total,
                message,
                ..
            } = progress;
            say(&format!("{done}/{total} {message}"));
        }
        News::Event(_, data) => {
            let mut stdout = io::stdout().lock();
            let printed = stdout
                .write_all(&data)
                .and_then(|()| stdout.write_all(b"\n"));
            if printed.is_err() {
                // Whoever read the events has gone: there is nothing more to do, and nobody to tell.
                std::process::exit(i32::from(EXIT_UNREAD));
            }
        }
    }
}
