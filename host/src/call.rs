//! `host call`: one request from the shell.

use std::io::{self, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use client::blocking::{self, News};
use protocol::{Outcome, Request, json};

/// Longest line that is read: what a host may be configured to send.
const LINE_LEN_MAX: usize = 512 * 1024 * 1024;
/// Exit code when nobody reads the events any more.
const EXIT_UNREAD: u8 = 1;
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
    request.args = args;
    request.timeout = timeout;
    request.progress = true;
    let mut stream = TcpStream::connect(connect)
        .map_err(|error| format!("{connect}: {error}; {CONNECT_HINT}"))?;
    blocking::call(&mut stream, request, LINE_LEN_MAX, print)
        .map_err(|error| format!("{connect}: {error}"))
}

/// Prints progress to standard error and events, a line each, to standard output.
#[expect(
    clippy::print_stderr,
    reason = "progress is for those who watch, not for a pipe"
)]
fn print(news: News) {
    match news {
        News::Progress(progress) => {
            eprintln!("{}/{} {}", progress.done, progress.total, progress.message);
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
