use std::collections::HashSet;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use protocol::ErrorCode;
use rustix::net::sockopt::set_socket_linger;
use serde_json::{Value, json};

use crate::wait::DEADLINE;

/// A plain socket to a host.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    /// Ids, as JSON, of requests in flight that asked for progress events.
    with_progress: HashSet<String>,
}

/// The last line of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The request's; null if it had none.
    pub id: Value,
    /// What came of it.
    pub outcome: Result<Value, Failure>,
}

/// The error of a reply. `retryable` and `started` have been checked against what the protocol promises for the code.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "docs/PROTOCOL.md tells of them")]
pub struct Failure {
    pub code: String,
    pub message: String,
    pub retryable: bool,
    pub started: bool,
    /// Null if there was none.
    pub data: Value,
}

impl Client {
    /// Connects to a port of this machine.
    #[must_use]
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        let writer = TcpStream::connect(("127.0.0.1", port))
            .unwrap_or_else(|error| panic!("port {port}: {error}"));
        writer
            .set_nodelay(true)
            .expect("a fresh socket takes options");
        let reader = BufReader::new(writer.try_clone().expect("a socket can be cloned"));
        Self {
            reader,
            writer,
            with_progress: HashSet::new(),
        }
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer
            .write_all(bytes)
            .unwrap_or_else(|error| panic!("{} bytes could not be sent: {error}", bytes.len()));
    }

    /// Sends a line and ends it.
    #[track_caller]
    pub fn send_line(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes());
    }

    /// Sends a request.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is always made for the call"
    )]
    pub fn send(&mut self, request: Value) {
        if request["progress"] == true {
            self.with_progress.insert(request["id"].to_string());
        }
        self.send_line(&request.to_string());
    }

    /// Ends the sending half, and goes on reading.
    pub fn finish_sending(&self) {
        // The host may have closed the connection already.
        let _ = self.writer.shutdown(Shutdown::Write);
    }

    /// Breaks the connection off, as the kernel does for a program that was killed in the middle of it.
    #[track_caller]
    pub fn reset(self) {
        set_socket_linger(&self.writer, Some(Duration::ZERO)).expect("a socket takes options");
    }

    /// The sending half, for a thread that writes while this one reads.
    #[must_use]
    pub fn sender(&self) -> TcpStream {
        self.writer.try_clone().expect("a socket can be cloned")
    }

    /// The next line without its newline, or none where the stream ends.
    #[track_caller]
    pub fn next_line(&mut self) -> Option<Vec<u8>> {
        let start = Instant::now();
        let mut line = Vec::new();
        loop {
            let left = DEADLINE
                .checked_sub(start.elapsed())
                .filter(|left| !left.is_zero());
            let Some(left) = left else {
                panic!(
                    "no line within {DEADLINE:?}, but {} bytes of one",
                    line.len()
                )
            };
            self.writer
                .set_read_timeout(Some(left))
                .expect("the time left is above 0");
            match self.reader.read_until(b'\n', &mut line) {
                Ok(0) if line.is_empty() => return None,
                Ok(_) if line.ends_with(b"\n") => {
                    line.pop();
                    return Some(line);
                }
                Ok(_) => panic!(
                    "the stream ended within a line: {}",
                    String::from_utf8_lossy(&line)
                ),
                Err(error)
                    if [
                        ErrorKind::WouldBlock,
                        ErrorKind::TimedOut,
                        ErrorKind::Interrupted,
                    ]
                    .contains(&error.kind()) => {}
                Err(error) => panic!("no line: {error}"),
            }
        }
    }

    /// The next line's JSON.
    #[track_caller]
    pub fn recv(&mut self) -> Value {
        let line = self
            .next_line()
            .expect("the host sends a line before it closes the connection");
        serde_json::from_slice(&line)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&line)))
    }

    /// The next line that is the last one of its request. Before it, only events that a request asked for may come.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        let line = loop {
            let line = self.recv();
            let asked_for_events = self.with_progress.contains(&line["id"].to_string());
            if !(asked_for_events && line.get("event").is_some()) {
                break line;
            }
        };
        self.with_progress.remove(&line["id"].to_string());
        let ok = line["ok"]
            .as_bool()
            .unwrap_or_else(|| panic!("no reply: {line}"));
        let outcome = if ok {
            Ok(line["result"].clone())
        } else {
            Err(Failure::checked(&line["error"]))
        };
        Reply {
            id: line["id"].clone(),
            outcome,
        }
    }

    /// Sends a request and takes the next line for its reply.
    ///
    /// # Errors
    /// The reply is one.
    #[track_caller]
    pub fn request(&mut self, request: Value) -> Result<Value, Failure> {
        let id = request["id"].clone();
        self.send(request);
        let reply = self.reply();
        assert_eq!(reply.id, id, "{reply:?}");
        reply.outcome
    }

    /// Runs a function and waits for its reply.
    ///
    /// # Errors
    /// The reply is one.
    #[track_caller]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "it is always made for the call"
    )]
    pub fn call(&mut self, function: &str, args: Value) -> Result<Value, Failure> {
        self.request(json!({"function": function, "args": args}))
    }

    /// Runs a function that must succeed.
    #[track_caller]
    pub fn result(&mut self, function: &str, args: Value) -> Value {
        self.call(function, args)
            .unwrap_or_else(|failure| panic!("{function} failed: {failure:?}"))
    }

    /// Runs a function that must fail.
    #[track_caller]
    pub fn failure(&mut self, function: &str, args: Value) -> Failure {
        self.call(function, args).expect_err(function)
    }

    /// Starts a task of plugin `good` that goes on until it is cancelled or killed, and waits until its handler runs.
    #[track_caller]
    pub fn start_long_task(&mut self, id: &str) {
        let args = json!({"steps": 1_000_000_000, "ms": 5});
        self.send(json!({"id": id, "function": "progress", "args": args, "progress": true}));
        let line = self.recv();
        assert!(line["id"] == id && line["event"] == "progress", "{line}");
    }

    /// Whether the host is there and answers this connection.
    #[track_caller]
    pub fn ping(&mut self) {
        assert_eq!(self.result("host.ping", json!({})), "pong");
    }

    /// `host.status`.
    #[track_caller]
    pub fn status(&mut self) -> Value {
        self.result("host.status", json!({}))
    }

    /// Waits for the host to close the connection without another line.
    #[track_caller]
    pub fn expect_end(&mut self) {
        self.writer
            .set_read_timeout(Some(DEADLINE))
            .expect("the deadline is above 0");
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            // A reset is an end as well: what this side had sent was not read to the end.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the host did not close the connection: {error}"),
        }
        assert!(
            rest.is_empty(),
            "before its end: {}",
            String::from_utf8_lossy(&rest)
        );
    }
}

impl Failure {
    #[track_caller]
    fn checked(error: &Value) -> Self {
        let text = |field: &str| {
            error[field]
                .as_str()
                .unwrap_or_else(|| panic!("no {field}: {error}"))
                .to_owned()
        };
        let flag = |field: &str| {
            error[field]
                .as_bool()
                .unwrap_or_else(|| panic!("no {field}: {error}"))
        };
        let failure = Self {
            code: text("code"),
            message: text("message"),
            retryable: flag("retryable"),
            started: flag("started"),
            data: error["data"].clone(),
        };
        let code: ErrorCode = failure
            .code
            .parse()
            .unwrap_or_else(|_| panic!("no code of the protocol: {error}"));
        let promised = code.info();
        assert!(
            promised
                .retryable
                .is_none_or(|retryable| retryable == failure.retryable),
            "{error}"
        );
        assert!(
            promised
                .started
                .is_none_or(|started| started == failure.started),
            "{error}"
        );
        assert!(!failure.message.is_empty(), "{error}");
        failure
    }

    /// Fails the test unless this has the code, and all of the texts in its message.
    #[track_caller]
    pub fn expect(&self, code: &str, texts: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for text in texts {
            assert!(
                self.message.contains(text),
                "{text:?} is missing in {self:?}"
            );
        }
    }
}
