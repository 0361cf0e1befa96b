//! `host call`: one request from the shell.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use client::blocking::{self, News};
use protocol::{Outcome, Progress, Request, json};
use rustls::{ClientConnection, StreamOwned};
use service::remote::{Remote, Trust};
use values::secret::{Secret, SecretSource};

/// Longest line that is read: what a host may be configured to send.
const LINE_LEN_MAX: usize = 512 * 1024 * 1024;
/// Exit code when nobody reads the events any more.
const EXIT_UNREAD: u8 = 1;
/// How long each address of the host is tried.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long after the task's own limit its answer is waited for: the host answers in time, unless it hangs.
const ANSWER_WAIT: Duration = Duration::from_secs(5);
const CONNECT_HINT: &str = "is the host running? Name its address with --connect ADDR";

/// By this function of the host a client shows who it is.
const HELLO: &str = "host.hello";
/// Where the token may be, if it is in no file.
pub(crate) const TOKEN_ENV: &str = "HOST_TOKEN";

/// How to reach a host.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) connect: String,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) trust: Trust,
}

/// Sends the request, prints progress to standard error and the result to standard output.
pub(crate) fn run(
    target: &Target,
    function: String,
    args: String,
    timeout: Option<Duration>,
) -> ExitCode {
    match exchange(target, function, args, timeout) {
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
    target: &Target,
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
    let connect = &target.connect;
    let remote: Remote = connect.parse()?;
    let token = token(target.token_file.as_ref())?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout + ANSWER_WAIT);
    let mut stream = open(&remote, &target.trust, deadline)?;
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!(
                "{connect}: no answer in time, and not from the host's own limit; the host hangs, or the way to it is cut"
            )
        }
        io::ErrorKind::InvalidData if remote.is_tls() => {
            format!(
                "{connect}: {error}; is it a port that speaks TLS, and the host that it should be (--ca FILE)?"
            )
        }
        _ => format!("{connect}: {error}"),
    };
    if let Some(token) = token {
        let hello = hello(&token);
        match blocking::call(&mut stream, hello, LINE_LEN_MAX, |_| {}).map_err(failed)? {
            Ok(_) => {}
            Err(failure) => return Ok(Err(failure)),
        }
    }
    blocking::call(&mut stream, request, LINE_LEN_MAX, print).map_err(failed)
}

/// The request by which the client shows who it is.
fn hello(token: &Secret) -> Request {
    let mut hello = Request::new(HELLO);
    hello.args = serde_json::json!({"token": token.expose()})
        .to_string()
        .into();
    hello
}

/// The token, if there is one.
fn token(file: Option<&PathBuf>) -> Result<Option<Secret>, String> {
    let source = match file {
        Some(file) => SecretSource::File(file.clone()),
        None if std::env::var_os(TOKEN_ENV).is_some() => SecretSource::Env(TOKEN_ENV.to_owned()),
        None => return Ok(None),
    };
    source.read().map(Some).map_err(|error| error.to_string())
}

/// A stream that carries lines.
trait Stream: Read + Write {}

impl<S: Read + Write> Stream for S {}

fn open(
    remote: &Remote,
    trust: &Trust,
    deadline: Option<Instant>,
) -> Result<Box<dyn Stream>, String> {
    let failed = |error: io::Error| format!("{remote}: {error}; {CONNECT_HINT}");
    let tcp = |authority: &str| {
        let stream = connect_to(authority).map_err(failed)?;
        Ok::<_, String>(Until {
            stream: Plain::Tcp(stream),
            deadline,
        })
    };
    match remote {
        Remote::Unix(path) => {
            let stream = UnixStream::connect(path).map(Plain::Unix).map_err(failed)?;
            Ok(Box::new(Until { stream, deadline }))
        }
        Remote::Tcp(authority) => Ok(Box::new(tcp(authority)?)),
        Remote::Tls(authority, name) => {
            let config = trust.config()?;
            let session = ClientConnection::new(config, name.clone())
                .map_err(|error| format!("{remote}: {error}"))?;
            Ok(Box::new(StreamOwned::new(session, tcp(authority)?)))
        }
    }
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

/// A socket.
enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A socket whose reads and writes wait until a moment at most.
struct Until {
    stream: Plain,
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
        let left = self.left()?;
        match &mut self.stream {
            Plain::Tcp(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
            Plain::Unix(stream) => {
                stream.set_read_timeout(left)?;
                stream.read(buffer)
            }
        }
    }
}

impl Write for Until {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left()?;
        match &mut self.stream {
            Plain::Tcp(stream) => {
                stream.set_write_timeout(left)?;
                stream.write(bytes)
            }
            Plain::Unix(stream) => {
                stream.set_write_timeout(left)?;
                stream.write(bytes)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
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
