//! One call over a stream that blocks, for commands.

use std::io::{self, Read, Write};

use bytes::Bytes;
use protocol::{LineDecoder, Outcome, Progress, Request, ServerLine};

use crate::client::{Client, Received, Room};

/// Bytes that are read at once.
const READ_LEN: usize = 64 * 1024;

/// What comes before the end of a request.
#[derive(Debug)]
pub enum News {
    /// How far it is.
    Progress(Progress),
    /// An event of this name, with its data: valid JSON.
    Event(String, Bytes),
}

/// Sends a request and waits for its end. `tell` is told what comes before it. Lines from the host may have up to
/// `line_len_max` bytes.
///
/// What the host says of the connection as a whole, that it is one too many for example, is the outcome as well.
///
/// # Errors
/// The stream breaks or ends before the answer, or what comes is not of the Text protocol.
pub fn call<S: Read + Write>(
    stream: &mut S,
    request: Request,
    line_len_max: usize,
    mut tell: impl FnMut(News),
) -> io::Result<Outcome> {
    let mut client = Client::new(Room::UNLIMITED);
    client
        .send(request, None, ())
        .map_err(|refused| io::Error::other(refused.why))?;
    let mut bytes = Vec::new();
    client.take_unwritten(&mut bytes);
    stream.write_all(&bytes)?;
    client.wrote(bytes.len());
    let mut decoder = LineDecoder::new(line_len_max);
    let mut chunk = vec![0; READ_LEN];
    loop {
        while let Some(line) = decoder.next_line().map_err(io::Error::other)? {
            let line = ServerLine::parse(&line).map_err(io::Error::other)?;
            match client.receive(line) {
                Received::Ended(ended) => return Ok(ended.outcome),
                Received::OfConnection(outcome) => return Ok(outcome),
                Received::Progress((), progress) => tell(News::Progress(progress)),
                Received::Event { name, data, .. } => tell(News::Event(name, data)),
                Received::Late | Received::ForNobody => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A host that says the same to everybody.
    struct Host {
        heard: Vec<u8>,
        says: &'static [u8],
    }

    impl Read for Host {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            // In the smallest pieces.
            let len = self.says.len().min(1);
            buffer[..len].copy_from_slice(&self.says[..len]);
            self.says = &self.says[len..];
            Ok(len)
        }
    }

    impl Write for Host {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.heard.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn call_with(says: &'static str, news: &mut Vec<String>) -> io::Result<Outcome> {
        let mut host = Host {
            heard: Vec::new(),
            says: says.as_bytes(),
        };
        let mut request = Request::new("echo");
        request.progress = true;
        let outcome = call(&mut host, request, 1000, |told| {
            news.push(match told {
                News::Progress(progress) => progress.message,
                News::Event(name, data) => format!("{name} {}", String::from_utf8_lossy(&data)),
            });
        });
        assert_eq!(
            host.heard,
            b"{\"id\":1,\"function\":\"echo\",\"args\":{},\"progress\":true}\n"
        );
        outcome
    }

    #[test]
    fn news_come_before_the_outcome() {
        let mut news = Vec::new();
        let outcome = call_with(
            "{\"id\":1,\"event\":\"progress\",\"done\":1,\"total\":2,\"message\":\"half\"}\n\
             {\"id\":1,\"event\":\"live\",\"data\":{}}\n{\"id\":9,\"ok\":true,\"result\":0}\n\
             {\"id\":1,\"ok\":true,\"result\":7}\nnever read",
            &mut news,
        );
        assert_eq!(outcome.unwrap().unwrap(), Bytes::from_static(b"7"));
        assert_eq!(news, ["half", "live {}"]);
    }

    #[test]
    fn what_is_said_of_the_connection_is_the_outcome() {
        let says = "{\"ok\":false,\"error\":{\"code\":\"overloaded\",\"message\":\"full\",\"retryable\":true,\"started\":false}}\n";
        let failure = call_with(says, &mut Vec::new()).unwrap().unwrap_err();
        assert_eq!(failure.message, "full");
    }

    #[test]
    fn an_end_without_an_answer_is_an_error() {
        for says in [
            "",
            "{\"id\":1,\"ok\":true,\"result\":7}",
            "HTTP/1.1 400\r\n",
        ] {
            assert!(call_with(says, &mut Vec::new()).is_err(), "{says}");
        }
        let error = call_with("", &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
