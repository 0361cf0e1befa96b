//! What comes before a connection's first request, where something does: what a proxy says, a TLS handshake, and a line by
//! which the client shows who it is. All of it together may take [`TIME_MAX`] and [`LEN_MAX`], and whoever fails learns
//! nothing but `unauthorized`.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::{ErrorCode, Reply, RequestId, TaskFailure};
use service::life::Phase;
use tokio::time::timeout;

use super::listen::Doorway;
use super::plain::{Plain, read};
use super::proxy::{self, Parsed};
use super::socket::{Peer, Socket};
use super::tls::TlsSocket;
use super::{Arrival, Shared};
use crate::access::hello::{self, FirstLine};
use crate::access::{Pass, unauthorized};
use crate::stats::count;

/// How long a client may take to show who it is.
pub(super) const TIME_MAX: Duration = Duration::from_secs(5);
/// The longest line by which it can, in bytes.
pub(super) const LEN_MAX: usize = 4096;
/// How long the rest of what it sends is read after it was refused, so that the refusal arrives.
const LINGER_MAX: Duration = Duration::from_millis(500);
/// How a TLS handshake begins.
const TLS_HANDSHAKE: u8 = 0x16;

/// A client that has shown who it is.
pub(super) struct Known {
    pub(super) socket: Socket,
    pub(super) pass: Pass,
    pub(super) peer: Peer,
    /// What it has sent after that.
    pub(super) bytes: BytesMut,
}

/// A client is not let in.
struct Refused {
    /// For the log.
    why: String,
    /// For the client, where it can be told.
    farewell: Option<Box<Farewell>>,
}

/// A last reply.
struct Farewell {
    socket: Socket,
    id: Option<RequestId>,
    failure: TaskFailure,
}

impl Refused {
    fn in_silence(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            farewell: None,
        }
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::in_silence(error.to_string())
    }
}

/// Waits until the client has shown who it is. None: it hasn't.
pub(super) async fn introduce(arrival: Arrival, shared: &Shared) -> Option<Known> {
    let stranger = shared.strangers.enter();
    let mut peer = arrival.peer;
    let mut phases = shared.phases.clone();
    let introduced = tokio::select! {
        introduced = timeout(TIME_MAX, talk(arrival, &mut peer, shared)) => introduced,
        () = stranger.has_to_leave() => Ok(Err(Refused::in_silence("others have come since (strangers_max)"))),
        _ = phases.wait_for(|phase| *phase > Phase::Serving) => return None,
    };
    let Refused { why, farewell } = match introduced {
        Ok(Ok(known)) => return Some(known),
        Ok(Err(refused)) => refused,
        Err(_) => Refused::in_silence(format!("it has not shown who it is within {TIME_MAX:?}")),
    };
    // Who has been told so finds it counted.
    count(&shared.stats.requests_refused);
    // By where it comes from: one who tries over and over is one line of the log.
    tracing::warn!(peer = peer.origin(), "a client was not let in: {why}");
    if let Some(farewell) = farewell {
        let Farewell {
            socket,
            id,
            failure,
        } = *farewell;
        // Who makes room needs no farewell.
        tokio::select! {
            () = refuse(&socket, id, failure) => {}
            () = stranger.has_to_leave() => {}
        }
    }
    None
}

async fn talk(arrival: Arrival, peer: &mut Peer, shared: &Shared) -> Result<Known, Refused> {
    let Arrival { plain, door, .. } = arrival;
    let mut bytes = BytesMut::new();
    if door.is_proxy(peer) {
        read_proxy(&plain, &mut bytes, peer).await?;
    }
    let socket = match door.tls() {
        None => Socket::Plain(plain),
        Some(tls) => {
            let plain = expect_tls(plain, &mut bytes).await?;
            let accepted = TlsSocket::accept(plain, tls.config(), &bytes, &shared.handshakes).await;
            bytes.clear();
            Socket::Tls(Box::new(accepted.map_err(|error| {
                Refused::in_silence(format!("its TLS handshake failed: {error}"))
            })?))
        }
    };
    if let Some(pass) = identify(&socket, peer, &door, shared) {
        return Ok(Known {
            socket,
            pass,
            peer: *peer,
            bytes,
        });
    }
    match hear(&socket, &mut bytes, shared).await? {
        Ok(pass) => Ok(Known {
            socket,
            pass,
            peer: *peer,
            bytes,
        }),
        Err((id, why)) => Err(Refused {
            why: why.to_owned(),
            farewell: Some(Box::new(Farewell {
                socket,
                id,
                failure: unauthorized(),
            })),
        }),
    }
}

/// Who the client is by what the system and TLS tell.
pub(super) fn identify(
    socket: &Socket,
    peer: &Peer,
    door: &Doorway,
    shared: &Shared,
) -> Option<Pass> {
    let access = &shared.access;
    let by_certificate = match socket {
        Socket::Tls(session) => access.of_certificate(|name| session.has_name(name)),
        Socket::Plain(_) => None,
    };
    by_certificate
        .or_else(|| peer.user.and_then(|user| access.of_user(user)))
        .or_else(|| access.of_nobody(door.takes_guests()))
}

/// Reads what a proxy says of its client.
async fn read_proxy(plain: &Plain, bytes: &mut BytesMut, peer: &mut Peer) -> Result<(), Refused> {
    loop {
        match proxy::parse(bytes) {
            Ok(Parsed::Header(header)) => {
                if let Some(source) = header.source {
                    peer.proxy = peer.address;
                    peer.address = Some(source);
                }
                let _ = bytes.split_to(header.len);
                return Ok(());
            }
            Ok(Parsed::Partial) => more(plain, bytes).await?,
            Err(error) => {
                return Err(Refused::in_silence(format!(
                    "a trusted proxy has to begin with a header of the PROXY protocol: {error}"
                )));
            }
        }
    }
}

/// Whether TLS is what comes. What isn't gets an answer that it can read.
async fn expect_tls(plain: Plain, bytes: &mut BytesMut) -> Result<Plain, Refused> {
    while bytes.is_empty() {
        more(&plain, bytes).await?;
    }
    if bytes.first() == Some(&TLS_HANDSHAKE) {
        return Ok(plain);
    }
    let failure = TaskFailure::new(
        ErrorCode::Unauthorized,
        "this port takes TLS only: connect by TLS (tls://), and nothing is sent in the clear",
    );
    Err(Refused {
        why: "it spoke no TLS on a port that takes nothing else".to_owned(),
        farewell: Some(Box::new(Farewell {
            socket: Socket::Plain(plain),
            id: None,
            failure,
        })),
    })
}

async fn more(plain: &Plain, bytes: &mut BytesMut) -> Result<(), Refused> {
    let mut chunk = [0; LEN_MAX];
    match read(plain, &mut chunk).await? {
        0 => Err(Refused::in_silence("it went without a word")),
        len => {
            bytes.extend_from_slice(&chunk[..len]);
            Ok(())
        }
    }
}

type Unheard = (Option<RequestId>, &'static str);

/// Waits for the line by which a client shows who it is, and answers it. An error: why it is refused.
async fn hear(
    socket: &Socket,
    bytes: &mut BytesMut,
    shared: &Shared,
) -> Result<Result<Pass, Unheard>, Refused> {
    let line = match first_line(socket, bytes).await? {
        Ok(line) => line,
        Err(why) => return Ok(Err((None, why))),
    };
    let hello = match hello::read(&line) {
        FirstLine::Hello(hello) => hello,
        FirstLine::Other(id) => return Ok(Err((id, "its first line shows no token"))),
    };
    let Some(pass) = shared.access.of_token(&hello.token) else {
        return Ok(Err((hello.id, "its token is nobody's, or no longer good")));
    };
    let outcome = Ok(pass.introduction().to_string().into());
    say(
        socket,
        &Reply {
            id: hello.id,
            outcome,
        },
    )
    .await?;
    Ok(Ok(pass))
}

async fn first_line(
    socket: &Socket,
    bytes: &mut BytesMut,
) -> io::Result<Result<Bytes, &'static str>> {
    let mut scanned = 0;
    loop {
        if let Some(at) = memchr::memchr(b'\n', &bytes[scanned..]) {
            let line = bytes.split_to(scanned + at + 1);
            return Ok(Ok(line.freeze().slice(..scanned + at)));
        }
        scanned = bytes.len();
        if bytes.first() == Some(&TLS_HANDSHAKE) {
            return Ok(Err("it spoke TLS on a port that doesn't"));
        }
        if scanned >= LEN_MAX {
            return Ok(Err("its first line is too long"));
        }
        bytes.reserve(LEN_MAX);
        socket.readable().await?;
        match socket.try_read_buf(bytes) {
            Ok(0) => return Ok(Err("it went without a word")),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
            _ => {}
        }
    }
}

/// Sends a reply.
pub(super) async fn say(socket: &Socket, reply: &Reply) -> io::Result<()> {
    let mut line = Vec::new();
    reply.encode(&mut line);
    let mut rest = &line[..];
    loop {
        let done = match rest {
            [] => socket.try_flush(),
            _ => socket.try_write(rest).map(|len| rest = &rest[len..]),
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
            Err(error) => return Err(error),
            Ok(()) if rest.is_empty() && socket.try_flush().is_ok() => return Ok(()),
            Ok(()) => {}
        }
    }
}

/// Sends a last reply, and reads on for a moment so that the system doesn't throw it away.
pub(super) async fn refuse(socket: &Socket, id: Option<RequestId>, failure: TaskFailure) {
    let outcome = Err(failure);
    let farewell = async {
        say(socket, &Reply { id, outcome }).await?;
        socket.shutdown()?;
        let mut unread = BytesMut::with_capacity(LEN_MAX);
        loop {
            socket.readable().await?;
            unread.clear();
            match socket.try_read_buf(&mut unread) {
                Ok(0) => return Ok::<_, io::Error>(()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
    };
    // It may have gone.
    let _ = timeout(LINGER_MAX, farewell).await;
}
