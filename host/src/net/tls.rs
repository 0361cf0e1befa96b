//! TLS over a client's socket: the handshake, which waits for nobody else's time, and then bytes in and out.

use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use rustls::{ServerConfig, ServerConnection};
use service::sync::lock;
use tokio::sync::Semaphore;

use super::plain::{Plain, read};

/// Bytes of plain text that are taken at once: a record holds no more. They, and what TLS adds, may be here while the
/// socket has no room.
const WRITE_LEN_MAX: usize = 16 * 1024;

/// Before each record: its kind, two bytes of version, and two of the length of the rest.
const RECORD_HEAD_LEN: usize = 5;
/// Changes of ciphers, alerts, handshakes, what is said, heartbeats.
const RECORD_KINDS: std::ops::RangeInclusive<u8> = 20..=24;
/// The longest rest, by RFC 8446 and RFC 5246: 2^14 bytes of text, and what encryption adds.
const RECORD_LEN_MAX: usize = (1 << 14) + 2048;

/// A socket on which TLS is spoken.
#[derive(Debug)]
pub(super) struct TlsSocket {
    plain: Plain,
    session: Mutex<ServerConnection>,
}

impl TlsSocket {
    /// Shakes hands with a client that has sent `bytes` so far. `turns` bounds how many handshakes are worked at, at the
    /// same time: that takes milliseconds of a processor, which other connections must not wait for.
    ///
    /// # Errors
    /// The client speaks no TLS, or none that suits, or breaks off.
    pub(super) async fn accept(
        plain: Plain,
        config: Arc<ServerConfig>,
        bytes: &[u8],
        turns: &Semaphore,
    ) -> io::Result<Self> {
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut unread = bytes.to_vec();
        let mut chunk = [0; 4096];
        while session.is_handshaking() {
            // Who sends byte by byte has nobody work at each of them.
            let whole_len = whole_records_len(&unread);
            if whole_len == 0 {
                match read(&plain, &mut chunk).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    len => unread.extend_from_slice(&chunk[..len]),
                }
                continue;
            }
            let rest = unread.split_off(whole_len);
            let fed = work(session, std::mem::replace(&mut unread, rest), turns).await?;
            session = fed.session;
            // Also what tells the client why it is refused.
            while session.wants_write() {
                match session.write_tls(&mut Half(&plain)) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        plain.writable().await?;
                    }
                    Err(error) => return Err(error),
                }
            }
            fed.result.map_err(invalid)?;
        }
        // The beginning of what comes after it.
        let mut rest = &unread[..];
        while !rest.is_empty() {
            session.read_tls(&mut rest)?;
        }
        Ok(Self {
            plain,
            session: Mutex::new(session),
        })
    }

    pub(super) fn plain(&self) -> &Plain {
        &self.plain
    }

    /// Whether the client has shown a certificate that is good, and has this name.
    pub(super) fn has_name(&self, name: &ServerName<'_>) -> bool {
        let session = lock(&self.session);
        let own = session.peer_certificates().and_then(|chain| chain.first());
        let parsed = own.and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
        parsed.is_some_and(|parsed| rustls::client::verify_server_name(&parsed, name).is_ok())
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        let has_some = {
            let mut session = lock(&self.session);
            session
                .process_new_packets()
                .is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
        };
        if has_some {
            return Ok(());
        }
        self.plain.readable().await
    }

    pub(super) fn try_read_buf(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let mut session = lock(&self.session);
        loop {
            let mut chunk = [0; 16 * 1024];
            let room = (buffer.capacity() - buffer.len()).min(chunk.len());
            match session.reader().read(&mut chunk[..room]) {
                Ok(len) => {
                    buffer.extend_from_slice(&chunk[..len]);
                    return Ok(len);
                }
                // Without TLS's own goodbye the end may have been made by somebody on the way. Lines have ends of their
                // own: what is not ended is not run.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            session.read_tls(&mut Half(&self.plain))?;
            let processed = session.process_new_packets();
            // Alerts, and keys that change. What finds no room goes with the next write.
            let _ = flush(&mut session, &self.plain);
            processed.map_err(invalid)?;
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut session = lock(&self.session);
        // Nothing is taken while something is here: so at most one record waits.
        flush(&mut session, &self.plain)?;
        let bytes = &bytes[..bytes.len().min(WRITE_LEN_MAX)];
        let taken = session.writer().write(bytes)?;
        match flush(&mut session, &self.plain) {
            Ok(()) => Ok(taken),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(taken),
            Err(error) => Err(error),
        }
    }

    pub(super) fn try_flush(&self) -> io::Result<()> {
        flush(&mut lock(&self.session), &self.plain)
    }

    pub(super) fn shutdown(&self) -> io::Result<()> {
        let mut session = lock(&self.session);
        session.send_close_notify();
        let _ = flush(&mut session, &self.plain);
        self.plain.shutdown()
    }
}

impl Drop for TlsSocket {
    fn drop(&mut self) {
        let mut session = lock(&self.session);
        session.send_close_notify();
        // The client may have gone.
        let _ = flush(&mut session, &self.plain);
    }
}

fn flush(session: &mut ServerConnection, plain: &Plain) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(&mut Half(plain))?;
    }
    Ok(())
}

/// How long the records are that are there to the end. What isn't the beginning of a record counts as one: it is to be
/// refused.
fn whole_records_len(bytes: &[u8]) -> usize {
    let mut len = 0;
    while let Some([kind, _, _, high, low]) = bytes[len..].first_chunk() {
        let payload_len = usize::from(u16::from_be_bytes([*high, *low]));
        if !RECORD_KINDS.contains(kind) || payload_len > RECORD_LEN_MAX {
            return bytes.len();
        }
        let end = len + RECORD_HEAD_LEN + payload_len;
        if end > bytes.len() {
            break;
        }
        len = end;
    }
    len
}

/// A session that has been given bytes.
struct Fed {
    session: ServerConnection,
    result: Result<(), rustls::Error>,
}

/// Has bytes of a handshake worked at, beside the threads that serve connections.
async fn work(mut session: ServerConnection, bytes: Vec<u8>, turns: &Semaphore) -> io::Result<Fed> {
    let _turn = turns.acquire().await.map_err(io::Error::other)?;
    let feed = move || {
        let mut bytes = &bytes[..];
        let mut result = Ok(());
        while !bytes.is_empty() && result.is_ok() {
            result = match session.read_tls(&mut bytes) {
                Ok(_) => session.process_new_packets().map(drop),
                Err(error) => Err(rustls::Error::General(error.to_string())),
            };
        }
        Fed { session, result }
    };
    tokio::task::spawn_blocking(feed)
        .await
        .map_err(io::Error::other)
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A socket as rustls wants it.
struct Half<'p>(&'p Plain);

impl Read for Half<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Half<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_worked_at_when_they_are_whole() {
        let record = |len: usize| {
            let [high, low] = u16::try_from(len).unwrap().to_be_bytes();
            [&[0x16, 3, 3, high, low][..], &vec![0; len]].concat()
        };
        let both = [record(3), record(300)].concat();
        for len in 0..both.len() {
            let expected = if len < 8 { 0 } else { 8 };
            assert_eq!(whole_records_len(&both[..len]), expected, "{len}");
        }
        assert_eq!(whole_records_len(&both), both.len());
        assert_eq!(whole_records_len(&record(0)), 5);
        let longest = record(RECORD_LEN_MAX);
        assert_eq!(whole_records_len(&longest), longest.len());
        assert_eq!(whole_records_len(&longest[..100]), 0);
        // What can't be one needs no more bytes to be refused.
        assert_eq!(whole_records_len(b"GET / HTTP/1.1\r\n"), 16);
    }
}
