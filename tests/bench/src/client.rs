//! A client that asks one thing at a time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::error::BenchError;

/// The longest wait for any line.
const SILENT_SECONDS_MAX: u64 = 30;

/// A connection to a host.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Result<Self, BenchError> {
        let connect = || {
            let stream = TcpStream::connect(addr)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(SILENT_SECONDS_MAX)))?;
            Ok(stream)
        };
        let stream = connect().map_err(BenchError::io("can't connect"))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub(crate) fn send(&mut self, request: &Value) -> Result<(), BenchError> {
        let line = format!("{request}\n");
        let sent = self.stream.get_mut().write_all(line.as_bytes());
        sent.map_err(BenchError::io("can't send"))
    }

    /// The next line.
    pub(crate) fn recv(&mut self) -> Result<Value, BenchError> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        if read.map_err(BenchError::io("no line"))? == 0 {
            return Err(BenchError::Closed { in_flight: 1 });
        }
        serde_json::from_str(&line).map_err(|_| BenchError::WrongReply {
            expected: "JSON".to_owned(),
            got: line,
        })
    }

    /// The result of a function without arguments.
    pub(crate) fn call(&mut self, function: &str) -> Result<Value, BenchError> {
        self.ask(&json!({"function": function}))
    }

    /// The result of a request without an id.
    pub(crate) fn ask(&mut self, request: &Value) -> Result<Value, BenchError> {
        self.send(request)?;
        let mut reply = self.recv()?;
        if reply["ok"] == true {
            Ok(reply["result"].take())
        } else {
            Err(BenchError::WrongReply {
                expected: format!("a result of {}", request["function"]),
                got: reply.to_string(),
            })
        }
    }
}
