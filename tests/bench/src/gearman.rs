//! What is spoken with `gearmand`, as far as it is needed here: packets, and a worker that sends back what it gets.
//!
//! A packet is four bytes that say its direction, its kind and the length of what follows (both big-endian), and texts
//! with zeros between them: <http://gearman.org/protocol/>.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf as _, Bytes, BytesMut};

use crate::error::BenchError;
use crate::say;

/// The function that our workers have.
const FUNCTION: &[u8] = b"echo";
const REQUEST: &[u8; 4] = b"\0REQ";
const HEAD_LEN: usize = 12;
const READ_LEN: usize = 64 * 1024;

const CAN_DO: u32 = 1;
const PRE_SLEEP: u32 = 4;
const NOOP: u32 = 6;
const SUBMIT_JOB: u32 = 7;
const JOB_CREATED: u32 = 8;
const GRAB_JOB: u32 = 9;
const NO_JOB: u32 = 10;
const JOB_ASSIGN: u32 = 11;
const WORK_COMPLETE: u32 = 13;
const SUBMIT_JOB_BG: u32 = 18;
const ERROR: u32 = 19;

/// Begins a job whose data is written after it; [`end_job`] is handed what this returns.
pub(crate) fn begin_job(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    head(SUBMIT_JOB, 0, out);
    out.extend_from_slice(FUNCTION);
    // Then a name of its own, by which equal jobs would be done once: none.
    out.extend_from_slice(b"\0\0");
    start
}

/// The same, of a job that nobody waits for.
pub(crate) fn begin_background_job(out: &mut Vec<u8>) -> usize {
    // By its name a job is kept, and one that has another's is that one.
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    let start = out.len();
    head(SUBMIT_JOB_BG, 0, out);
    out.extend_from_slice(FUNCTION);
    let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
    out.extend_from_slice(format!("\0{}-{number}\0", process::id()).as_bytes());
    start
}

/// Whether it names a job that the server has taken in.
pub(crate) fn is_handle(body: &[u8]) -> bool {
    body.starts_with(b"H:")
}

/// Puts the length of what was written since [`begin_job`] where it belongs.
pub(crate) fn end_job(out: &mut [u8], start: usize) {
    let len = out.len() - start - HEAD_LEN;
    out[start + 8..start + HEAD_LEN].copy_from_slice(&len_word(len));
}

fn head(kind: u32, len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(REQUEST);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&len_word(len));
}

fn len_word(len: usize) -> [u8; 4] {
    let len = u32::try_from(len).expect("jobs here are shorter");
    len.to_be_bytes()
}

/// Takes packets out of what has come.
#[derive(Default)]
pub(crate) struct Packets {
    pub(crate) buffer: BytesMut,
    /// A job is answered when it is taken in, and not when it is done.
    of_background: bool,
}

impl Packets {
    /// Those that come when background jobs are taken in.
    pub(crate) fn of_background() -> Self {
        Self {
            of_background: true,
            ..Self::default()
        }
    }

    fn next(&mut self) -> Option<(u32, Bytes)> {
        let [_, _, _, _, kind @ .., a, b, c, d] = *self.buffer.first_chunk::<HEAD_LEN>()?;
        let len = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
        if self.buffer.len() < HEAD_LEN + len {
            return None;
        }
        self.buffer.advance(HEAD_LEN);
        let body = self.buffer.split_to(len).freeze();
        Some((u32::from_be_bytes(kind), body))
    }

    /// The next job's result, or the handle of the next one in the background.
    pub(crate) fn next_result(&mut self) -> Result<Option<Bytes>, BenchError> {
        while let Some((kind, body)) = self.next() {
            match kind {
                JOB_CREATED if self.of_background => return Ok(Some(body)),
                JOB_CREATED => {}
                WORK_COMPLETE => return Ok(Some(after_zeros(&body, 1))),
                _ => return Err(wrong("a result", kind, &body)),
            }
        }
        Ok(None)
    }
}

/// What stands behind so many zeros.
fn after_zeros(body: &Bytes, count: usize) -> Bytes {
    let mut zeros = body.iter().enumerate().filter(|(_, byte)| **byte == 0);
    match zeros.nth(count - 1) {
        Some((at, _)) => body.slice(at + 1..),
        None => Bytes::new(),
    }
}

fn wrong(expected: &str, kind: u32, body: &[u8]) -> BenchError {
    let name = if kind == ERROR { "an error, " } else { "" };
    BenchError::WrongReply {
        expected: expected.to_owned(),
        got: format!("{name}packet {kind}: {}", String::from_utf8_lossy(body)),
    }
}

/// Starts so many processes that work for the server, says so, and waits until they end, which is when the server does.
pub(crate) fn workers(addr: SocketAddr, processes: usize) -> Result<String, BenchError> {
    let myself = env::current_exe().map_err(BenchError::io("can't find this program"))?;
    let mut children = Vec::new();
    for _ in 0..processes {
        let child = Command::new(&myself)
            .args(["gearman-worker", "--connect", &addr.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .map_err(BenchError::io("can't start a worker"))?;
        children.push(child);
    }
    say::listening(&addr).map_err(BenchError::io("can't say it"))?;
    for mut child in children {
        child
            .wait()
            .map_err(BenchError::io("can't wait for a worker"))?;
    }
    Ok(String::new())
}

/// Works until the server closes the connection.
pub(crate) fn work(addr: SocketAddr) -> Result<String, BenchError> {
    let connect = || {
        let stream = TcpStream::connect(addr)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    };
    let mut stream = connect().map_err(BenchError::io(format!("can't connect to {addr}")))?;
    let mut packets = Packets::default();
    let mut out = Vec::new();
    head(CAN_DO, FUNCTION.len(), &mut out);
    out.extend_from_slice(FUNCTION);
    head(GRAB_JOB, 0, &mut out);
    let mut bytes = vec![0; READ_LEN];
    loop {
        stream
            .write_all(&out)
            .map_err(BenchError::io("can't write to gearmand"))?;
        out.clear();
        let len = match stream.read(&mut bytes) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => return Err(BenchError::io("can't read from gearmand")(error)),
        };
        if len == 0 {
            return Ok(String::new());
        }
        packets.buffer.extend_from_slice(&bytes[..len]);
        while let Some((kind, body)) = packets.next() {
            answer(kind, &body, &mut out)?;
        }
    }
}

/// What a worker says to a packet.
fn answer(kind: u32, body: &Bytes, out: &mut Vec<u8>) -> Result<(), BenchError> {
    match kind {
        NOOP => head(GRAB_JOB, 0, out),
        NO_JOB => head(PRE_SLEEP, 0, out),
        JOB_ASSIGN => {
            let data = after_zeros(body, 2);
            let handle_len = body.iter().position(|byte| *byte == 0).unwrap_or(0);
            head(WORK_COMPLETE, handle_len + 1 + data.len(), out);
            out.extend_from_slice(&body[..=handle_len]);
            out.extend_from_slice(&data);
            head(GRAB_JOB, 0, out);
        }
        _ => return Err(wrong("a job", kind, body)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        head(kind, body.len(), &mut bytes);
        bytes.extend_from_slice(body);
        bytes
    }

    /// The example of the protocol's page.
    #[test]
    fn a_job_as_the_protocol_has_it() {
        let mut out = b"before".to_vec();
        let start = begin_job(&mut out);
        out.extend_from_slice(b"test");
        end_job(&mut out, start);
        assert_eq!(out[6..], *b"\0REQ\0\0\0\x07\0\0\0\x0aecho\0\0test");
    }

    #[test]
    fn background_jobs_have_names_of_their_own_and_are_answered_by_handles() {
        let job = || {
            let mut out = Vec::new();
            let start = begin_background_job(&mut out);
            out.extend_from_slice(b"test");
            end_job(&mut out, start);
            out
        };
        let [one, other] = [job(), job()];
        assert_ne!(one, other);
        assert!(one.starts_with(b"\0REQ\0\0\0\x12\0\0\0"));
        let texts: Vec<_> = one[HEAD_LEN..].split(|byte| *byte == 0).collect();
        assert!(matches!(texts[..], [b"echo", _, b"test"]), "{texts:?}");

        let mut packets = Packets::of_background();
        packets
            .buffer
            .extend_from_slice(&packet(JOB_CREATED, b"H:lap:1"));
        let handle = packets.next_result().unwrap().unwrap();
        assert!(is_handle(&handle));
        assert!(!is_handle(b""));
        packets.buffer.extend_from_slice(&packet(ERROR, b"x\0y"));
        assert!(packets.next_result().is_err());
    }

    #[test]
    fn results_are_taken_once_they_are_whole() {
        let bytes = [
            packet(JOB_CREATED, b"H:lap:1"),
            packet(WORK_COMPLETE, b"H:lap:1\0a\0b"),
        ]
        .concat();
        let mut packets = Packets::default();
        for byte in &bytes[..bytes.len() - 1] {
            packets.buffer.extend_from_slice(&[*byte]);
            assert_eq!(packets.next_result().unwrap(), None);
        }
        packets.buffer.extend_from_slice(b"b");
        assert_eq!(packets.next_result().unwrap().unwrap(), &b"a\0b"[..]);
        packets.buffer.extend_from_slice(&packet(ERROR, b"x\0y"));
        assert!(packets.next_result().is_err());
    }

    #[test]
    fn a_worker_sends_back_what_it_gets_and_asks_for_more() {
        let mut out = Vec::new();
        answer(
            JOB_ASSIGN,
            &Bytes::from_static(b"H:lap:1\0echo\0{}"),
            &mut out,
        )
        .unwrap();
        let expected = [packet(WORK_COMPLETE, b"H:lap:1\0{}"), packet(GRAB_JOB, b"")].concat();
        assert_eq!(out, expected);
    }
}
