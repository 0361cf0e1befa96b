//! `host call`: one request from the shell.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use protocol::{LineDecoder, Outcome, Request, RequestId, ServerLine, json};

/// Longest line that is read: what a host may be configured to send.
const LINE_LEN_MAX: usize = 512 * 1024 * 1024;
const CONNECT_HINT: &str = "is the host running? Name its address with --connect ADDR";

/// Sends the request, prints progress to standard error and the result to standard output.
#[expect(
    clippy::print_stderr,
    reason = "this is a command, and that is where its errors go"
)]
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
            eprintln!("{}: {}", failure.code, failure.message);
            if let Some(data) = &failure.data {
                eprintln!("{}", String::from_utf8_lossy(data));
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("host call: {error}");
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
    request.id = Some(RequestId::from(1_u64));
    request.args = args;
    request.timeout = timeout;
    request.progress = true;
    let mut line = Vec::new();
    request.encode(&mut line);
    let mut stream = TcpStream::connect(connect)
        .map_err(|error| format!("{connect}: {error}; {CONNECT_HINT}"))?;
    stream
        .write_all(&line)
        .map_err(|error| format!("{connect}: {error}"))?;
    read_outcome(&mut stream).map_err(|error| format!("{connect}: {error}"))
}

#[expect(clippy::print_stdout, reason = "events are what a watch was asked for")]
#[expect(
    clippy::print_stderr,
    reason = "progress is for whoever looks on, not for a pipe"
)]
fn read_outcome(stream: &mut TcpStream) -> io::Result<Outcome> {
    let mut decoder = LineDecoder::new(LINE_LEN_MAX);
    let mut chunk = vec![0; 64 * 1024];
    loop {
        while let Some(line) = decoder.next_line().map_err(io::Error::other)? {
            match ServerLine::parse(&line).map_err(io::Error::other)? {
                ServerLine::Reply(reply) => return Ok(reply.outcome),
                ServerLine::Progress(progress) => {
                    eprintln!("{}/{} {}", progress.done, progress.total, progress.message);
                }
                ServerLine::Event(event) => println!("{}", String::from_utf8_lossy(&event.data)),
            }
        }
        match stream.read(&mut chunk)? {
            0 => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the host closed the connection unanswered",
                ));
            }
            len => decoder.buffer_mut().extend_from_slice(&chunk[..len]),
        }
    }
}
