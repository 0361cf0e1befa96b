//! A WebSocket client, and as much of HTTP as tests need.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::handshake::client::Response;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::client::Failure;
use crate::wait::DEADLINE;

/// How long one look at a socket takes.
const LOOK: Duration = Duration::from_millis(20);

/// A WebSocket to a gateway.
#[derive(Debug)]
pub struct Socket {
    socket: WebSocket<TcpStream>,
    /// The subprotocol that the gateway chose.
    pub subprotocol: Option<String>,
}

impl Socket {
    /// Connects, with further headers.
    ///
    /// # Errors
    /// The status and the body with which the gateway refuses.
    #[track_caller]
    pub fn connect(port: u16, headers: &[(&str, &str)]) -> Result<Self, (u16, String)> {
        let stream = TcpStream::connect(("127.0.0.1", port))
            .unwrap_or_else(|error| panic!("port {port}: {error}"));
        stream
            .set_nodelay(true)
            .expect("a fresh socket takes options");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a fresh socket takes options");
        let mut request = format!("ws://127.0.0.1:{port}/ws")
            .into_client_request()
            .expect("it is an address");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("it is a header's name");
            let value = HeaderValue::from_str(value).expect("it is a header's value");
            request.headers_mut().append(name, value);
        }
        let (socket, response): (_, Response) = match tungstenite::client(request, stream) {
            Ok(connected) => connected,
            Err(HandshakeError::Failure(Error::Http(response))) => {
                let body = response.body().clone().unwrap_or_default();
                let body = String::from_utf8_lossy(&body).into_owned();
                return Err((response.status().as_u16(), body));
            }
            Err(error) => panic!("no handshake: {error}"),
        };
        socket
            .get_ref()
            .set_read_timeout(Some(LOOK))
            .expect("a socket takes options");
        let subprotocol = response
            .headers()
            .get("sec-websocket-protocol")
            .map(|name| name.to_str().expect("it is text").to_owned());
        Ok(Self {
            socket,
            subprotocol,
        })
    }

    /// Says something.
    #[track_caller]
    pub fn send(&mut self, message: &Value) {
        self.send_text(&message.to_string());
    }

    /// Says something that may be no JSON.
    #[track_caller]
    pub fn send_text(&mut self, text: &str) {
        self.send_message(Message::text(text));
    }

    /// Sends a message of any kind.
    #[track_caller]
    pub fn send_message(&mut self, message: Message) {
        self.socket.send(message).expect("the gateway takes it");
    }

    /// The next text.
    #[track_caller]
    pub fn text(&mut self) -> String {
        match self.next() {
            Ok(text) => text,
            Err((code, reason)) => panic!("closed: {code} {reason}"),
        }
    }

    /// The next text, as JSON.
    #[track_caller]
    pub fn recv(&mut self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// The code and the reason with which the gateway closes, after whatever else it says.
    #[track_caller]
    pub fn closed(&mut self) -> (u16, String) {
        loop {
            if let Err(closed) = self.next() {
                return closed;
            }
        }
    }

    /// Closes, and waits until the gateway has, too.
    #[track_caller]
    pub fn close(mut self) {
        self.socket.close(None).expect("it was open");
        self.closed();
    }

    /// Breaks the connection without a word.
    pub fn cut(self) {
        drop(self.socket.get_ref().shutdown(Shutdown::Both));
    }

    /// The connection itself, for whoever wants to send what is no WebSocket.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }

    /// Sends what was not sent yet, pongs above all, and takes nothing.
    pub fn flush(&mut self) {
        drop(self.socket.flush());
    }

    #[track_caller]
    fn next(&mut self) -> Result<String, (u16, String)> {
        let start = Instant::now();
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Ok(text.to_string()),
                Ok(Message::Close(frame)) => {
                    let closed = frame.map_or((1005, String::new()), |frame| {
                        (u16::from(frame.code), frame.reason.to_string())
                    });
                    // The answer to it.
                    self.flush();
                    return Err(closed);
                }
                Ok(_) => {}
                Err(Error::Io(error))
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    assert!(start.elapsed() < DEADLINE, "nothing came");
                }
                Err(error) => return Err((u16::from(CloseCode::Abnormal), error.to_string())),
            }
        }
    }
}

/// A client of `tasks.v1`.
#[derive(Debug)]
pub struct Session {
    /// What it speaks through.
    pub socket: Socket,
    /// What it was greeted with.
    pub hello: Value,
    /// The number of the last message.
    pub seen: u64,
}

impl Session {
    /// Waits to be greeted.
    #[must_use]
    #[track_caller]
    pub fn greeted(socket: Socket) -> Self {
        let mut session = Self {
            socket,
            hello: Value::Null,
            seen: 0,
        };
        let hello = session.recv();
        session.hello = hello["hello"].clone();
        assert!(session.hello.is_object(), "{hello}");
        session
    }

    /// The token to resume with.
    #[must_use]
    pub fn token(&self) -> String {
        self.hello["session"].as_str().expect("a token").to_owned()
    }

    /// Says something.
    #[track_caller]
    pub fn send(&mut self, message: &Value) {
        self.socket.send(message);
    }

    /// The next message; its number is higher than the one before.
    #[track_caller]
    pub fn recv(&mut self) -> Value {
        let message = self.socket.recv();
        let seq = message["seq"]
            .as_u64()
            .unwrap_or_else(|| panic!("no number: {message}"));
        assert!(seq > self.seen, "after {} came {message}", self.seen);
        self.seen = seq;
        message
    }

    /// The next message that ends a task: its id, and what came of it.
    #[track_caller]
    pub fn reply(&mut self) -> (Value, Result<Value, Failure>) {
        loop {
            let message = self.recv();
            if let Some(ok) = message.get("ok") {
                return (message["id"].clone(), outcome(ok == true, &message));
            }
        }
    }

    /// Runs a task and waits for its end; nothing else may be in flight.
    ///
    /// # Errors
    /// What the answer says.
    #[track_caller]
    pub fn call(&mut self, function: &str, args: &Value) -> Result<Value, Failure> {
        self.send(&json!({"id": "call", "function": function, "args": args}));
        let (id, outcome) = self.reply();
        assert_eq!(id, "call");
        outcome
    }

    /// Breaks the connection without a word; what it takes to resume.
    #[must_use]
    pub fn cut(self) -> (String, u64) {
        let token = self.token();
        self.socket.cut();
        (token, self.seen)
    }

    /// Goes on, through a new socket, with a session that was broken off.
    #[must_use]
    #[track_caller]
    pub fn resume(mut socket: Socket, (token, seen): (String, u64)) -> Self {
        let spare = socket.recv();
        assert!(spare["hello"].is_object(), "{spare}");
        socket.send(&json!({"resume": token, "seen": seen}));
        Self {
            socket,
            hello: json!({"session": token}),
            seen,
        }
    }
}

fn outcome(ok: bool, message: &Value) -> Result<Value, Failure> {
    if ok {
        return Ok(message["result"].clone());
    }
    let error = &message["error"];
    let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
    let flag = |field: &str| {
        error[field]
            .as_bool()
            .unwrap_or_else(|| panic!("no {field} in {message}"))
    };
    Err(Failure {
        code: text("code"),
        message: text("message"),
        retryable: flag("retryable"),
        started: flag("started"),
        data: error["data"].clone(),
    })
}

/// What a request over HTTP was answered with.
#[derive(Debug)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The status line and the headers.
    pub head: String,
    /// The body, whole.
    pub body: String,
}

impl HttpAnswer {
    /// The value of a header, the first of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// One request and its answer.
#[track_caller]
pub(crate) fn http(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> HttpAnswer {
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n",
        body.len()
    );
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str(&format!("Host: 127.0.0.1:{port}\r\n"));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    http_bytes(port, &[head.as_bytes(), body].concat())
}

/// What is answered to these bytes, up to the end of the connection.
#[track_caller]
pub(crate) fn http_bytes(port: u16, request: &[u8]) -> HttpAnswer {
    let mut stream = TcpStream::connect(("127.0.0.1", port))
        .unwrap_or_else(|error| panic!("port {port}: {error}"));
    stream
        .set_read_timeout(Some(DEADLINE))
        .expect("a fresh socket takes options");
    stream.write_all(request).expect("the gateway takes it");
    let mut answer = Vec::new();
    stream
        .read_to_end(&mut answer)
        .expect("the gateway answers in time");
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {answer}"));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("no status: {head}"));
    let is_chunked = head
        .lines()
        .any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    let body = if is_chunked {
        unchunk(body)
    } else {
        body.to_owned()
    };
    HttpAnswer {
        status,
        head: head.to_owned(),
        body,
    }
}

/// What a chunked body holds.
fn unchunk(body: &str) -> String {
    let mut whole = String::new();
    let mut rest = body;
    while let Some((len, after)) = rest.split_once("\r\n") {
        let len = usize::from_str_radix(len.trim(), 16).expect("a chunk has a length");
        if len == 0 {
            break;
        }
        whole.push_str(&after[..len]);
        rest = &after[len + 2..];
    }
    whole
}
