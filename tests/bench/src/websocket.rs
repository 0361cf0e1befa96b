//! As much of WebSocket as a load generator needs, and a server that does nothing with it.
//!
//! The generator's frames are made by hand: it shares the cores with what it measures. Their mask is zero, which masks
//! nothing, and is a mask all the same.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::error::BenchError;
use crate::runtime;
use crate::say;

/// As the gateway has it.
const READ_BUFFER_LEN: usize = 4 * 1024;
const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
const LAST: u8 = 0x80;
const MASKED: u8 = 0x80;

/// Opens a WebSocket and waits until the server agrees; it says nothing before it is spoken to.
pub(crate) async fn open(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    addr: impl fmt::Display,
    subprotocol: Option<&str>,
) -> Result<(), BenchError> {
    let subprotocol = subprotocol.map_or_else(String::new, |name| {
        format!("Sec-WebSocket-Protocol: {name}\r\n")
    });
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {addr}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(BenchError::io("can't write"))?;
    let mut head = Vec::new();
    // A byte at a time, so that nothing after it is taken.
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream
            .read_u8()
            .await
            .map_err(BenchError::io("can't read"))?;
        head.push(byte);
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        return Ok(());
    }
    Err(BenchError::WrongReply {
        expected: "101 Switching Protocols".to_owned(),
        got: String::from_utf8_lossy(&head).into_owned(),
    })
}

/// Begins a frame whose payload is written after it; [`end_text`] is handed what this returns.
pub(crate) fn begin_text(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[LAST | TEXT, MASKED | 126, 0, 0, 0, 0, 0, 0]);
    start
}

/// Puts the length of what was written since [`begin_text`] where it belongs.
pub(crate) fn end_text(out: &mut [u8], start: usize) {
    let len = u16::try_from(out.len() - start - 8).expect("requests here are shorter");
    // Always in two bytes, where one might do: no server may mind, and none is measured by it.
    out[start + 2..start + 4].copy_from_slice(&len.to_be_bytes());
}

/// Takes messages out of what has come.
#[derive(Default)]
pub(crate) struct Frames {
    pub(crate) buffer: BytesMut,
}

impl Frames {
    /// The next text. What pings ask for is appended to `out`.
    pub(crate) fn next_text(&mut self, out: &mut Vec<u8>) -> Result<Option<Bytes>, BenchError> {
        while let Some((opcode, payload)) = self.next_frame() {
            match opcode {
                TEXT => return Ok(Some(payload)),
                PING => {
                    let len = u8::try_from(payload.len()).expect("pings are short");
                    out.extend_from_slice(&[LAST | PONG, MASKED | len, 0, 0, 0, 0]);
                    out.extend_from_slice(&payload);
                }
                CLOSE => {
                    return Err(BenchError::WrongReply {
                        expected: "a message".to_owned(),
                        got: format!("a close: {}", String::from_utf8_lossy(&payload)),
                    });
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn next_frame(&mut self) -> Option<(u8, Bytes)> {
        let [first, second] = *self.buffer.first_chunk()?;
        let (head_len, len) = match second {
            126 => {
                let [_, _, high, low] = *self.buffer.first_chunk()?;
                (4, usize::from(u16::from_be_bytes([high, low])))
            }
            127 => {
                let head: [u8; 10] = *self.buffer.first_chunk()?;
                let [_, _, len @ ..] = head;
                (10, usize::try_from(u64::from_be_bytes(len)).ok()?)
            }
            len => (2, usize::from(len)),
        };
        if self.buffer.len() < head_len + len {
            return None;
        }
        self.buffer.advance(head_len);
        Some((first & 0x0f, self.buffer.split_to(len).freeze()))
    }
}

/// Sends every message back, until it is killed.
pub(crate) fn echo(addr: SocketAddr) -> Result<String, BenchError> {
    runtime::on_all_processors()?
        .block_on(serve(addr))
        .map(|never| match never {})
        .map_err(BenchError::io(format!("can't listen on {addr}")))
}

async fn serve(addr: SocketAddr) -> io::Result<std::convert::Infallible> {
    let listener = TcpListener::bind(addr).await?;
    say::listening(&listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream));
    }
}

async fn connection(stream: TcpStream) {
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_LEN);
    let Ok(mut socket) = accept_async_with_config(stream, Some(config)).await else {
        return;
    };
    // A client that goes away has no one to tell.
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Text(_) = message {
            let mut message = message;
            // All that has come is answered in one write, as the gateway does.
            loop {
                if socket.feed(message).await.is_err() {
                    return;
                }
                match futures_util::FutureExt::now_or_never(socket.next()) {
                    Some(Some(Ok(next @ Message::Text(_)))) => message = next,
                    Some(Some(Ok(_))) | None => break,
                    Some(_) => return,
                }
            }
            if socket.flush().await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_in_any_pieces() {
        for len in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let mut bytes = vec![LAST | TEXT];
            match len {
                0..=125 => bytes.push(u8::try_from(len).unwrap()),
                126..=65_535 => {
                    bytes.push(126);
                    bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
                }
                _ => {
                    bytes.push(127);
                    bytes.extend((len as u64).to_be_bytes());
                }
            }
            bytes.extend(vec![b'x'; len]);
            let mut frames = Frames::default();
            let mut out = Vec::new();
            let (most, last) = bytes.split_at(bytes.len() - 1);
            frames.buffer.extend_from_slice(most);
            if len > 0 {
                assert_eq!(frames.next_text(&mut out).unwrap(), None);
            }
            frames.buffer.extend_from_slice(last);
            assert_eq!(frames.next_text(&mut out).unwrap().unwrap().len(), len);
            assert_eq!(out, b"");
        }
    }

    #[test]
    fn pings_are_answered_with_what_they_hold() {
        let mut frames = Frames::default();
        frames.buffer.extend_from_slice(b"\x89\x02ab\x81\x01x");
        let mut out = Vec::new();
        assert_eq!(frames.next_text(&mut out).unwrap().unwrap(), "x");
        assert_eq!(out, b"\x8a\x82\0\0\0\0ab");
    }

    #[test]
    fn a_frame_says_how_long_it_is() {
        let mut out = b"before".to_vec();
        let start = begin_text(&mut out);
        out.extend([b'x'; 300]);
        end_text(&mut out, start);
        assert_eq!(out[6..14], [0x81, 0xfe, 1, 44, 0, 0, 0, 0]);
        assert_eq!(out.len(), 314);
    }
}
