//! What the command line asks of a running host: `host call`, and, for background tasks, `host task`, `tasks` and what
//! people do to them. Results go to standard output, progress and what went wrong to standard error.

mod reach;
mod socket;
mod table;
mod tasks;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::blocking::News;
use protocol::{Outcome, Progress, Request};

pub(crate) use self::reach::Target;
pub(crate) use self::tasks::{List, list, look, watch};

/// Exit code when nobody reads the events any more.
const EXIT_UNREAD: u8 = 1;
/// How long after the task's own limit its answer is waited for: the host answers in time, unless it hangs.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Sends the request, prints progress to standard error and events and the result to standard output. `wait`: how long its
/// answer may take, where the host was told as well; without it, as long as it takes.
pub(crate) fn run(
    command: &str,
    target: &Target,
    request: Request,
    wait: Option<Duration>,
) -> ExitCode {
    ended(command, ask(target, request, wait))
}

fn ask(target: &Target, request: Request, wait: Option<Duration>) -> Result<Outcome, String> {
    let deadline = wait.map(|wait| Instant::now() + wait + ANSWER_WAIT);
    target.ask(request, deadline, tell)
}

/// Prints how it ended; the exit code says whether that is well.
fn ended(command: &str, outcome: Result<Outcome, String>) -> ExitCode {
    match outcome {
        Ok(Ok(result)) => {
            if print(&result).is_ok() {
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
            say(&format!("{command}: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A request to the host itself.
fn request(function: &str, args: &serde_json::Value) -> Request {
    let mut request = Request::new(function);
    request.args = Bytes::from(args.to_string());
    request
}

/// A request that changes something of the host's, and prints what it answers.
pub(crate) fn change(target: &Target, function: &str, args: &serde_json::Value) -> ExitCode {
    run(
        &function.replace('.', " "),
        target,
        request(function, args),
        None,
    )
}

/// A line on standard output.
///
/// # Errors
/// Nobody reads it.
fn print(line: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(line)?;
    stdout.write_all(b"\n")
}

/// [`print`]; whoever read has gone: there is nothing more to do, and nobody to tell.
fn print_or_end(line: &[u8]) {
    if print(line).is_err() {
        std::process::exit(i32::from(EXIT_UNREAD));
    }
}

/// A line on standard error, where nobody may be there to read it.
fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Prints progress to standard error and events, a line each, to standard output.
fn tell(news: News) {
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
        News::Event(_, data) => print_or_end(&data),
    }
}
