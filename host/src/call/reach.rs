//! How a host is reached, and one request to it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use client::blocking::{self, News};
use protocol::{Outcome, Request};
use rustls::{ClientConnection, StreamOwned};
use service::remote::{Remote, Trust};
use values::secret::{Secret, SecretSource};

use super::socket::{Plain, Until, connect_to};

/// Longest line that is read: what a host may be configured to send.
const LINE_LEN_MAX: usize = 512 * 1024 * 1024;
const CONNECT_HINT: &str = "is the host running? Name its address with --connect ADDR";

/// By this function of the host a client shows who it is.
const HELLO: &str = "host.hello";
/// Where the token may be, if it is in no file.
const TOKEN_ENV: &str = "HOST_TOKEN";

/// How to reach a host.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) connect: String,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) trust: Trust,
}

impl Target {
    /// Sends a request over a connection of its own, and waits for its end until `deadline` at most. `tell` is told what
    /// comes before it.
    ///
    /// # Errors
    /// The host can't be reached, or does not answer: a sentence for people.
    pub(super) fn ask(
        &self,
        request: Request,
        deadline: Option<Instant>,
        tell: impl FnMut(News),
    ) -> Result<Outcome, String> {
        let connect = &self.connect;
        let remote: Remote = connect.parse()?;
        let token = token(self.token_file.as_ref())?;
        let mut stream = open(&remote, &self.trust, deadline)?;
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
        blocking::call(&mut stream, request, LINE_LEN_MAX, tell).map_err(failed)
    }
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
